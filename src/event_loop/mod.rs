//! The reactor: one thread, one poll loop, all sockets.
//!
//! The loop owns listeners, connections, TLS sessions and timers. It moves bytes between the
//! [`System`](system::System) below and the [`Protocol`]s above, and knows nothing of their meaning: it could
//! carry any other [`Application`]. One [turn](EventLoop::turn): wait, note the edges, accept, serve the
//! connections with input, fire timers, call the protocols that asked for the end of the turn, write once to
//! each connection with output, remove the dead. Commands of the application are carried out in between.
//! Output is written and connections are removed at the end of a turn only.

mod accepting;
mod buffers;
mod closing;
mod connecting;
mod connection;
mod deadlines;
mod draining;
mod handshakes;
mod holdings;
mod lanes;
pub mod mio_system;
mod serving;
mod stream;
pub mod system;
pub mod terminal;
mod timers;
mod tls;
mod writing;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use slab::Slab;

use crate::clock::{Clocks, Moment};
use crate::protocol::{
    Application, Close, Command, ConnectionId, Context, Done, ListenerTag, Lost, Notice, Protocol, Transport,
    WaterMarks, Work,
};
use accepting::Listening;
use buffers::Buffers;
use connection::{Connection, Connections, Counted, Life, of_token};
use draining::Stage;
use handshakes::Handshakes;
pub use holdings::Holdings;
use system::{Event, System};
use timers::Timers;

/// The action of the caller after [`EventLoop::turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Start the next turn.
    Done,
    /// Read the settings again (SIGHUP), then start the next turn.
    Reload,
    /// Nothing: the loop is over.
    Over,
}

/// An application, its connections, and the system that they run on.
pub struct EventLoop<S: System, A: Application> {
    system: S,
    application: A,
    water_marks: WaterMarks,
    listeners: Vec<Listening<S::Listener>>,
    connections: Connections<S::Stream, A::Protocol>,
    timers: Timers<Timer<A::Tag>>,
    /// The TLS handshakes of accepted connections.
    handshakes: Handshakes,
    /// The tags of work in progress, by ticket.
    work: Slab<A::Tag>,
    /// Tasks in progress.
    tasks: usize,
    /// Connections to serve.
    ready: VecDeque<ConnectionId>,
    /// Connections to flush.
    dirty: Vec<ConnectionId>,
    /// Connections to remove at the end of the turn.
    dead: Vec<ConnectionId>,
    /// Connections whose protocol is called at the end of each turn.
    called_at_turn_end: Vec<ConnectionId>,
    /// Connections whose protocol has said at the end of this turn that it has more output.
    behind: Vec<ConnectionId>,
    /// The next turn must not wait.
    at_once: bool,
    stage: Stage,
    clocks: Clocks,
    events: Vec<Event>,
    read_buffer: Vec<u8>,
    /// Room for encrypted input; empty until the first TLS connection.
    tls_buffer: Vec<u8>,
    buffers: Buffers,
}

/// The purpose of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer<T> {
    /// The deadline of a connection, or an earlier deadline that was put off.
    Connection(ConnectionId),
    /// Accepting failed and is retried.
    Accept(ListenerTag),
    /// A timer of the application.
    Application(T),
}

impl<S: System, A: Application> EventLoop<S, A> {
    /// A loop without listeners.
    pub fn new(system: S, application: A, water_marks: WaterMarks) -> EventLoop<S, A> {
        let clocks = system.clocks();
        EventLoop {
            system,
            application,
            water_marks,
            listeners: Vec::new(),
            connections: Connections::new(),
            timers: Timers::new(),
            handshakes: Handshakes::default(),
            work: Slab::new(),
            tasks: 0,
            ready: VecDeque::new(),
            dirty: Vec::new(),
            dead: Vec::new(),
            called_at_turn_end: Vec::new(),
            behind: Vec::new(),
            // The application may have commands already.
            at_once: true,
            stage: Stage::Running,
            clocks,
            events: Vec::new(),
            read_buffer: vec![0; READ_MAX],
            tls_buffer: Vec::new(),
            buffers: Buffers::default(),
        }
    }

    /// The system below.
    pub fn system(&mut self) -> &mut S {
        &mut self.system
    }

    /// The application above.
    pub fn application(&self) -> &A {
        &self.application
    }

    /// Changes the application from outside, between turns, and carries out the commands that result.
    pub fn update(&mut self, change: impl FnOnce(&mut A, Clocks)) {
        self.read_clocks();
        change(&mut self.application, self.clocks);
        self.carry_out();
        self.at_once = true;
    }

    /// How long the next turn waits if no event comes; `None`: without limit.
    pub fn patience(&self) -> Option<Duration> {
        self.patience_at(self.system.now())
    }

    fn patience_at(&self, now: Moment) -> Option<Duration> {
        let busy = self.at_once
            || self.listeners.iter().any(|listening| listening.ready)
            || !self.ready.is_empty()
            || !self.dirty.is_empty()
            || !self.dead.is_empty();
        if busy {
            return Some(Duration::ZERO);
        }
        self.timers.next().map(|at| at - now)
    }

    /// Runs one turn. The error is that of the system's poll.
    pub fn turn(&mut self) -> io::Result<Turn> {
        let mut events = std::mem::take(&mut self.events);
        let now = self.system.now();
        self.application.turn_lasted(now.nanoseconds_since(self.clocks.now));
        let patience = self.patience_at(now);
        self.at_once = false;
        self.system.poll(patience, &mut events)?;
        self.read_clocks();
        let mut result = Turn::Done;
        for event in events.drain(..) {
            match event {
                Event::Accept(listener) => self.note_backlog(listener),
                Event::Ready { token, readable, writable } => {
                    self.note_edges(of_token(token), readable, writable);
                }
                Event::ShortReadsLie(token) => {
                    if let Some(connection) = self.connections.get_mut(of_token(token)) {
                        connection.short_reads_lie = true;
                    }
                }
                Event::PeerEnded(token) => self.peer_ended(of_token(token)),
                Event::Done { ticket, done } => self.done(ticket, done),
                Event::Stop => self.application.notice(self.clocks, Notice::Stop),
                Event::Reload => result = Turn::Reload,
            }
        }
        self.events = events;
        self.carry_out();
        self.accept();
        self.serve_ready();
        self.carry_out();
        // After input was read: input that arrived while this process was stopped is not late.
        self.fire_timers();
        self.carry_out();
        self.finish_draining();
        self.end_turns();
        self.flush_dirty();
        self.bury();
        self.carry_out();
        if self.is_over() {
            result = Turn::Over;
        }
        if self.application.turn_ended(self.clocks, result == Turn::Over) {
            self.carry_out();
        }
        Ok(result)
    }

    fn read_clocks(&mut self) {
        self.clocks = self.system.clocks();
    }

    fn note_edges(&mut self, id: ConnectionId, readable: bool, writable: bool) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.readable |= readable;
        connection.writable |= writable;
        if let Life::Connecting(_) = connection.life {
            self.check_attempt(id);
            return;
        }
        if writable {
            self.mark_dirty(id);
        }
        self.list(id);
    }

    fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.fire(self.clocks.now) {
            match timer {
                Timer::Connection(id) => self.timer_fired(id),
                Timer::Accept(listener) => self.retry_accepting(listener),
                Timer::Application(tag) => self.application.notice(self.clocks, Notice::Timer(tag)),
            }
        }
    }

    fn done(&mut self, ticket: usize, done: Done) {
        self.tasks -= usize::from(matches!(done, Done::Ran(_)));
        if let Some(tag) = self.work.try_remove(ticket) {
            self.application.notice(self.clocks, Notice::Done { tag, done });
        }
    }

    /// Carries out the application's commands, which may lead to further ones.
    fn carry_out(&mut self) {
        while let Some(command) = self.application.next_command(self.clocks) {
            match command {
                Command::Run { tag, work } => {
                    self.tasks += usize::from(matches!(work, Work::Run(_)));
                    let ticket = self.work.insert(tag);
                    self.system.run(ticket, work);
                }
                Command::Connect { tag, addresses, patience, tls, protocol } => {
                    self.connect(tag, addresses, patience, tls, protocol);
                }
                Command::Timer { at, tag } => self.timers.set(at, Timer::Application(tag)),
                Command::Deliver { to, call } => {
                    self.call(to, call);
                }
                Command::Abort(id) => self.kill(id, Lost::Aborted),
                Command::SetQuota(listener, quota) => self.set_quota(listener, quota),
                Command::SetTls(listener, tls) => self.set_tls(listener, tls),
                Command::Drain => self.drain(),
                Command::ShutDown => self.shut_down(),
                Command::Exit => self.advance_to(Stage::Over),
            }
        }
    }

    /// Calls the protocols that have asked for the end of the turn.
    fn end_turns(&mut self) {
        self.behind.clear();
        let mut callees = std::mem::take(&mut self.called_at_turn_end);
        callees.retain(|&id| {
            if self.call(id, |protocol, context| protocol.turn_ending(context)) == Some(true) {
                self.behind.push(id);
            }
            self.connections.get_mut(id).is_some()
        });
        callees.append(&mut self.called_at_turn_end);
        self.called_at_turn_end = callees;
    }

    /// Calls the protocol of an open connection, then acts on the switches of its transport. `None`: the
    /// connection is not open.
    fn call<R>(
        &mut self,
        id: ConnectionId,
        call: impl FnOnce(&mut A::Protocol, &mut Context<'_, A::Shared>) -> R,
    ) -> Option<R> {
        let connection = self.connections.get_mut(id).filter(|connection| connection.is_open())?;
        let was_paused = connection.transport.reading_is_paused();
        connection.transport.lend_buffer(|| self.buffers.take());
        let result = connection.call(id, self.clocks, self.application.shared(), call);
        connection.offer_again |= connection.transport.take_offer_again()
            || was_paused && !connection.transport.reading_is_paused();
        self.settle(id);
        Some(result)
    }

    /// Acts on the switches of a transport after its protocol was called.
    fn settle(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.transport.close_requested().is_none() && connection.transport.must_pause_writing() {
            // This call settles the connection.
            self.call(id, |protocol, context| protocol.pause_writing(context));
            return;
        }
        if connection.transport.leaves_quota() {
            let counted = std::mem::replace(&mut connection.quota, Counted::No);
            let address = connection.address;
            self.uncount(counted, address);
        }
        self.register_for_turn_end(id);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        match connection.transport.close_requested() {
            Some(Close::Abort) => return self.kill(id, Lost::Aborted),
            Some(Close::Drain) => {
                connection.close(self.clocks.now);
                self.mark_dirty(id);
            }
            None if connection.transport.pending() > 0 => self.mark_dirty(id),
            None => {
                if let Some(buffer) = connection.transport.take_buffer() {
                    self.buffers.give(buffer);
                }
            }
        }
        self.arm_timer(id);
        self.list(id);
    }

    fn register_for_turn_end(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.transport.is_called_at_turn_end()
            && !std::mem::replace(&mut connection.called_at_turn_end, true)
        {
            self.called_at_turn_end.push(id);
        }
    }

    /// Adds a connection to the list of those to serve. Nothing else adds to that list.
    fn list(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.wants_service()
            && !std::mem::replace(&mut connection.listed, true)
        {
            self.ready.push_back(id);
        }
    }

    /// Adds a connection to the list of those to flush. Nothing else adds to that list.
    fn mark_dirty(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !std::mem::replace(&mut connection.dirty, true)
        {
            self.dirty.push(id);
        }
    }
}

impl<S, P: Protocol> Connection<S, P> {
    /// Calls the protocol.
    fn call<R>(
        &mut self,
        id: ConnectionId,
        clocks: Clocks,
        shared: &mut P::Shared,
        call: impl FnOnce(&mut P, &mut Context<'_, P::Shared>) -> R,
    ) -> R {
        let Clocks { now, wall } = clocks;
        let (address, tls, transport) = (self.address, self.stream.tls_peer(), &mut self.transport);
        call(&mut self.protocol, &mut Context { id, address, tls, now, wall, transport, shared })
    }
}

/// Bytes of one read, and of one connection in one turn, so that a busy connection does not starve the others.
const READ_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
