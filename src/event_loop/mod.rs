//! The world: one thread, one loop, all sockets.
//!
//! The loop moves bytes between the network and the conversations and knows nothing of what they
//! say. One [turn](EventLoop::turn) of it: wait, note the edges, accept, serve those with something
//! to read, ring timers, carry out what conversations asked for, tell neighbours what is new,
//! write once to each connection with output, bury the dead. Nothing is written or freed in between.

mod asking;
mod buffers;
mod closing;
mod connection;
mod holdings;
mod links;
pub mod mio_system;
mod resolver;
mod serving;
pub mod system;
mod timers;
pub mod tls;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use crate::clock::Moment;
use crate::config::{HostPort, Limits};
use crate::log::Level;
use crate::places::gazetteer::Gazetteer;
use crate::places::pool::QuestionId;
use crate::protocol::{
    Client, ConnectionId, Context, Conversation, Ending, Lost, NeighbourId, PlacesServer, Protocol, Request,
    Server, Transport, WaterMarks,
};
use asking::Asking;
pub use asking::PlacesSettings;
use buffers::Buffers;
use connection::{Connection, Connections, Counting, Stream, of_token, token};
pub use holdings::Holdings;
use system::{Event, Lookup, System};
use timers::Timers;
use tls::TlsStream;

/// Everything about a server that may change while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it allows.
    pub limits: Limits,
    /// Connections that it accepts at most: `limits.max_connections`, or as many as there are descriptors for.
    pub connections_max: usize,
    /// A link on which nothing arrives for so long is dropped.
    pub silence: Duration,
    /// Whom it talks to, and where they are dialled.
    pub neighbours: Vec<(String, HostPort)>,
    /// Whom it asks what is near.
    pub places: PlacesSettings,
    /// How much it logs.
    pub log_level: Level,
}

/// What accepted connections are.
pub enum Acceptor {
    /// Clients, and neighbours that dial.
    Herd,
    /// Those who ask for places.
    Places {
        /// What they are answered from.
        gazetteer: Rc<Gazetteer>,
        /// The certificate to show; none: plain text.
        tls: Option<Arc<ServerConfig>>,
    },
}

/// What the outside has to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Begin the next one.
    Done,
    /// Read the settings again, then begin the next one.
    Reload,
    /// Nothing: the server has ended.
    Over,
}

/// A server and all its connections.
pub struct EventLoop<S: System> {
    system: S,
    listener: Option<S::Listener>,
    acceptor: Acceptor,
    water_marks: WaterMarks,
    server: Server,
    connections: Connections<S::Stream>,
    connections_max: usize,
    /// Accepted connections that count for the limit, and those that are beyond it.
    clients: usize,
    beyond_limit: usize,
    asking: Asking,
    /// How often the settings have changed: what was looked up for others is of no use.
    generation: u64,
    timers: Timers<Timer>,
    /// Connections with something to read or to deliver.
    ready: VecDeque<ConnectionId>,
    /// Connections with something to write.
    dirty: Vec<ConnectionId>,
    /// Connections that end with this turn, and why.
    doomed: Vec<(ConnectionId, Lost)>,
    /// Links whose cursor was not at the end when the turn ended.
    behind: Vec<ConnectionId>,
    /// A connection may be waiting to be accepted.
    accepting: bool,
    /// Accepting failed; it is not tried before its timer rings.
    accept_is_paused: bool,
    accept_trouble_logged: bool,
    /// The next turn must not wait.
    at_once: bool,
    stop: Option<closing::Stop>,
    /// When log lines that were gathered have waited for long enough; never, if there are none.
    log_due: Moment,
    now: Moment,
    wall: u64,
    events: Vec<Event>,
    read_buffer: Vec<u8>,
    buffers: Buffers,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The deadline of a connection, or an earlier one that it had.
    Connection(ConnectionId),
    /// A neighbour is to be dialled again.
    Redial(usize),
    /// The time of a question to Places is up.
    Question(QuestionId),
    /// Accepting failed and is tried again.
    Accept,
    /// What was received before the end has been read for long enough.
    StopDraining,
    /// The time to end in order is up.
    StopNow,
}

impl<S: System> EventLoop<S> {
    /// A loop that accepts on `listener` and begins to dial the neighbours with its first turn.
    pub fn new(
        system: S,
        listener: S::Listener,
        acceptor: Acceptor,
        server: Server,
        settings: Settings,
        water_marks: WaterMarks,
    ) -> EventLoop<S> {
        let (now, wall) = (system.now(), system.wall());
        let mut event_loop = EventLoop {
            system,
            listener: Some(listener),
            acceptor,
            water_marks,
            server,
            connections: Connections::new(),
            connections_max: settings.connections_max,
            clients: 0,
            beyond_limit: 0,
            asking: Asking::new(settings.places.clone()),
            generation: 0,
            timers: Timers::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            doomed: Vec::new(),
            behind: Vec::new(),
            accepting: true,
            accept_is_paused: false,
            accept_trouble_logged: false,
            at_once: false,
            stop: None,
            log_due: Moment::NEVER,
            now,
            wall,
            events: Vec::new(),
            read_buffer: vec![0; READ_MAX],
            buffers: Buffers::default(),
        };
        event_loop.apply(settings);
        event_loop
    }

    /// The network below.
    pub fn system(&mut self) -> &mut S {
        &mut self.system
    }

    /// The server above.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// How long the next turn will wait if nothing happens; none: until something does.
    pub fn patience(&self) -> Option<Duration> {
        let busy = self.at_once
            || self.accepting
            || !self.ready.is_empty()
            || !self.dirty.is_empty()
            || !self.doomed.is_empty()
            || !self.server.requests.is_empty();
        if busy {
            return Some(Duration::ZERO);
        }
        self.timers.next().map(|at| at - self.system.now())
    }

    /// Takes over other settings. Clients stay; neighbours that are gone are dropped, new ones dialled.
    pub fn apply(&mut self, settings: Settings) {
        self.generation += 1;
        self.server.limits = settings.limits;
        self.server.store.set_clients_max(self.server.limits.max_clients);
        self.server.silence = settings.silence;
        self.server.log.set_level(settings.log_level);
        self.connections_max = settings.connections_max;
        self.set_places(settings.places);
        self.set_neighbours(&settings.neighbours);
    }

    /// One turn.
    pub fn turn(&mut self) -> io::Result<Turn> {
        let mut events = std::mem::take(&mut self.events);
        self.wait(&mut events)?;
        self.read_clocks();
        let mut result = Turn::Done;
        for event in events.drain(..) {
            match event {
                Event::Accept => self.accepting = !self.accept_is_paused,
                Event::Ready { token, readable, writable } => {
                    self.note_edges(of_token(token), readable, writable)
                }
                Event::ShortReadsLie(token) => {
                    if let Some(connection) = self.connections.get_mut(of_token(token)) {
                        connection.short_reads_lie = true;
                    }
                }
                Event::Resolved { lookup: Lookup::Neighbour { number, generation }, addresses } => {
                    self.neighbour_looked_up(NeighbourId(number), generation, addresses);
                }
                Event::Resolved { lookup: Lookup::Places { generation }, addresses } => {
                    self.places_looked_up(generation, addresses);
                }
                Event::Stop => self.begin_to_stop(),
                Event::Reload => result = Turn::Reload,
            }
        }
        self.events = events;
        self.accept();
        self.serve_ready();
        self.carry_out();
        // After what has come was read: when this process was stopped for a while, nobody else was late.
        self.ring_timers();
        self.carry_out();
        self.go_on_stopping();
        self.tell_neighbours();
        self.flush_dirty();
        self.bury();
        self.carry_out();
        if self.is_over() {
            result = Turn::Over;
        }
        // After any other turn the file is opened anew, or there is no further one.
        if result != Turn::Done || self.now >= self.log_due {
            self.write_log();
        } else if !self.server.log.lines().is_empty() && self.log_due == Moment::NEVER {
            self.log_due = self.now + LOG_DELAY;
        }
        Ok(result)
    }

    /// Waits until something happens. The log is written when nothing does: so nobody waits for it, and
    /// when there is much to do it is written seldom.
    fn wait(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        let patience = self.patience();
        self.at_once = false;
        if patience != Some(Duration::ZERO) && !self.server.log.lines().is_empty() {
            self.system.poll(Some(Duration::ZERO), events)?;
            if !events.is_empty() {
                return Ok(());
            }
            self.write_log();
        }
        self.system.poll(patience, events)
    }

    /// Writes the log lines gathered so far.
    fn write_log(&mut self) {
        self.log_due = Moment::NEVER;
        if !self.server.log.lines().is_empty() {
            self.system.write_log(self.server.log.lines());
            self.server.log.clear();
        }
    }

    fn read_clocks(&mut self) {
        self.now = self.system.now();
        self.wall = self.system.wall();
        self.server.log.set_time(self.wall);
    }

    fn note_edges(&mut self, id: ConnectionId, readable: bool, writable: bool) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.readable |= readable;
        connection.writable |= writable;
        if connection.attempts.is_some() {
            self.connection_progressed(id);
            return;
        }
        if writable {
            self.mark_dirty(id);
        }
        self.list(id);
    }

    fn ring_timers(&mut self) {
        while let Some(timer) = self.timers.ring(self.now) {
            match timer {
                Timer::Connection(id) => self.deadline_came(id),
                Timer::Redial(neighbour) => self.dial_in_time(NeighbourId(neighbour)),
                Timer::Question(id) => self.question_expired(id),
                Timer::Accept => (self.accepting, self.accept_is_paused) = (true, false),
                Timer::StopDraining => self.stop_draining(),
                Timer::StopNow => self.stop_now(),
            }
        }
    }

    fn deadline_came(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.timer_at > now {
            // A timer of an earlier deadline; another one will ring.
            return;
        }
        connection.timer_at = Moment::NEVER;
        let is_up = connection.transport.deadline() <= now;
        if is_up && connection.listed && connection.transport.ending() == Ending::Open {
            // What would be in time may have arrived, and is read in the next turn. Of one that always has
            // something to read that is true for ever.
            connection.put_off_until = connection.put_off_until.min(now + PUT_OFF_MAX);
            if now < connection.put_off_until {
                connection.timer_at = now + LATER;
                self.timers.set(now + LATER, Timer::Connection(id));
                return;
            }
        }
        connection.put_off_until = Moment::NEVER;
        if !is_up {
            self.set_timer(id);
            return;
        }
        connection.transport.set_deadline(Moment::NEVER);
        if connection.attempts.is_some() {
            self.attempt_failed(id, io::ErrorKind::TimedOut.into());
        } else if connection.transport.ending() == Ending::Open {
            self.call(id, |protocol, context| protocol.timed_out(context));
        } else {
            self.doom(id, Lost::TimedOut);
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            let Some(listener) = self.listener.as_mut().filter(|_| self.accepting) else {
                self.accepting = false;
                return;
            };
            match self.system.accept(listener) {
                Ok((stream, address)) => {
                    self.accept_trouble_logged = false;
                    self.accepted(stream, address);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.accepting = false,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of descriptors, most likely. Trying again at once would only spin.
                    if !std::mem::replace(&mut self.accept_trouble_logged, true) {
                        self.server.log.event(format_args!("Connections cannot be accepted: {error}"));
                    }
                    (self.accepting, self.accept_is_paused) = (false, true);
                    self.timers.set(self.now + ACCEPT_AGAIN_AFTER, Timer::Accept);
                }
            }
        }
    }

    fn accepted(&mut self, stream: S::Stream, address: SocketAddr) {
        let is_within = self.clients < self.connections_max;
        let counting = if is_within { Counting::AsClient } else { Counting::BeyondLimit };
        if counting == Counting::BeyondLimit && self.beyond_limit >= BEYOND_LIMIT_MAX {
            self.server
                .log
                .event(format_args!("Connection from {address} is closed at once: the server is full"));
            return;
        }
        let (conversation, stream) = match &self.acceptor {
            Acceptor::Herd if counting == Counting::AsClient => {
                (Conversation::Client(Client::newcomer()), Stream::Plain(stream))
            }
            Acceptor::Herd => (Conversation::Client(Client::only_a_neighbour()), Stream::Plain(stream)),
            Acceptor::Places { gazetteer, tls } => {
                let conversation = Conversation::PlacesServer(PlacesServer::new(gazetteer.clone()));
                let stream = match tls {
                    None => Stream::Plain(stream),
                    Some(config) => match TlsStream::server(config.clone(), stream) {
                        Ok(stream) => Stream::Tls(Box::new(stream)),
                        Err(_) => return,
                    },
                };
                (conversation, stream)
            }
        };
        match counting {
            Counting::AsClient => self.clients += 1,
            _ => self.beyond_limit += 1,
        }
        let mut connection =
            Connection::new(stream, address, conversation, Transport::new(self.water_marks), counting);
        // A new socket has room; if not, the first write tells.
        connection.writable = true;
        let id = self.connections.insert(connection);
        if self.register(id) {
            self.call(id, |protocol, context| protocol.connection_made(context));
        }
    }

    /// Has the network tell the edges of a connection; dooms it if that fails.
    fn register(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        match self.system.register(connection.stream.socket(), token(id)) {
            Ok(()) => true,
            Err(error) => {
                self.doom(id, Lost::NotMade(error));
                false
            }
        }
    }

    /// Carries out what conversations asked for, which may make them ask for more.
    fn carry_out(&mut self) {
        while let Some(request) = self.server.requests.pop_front() {
            match request {
                Request::Ask { asker, ticket, question } => self.ask(asker, ticket, question),
                Request::Withdraw(asker) => self.withdraw(asker),
                Request::Answered { by, result, reusable } => self.answered(by, result, reusable),
                Request::Dial { neighbour, epoch } => self.neighbour_lives(neighbour, epoch),
                Request::LinkLost { neighbour } => self.link_lost(neighbour),
                Request::Abort(id) => self.abort(id),
                Request::Linked(id) => self.linked(id),
            }
        }
    }

    fn tell_neighbours(&mut self) {
        self.behind.clear();
        for neighbour in self.server.neighbours.ids() {
            if let Some(id) = self.server.neighbours.get(neighbour).dialled.connection()
                && self.call(id, |protocol, context| protocol.turn_ending(context)) == Some(true)
            {
                self.behind.push(id);
            }
        }
    }

    /// Calls an open conversation, and sees to what it wants after that.
    fn call<R>(
        &mut self,
        id: ConnectionId,
        act: impl FnOnce(&mut dyn Protocol, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let (mut act, mut result) = (Some(act), None);
        self.call_and_settle(id, &mut |protocol, context| {
            result = act.take().map(|act| act(protocol, context));
        });
        result
    }

    fn call_and_settle(
        &mut self,
        id: ConnectionId,
        act: &mut dyn FnMut(&mut dyn Protocol, &mut Context<'_>),
    ) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.transport.ending() != Ending::Open {
            return;
        }
        let was_paused = connection.transport.reading_is_paused();
        connection.transport.lend_buffer(|| self.buffers.take());
        let times = (self.now, self.wall);
        if let Some(successor) = with_context(id, connection, &mut self.server, times, act) {
            connection.conversation = successor;
            // It must see what its predecessor left unused.
            connection.offer_again = true;
            self.call(id, |protocol, context| protocol.connection_made(context));
            return;
        }
        if was_paused && !connection.transport.reading_is_paused() {
            connection.offer_again = true;
        }
        self.settle(id);
    }

    /// Sees to what a conversation changed at its transport.
    fn settle(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let is_open = connection.transport.ending() == Ending::Open;
        if is_open && connection.transport.must_pause_writing() {
            // Which settles it.
            self.call(id, |protocol, context| protocol.pause_writing(context));
            return;
        }
        match connection.transport.ending() {
            Ending::Aborting => {
                self.doom(id, Lost::Aborted);
                return;
            }
            Ending::Open if connection.transport.waiting() == 0 => {
                if let Some(buffer) = connection.transport.take_buffer() {
                    self.buffers.give(buffer);
                }
            }
            Ending::Open | Ending::Closing => self.mark_dirty(id),
        }
        self.set_timer(id);
        self.list(id);
    }

    fn set_timer(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            let deadline = connection.transport.deadline();
            // A later deadline is seen when the earlier timer rings.
            if deadline < connection.timer_at {
                connection.timer_at = deadline;
                self.timers.set(deadline, Timer::Connection(id));
            }
        }
    }

    /// The one place that puts a connection on the list of those to be served.
    fn list(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.wants_service()
            && !std::mem::replace(&mut connection.listed, true)
        {
            self.ready.push_back(id);
        }
    }

    /// The one place that puts a connection on the list of those to be flushed.
    fn mark_dirty(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !std::mem::replace(&mut connection.dirty, true)
        {
            self.dirty.push(id);
        }
    }
}

/// Calls a conversation; gives the one that shall take its place, if there is one.
fn with_context<S>(
    id: ConnectionId,
    connection: &mut Connection<S>,
    server: &mut Server,
    (now, wall): (Moment, u64),
    act: &mut dyn FnMut(&mut dyn Protocol, &mut Context<'_>),
) -> Option<Conversation> {
    let mut successor = None;
    let address = connection.address;
    let transport = &mut connection.transport;
    let mut context = Context { id, address, now, wall, transport, server, successor: &mut successor };
    act(connection.conversation.protocol(), &mut context);
    successor
}

/// Whether an error of `accept` is about the connection that would have been accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

/// Connections that are accepted in one turn: a storm of them must not keep the others waiting.
const ACCEPTS_MAX: usize = 64;
/// How long the deadline of a connection that still has something to read is put off.
const LATER: Duration = Duration::from_millis(1);
/// How long it may be put off, from when that began: in that time even what piled up while this process was
/// stopped is read.
const PUT_OFF_MAX: Duration = Duration::from_secs(1);
/// How long accepting pauses after it failed: a descriptor may be free by then.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long log lines wait for others while there is always something to do: each writing of them takes as
/// long as a handful of messages. Little enough that nobody who reads along notices.
const LOG_DELAY: Duration = Duration::from_millis(10);
/// Connections that are kept beyond the limit until they show whether they are a neighbour's.
const BEYOND_LIMIT_MAX: usize = 16;
/// Bytes that are read at once, and of one connection in one turn, so that a loud one cannot starve the others.
const READ_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
