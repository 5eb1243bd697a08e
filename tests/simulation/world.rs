//! The simulated world: virtual time, the hosts, and what happens when. All hosts share it.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;

use herd::event_loop::system::Event;

use crate::chance::{Chance, Trace};
use crate::connection::{Connection, Side};
use crate::crossings::Crossings;
use crate::plan::Plan;
use crate::telling::Telling;

/// Nanoseconds of virtual time.
pub type Time = u64;
pub const MICROSECOND: Time = 1_000;
pub const MILLISECOND: Time = 1_000_000;
pub const SECOND: Time = 1_000_000_000;

/// What can happen.
#[derive(Debug)]
pub enum Happening {
    /// A request for a connection reaches its host.
    Request { connection: usize, attempt: u32 },
    /// The dialler learns that its connection was made.
    Made { connection: usize },
    /// The dialler learns that it cannot be made.
    NotMade { connection: usize, error: i32 },
    /// Bytes or an end reach this side.
    Arrive { connection: usize, to: Side },
    /// This side learns that there is room again.
    Acknowledge { connection: usize, to: Side },
    /// A lookup ends.
    Resolved(Box<Resolved>),
    /// A server is due; these are kept apart from the others.
    Wake { host: usize },
    /// A client goes on with what it has in mind.
    ClientActs { client: usize },
    /// Places sends the next part of an answer.
    PlacesActs { connection: usize },
    /// Another client comes.
    ClientComes,
    /// Something breaks.
    Fault,
    /// Something that broke is repaired.
    Repair { fault: usize },
}

/// What came of a lookup.
#[derive(Debug)]
pub struct Resolved {
    pub host: usize,
    pub life: u32,
    pub ticket: usize,
    pub found: Option<SocketAddr>,
}

struct Scheduled {
    at: Time,
    sequence: u64,
    what: Happening,
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

/// One machine with at most one process on it.
#[derive(Debug)]
pub struct Host {
    /// How many processes there were before.
    pub life: u32,
    /// A process listens.
    pub is_up: bool,
    /// The machine has no power: it does not even refuse.
    pub has_no_power: bool,
    /// The process was stopped by a signal: its system goes on without it.
    pub is_paused: bool,
    /// The process was told to end: who comes now may or may not be heard.
    pub is_stopping: bool,
    pub events: Vec<Event>,
    /// When its process is due, and as what that was scheduled; never: when something happens.
    wake_at: Time,
    wake_sequence: u64,
    pub backlog: VecDeque<usize>,
    /// An edge is owed as soon as there is something to accept.
    pub accept_armed: bool,
    pub descriptors: usize,
    pub descriptors_max: usize,
    /// From when on its wall clock was how far ahead of [`Host::wall`]'s beginning.
    pub clock: Vec<(Time, u64)>,
}

impl Host {
    fn new(wall: u64) -> Host {
        Host {
            life: 0,
            is_up: false,
            has_no_power: false,
            is_paused: false,
            is_stopping: false,
            events: Vec::new(),
            wake_at: Time::MAX,
            wake_sequence: 0,
            backlog: VecDeque::new(),
            accept_armed: true,
            descriptors: 0,
            descriptors_max: usize::MAX,
            clock: vec![(0, wall)],
        }
    }

    /// What has to be added to virtual time.
    pub fn wall_ahead(&self) -> u64 {
        self.clock[self.clock.len() - 1].1
    }
}

/// How the network behaves, apart from what breaks.
#[derive(Clone, Debug)]
pub struct Manners {
    pub latency_max: Time,
    /// Smallest window of a connection.
    pub window_min: usize,
    /// One in so many connections comes in pieces of a few bytes.
    pub pieces_one_in: u64,
    /// One in so many writes takes less than there is room for.
    pub short_writes_one_in: u64,
    /// One in so many polls brings an event that means nothing.
    pub spurious_one_in: u64,
    /// One in so many connects hangs, or is refused.
    pub hanging_one_in: u64,
    pub refused_one_in: u64,
    /// One in so many lookups fails.
    pub unknown_one_in: u64,
    /// Clocks show no progress while a server works.
    pub coarse_clocks: bool,
    /// A read that fills only a part of its buffer has taken all there is, and what comes next is an edge.
    pub short_reads_empty: bool,
}

impl Manners {
    pub fn are_unreliable(&self) -> bool {
        self.hanging_one_in + self.refused_one_in + self.unknown_one_in > 0
    }

    /// Every attempt to reach somebody succeeds from now on.
    pub fn be_reliable(&mut self) {
        (self.hanging_one_in, self.refused_one_in, self.unknown_one_in) = (0, 0, 0);
    }
}

pub struct World {
    pub now: Time,
    pub chance: Chance,
    pub trace: Trace,
    pub manners: Manners,
    pub hosts: Vec<Host>,
    /// How many of the hosts, the first, are servers. The next is Places, the others are clients'.
    pub servers: usize,
    pub connections: Vec<Connection>,
    /// Between which hosts nothing gets through, in this direction.
    pub cuts: BTreeSet<(usize, usize)>,
    pub crossings: Crossings,
    pub telling: Telling,
    /// Connections of which a server was told that they cannot be made.
    pub refused: Vec<usize>,
    /// What should not have happened.
    pub violation: Option<String>,
    pub is_verbose: bool,
    queue: BinaryHeap<Reverse<Scheduled>>,
    /// Which processes are due: a process that is due earlier than before is not due twice.
    wakes: BTreeSet<(Time, u64, usize)>,
    sequence: u64,
}

impl World {
    pub fn new(chance: Chance, plan: &Plan, is_verbose: bool) -> World {
        let servers = plan.names.len();
        World {
            now: 0,
            chance,
            trace: Trace::new(),
            manners: plan.manners.clone(),
            hosts: (0..=servers).map(|_| Host::new(WALL_AT_START)).collect(),
            servers,
            connections: Vec::new(),
            cuts: BTreeSet::new(),
            crossings: Crossings::new(plan.nobody_hears_twice()),
            telling: Telling::default(),
            refused: Vec::new(),
            violation: None,
            is_verbose,
            queue: BinaryHeap::new(),
            wakes: BTreeSet::new(),
            sequence: 0,
        }
    }

    /// The host that Places is on.
    pub fn places(&self) -> usize {
        self.servers
    }

    pub fn add_host(&mut self) -> usize {
        self.hosts.push(Host::new(WALL_AT_START));
        self.hosts.len() - 1
    }

    pub fn schedule(&mut self, at: Time, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse(Scheduled { at: at.max(self.now), sequence: self.sequence, what }));
    }

    pub fn schedule_in(&mut self, delay: Time, what: Happening) {
        self.schedule(self.now.saturating_add(delay), what);
    }

    /// What happens next, if that is not later than `until`. Time moves there.
    pub fn next(&mut self, until: Time) -> Option<Happening> {
        let queued = self.queue.peek().map(|Reverse(next)| (next.at, next.sequence));
        let wake = self.wakes.first().map(|&(at, sequence, _)| (at, sequence));
        let next = [queued, wake].into_iter().flatten().min();
        let Some((at, _)) = next.filter(|next| next.0 <= until) else {
            self.now = self.now.max(until);
            return None;
        };
        self.now = at;
        self.trace.add(at);
        if next == wake {
            let host = self.wakes.first()?.2;
            self.forget_wake(host);
            return Some(Happening::Wake { host });
        }
        self.queue.pop().map(|Reverse(next)| next.what)
    }

    /// Has the process of a host run at `at`, if it would not before.
    pub fn wake(&mut self, host: usize, at: Time) {
        if at < self.hosts[host].wake_at {
            self.forget_wake(host);
            self.sequence += 1;
            (self.hosts[host].wake_at, self.hosts[host].wake_sequence) = (at, self.sequence);
            self.wakes.insert((at, self.sequence, host));
        }
    }

    /// The process of a host is not due any more.
    pub fn forget_wake(&mut self, host: usize) {
        let Host { wake_at, wake_sequence, .. } = &mut self.hosts[host];
        self.wakes.remove(&(std::mem::replace(wake_at, Time::MAX), *wake_sequence, host));
    }

    /// Tells a process something.
    pub fn tell(&mut self, host: usize, event: Event) {
        self.hosts[host].events.push(event);
        let delay = self.chance.below(SCHEDULING_MAX);
        self.wake(host, self.now + delay);
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        !self.cuts.is_empty() && self.cuts.contains(&(from, to))
    }

    /// Lets everything through again where these cuts were.
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
    pub fn jump_clock(&mut self, host: usize, ahead: u64) {
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

    /// Notes that a promise was broken. The first one counts.
    pub fn violate(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let what = format!("at {}: {}", show(self.now), what());
            self.say(|| format!("BROKEN {what}"));
            self.violation = Some(what);
        }
    }

    /// Says what happens, if somebody wants to read it.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            eprintln!("{} {}", show(self.now), what());
        }
    }

    pub fn address_of(&self, host: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + host as u16))
    }

    pub fn host_at(&self, address: SocketAddr) -> Option<usize> {
        let host = usize::from(address.port().checked_sub(FIRST_PORT)?);
        (address.is_ipv4() && host <= self.servers).then_some(host)
    }
}

pub fn show(time: Time) -> String {
    format!("{:.6}", time as f64 / SECOND as f64)
}

pub fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

/// What all clocks show when a simulation begins.
pub const WALL_AT_START: u64 = 1_621_464_827_000_000_000;
/// Server number 0 listens here.
const FIRST_PORT: u16 = 10_000;
/// How long a process that has something to do waits for a processor.
const SCHEDULING_MAX: Time = 50 * MICROSECOND;
/// How long after a cut is healed what was lost is sent again.
const RETRANSMISSION_MAX: Time = 400 * MILLISECOND;
/// Lines that are read together are dated one nanosecond apart, and a clock moves a little while a
/// server works: so far may a date be ahead.
const READ_TOGETHER_NS: i128 = 2_000_000;
