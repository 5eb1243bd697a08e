//! Ends: of connections, and of the server.

use std::time::Duration;

use super::connection::{Eof, Standing};
use super::network::Network;
use super::{ConnectionId, EventLoop, Lost, Moment, Timer, with_context};
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

impl<N: Network> EventLoop<N> {
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
    pub(super) fn go_on_closing(&mut self, id: ConnectionId, now: Moment) {
        let stopping = self.stop.is_some();
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.lingering {
            return;
        }
        if connection.transport.waiting() > 0 || !connection.writable {
            connection.transport.set_deadline(now + UNREAD_MAX);
            self.set_timer(id);
            return;
        }
        connection.lingering = true;
        connection.stream.announce_end();
        // Announcing it is a courtesy; a failure shows when the end is awaited.
        let _ = connection.stream.flush();
        let ended = connection.eof != Eof::NotSeen;
        if ended || stopping || self.network.shut_down_writing(connection.stream.socket()).is_err() {
            self.doom(id, Lost::Closed);
            return;
        }
        connection.transport.set_deadline(now + LINGER_MAX);
        self.set_timer(id);
    }

    /// Ends a connection that waited only for the other side's end.
    pub(super) fn settle_end(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.lingering
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
            self.uncount(connection.standing);
            let (times, mut why) = ((self.now, self.wall), Some(why));
            with_context(id, &mut connection, &mut self.server, times, &mut |protocol, context| {
                if let Some(why) = why.take() {
                    protocol.connection_lost(context, why);
                }
            });
            self.places_connection_lost(id);
        }
    }

    /// Takes a connection out of the numbers that the limit is about.
    pub(super) fn uncount(&mut self, standing: Standing) {
        match standing {
            Standing::Client => self.clients -= 1,
            Standing::BeyondLimit => self.beyond_limit -= 1,
            Standing::Uncounted => {}
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
        self.accept();
        self.listener = None;
        self.stop = Some(Stop::Draining);
        self.server.stopping = true;
        self.timers.set(self.now + DRAINING_MAX, Timer::Stop);
        for id in self.connections.ids() {
            if let Some(connection) = self.connections.get_mut(id) {
                // What came before the signal must be seen, whether its edge was told or not.
                connection.readable = true;
            }
            self.list(id);
        }
    }

    /// Once everything that was received is carried out, has all conversations end.
    pub(super) fn go_on_stopping(&mut self) {
        if self.stop == Some(Stop::Draining) && self.ready.is_empty() {
            self.end_conversations();
        }
    }

    fn end_conversations(&mut self) {
        self.stop = Some(Stop::Ending);
        self.refuse_questions("the server is ending");
        for id in self.connections.ids() {
            if self.connections.get_mut(id).is_some_and(|connection| connection.attempts.is_some()) {
                self.abort(id);
            }
            self.call(id, |protocol, context| protocol.told(context, Message::Stop));
        }
        self.carry_out();
    }

    /// The time for this part of the end is up.
    pub(super) fn stop_timer_rang(&mut self) {
        if self.stop == Some(Stop::Draining) {
            // Somebody sends faster than it can be carried out.
            self.end_conversations();
            self.timers.set(self.now + ENDING_MAX, Timer::Stop);
        } else {
            self.stop = Some(Stop::Over);
        }
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
