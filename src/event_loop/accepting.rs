//! Listeners: accepting connections within a quota.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use super::connection::{Connection, Counted, Life, token};
use super::stream::Stream;
use super::system::System;
use super::tls::TlsStream;
use super::{Application, ConnectionId, EventLoop, ListenerTag, Lost, Notice, Protocol, Timer, Transport};
use crate::protocol::{Admission, Arrival, Quota};

/// A listener and its connections.
pub(super) struct Listening<L> {
    /// `None`: closed.
    socket: Option<L>,
    tls: Option<Arc<ServerConfig>>,
    pub(super) quota: Quota,
    admitted: usize,
    spare: usize,
    /// A connection may be waiting in the backlog.
    pub(super) ready: bool,
    /// Accepting failed and waits for its timer.
    paused: bool,
    failure_noted: bool,
}

impl<S: System, A: Application> EventLoop<S, A> {
    /// Adds a listener. `tls`: the settings of TLS on its connections; `None`: plain text.
    pub fn add_listener(
        &mut self,
        socket: S::Listener,
        tls: Option<Arc<ServerConfig>>,
        quota: Quota,
    ) -> ListenerTag {
        // A program has a handful of listeners.
        let tag = ListenerTag(self.listeners.len() as u8);
        self.listeners.push(Listening {
            socket: Some(socket),
            tls,
            quota,
            admitted: 0,
            spare: 0,
            ready: true,
            paused: false,
            failure_noted: false,
        });
        tag
    }

    pub(super) fn set_quota(&mut self, listener: ListenerTag, quota: Quota) {
        if let Some(listening) = self.listeners.get_mut(usize::from(listener.0)) {
            listening.quota = quota;
        }
    }

    pub(super) fn note_backlog(&mut self, listener: ListenerTag) {
        if let Some(listening) = self.listeners.get_mut(usize::from(listener.0)) {
            listening.ready = !listening.paused;
        }
    }

    pub(super) fn retry_accepting(&mut self, listener: ListenerTag) {
        let listening = &mut self.listeners[usize::from(listener.0)];
        (listening.ready, listening.paused) = (true, false);
    }

    /// Accepts a bounded number of connections from each listener.
    pub(super) fn accept(&mut self) {
        for index in 0..self.listeners.len() as u8 {
            for _ in 0..ACCEPTS_MAX {
                if !self.accept_one(ListenerTag(index)) {
                    break;
                }
            }
        }
    }

    /// Accepts the backlog and closes the listeners.
    pub(super) fn close_listeners(&mut self) {
        for listening in &mut self.listeners {
            listening.ready = true;
        }
        for _ in 0..LAST_ACCEPTS {
            self.accept();
        }
        for listening in &mut self.listeners {
            (listening.socket, listening.ready) = (None, false);
        }
    }

    /// Accepts one connection. Returns whether another may be waiting.
    fn accept_one(&mut self, listener: ListenerTag) -> bool {
        let listening = &mut self.listeners[usize::from(listener.0)];
        let Some(socket) = listening.socket.as_mut().filter(|_| listening.ready) else {
            listening.ready = false;
            return false;
        };
        match self.system.accept(socket) {
            Ok((stream, address)) => {
                listening.failure_noted = false;
                self.accepted(listener, stream, address);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => listening.ready = false,
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                // Most likely there is no file descriptor left: an immediate retry would spin.
                (listening.ready, listening.paused) = (false, true);
                self.timers.set(self.clocks.now + ACCEPT_RETRY_DELAY, Timer::Accept(listener));
                if !std::mem::replace(&mut listening.failure_noted, true) {
                    self.application.notice(self.clocks, Notice::AcceptFailed(error));
                }
            }
        }
        self.listeners[usize::from(listener.0)].ready
    }

    fn accepted(&mut self, listener: ListenerTag, stream: S::Stream, address: SocketAddr) {
        let listening = &mut self.listeners[usize::from(listener.0)];
        let admission = listening.admission();
        let arrival = Arrival { listener, address, admission };
        let Some(protocol) = self.application.accepted(self.clocks, &arrival) else {
            return;
        };
        let quota = match admission {
            Admission::Admitted => Counted::Admitted(listener),
            Admission::Spare => Counted::Spare(listener),
            Admission::Full => return,
        };
        let (stream, uses_tls) = match &listening.tls {
            None => (Stream::Plain(stream), false),
            Some(config) => match TlsStream::server(config.clone(), stream) {
                Ok(stream) => (Stream::Tls(Box::new(stream)), true),
                Err(_) => return,
            },
        };
        listening.count(quota);
        let mut connection = Connection::new(stream, address, protocol, Transport::new(self.water_marks));
        connection.quota = quota;
        // A new socket has room; if not, the first write shows it.
        connection.writable = true;
        if uses_tls {
            connection.life = Life::Handshaking { until: self.clocks.now + HANDSHAKE_MAX };
        }
        let id = self.connections.insert(connection);
        if !self.register(id) {
            return;
        }
        if uses_tls {
            self.arm_timer(id);
        } else {
            self.call(id, |protocol, context| protocol.connection_made(context));
        }
    }

    /// Registers a connection for edges; kills it if that fails.
    pub(super) fn register(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        match self.system.register(connection.stream.socket(), token(id)) {
            Ok(()) => true,
            Err(error) => {
                self.kill(id, Lost::NotMade(error));
                false
            }
        }
    }

    /// Removes a connection from the count of its listener.
    pub(super) fn uncount(&mut self, counted: Counted) {
        match counted {
            Counted::Admitted(listener) => self.listeners[usize::from(listener.0)].admitted -= 1,
            Counted::Spare(listener) => self.listeners[usize::from(listener.0)].spare -= 1,
            Counted::No => {}
        }
    }
}

impl<L> Listening<L> {
    fn admission(&self) -> Admission {
        if self.admitted < self.quota.connections_max {
            Admission::Admitted
        } else if self.spare < self.quota.spare {
            Admission::Spare
        } else {
            Admission::Full
        }
    }

    fn count(&mut self, counted: Counted) {
        match counted {
            Counted::Admitted(_) => self.admitted += 1,
            Counted::Spare(_) => self.spare += 1,
            Counted::No => {}
        }
    }
}

/// Whether an error of `accept` concerns the connection that would have been accepted, not the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

/// Connections accepted from a listener in one turn, so that a burst of them does not delay the others.
const ACCEPTS_MAX: usize = 64;
/// Rounds of accepting before the listeners close: 4,096 connections, Linux's own bound of a backlog
/// (`net.core.somaxconn`).
const LAST_ACCEPTS: usize = 64;
/// How long accepting pauses after a failure: a file descriptor may be free by then.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The time limit for the TLS handshake of an accepted connection: several round trips and lost packets.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
