//! Reading and delivering, and writing: the two places that touch streams.

use std::io;

use super::connection::Eof;
use super::system::System;
use super::{ConnectionId, Ending, EventLoop, Lost, READ_MAX};

impl<S: System> EventLoop<S> {
    /// Gives each connection on the list its share.
    pub(super) fn serve_ready(&mut self) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        // Everybody gets a share in every turn, and the more they are, the smaller.
        let share = (TURN_MAX / self.ready.len().max(1)).clamp(SHARE_MIN, READ_MAX);
        // Those that come back to the list are served in the next turn.
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            // It stays listed while it is served, so that nothing that it does lists it once more.
            self.serve(id, &mut buffer[..share]);
            if let Some(connection) = self.connections.get_mut(id) {
                connection.listed = false;
                self.list(id);
                if self.server.log.lines().len() > LOG_LINES_MAX {
                    self.write_log();
                }
            }
        }
        self.read_buffer = buffer;
    }

    /// Reads and delivers until there is nothing more, reading is paused, or the connection has had
    /// its share of this turn, which is as long as `buffer`.
    fn serve(&mut self, id: ConnectionId, buffer: &mut [u8]) {
        let mut share = buffer.len();
        while share > 0 {
            let Some(connection) =
                self.connections.get_mut(id).filter(|connection| connection.wants_service())
            else {
                return;
            };
            if connection.transport.ending() == Ending::Aborting {
                connection.readable = false;
                connection.offer_again = false;
                connection.eof = Eof::Delivered;
                return;
            }
            if std::mem::take(&mut connection.offer_again) {
                share = share.saturating_sub(connection.input.len().max(1));
                self.wall = self.system.wall();
                self.deliver(id, &[]);
            } else if connection.eof == Eof::Seen {
                connection.eof = Eof::Delivered;
                let rest = std::mem::take(&mut connection.input);
                self.wall = self.system.wall();
                self.call(id, |protocol, context| protocol.eof_received(context, &rest));
                self.settle_end(id);
            } else {
                match connection.stream.read(buffer) {
                    Ok(0) => {
                        connection.readable = false;
                        if connection.eof == Eof::NotSeen {
                            connection.eof = Eof::Seen;
                        }
                    }
                    Ok(length) => {
                        share = share.saturating_sub(length);
                        let is_empty = length < buffer.len()
                            && !connection.short_reads_lie
                            && connection.stream.reads_the_socket()
                            && self.system.short_reads_empty();
                        connection.readable = !is_empty;
                        self.wall = self.system.wall();
                        self.deliver(id, &buffer[..length]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        connection.readable = false;
                        // Reading may have made something to write: that is how TLS shakes hands.
                        self.mark_dirty(id);
                        self.settle_end(id);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        connection.readable = false;
                        self.doom(id, Lost::Failed(error));
                    }
                }
            }
        }
    }

    /// Offers input: what was left unused, and `new` behind it.
    fn deliver(&mut self, id: ConnectionId, new: &[u8]) {
        self.server.log.set_time(self.wall);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let mut kept = std::mem::take(&mut connection.input);
        if connection.transport.ending() != Ending::Open || (kept.is_empty() && new.is_empty()) {
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
        if let Some(connection) = self.connections.get_mut(id) {
            connection.input = kept;
        }
    }

    /// Writes once to each connection with output.
    pub(super) fn flush_dirty(&mut self) {
        let mut flushed = std::mem::take(&mut self.dirty);
        // The links to neighbours, which were marked last, come first: what they carry goes on from there.
        flushed.iter().rev().for_each(|&id| self.flush(id));
        flushed.clear();
        // Those that have something to write again wait for the next turn; the list's memory is kept.
        flushed.append(&mut self.dirty);
        self.dirty = flushed;
        // What is behind can go on at once where the network took everything.
        for id in std::mem::take(&mut self.behind) {
            self.at_once |=
                self.connections.get_mut(id).is_some_and(|connection| connection.transport.has_room());
        }
    }

    fn flush(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.dirty = false;
        let before = connection.transport.waiting();
        let ending = connection.transport.ending();
        if connection.attempts.is_some() || ending == Ending::Aborting {
            return;
        }
        let mut result = Ok(());
        while result.is_ok() && connection.writable && connection.transport.waiting() > 0 {
            result = connection.stream.write(connection.transport.unsent()).map(|sent| {
                connection.transport.note_sent(sent);
                // A stream that takes nothing and does not say why will not take more now.
                connection.writable = sent > 0;
            });
        }
        if result.is_ok() && connection.writable {
            result = connection.stream.flush();
        }
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.writable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.mark_dirty(id),
            Err(error) => return self.doom(id, Lost::Failed(error)),
            Ok(()) => {}
        }
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if ending == Ending::Closing {
            let sent_some = connection.transport.waiting() < before;
            self.go_on_closing(id, sent_some);
        } else if connection.transport.must_resume_writing() {
            self.call(id, |protocol, context| protocol.resume_writing(context));
        } else if let Some(buffer) = connection.transport.take_buffer() {
            self.buffers.give(buffer);
        }
    }
}

/// Bytes that are read in one turn, of all connections together: some 30 ms of commands. Replies, and signs of
/// life for neighbours, leave at the end of a turn, so they must not wait for ten thousand full buffers.
pub(super) const TURN_MAX: usize = 4 * 1024 * 1024;
/// Bytes that each may be read all the same, so that reading many costs little more than what they say.
const SHARE_MIN: usize = 4 * 1024;
/// Bytes of log lines that are gathered before they are written: short commands make lines many
/// times their length, and thousands of connections may be served in one turn.
const LOG_LINES_MAX: usize = 64 * 1024;
