//! Deadlines of connections. Each connection has one deadline at a time ([`Connection::deadline`]). The heap
//! of timers holds an entry at or before it. If the deadline was postponed meanwhile, the entry fires early
//! and is set again.

use std::io;
use std::time::Duration;

use super::connection::{Connection, Life};
use super::system::System;
use super::{Application, ConnectionId, EventLoop, Lost, Moment, Protocol, Timer};

impl<S, P> Connection<S, P> {
    /// When the deadline takes effect; at or before `now`: at once. Unread input postpones it, since input
    /// that arrived in time is in time, even if this process was stopped meanwhile. The postponement is
    /// bounded, because a busy connection always has unread input.
    fn due_at(&mut self, now: Moment) -> Moment {
        let deadline = self.deadline();
        if deadline > now {
            self.overdue_since = Moment::NEVER;
            return deadline;
        }
        self.overdue_since = self.overdue_since.min(now);
        let has_unread_input = self.is_open() && self.listed;
        if has_unread_input && now < self.overdue_since + INPUT_GRACE { now + RECHECK } else { deadline }
    }
}

impl<S: System, A: Application> EventLoop<S, A> {
    /// Sets a timer at the deadline of a connection, unless an earlier one is set.
    pub(super) fn arm_timer(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            let deadline = connection.deadline();
            if deadline < connection.timer_at {
                connection.timer_at = deadline;
                self.timers.set(deadline, Timer::Connection(id));
            }
        }
    }

    /// A timer of a connection has fired.
    pub(super) fn timer_fired(&mut self, id: ConnectionId) {
        let now = self.clocks.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.timer_at > now {
            // Superseded: an earlier timer was set after this one, and has fired.
            return;
        }
        let due_at = connection.due_at(now);
        if due_at > now {
            connection.timer_at = due_at;
            self.timers.set(due_at, Timer::Connection(id));
            return;
        }
        connection.timer_at = Moment::NEVER;
        connection.overdue_since = Moment::NEVER;
        self.deadline_passed(id);
    }

    fn deadline_passed(&mut self, id: ConnectionId) {
        let now = self.clocks.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        match connection.life {
            Life::Connecting(_) => self.attempt_failed(id, io::ErrorKind::TimedOut.into()),
            Life::Handshaking { .. } => {
                let error = io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
                self.kill(id, Lost::NotSecured(error));
            }
            Life::Open { unread_until, .. } if now >= unread_until => self.kill(id, Lost::TimedOut),
            Life::Open { .. } => {
                connection.transport.set_deadline(Moment::NEVER);
                self.call(id, |protocol, context| protocol.timed_out(context));
            }
            Life::Closing { .. } | Life::Lingering { .. } => self.kill(id, Lost::TimedOut),
            Life::Dead(_) => {}
        }
    }
}

/// How long unread input can postpone a deadline: enough to read what piled up while this process was stopped.
const INPUT_GRACE: Duration = Duration::from_secs(1);
/// How soon a postponed deadline is looked at again.
const RECHECK: Duration = Duration::from_millis(1);
