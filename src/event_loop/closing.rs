//! The end of a connection: closing, lingering, removal.

use std::io;
use std::time::Duration;

use super::connection::{Connection, InputState, Life};
use super::draining::Stage;
use super::system::System;
use super::{Application, ConnectionId, EventLoop, Lost, Moment, Protocol};

impl<S, P> Connection<S, P> {
    /// Starts to close an open connection: from now on input is discarded and output drains.
    pub(super) fn close(&mut self, now: Moment) {
        if let Life::Open { input, .. } = self.life {
            self.input = Vec::new();
            self.life = Life::Closing {
                input_ended: matches!(input, InputState::Ended | InputState::HalfClosed),
                notified: false,
                until: now + UNREAD_MAX,
            };
        }
    }
}

impl<S: System, A: Application> EventLoop<S, A> {
    /// Ends a connection. It is removed at the end of the turn.
    pub(super) fn kill(&mut self, id: ConnectionId, why: Lost) {
        if let Some(connection) = self.connections.get_mut(id)
            && !matches!(connection.life, Life::Dead(_))
        {
            let was_handshaking = connection.is_handshaking();
            connection.life = Life::Dead(Box::new(why));
            self.dead.push(id);
            if was_handshaking {
                self.handshakes.remove(id);
            }
        }
    }

    /// Ends a connection on which an operation has failed.
    pub(super) fn fail(&mut self, id: ConnectionId, error: io::Error) {
        let is_handshaking =
            self.connections.get_mut(id).is_some_and(|connection| connection.is_handshaking());
        self.kill(id, if is_handshaking { Lost::NotSecured(error) } else { Lost::Failed(error) });
    }

    /// The peer has half-closed. While its input is not read, because it does not read its output, this is the
    /// only sign of that.
    pub(super) fn peer_ended(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.short_reads_lie = true;
            connection.peer_ended = true;
            self.limit_unread(id, false);
        }
    }

    /// Limits the time of output to a peer that has ended. `progressed`: the peer has taken some of it.
    pub(super) fn limit_unread(&mut self, id: ConnectionId, progressed: bool) {
        let now = self.clocks.now;
        let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.peer_ended) else {
            return;
        };
        let is_unread = connection.transport.pending() > 0;
        if let Life::Open { unread_until, .. } = &mut connection.life
            && (progressed || is_unread != (*unread_until < Moment::NEVER))
        {
            *unread_until = if is_unread { now + UNREAD_MAX } else { Moment::NEVER };
            self.arm_timer(id);
        }
    }

    /// A read has met the end of the peer's output.
    pub(super) fn input_ended(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        match &mut connection.life {
            Life::Open { input: input @ (InputState::Flowing | InputState::Undecided(_)), .. } => {
                *input = InputState::Ended;
            }
            Life::Closing { input_ended, .. } => *input_ended = true,
            Life::Lingering { .. } => self.kill(id, Lost::Closed),
            Life::Open { .. } | Life::Connecting(_) | Life::Handshaking { .. } | Life::Dead(_) => {}
        }
    }

    /// Continues with a closing connection: when all output is sent, half-closes and waits for the peer's
    /// half-close. Without that wait, late input would make the system reset the connection, and the peer
    /// could lose the last output. `progressed`: the peer has taken some output.
    pub(super) fn continue_closing(&mut self, id: ConnectionId, progressed: bool) {
        let now = self.clocks.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Life::Closing { input_ended, notified, until } = &mut connection.life else {
            return;
        };
        if connection.transport.pending() > 0 || !connection.writable {
            if progressed {
                *until = now + UNREAD_MAX;
                self.arm_timer(id);
            }
            return;
        }
        if !std::mem::replace(notified, true) {
            connection.stream.send_close_notify();
        }
        // Any other failure ends the connection a little later all the same.
        if connection.stream.flush().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            connection.writable = false;
            return;
        }
        if *input_ended || self.system.shut_down_writing(connection.stream.socket()).is_err() {
            return self.kill(id, Lost::Closed);
        }
        connection.life = Life::Lingering { until: now + LINGER_MAX };
        self.arm_timer(id);
        self.finish_lingering(id);
    }

    /// Ends a lingering connection that has no input to read, if the program is shutting down. Otherwise the
    /// connection goes on waiting for the peer's half-close.
    pub(super) fn finish_lingering(&mut self, id: ConnectionId) {
        let is_ending = self.stage != Stage::Running;
        if let Some(connection) = self.connections.get_mut(id)
            && let Life::Lingering { .. } = connection.life
            && is_ending
            && !connection.readable
        {
            self.kill(id, Lost::Closed);
        }
    }

    /// Removes the connections that died in this turn.
    pub(super) fn bury(&mut self) {
        // A drain may have waited for the input of one of them alone.
        self.at_once |= self.stage == Stage::Draining && !self.dead.is_empty();
        while let Some(id) = self.dead.pop() {
            let Some(mut connection) = self.connections.remove(id) else {
                continue;
            };
            self.uncount(connection.quota, connection.address);
            let life = std::mem::replace(&mut connection.life, Life::open());
            let why = if let Life::Dead(why) = life { *why } else { Lost::Aborted };
            connection.call(id, self.clocks, self.application.shared(), |protocol, context| {
                protocol.connection_lost(context, why);
            });
        }
    }
}

/// How long a closed connection, or one whose peer has half-closed, keeps output that the peer does not read, from
/// the last byte that it took.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// How long a connection waits for the peer's half-close after all output was sent.
const LINGER_MAX: Duration = Duration::from_secs(2);
