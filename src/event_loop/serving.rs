//! Reading: each connection with input gets its share of the turn.

use std::io;

use super::connection::{InputState, Life};
use super::stream::Input;
use super::system::System;
use super::{Application, ConnectionId, EventLoop, Protocol, READ_MAX};

impl<S: System, A: Application> EventLoop<S, A> {
    /// Serves each connection in the list once.
    pub(super) fn serve_ready(&mut self) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        // The more connections have input, the smaller is the share of each.
        let share = (TURN_MAX / self.ready.len().max(1)).clamp(SHARE_MIN, READ_MAX);
        // Connections that are listed again are served in the next turn.
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            // It stays marked as listed while it is served, so that it cannot be listed twice.
            self.serve(id, &mut buffer[..share]);
            if let Some(connection) = self.connections.get_mut(id) {
                connection.listed = false;
                self.list(id);
            }
            if self.application.must_end_turn() {
                break;
            }
        }
        self.read_buffer = buffer;
    }

    /// Reads and delivers until there is no more input, reading is paused, or the connection has used its
    /// share, the length of `buffer`. The last read may exceed the share: a shorter one would cost as much.
    fn serve(&mut self, id: ConnectionId, buffer: &mut [u8]) {
        let mut share = buffer.len();
        while share > 0 {
            let Some(connection) =
                self.connections.get_mut(id).filter(|connection| connection.wants_service())
            else {
                return;
            };
            if std::mem::take(&mut connection.offer_again) {
                share = share.saturating_sub(connection.input.len().max(1));
                self.deliver(id, &[]);
                continue;
            }
            match connection.life {
                Life::Handshaking { .. } => self.continue_handshake(id, &[]),
                Life::Open { input: InputState::Ended, .. } => self.deliver_half_close(id),
                Life::Open { input: InputState::Undecided(listener), .. } => {
                    share = share.saturating_sub(self.read_first(id, listener, buffer));
                }
                _ => share = share.saturating_sub(self.read(id, buffer)),
            }
        }
    }

    /// Reads once and delivers the bytes. Returns their number.
    fn read(&mut self, id: ConnectionId, buffer: &mut [u8]) -> usize {
        let Some(connection) = self.connections.get_mut(id) else {
            return 0;
        };
        let room = buffer.len().min(self.tls_buffer.len());
        let result = connection.stream.read(buffer, &mut self.tls_buffer[..room]);
        self.input_read(id, buffer, result)
    }

    /// Continues after a read.
    pub(super) fn input_read(&mut self, id: ConnectionId, buffer: &[u8], result: io::Result<Input>) -> usize {
        let Some(connection) = self.connections.get_mut(id) else {
            return 0;
        };
        match result {
            Ok(Input { length: 0, .. }) => {
                connection.readable = false;
                self.input_ended(id);
                0
            }
            Ok(Input { length, is_short }) => {
                let is_empty = is_short && !connection.short_reads_lie && self.system.short_reads_empty();
                connection.readable = !is_empty;
                self.application.bytes_read(&connection.protocol, length);
                self.deliver(id, &buffer[..length]);
                self.finish_lingering(id);
                length
            }
            Err(error) => {
                self.reading_failed(id, error);
                0
            }
        }
    }

    pub(super) fn reading_failed(&mut self, id: ConnectionId, error: io::Error) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => {
                connection.readable = false;
                // A TLS read can produce output.
                self.mark_dirty(id);
                self.finish_lingering(id);
            }
            _ => {
                connection.readable = false;
                self.fail(id, error);
            }
        }
    }

    fn deliver_half_close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            if let Life::Open { input, .. } = &mut connection.life {
                *input = InputState::HalfClosed;
            }
            let mut rest = std::mem::take(&mut connection.input);
            if connection.stream.was_truncated() {
                rest.clear();
            }
            self.clocks.wall = self.system.wall();
            self.call(id, |protocol, context| protocol.eof_received(context, &rest));
        }
    }

    /// Offers input to the protocol: the bytes that it has not consumed, then `new`.
    fn deliver(&mut self, id: ConnectionId, new: &[u8]) {
        self.clocks.wall = self.system.wall();
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let mut kept = std::mem::take(&mut connection.input);
        if !connection.is_open() || (kept.is_empty() && new.is_empty()) {
            return;
        }
        if kept.is_empty() {
            let used =
                self.call(id, |protocol, context| protocol.data_received(context, new)).unwrap_or(new.len());
            kept.extend_from_slice(&new[used..]);
        } else {
            kept.extend_from_slice(new);
            let used = self.call(id, |protocol, context| protocol.data_received(context, &kept));
            kept.drain(..used.unwrap_or(kept.len()));
        }
        if kept.is_empty() {
            return;
        }
        kept.shrink_to(kept.len() + kept.len() / 2);
        if let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.is_open()) {
            connection.input = kept;
        }
    }
}

/// Bytes read in one turn from all connections together: some 30 ms of commands. Replies and heartbeats leave at
/// the end of a turn, so they must not wait for ten thousand full buffers.
pub(super) const TURN_MAX: usize = 4 * 1024 * 1024;
/// The smallest share of a connection, so that a system call brings more than it costs.
const SHARE_MIN: usize = 4 * 1024;
