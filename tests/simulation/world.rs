//! The simulated world: virtual time, the hosts, and the queue of happenings. All hosts share it.

use std::cell::Cell;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use herd::clock::Moment;
use herd::event_loop::system::Event;
use herd::log::Sink;

use crate::chance::{Chance, Trace};
use crate::connection::{Connection, Side};
use crate::crossings::Crossings;
use crate::dialling::Dialling;
use crate::disk::SimulatedDisk;
use crate::links::Links;
use crate::long_lines::LineLimits;
use crate::plan::Plan;
use crate::tap::{Handshakes, Trusted};
use crate::tasks::Running;

/// Nanoseconds of virtual time.
pub type Time = u64;
pub const MICROSECOND: Time = 1_000;
pub const MILLISECOND: Time = 1_000_000;
pub const SECOND: Time = 1_000_000_000;

/// An event of the simulation.
#[derive(Debug)]
pub enum Happening {
    /// A connection request arrives at its host.
    Request { connection: usize, attempt: u32 },
    /// The dialler learns that its connection is made.
    Made { connection: usize },
    /// The dialler learns that its connection cannot be made.
    NotMade { connection: usize, error: i32 },
    /// Bytes or an end arrive at this side.
    Arrive { connection: usize, to: Side },
    /// An acknowledgement arrives at this side: there is room again.
    Acknowledge { connection: usize, to: Side },
    /// A lookup ends.
    Resolved(Box<Resolved>),
    /// A task of a server has run.
    TaskEnds { task: u64 },
    /// The process of a host runs. These are kept apart from the others.
    Wake { host: usize },
    /// A client continues with its script.
    ClientActs { client: usize },
    /// A client over HTTP continues.
    WebActs { client: usize },
    /// Another client connects over HTTP.
    WebConnects,
    /// Places sends the next part of a response.
    PlacesActs { connection: usize },
    /// Another client connects.
    ClientConnects,
    /// A fault begins.
    Fault,
    /// A fault ends.
    Repair { fault: usize },
    /// The settings of a server change.
    Reload,
    /// Keys change, bytes are altered, or a stranger comes.
    Mischief,
}

/// The result of a lookup.
#[derive(Debug)]
pub struct Resolved {
    pub host: usize,
    pub incarnation: u32,
    pub ticket: usize,
    pub found: Option<SocketAddr>,
}

/// The lines of a log that were written since the last look.
#[derive(Debug, Default)]
pub struct WrittenLog {
    pub lines: Vec<u8>,
    pub lost: u64,
}

impl Sink for WrittenLog {
    fn write(&mut self, lost: u64, lines: &[u8], _now: Moment) -> u64 {
        self.lost += lost;
        self.lines.extend_from_slice(lines);
        0
    }

    fn reopen(&mut self, _now: Moment) -> bool {
        true
    }
}

struct Scheduled {
    at: Time,
    sequence: u64,
    happening: Happening,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

/// A port at which a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Lines,
    Http,
}

/// The connections to one port that a process has not accepted.
#[derive(Debug)]
pub struct Backlog {
    pub connections: VecDeque<usize>,
    /// An edge is reported as soon as there is a connection to accept.
    pub is_armed: bool,
}

impl Default for Backlog {
    fn default() -> Backlog {
        Backlog { connections: VecDeque::new(), is_armed: true }
    }
}

/// A client of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    Client(usize),
    Web(usize),
}

/// A machine with at most one process.
#[derive(Debug)]
pub struct Host {
    /// The number of processes that have started on it.
    pub incarnation: u32,
    /// A process listens.
    pub is_up: bool,
    /// The client on it; `None`: there is none.
    pub actor: Option<Actor>,
    /// The machine has no power: it does not even refuse connections.
    pub has_no_power: bool,
    /// The process was stopped by a signal (SIGSTOP). Its system continues.
    pub is_paused: bool,
    /// The process was asked to end (SIGTERM): new connections may or may not be served.
    pub is_stopping: bool,
    pub events: Vec<Event>,
    /// When its process runs next; [`Time::MAX`]: at the next event.
    wake_at: Time,
    wake_sequence: u64,
    /// The connections that its process has not accepted, by port.
    pub backlogs: [Backlog; 2],
    /// Lines of its log that were written and not read yet.
    pub unread_log: Vec<u8>,
    pub descriptors: usize,
    /// When its disk has written the last page of the log that it was given.
    pub disk_busy_until: Time,
    /// The same for its store.
    pub store_busy_until: Time,
    /// The disk with its store; `None`: it has none.
    pub disk: Option<SimulatedDisk>,
    /// The epochs of its incarnations.
    pub epochs: BTreeMap<u32, u64>,
    /// Its process has ended its last turn and awaits its tasks.
    pub is_finishing: bool,
    pub log: Arc<Mutex<WrittenLog>>,
    pub descriptors_max: usize,
    /// The settings of its wall clock: from which time on it was ahead of virtual time by how much.
    pub clock: Vec<(Time, u64)>,
}

impl Host {
    fn new(wall: u64) -> Host {
        Host {
            incarnation: 0,
            is_up: false,
            actor: None,
            has_no_power: false,
            is_paused: false,
            is_stopping: false,
            events: Vec::new(),
            wake_at: Time::MAX,
            wake_sequence: 0,
            backlogs: Default::default(),
            unread_log: Vec::new(),
            descriptors: 0,
            disk_busy_until: 0,
            store_busy_until: 0,
            disk: None,
            epochs: BTreeMap::new(),
            is_finishing: false,
            log: Arc::default(),
            descriptors_max: usize::MAX,
            clock: vec![(0, wall)],
        }
    }

    /// How far the wall clock is ahead of virtual time.
    pub fn wall_ahead(&self) -> u64 {
        self.clock[self.clock.len() - 1].1
    }
}

/// The behaviour of the network and the systems, faults not included.
#[derive(Clone, Debug)]
pub struct Conditions {
    pub latency_max: Time,
    /// The smallest window of a connection.
    pub window_min: usize,
    /// One in so many connections delivers pieces of a few bytes.
    pub pieces_one_in: u64,
    /// One in so many writes takes less than there is room for.
    pub short_writes_one_in: u64,
    /// One in so many polls reports a spurious event.
    pub spurious_one_in: u64,
    /// One in so many connection attempts hangs.
    pub hanging_one_in: u64,
    /// One in so many connection attempts is refused.
    pub refused_one_in: u64,
    /// One in so many lookups fails.
    pub unknown_one_in: u64,
    /// Clocks do not advance during a turn.
    pub coarse_clocks: bool,
    /// A read that fills only a part of its buffer has emptied the socket; later input is an edge.
    pub short_reads_empty: bool,
    /// The longest time in which a disk writes a page of the log.
    pub disk_max: Time,
    /// The longest time in which it carries out a batch for the store.
    pub store_max: Time,
}

impl Conditions {
    /// Whether connection attempts or lookups may fail.
    pub fn are_unreliable(&self) -> bool {
        self.hanging_one_in + self.refused_one_in + self.unknown_one_in > 0
    }

    /// Every connection attempt and lookup succeeds from now on.
    pub fn make_reliable(&mut self) {
        (self.hanging_one_in, self.refused_one_in, self.unknown_one_in) = (0, 0, 0);
    }
}

pub struct World {
    pub now: Time,
    /// The same, for TLS sessions.
    pub clock: Rc<Cell<Time>>,
    pub chance: Chance,
    /// Random numbers for disks, which older seeds do not have.
    pub disk_chance: Chance,
    /// The same for stores.
    pub store_chance: Chance,
    /// The tasks that run.
    pub tasks: BTreeMap<u64, Running>,
    pub last_task: u64,
    pub trace: Trace,
    pub conditions: Conditions,
    /// First the servers, then Places, then the clients.
    pub hosts: Vec<Host>,
    /// The number of servers.
    pub servers: usize,
    pub connections: Vec<Connection>,
    /// Pairs of hosts: nothing gets from the first to the second.
    pub cuts: BTreeSet<(usize, usize)>,
    /// For each server, the fewest and the most bytes of a statement above which it may, and must, be passed
    /// over.
    pub statement_limits: Vec<LineLimits>,
    pub crossings: Crossings,
    pub links: Links,
    /// The keys of each server; `None`: its links are plain text.
    pub trusted: Vec<Option<Trusted>>,
    pub handshakes: Handshakes,
    pub dialling: Dialling,
    /// Connections whose server was notified that they cannot be made.
    pub failed_attempts: Vec<usize>,
    /// From now on every connection attempt to Places hangs.
    pub places_hangs: bool,
    /// The first broken promise.
    pub violation: Option<String>,
    pub is_verbose: bool,
    queue: BinaryHeap<Reverse<Scheduled>>,
    /// The next wake of each process. An earlier one replaces a later one.
    wakes: BTreeSet<(Time, u64, usize)>,
    sequence: u64,
}

impl World {
    pub fn new(chance: Chance, plan: &Plan, is_verbose: bool) -> World {
        let servers = plan.names.len();
        let disk_chance = Chance::new(chance.clone().number() ^ DISKS);
        let store_chance = Chance::new(chance.clone().number() ^ STORES);
        World {
            now: 0,
            clock: Rc::default(),
            chance,
            disk_chance,
            store_chance,
            tasks: BTreeMap::new(),
            last_task: 0,
            trace: Trace::new(),
            conditions: plan.conditions.clone(),
            hosts: (0..=servers).map(|_| Host::new(WALL_AT_START)).collect(),
            servers,
            connections: Vec::new(),
            cuts: BTreeSet::new(),
            statement_limits: Vec::new(),
            crossings: Crossings::new(plan.statements_cross_once()),
            links: Links::default(),
            trusted: vec![None; servers],
            handshakes: Handshakes::default(),
            dialling: Dialling::new(servers, plan.has_lookups()),
            failed_attempts: Vec::new(),
            places_hangs: false,
            violation: None,
            is_verbose,
            queue: BinaryHeap::new(),
            wakes: BTreeSet::new(),
            sequence: 0,
        }
    }

    /// The host of Places.
    pub fn places(&self) -> usize {
        self.servers
    }

    pub fn add_host(&mut self, actor: Option<Actor>) -> usize {
        self.hosts.push(Host { actor, ..Host::new(WALL_AT_START) });
        self.hosts.len() - 1
    }

    pub fn schedule(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse(Scheduled { at: at.max(self.now), sequence: self.sequence, happening }));
    }

    pub fn schedule_in(&mut self, delay: Time, happening: Happening) {
        self.schedule(self.now.saturating_add(delay), happening);
    }

    /// The next happening, if it is not later than `until`. Time advances to it, or to `until`.
    pub fn next(&mut self, until: Time) -> Option<Happening> {
        let queued = self.queue.peek().map(|Reverse(next)| (next.at, next.sequence));
        let wake = self.wakes.first().map(|&(at, sequence, _)| (at, sequence));
        let next = [queued, wake].into_iter().flatten().min();
        let Some((at, _)) = next.filter(|next| next.0 <= until) else {
            self.now = self.now.max(until);
            self.clock.set(self.now);
            return None;
        };
        self.now = at;
        self.clock.set(at);
        self.trace.add(at);
        if next == wake {
            let host = self.wakes.first()?.2;
            self.cancel_wake(host);
            return Some(Happening::Wake { host });
        }
        self.queue.pop().map(|Reverse(next)| next.happening)
    }

    /// Runs the process of a host at `at`, unless it runs earlier.
    pub fn wake(&mut self, host: usize, at: Time) {
        if at < self.hosts[host].wake_at {
            self.cancel_wake(host);
            self.sequence += 1;
            (self.hosts[host].wake_at, self.hosts[host].wake_sequence) = (at, self.sequence);
            self.wakes.insert((at, self.sequence, host));
        }
    }

    pub fn cancel_wake(&mut self, host: usize) {
        let Host { wake_at, wake_sequence, .. } = &mut self.hosts[host];
        self.wakes.remove(&(std::mem::replace(wake_at, Time::MAX), *wake_sequence, host));
    }

    /// Reports an event to the process of a host.
    pub fn notify(&mut self, host: usize, event: Event) {
        self.hosts[host].events.push(event);
        let delay = self.chance.below(SCHEDULING_MAX);
        self.wake(host, self.now + delay);
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        !self.cuts.is_empty() && self.cuts.contains(&(from, to))
    }

    /// Ends these cuts.
    pub fn heal(&mut self, cuts: &[(usize, usize)]) {
        for cut in cuts {
            self.cuts.remove(cut);
        }
        for index in 0..self.connections.len() {
            for side in [Side::Dialler, Side::Acceptor] {
                let connection = &mut self.connections[index];
                let (writer, reader) = (connection.host(side), connection.host(side.other()));
                let pipe = connection.pipe_from(side);
                let (is_stuck, is_acknowledgement_stuck) = (pipe.stuck, pipe.acknowledgement_stuck);
                if is_stuck && !self.is_cut(writer, reader) {
                    self.connections[index].pipe_from(side).stuck = false;
                    let delay = self.chance.below(RETRANSMISSION_MAX);
                    self.schedule_in(delay, Happening::Arrive { connection: index, to: side.other() });
                }
                if is_acknowledgement_stuck && !self.is_cut(reader, writer) {
                    self.connections[index].pipe_from(side).acknowledgement_stuck = false;
                    let delay = self.chance.below(RETRANSMISSION_MAX);
                    self.schedule_in(delay, Happening::Acknowledge { connection: index, to: side });
                }
            }
        }
    }

    /// The wall clock of a host, in ns since 1970.
    pub fn wall(&self, host: usize) -> u64 {
        self.now + self.hosts[host].wall_ahead()
    }

    /// Sets the wall clock of a host.
    pub fn set_clock(&mut self, host: usize, ahead: u64) {
        let now = self.now;
        self.hosts[host].clock.push((now, ahead));
    }

    /// Whether the wall clock of a host could have shown `wall` between these two times.
    pub fn could_show(&self, host: usize, wall: i128, from: Time, to: Time) -> bool {
        let clock = &self.hosts[host].clock;
        clock.iter().enumerate().any(|(index, &(since, ahead))| {
            let until = clock.get(index + 1).map_or(Time::MAX, |next| next.0);
            let first = i128::from(since.max(from)) + i128::from(ahead);
            let last = i128::from(until.min(to)) + i128::from(ahead) + READ_TOGETHER_NS;
            since <= to && until >= from && first <= wall && wall <= last
        })
    }

    /// Records a broken promise. The first one counts.
    pub fn violate(&mut self, problem: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let problem = format!("at {}: {}", show(self.now), problem());
            self.print(|| format!("BROKEN {problem}"));
            self.violation = Some(problem);
        }
    }

    /// Prints a line about this moment, if the simulation is verbose.
    pub fn print(&self, line: impl FnOnce() -> String) {
        if self.is_verbose {
            eprintln!("{} {}", show(self.now), line());
        }
    }

    /// One of the two addresses of a host. Both lead to it.
    pub fn address_of(&self, host: usize, second: bool) -> SocketAddr {
        let first_port = if second { FIRST_SECOND_PORT } else { FIRST_PORT };
        SocketAddr::from(([127, 0, 0, 1], first_port + host as u16))
    }

    /// The address at which a server listens for HTTP.
    pub fn web_address_of(&self, server: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], FIRST_HTTP_PORT + server as u16))
    }

    /// A port for a host at which it does not listen.
    pub fn absent_port(&self, host: usize) -> u16 {
        FIRST_ABSENT_PORT + host as u16
    }

    /// The server or Places that listens at an address.
    pub fn host_at(&self, address: SocketAddr) -> Option<usize> {
        self.host_of_port(address.port()).filter(|_| address.is_ipv4() && address.port() < FIRST_ABSENT_PORT)
    }

    /// The server or Places that this port belongs to.
    pub fn host_of_port(&self, port: u16) -> Option<usize> {
        let first_ports = [FIRST_ABSENT_PORT, FIRST_HTTP_PORT, FIRST_SECOND_PORT, FIRST_PORT];
        let first_port = first_ports.into_iter().find(|&first| port >= first)?;
        let host = usize::from(port.checked_sub(first_port)?);
        (host <= self.servers).then_some(host)
    }
}

/// The kind of a port that is listened at.
pub fn port_kind(port: u16) -> Port {
    if (FIRST_HTTP_PORT..FIRST_ABSENT_PORT).contains(&port) { Port::Http } else { Port::Lines }
}

pub fn show(time: Time) -> String {
    format!("{:.6}", time as f64 / SECOND as f64)
}

pub fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

/// All wall clocks at the start of a simulation, in ns since 1970.
pub const WALL_AT_START: u64 = 1_621_464_827_000_000_000;
/// Derives the random numbers of disks from a seed.
pub const DISKS: u64 = 0x64_6973_6b73;
/// The same for stores.
pub const STORES: u64 = 0x7374_6f72_6573;
/// The port of server number 0.
const FIRST_PORT: u16 = 10_000;
/// The second port of server number 0.
const FIRST_SECOND_PORT: u16 = 20_000;
/// The port of server number 0 for HTTP.
const FIRST_HTTP_PORT: u16 = 25_000;
/// The port of server number 0 at which it does not listen.
const FIRST_ABSENT_PORT: u16 = 30_000;
/// The longest time that a process with events waits for a processor.
pub const SCHEDULING_MAX: Time = 50 * MICROSECOND;
/// The longest time from the end of a cut to a retransmission.
const RETRANSMISSION_MAX: Time = 400 * MILLISECOND;
/// How far the time of a line may be ahead of the clock: lines that are read together are a nanosecond apart,
/// and a clock advances a little during a turn.
const READ_TOGETHER_NS: i128 = 2_000_000;
