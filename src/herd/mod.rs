//! The decisions of a server of a herd, without a socket: which neighbour to dial and when, how questions to
//! Places run, which connections are let in, how the server shuts down.
//!
//! [`Herd`] is the [`Application`] that the event loop runs: it receives notices and returns commands. Its
//! conversations share the [`Server`]; they report to the herd through its signals and its desk.

mod accepting;
mod backoff;
mod certificate_end;
pub mod dialler;
mod journal;
mod log_pages;
mod places;
mod reload;
mod searching;
mod settings;
pub mod shutdown;
mod store_reading;
mod sweeping;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::{Clocks, Moment};
use crate::conversation::counts::Party;
use crate::conversation::{Conversation, Handle, NeighbourId, OutboundPeer, Server, Signal};
use crate::places::desk::QuestionId;
use crate::protocol::{Application, Arrival, Done, Lane, ListenerTag, Notice, Quota, TlsDial, Work};
use crate::text::peer_line::Epoch;
use certificate_end::CertificateEnd;
use dialler::Dialler;
pub use journal::{JournalDriver, Reads, STORE, STORE_READER};
pub use log_pages::LOG;
use log_pages::LogDriver;
use places::PlacesDriver;
pub use settings::{LinkSettings, PlacesSettings, Settings, WebSettings};
use shutdown::Shutdown;

/// A command of a herd.
pub type Command = crate::protocol::Command<Conversation, Tag>;

/// The purpose of a timer, a lookup or a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// A neighbour is dialled.
    Neighbour(NeighbourId),
    /// A connection for a question to Places.
    Question(QuestionId),
    /// The alarm of the desk: the time of a question is over.
    Desk,
    /// A lookup of the host of Places, by its number, or the end of the time that questions wait for it.
    PlacesLookup(u64),
    /// A day since the last look at the server's certificate.
    CertificateEnd,
    /// The next portion of a pass through the records is due.
    Sweep,
    /// The next portion of the searches is due.
    Searches,
    /// A page of the log is due, or was written.
    Log,
    /// A batch for the store on disk is due, or was carried out.
    Store,
    /// Clients whose replies need not wait for the disk any longer are to be served.
    Synced,
    /// Followers are to be served.
    Followers,
    /// Lists over HTTP go on.
    Lists,
    /// The time for draining is over.
    DrainingOver,
    /// The time for closing is over.
    ClosingOver,
}

/// A server of a herd.
pub struct Herd {
    server: Server,
    /// The dialler of each neighbour, by its id.
    diallers: Vec<Dialler>,
    places: PlacesDriver,
    /// Neighbours have a port of their own.
    have_own_port: bool,
    certificate_end: CertificateEnd,
    shutdown: Shutdown,
    log: LogDriver,
    /// `None`: there is no store on disk.
    journal: Option<JournalDriver>,
    /// The timer of the next portion of a pass through the records runs.
    sweep_is_timed: bool,
    /// The timer of the next portion of the searches runs.
    searches_are_timed: bool,
    /// The state of the generator of jitter.
    random_state: u64,
    commands: VecDeque<Command>,
}

impl Herd {
    /// A server that dials its neighbours as soon as its commands are carried out. `journal` is its store on disk, if it
    /// has one. `seed` decides the jitter of retries.
    pub fn new(
        mut server: Server,
        settings: Settings,
        journal: Option<JournalDriver>,
        seed: u64,
        clocks: Clocks,
    ) -> Herd {
        server.course.started = clocks.now;
        server.durability.written_mut().last = journal.as_ref().map(|_| clocks.now);
        let places = PlacesDriver::new(settings.places.clone(), &mut server.desk);
        let mut herd = Herd {
            server,
            diallers: Vec::new(),
            places,
            have_own_port: settings.links.have_own_port,
            certificate_end: CertificateEnd::default(),
            shutdown: Shutdown::default(),
            log: LogDriver::new(),
            journal,
            sweep_is_timed: false,
            searches_are_timed: false,
            random_state: seed,
            commands: VecDeque::new(),
        };
        herd.apply(settings, clocks);
        herd
    }

    /// The state that the conversations share.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Takes over other settings. Clients stay; removed neighbours are dropped, new ones dialled.
    pub fn apply(&mut self, settings: Settings, clocks: Clocks) {
        if self.shutdown.has_begun() {
            return;
        }
        self.server.set_time(clocks.wall);
        self.server.set_limits(settings.limits);
        self.server.silence = settings.silence;
        self.server.log.set_level(settings.log_level);
        // Spare connections are for neighbours.
        let spare = if self.have_own_port { 0 } else { SPARE };
        let quota = Herd::quota(settings.connections_max, self.server.limits.max_connections_per_address);
        self.commands.push_back(Command::SetQuota(LISTENER, Quota { spare, ..quota }));
        if settings.web.has_listener {
            self.commands.push_back(Command::SetQuota(self.web_listener(), Herd::quota_of_web(quota)));
        }
        self.apply_keys(settings.links.keys);
        self.apply_web(settings.web);
        self.watch_certificate(settings.links.certificate_end, clocks);
        self.places.apply(settings.places, &mut self.server.desk, clocks.now, &mut self.commands);
        for id in self.server.neighbours.ids() {
            let known = self.server.neighbours.get_mut(id);
            known.present = settings.neighbours.iter().any(|(name, _)| **name == *known.name);
            if !known.present {
                self.commands.extend(known.inbound.map(Command::Abort));
                let step = self.diallers[id.0].forget();
                self.dial(id, step, clocks.now);
            }
        }
        for (name, address) in &settings.neighbours {
            let id = self.server.neighbours.add(name);
            self.server.neighbours.get_mut(id).address = address.to_string().into();
            if id.0 == self.diallers.len() {
                self.diallers.push(Dialler::new(address.clone()));
            }
            if self.server.course.store_read.is_some() {
                // It is dialled when the store was read.
                let mut later = Dialler::new(address.clone());
                later.forget();
                self.diallers[id.0] = later;
                continue;
            }
            let step = self.diallers[id.0].want(address);
            self.dial(id, step, clocks.now);
        }
    }

    /// Turns a step of a dialler into a command.
    fn dial(&mut self, id: NeighbourId, step: Option<dialler::Step>, now: Moment) {
        let tag = Tag::Neighbour(id);
        let command = match step {
            None => return,
            // A server that shuts down dials no neighbour.
            Some(dialler::Step::Resolve(_) | dialler::Step::Connect(_)) if self.shutdown.has_begun() => {
                return;
            }
            Some(dialler::Step::Resolve(address)) => {
                let work = Work::Resolve { host: address.host.to_string(), port: address.port, lane: NAMES };
                Command::Run { tag, work }
            }
            Some(dialler::Step::Connect(addresses)) => Command::Connect {
                tag,
                addresses,
                patience: self.server.silence,
                tls: self.server.keys.as_ref().map(|keys| TlsDial {
                    settings: keys.dialling(&self.server.neighbours.get(id).name),
                    handshake_max: HANDSHAKE_MAX,
                }),
                protocol: Conversation::OutboundPeer(OutboundPeer::new(id, now)),
            },
            Some(dialler::Step::WakeAt(at)) => Command::Timer { at, tag },
            Some(dialler::Step::Abort(connection)) => Command::Abort(connection),
        };
        self.commands.push_back(command);
    }

    fn link_lost(&mut self, id: NeighbourId, now: Moment) {
        self.log_one_way(id, now);
        let chance = self.chance();
        let step = self.diallers[id.0].lost(now, chance);
        self.dial(id, Some(step), now);
    }

    /// Logs once that a neighbour reaches this server, but this server does not reach it: statements flow one way.
    fn log_one_way(&mut self, id: NeighbourId, now: Moment) {
        let known = self.server.neighbours.get_mut(id);
        let since = known.inbound.map_or(Moment::NEVER, |_| known.inbound_since.max(known.outbound_since));
        if known.present && now >= since + self.server.silence && known.is_newly_one_way() {
            let (name, address) = (&known.name, self.diallers[id.0].address());
            self.server.log.event(format_args!(
                "Statements flow from server {name} to this one, but not back: it has dialled this server, and \
                 nothing answers as {name} at {address}; is servers.{name} the same in both herd files?"
            ));
        }
    }

    fn neighbour_resolved(&mut self, id: NeighbourId, addresses: io::Result<Vec<SocketAddr>>, now: Moment) {
        match self.diallers[id.0].resolved(addresses) {
            Ok(step) => self.dial(id, step, now),
            Err(error) => {
                let known = self.server.neighbours.get_mut(id);
                if known.is_new_trouble(&error.to_string()) {
                    let (name, address) = (&known.name, self.diallers[id.0].address());
                    self.server.log.event(format_args!(
                        "Connection to server {name} at {address} could not be made: {error}"
                    ));
                }
                self.link_lost(id, now);
            }
        }
    }

    fn signalled(&mut self, signal: Signal, now: Moment) {
        match signal {
            Signal::NeighbourAlive(id, epoch) => self.neighbour_alive(id, epoch, now),
            Signal::LinkWorks(id) => self.diallers[id.0].works(),
            Signal::NotTheNeighbour(id) => self.diallers[id.0].is_something_else(),
            Signal::LinkLost(id) => self.link_lost(id, now),
            Signal::LinkReplaced(link) => self.commands.push_back(Command::Abort(link)),
        }
    }

    /// A neighbour has dialled this server: the outbound link need not wait for its retry delay, nor for an attempt
    /// that began before the neighbour was reachable.
    fn neighbour_alive(&mut self, id: NeighbourId, epoch: Epoch, now: Moment) {
        match self.server.neighbours.get(id).outbound {
            // The link leads to an earlier incarnation, whose end it may never show.
            Some((link, other)) if other != epoch => self.commands.push_back(Command::Abort(link)),
            Some(_) => {}
            None => {
                let step = self.diallers[id.0].reachable(now);
                self.dial(id, step, now);
            }
        }
    }

    /// The call of a conversation that has more to write: to a follower, or of a list.
    fn next_portion(&mut self) -> Option<Command> {
        if let Some(to) = self.server.followers.next_due() {
            return Some(Command::Deliver { to, call: Handle::call(Conversation::follow_on) });
        }
        let to = self.server.web.next_due()?;
        Some(Command::Deliver { to, call: Handle::call(Conversation::list_on) })
    }

    /// The next pseudo-random number (splitmix64).
    fn chance(&mut self) -> u32 {
        self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random_state ^ (self.random_state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }
}

impl Application for Herd {
    type Shared = Server;
    type Protocol = Conversation;
    type Tag = Tag;

    fn shared(&mut self) -> &mut Server {
        &mut self.server
    }

    fn accepted(&mut self, clocks: Clocks, arrival: &Arrival) -> Option<Conversation> {
        self.accept(clocks, arrival)
    }

    fn is_preferred(&self, address: SocketAddr) -> bool {
        self.diallers.iter().any(|dialler| dialler.leads_to(address.ip()))
    }

    fn notice(&mut self, clocks: Clocks, notice: Notice<Tag>) {
        let Clocks { now, wall } = clocks;
        self.server.set_time(wall);
        match notice {
            Notice::Connecting { tag: Tag::Neighbour(id), connection } => {
                self.diallers[id.0].connecting(connection, now);
            }
            Notice::Connecting { tag: Tag::Question(id), connection } => {
                self.server.desk.connecting(id, Handle::new(connection));
            }
            Notice::Done { tag: Tag::Neighbour(id), done: Done::Resolved(addresses) } => {
                self.neighbour_resolved(id, addresses, now);
            }
            Notice::Done { tag: Tag::PlacesLookup(lookup), done: Done::Resolved(addresses) } => {
                let (desk, commands) = (&mut self.server.desk, &mut self.commands);
                self.places.resolved(lookup, addresses, desk, now, commands);
            }
            Notice::Done { tag: Tag::Log, done: Done::Ran(task) } => self.log.ran(&mut self.server.log, task),
            Notice::Done { tag: Tag::Store, done: Done::Ran(task) } => {
                if let Some(journal) = &mut self.journal {
                    journal.ran(&mut self.server, task, now, &mut self.commands);
                }
            }
            Notice::Timer(Tag::Store) => {
                if let Some(journal) = &mut self.journal {
                    journal.timer_fired();
                }
            }
            Notice::Timer(Tag::Neighbour(id)) => {
                let step = self.diallers[id.0].wake(now);
                self.dial(id, step, now);
            }
            Notice::Timer(Tag::CertificateEnd) => self.certificate_timer_fired(clocks),
            Notice::Timer(Tag::PlacesLookup(lookup)) => {
                let (desk, commands) = (&mut self.server.desk, &mut self.commands);
                self.places.lookup_is_slow(lookup, desk, now, commands);
            }
            Notice::Timer(Tag::Sweep) => self.sweep_timer_fired(now),
            Notice::Timer(Tag::Searches) => self.advance_searches(),
            Notice::Timer(Tag::Desk) => self.server.desk.wake(now),
            Notice::Timer(Tag::ClosingOver) => self.commands.push_back(Command::Exit),
            Notice::Drained | Notice::Timer(Tag::DrainingOver) => {
                let step = self.shutdown.drained(now);
                self.shut_down(step);
            }
            Notice::Stop => {
                let step = self.shutdown.request(now);
                self.shut_down(Some(step));
            }
            Notice::AcceptFailed(error) => {
                self.server.counts.accept_errors += 1;
                self.server.log.event(format_args!("Connections cannot be accepted: {error}"));
            }
            // The end of the turn hands over what is due.
            Notice::Timer(Tag::Log | Tag::Synced | Tag::Followers | Tag::Lists) => {}
            // No command has these tags.
            Notice::Connecting { .. } | Notice::Done { .. } | Notice::Timer(_) => {}
        }
    }

    fn next_command(&mut self, clocks: Clocks) -> Option<Command> {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Some(command);
            }
            if let Some(signal) = self.server.signals.pop_front() {
                self.signalled(signal, clocks.now);
            } else if let Some(client) = self.server.durability.next_conversation() {
                return Some(Command::Deliver {
                    to: client.id(),
                    call: Handle::call(Conversation::disk_reached),
                });
            } else {
                let Some(step) = self.server.desk.next_step(clocks.now) else {
                    return self.next_portion();
                };
                self.places.carry_out(step, &mut self.server.desk, clocks.now, &mut self.commands);
            }
        }
    }

    fn must_end_turn(&self) -> bool {
        let server = &self.server;
        server.log.full_pages() >= TURN_PAGES || server.searches.are_exhausted() || server.web.is_exhausted()
    }

    fn bytes_read(&mut self, conversation: &Conversation, bytes: usize) {
        self.server.counts.bytes_read[Party::of(conversation) as usize] += bytes as u64;
    }

    fn bytes_written(&mut self, conversation: &Conversation, bytes: usize) {
        self.server.counts.bytes_written[Party::of(conversation) as usize] += bytes as u64;
    }

    fn turn_lasted(&mut self, nanoseconds: u64) {
        self.server.counts.turn_lasted(nanoseconds);
    }

    fn turn_ended(&mut self, clocks: Clocks, is_last: bool) -> bool {
        self.time_sweep(clocks.now);
        self.time_searches(clocks.now);
        self.log.hand_over(&mut self.server.log, clocks.now, is_last, &mut self.commands);
        if let Some(journal) = &mut self.journal {
            let was_reading = journal.is_reading();
            journal.hand_over(&mut self.server, clocks.now, is_last, &mut self.commands);
            if was_reading && !journal.is_reading() {
                self.store_was_read(clocks.now);
            }
        }
        if self.server.durability.turn_ended() {
            // The next turn does not wait.
            self.commands.push_back(Command::Timer { at: clocks.now, tag: Tag::Synced });
        }
        if self.server.followers.turn_ended(self.server.store.sequence()) {
            self.commands.push_back(Command::Timer { at: clocks.now, tag: Tag::Followers });
        }
        if self.server.web.turn_ended() {
            self.commands.push_back(Command::Timer { at: clocks.now, tag: Tag::Lists });
        }
        !self.commands.is_empty()
    }
}

/// The listener for clients and neighbours.
const LISTENER: ListenerTag = ListenerTag(0);
/// The listener for neighbours only, if they have a port of their own.
const NEIGHBOURS: ListenerTag = ListenerTag(1);
/// The lane in which the names of neighbours are looked up.
const NAMES: Lane = Lane("names");
/// The time limit of the TLS handshake of a link, and of an accepted connection from its first byte
/// (docs/protocol.md, section 4).
const HANDSHAKE_MAX: Duration = Duration::from_secs(2);
/// Connections above the limit that are kept for a moment, in which a neighbour can send its HELLO.
const SPARE: usize = 16;
/// Full pages of the log that end a turn, 1.5 MiB: a turn with more input could fill all pages, and then lines would
/// be lost on a disk of any speed.
const TURN_PAGES: usize = 8;

#[cfg(test)]
mod tests;
