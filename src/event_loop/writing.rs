//! Writing: once per turn to each connection with output.

use std::io;

use super::connection::Life;
use super::system::System;
use super::{Application, ConnectionId, EventLoop, Protocol};

impl<S: System, A: Application> EventLoop<S, A> {
    /// Writes once to each connection with output.
    pub(super) fn flush_dirty(&mut self) {
        let mut flushed = std::mem::take(&mut self.dirty);
        // Connections that produced output at the end of the turn were marked last and come first: other
        // servers wait for that output.
        flushed.iter().rev().for_each(|&id| self.flush(id));
        flushed.clear();
        // Connections that became dirty meanwhile wait for the next turn. The memory of the list is reused.
        flushed.append(&mut self.dirty);
        self.dirty = flushed;
        // A protocol with more output continues at once if its transport has room again.
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
        if matches!(connection.life, Life::Connecting(_) | Life::Dead(_)) {
            return;
        }
        let before = connection.transport.pending();
        let mut result = Ok(());
        while result.is_ok() && connection.writable && connection.transport.pending() > 0 {
            result = connection.stream.write(connection.transport.unsent()).map(|sent| {
                connection.transport.note_sent(sent);
                // A stream that takes nothing and reports no error will not take more now.
                connection.writable = sent > 0;
            });
        }
        if result.is_ok() && connection.writable {
            result = connection.stream.flush();
        }
        self.application.bytes_written(&connection.protocol, before - connection.transport.pending());
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.writable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.mark_dirty(id),
            Err(error) => return self.fail(id, error),
            Ok(()) => {}
        }
        self.output_sent(id, before);
    }

    /// Continues after output was written; `before`: bytes that were pending.
    fn output_sent(&mut self, id: ConnectionId, before: usize) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let (progressed, peer_ended) = (connection.transport.pending() < before, connection.peer_ended);
        if let Life::Closing { .. } = connection.life {
            self.continue_closing(id, progressed);
        } else if connection.transport.must_resume_writing() {
            self.call(id, |protocol, context| protocol.resume_writing(context));
        } else if let Some(buffer) = connection.transport.take_buffer() {
            self.buffers.give(buffer);
        }
        if peer_ended {
            self.limit_unread(id, progressed);
        }
    }
}
