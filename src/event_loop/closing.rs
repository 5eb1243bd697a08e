//! Ends: of connections, and of the server.

use std::time::Duration;

use super::connection::{Counting, Eof, Phase};
use super::system::System;
use super::{ConnectionId, Ending, EventLoop, Lost, Timer, with_context};
use crate::protocol::Message;

/// How far the server is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// What was received before is being read and carried out.
    Draining,
    /// Conversations were told to end; what they wrote is being sent.
    Ending,
    /// It has ended.
    Over,
}

impl<S: System> EventLoop<S> {
    /// Has a connection end with this turn.
    pub(super) fn doom(&mut self, id: ConnectionId, why: Lost) {
        if let Some(connection) = self.connections.get_mut(id)
            && !std::mem::replace(&mut connection.doomed, true)
        {
            connection.transport.abort();
            self.doomed.push((id, why));
        }
    }

    /// Ends a connection now, without sending what was written.
    pub(super) fn abort(&mut self, id: ConnectionId) {
        self.doom(id, Lost::Aborted);
    }

    /// Goes on with a connection whose conversation has closed it: everything is sent, then the end
    /// is announced, then the other side's end is awaited. Without that wait, input that comes late
    /// would make the system reset the connection, and the last replies could be lost with it.
    pub(super) fn go_on_closing(&mut self, id: ConnectionId, sent_some: bool) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.phase == Phase::Lingering {
            return;
        }
        if connection.transport.waiting() > 0 || !connection.writable {
            if sent_some || connection.phase == Phase::Open {
                connection.phase = Phase::Closing;
                connection.transport.set_deadline(now + UNREAD_MAX);
                self.set_timer(id);
            }
            return;
        }
        connection.phase = Phase::Lingering;
        connection.stream.announce_end();
        // Announcing it is a courtesy; a failure shows when the end is awaited.
        let _ = connection.stream.flush();
        let ended = connection.eof != Eof::NotSeen;
        if ended || self.system.shut_down_writing(connection.stream.socket()).is_err() {
            self.doom(id, Lost::Closed);
            return;
        }
        connection.transport.set_deadline(now + LINGER_MAX);
        self.set_timer(id);
        self.settle_end(id);
    }

    /// Ends a connection that waited only for the other side's end, once that has come. A server
    /// that ends waits no longer than there is something to read.
    pub(super) fn settle_end(&mut self, id: ConnectionId) {
        let is_stopping = self.stop.is_some();
        if let Some(connection) = self.connections.get_mut(id)
            && connection.phase == Phase::Lingering
            && (connection.eof != Eof::NotSeen || (is_stopping && !connection.readable))
        {
            self.doom(id, Lost::Closed);
        }
    }

    /// Lets go of the connections that ended in this turn.
    pub(super) fn bury(&mut self) {
        while let Some((id, why)) = self.doomed.pop() {
            let Some(mut connection) = self.connections.remove(id) else {
                continue;
            };
            self.uncount(connection.counting);
            let (times, mut why) = ((self.now, self.wall), Some(why));
            with_context(id, &mut connection, &mut self.server, times, &mut |protocol, context| {
                if let Some(why) = why.take() {
                    protocol.connection_lost(context, why);
                }
            });
            self.places_connection_lost(id);
        }
    }

    /// A connection is a neighbour's.
    pub(super) fn linked(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            let counting = std::mem::replace(&mut connection.counting, Counting::NotAtAll);
            self.uncount(counting);
        }
    }

    /// Takes a connection out of the numbers that the limit is about.
    fn uncount(&mut self, counting: Counting) {
        match counting {
            Counting::AsClient => self.clients -= 1,
            Counting::BeyondLimit => self.beyond_limit -= 1,
            Counting::NotAtAll => {}
        }
    }

    /// Ends the server in order; asked a second time, at once.
    pub(super) fn begin_to_stop(&mut self) {
        if self.stop.is_some() {
            self.stop = Some(Stop::Over);
            return;
        }
        self.server.log.event(format_args!("{} ends", self.server.identity.name));
        // Whoever connected before has a right to an answer.
        self.accepting = true;
        for _ in 0..LAST_ACCEPTS {
            self.accept();
        }
        self.listener = None;
        self.stop = Some(Stop::Draining);
        self.timers.set(self.now + DRAINING_MAX, Timer::StopDraining);
        for id in self.connections.ids() {
            if let Some(connection) = self.connections.get_mut(id) {
                // What came before the signal must be seen, whether its edge was told or not.
                connection.readable = true;
            }
            self.list(id);
        }
        // No WHATSAT may hold back what stands behind it any longer.
        self.refuse_questions("the server is ending");
    }

    /// Once everything that was received is carried out, has all conversations end.
    pub(super) fn go_on_stopping(&mut self) {
        if self.stop == Some(Stop::Draining)
            && !self.connections.ids().into_iter().any(|id| self.has_input(id))
        {
            self.end_conversations();
        }
    }

    /// Whether something that a conversation sent may not have been carried out yet.
    fn has_input(&mut self, id: ConnectionId) -> bool {
        self.connections.get_mut(id).is_some_and(|connection| {
            let is_open = connection.attempts.is_none() && connection.transport.ending() == Ending::Open;
            let is_held = connection.transport.reading_is_paused() && !connection.input.is_empty();
            is_open && (connection.readable || connection.wants_service() || is_held)
        })
    }

    fn end_conversations(&mut self) {
        self.stop = Some(Stop::Ending);
        self.server.stopping = true;
        if self.server.statements_dropped > 0 {
            let dropped = self.server.statements_dropped;
            self.server
                .log
                .event(format_args!("{dropped} statements were dropped, there was no room for them"));
        }
        self.timers.set(self.now + ENDING_MAX, Timer::StopNow);
        for id in self.connections.ids() {
            if self.connections.get_mut(id).is_some_and(|connection| connection.attempts.is_some()) {
                self.abort(id);
            }
            self.call(id, |protocol, context| protocol.told(context, Message::Stop));
        }
        self.carry_out();
    }

    /// Somebody sends faster than it can be carried out, or does not read: so be it.
    pub(super) fn stop_draining(&mut self) {
        if self.stop == Some(Stop::Draining) {
            self.end_conversations();
        }
    }

    /// The time to end in order is up.
    pub(super) fn stop_now(&mut self) {
        self.stop = Some(Stop::Over);
    }

    pub(super) fn is_over(&self) -> bool {
        match self.stop {
            Some(Stop::Over) => true,
            Some(Stop::Ending) => self.connections.len() == 0,
            Some(Stop::Draining) | None => false,
        }
    }
}

/// How long a connection that was closed may keep output that the other side does not read, from the
/// last byte that it took.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// How long the other side's end is awaited after everything was sent.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// How long input that came before the server was told to end is carried out; docs/protocol.md,
/// section 5, promises an end within 300 ms.
const DRAINING_MAX: Duration = Duration::from_millis(120);
/// How long the last output is sent after that.
const ENDING_MAX: Duration = Duration::from_millis(100);
/// Turns' worth of connections that are accepted at the end: 4,096 of them, as many as Linux lets wait at a
/// listener (`net.core.somaxconn`).
const LAST_ACCEPTS: usize = 64;
