//! Listeners: accepting connections within a quota.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::connection::{Connection, Counted, InputState, Life, token};
use super::stream::Stream;
use super::system::System;
use super::tls::{Side, TlsLayer};
use super::{
    Application, ConnectionId, EventLoop, ListenerTag, Lost, Moment, Notice, Protocol, Timer, Transport,
};
use crate::protocol::{Admission, Arrival, Quota, TlsListener};

/// A listener and its connections.
pub(super) struct Listening<L> {
    /// `None`: closed.
    socket: Option<L>,
    pub(super) tls: Option<TlsListener>,
    pub(super) quota: Quota,
    admitted: usize,
    /// The admitted connections of each remote address off loopback.
    admitted_from: HashMap<IpAddr, usize>,
    spare: usize,
    /// A connection may be waiting in the backlog.
    pub(super) ready: bool,
    /// Accepting failed and waits for its timer.
    paused: bool,
    failure_noted: bool,
}

impl<S: System, A: Application> EventLoop<S, A> {
    /// Adds a listener. `tls`: TLS on its connections; `None`: plain text only.
    pub fn add_listener(
        &mut self,
        socket: S::Listener,
        tls: Option<TlsListener>,
        quota: Quota,
    ) -> ListenerTag {
        // A program has a handful of listeners.
        let tag = ListenerTag(self.listeners.len() as u8);
        self.listeners.push(Listening {
            socket: Some(socket),
            tls,
            quota,
            admitted: 0,
            admitted_from: HashMap::new(),
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

    pub(super) fn set_tls(&mut self, listener: ListenerTag, tls: Option<TlsListener>) {
        if let Some(listening) = self.listeners.get_mut(usize::from(listener.0)) {
            listening.tls = tls;
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
        let admission = listening.admission(address);
        let arrival = Arrival { listener, address, admission };
        let Some(protocol) = self.application.accepted(self.clocks, &arrival) else {
            return;
        };
        let quota = match admission {
            Admission::Admitted => Counted::Admitted(listener),
            Admission::Spare => Counted::Spare(listener),
            Admission::Full => return,
        };
        let mut stream = Stream::plain(stream);
        let life = match &listening.tls {
            None => Life::open(),
            Some(tls) if tls.with_plain_text => {
                Life::Open { input: InputState::Undecided(listener), unread_until: Moment::NEVER }
            }
            Some(tls) => {
                let Ok(session) = tls.settings.session() else { return };
                stream.start_tls(TlsLayer::new(session, Side::Accepted));
                Life::Handshaking { until: self.clocks.now + tls.handshake_max, is_made: false }
            }
        };
        let is_open = matches!(life, Life::Open { .. });
        listening.count(quota, address);
        let mut connection = Connection::new(stream, address, protocol, Transport::new(self.water_marks));
        (connection.quota, connection.life) = (quota, life);
        // A new socket has room; if not, the first write shows it.
        connection.writable = true;
        let id = self.connections.insert(connection);
        if !self.register(id) {
            return;
        }
        if is_open {
            self.call(id, |protocol, context| protocol.connection_made(context));
        } else {
            self.arm_timer(id);
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
    pub(super) fn uncount(&mut self, counted: Counted, address: SocketAddr) {
        match counted {
            Counted::Admitted(listener) => self.listeners[usize::from(listener.0)].uncount_admitted(address),
            Counted::Spare(listener) => self.listeners[usize::from(listener.0)].spare -= 1,
            Counted::No => {}
        }
    }
}

impl<L> Listening<L> {
    fn admission(&self, address: SocketAddr) -> Admission {
        let per_address = self.quota.per_address;
        let has_all = |ip| self.admitted_from.get(&ip).is_some_and(|&count| count >= per_address);
        let address_is_full = per_address > 0 && counted_ip(address).is_some_and(has_all);
        if self.admitted < self.quota.connections_max && !address_is_full {
            Admission::Admitted
        } else if self.spare < self.quota.spare {
            Admission::Spare
        } else {
            Admission::Full
        }
    }

    fn count(&mut self, counted: Counted, address: SocketAddr) {
        match counted {
            Counted::Admitted(_) => {
                self.admitted += 1;
                if let Some(ip) = counted_ip(address) {
                    *self.admitted_from.entry(ip).or_default() += 1;
                }
            }
            Counted::Spare(_) => self.spare += 1,
            Counted::No => {}
        }
    }

    fn uncount_admitted(&mut self, address: SocketAddr) {
        self.admitted -= 1;
        if let Some(ip) = counted_ip(address)
            && let Some(count) = self.admitted_from.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                self.admitted_from.remove(&ip);
            }
        }
    }
}

/// The address to which a connection counts; `None`: loopback, which is exempt.
fn counted_ip(address: SocketAddr) -> Option<IpAddr> {
    Some(address.ip().to_canonical()).filter(|ip| !ip.is_loopback())
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
