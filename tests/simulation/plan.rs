//! What one seed is about: the herd, the network, the clients, and what breaks. Most seeds have only
//! some of everything, because a fault that always comes with all others is seldom seen to the end.

use std::time::Duration;

use crate::chance::Chance;
use crate::sockets::LATENCY_MAX;
use crate::speech::Topics;
use crate::world::{MILLISECOND, Manners, SECOND, Time};

/// What can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cut,
    OneWayCut,
    /// A host is cut off from all others.
    Isolation,
    /// A process is killed; its system says goodbye for it.
    Kill,
    /// A machine loses power: nobody says goodbye.
    PowerLoss,
    /// A process is stopped by a signal, and goes on later.
    Pause,
    /// A server is told to end in order.
    Stop,
    ClockJump,
    Reset,
    Descriptors,
    Mood,
    PlacesDown,
    /// Many clients come at once.
    Rush,
}

const KINDS: [Kind; 13] = [
    Kind::Cut,
    Kind::OneWayCut,
    Kind::Isolation,
    Kind::Kill,
    Kind::PowerLoss,
    Kind::Pause,
    Kind::Stop,
    Kind::ClockJump,
    Kind::Reset,
    Kind::Descriptors,
    Kind::Mood,
    Kind::PlacesDown,
    Kind::Rush,
];

#[derive(Clone, Debug)]
pub struct Plan {
    pub names: Vec<String>,
    /// Each with the smaller number first.
    pub edges: Vec<(usize, usize)>,
    pub manners: Manners,
    pub topics: Topics,
    /// How long things break.
    pub storm: Time,
    pub kinds: Vec<Kind>,
    pub fault_every: Time,
    pub fault_length_max: Time,
    pub client_every: Time,
    pub silence: Duration,
    pub high_mark: u32,
    pub line_timeout: Time,
    pub places_timeout: Time,
    pub connections_max: usize,
    pub logs: bool,
    /// How neighbours and Places are named: an address, localhost, or a name that is looked up.
    pub host_name: &'static str,
}

impl Plan {
    pub fn new(chance: &mut Chance) -> Plan {
        let servers = chance.between(2, 12) as usize;
        Plan::of(chance, servers)
    }

    /// A large herd, in which nothing breaks.
    pub fn large(chance: &mut Chance) -> Plan {
        let mut plan = Plan::of(chance, LARGE);
        plan.kinds.clear();
        plan.storm = 5 * SECOND;
        plan.client_every = 100 * MILLISECOND;
        plan.manners.be_reliable();
        plan.topics.questions_one_in = 0;
        plan.silence = Duration::from_secs(3);
        plan
    }

    fn of(chance: &mut Chance, servers: usize) -> Plan {
        // What moves in small windows must not take long.
        let (window_min, latency_max) =
            *chance.pick(&[(16, 2 * MILLISECOND), (256, LATENCY_MAX), (4096, 50 * MILLISECOND)]);
        let often = |chance: &mut Chance, times: u64| if chance.one_in(2) { times } else { 0 };
        let manners = Manners {
            latency_max,
            window_min,
            pieces_one_in: *chance.pick(&[0, 1, 3]),
            short_writes_one_in: often(chance, 4),
            spurious_one_in: often(chance, 10),
            hanging_one_in: often(chance, 20),
            refused_one_in: often(chance, 20),
            unknown_one_in: often(chance, 10),
            coarse_clocks: chance.one_in(2),
            // Decided later, so that this leaves all other chances of older seeds as they were.
            short_reads_empty: false,
        };
        let max_line = *chance.pick(&[80, 100, 300, 8192]);
        let (all_ids, all_locations) = (IDS, LOCATIONS);
        let ids = all_ids[..chance.between(1, 6) as usize].iter().map(|id| id.as_bytes().to_vec()).collect();
        let topics = Topics {
            ids,
            locations: all_locations[..chance.between(1, 5) as usize].to_vec(),
            times: chance.magnitude(1, 1000),
            max_line,
            questions_one_in: *chance.pick(&[0, 2, 5, 10]),
            garbage_one_in: *chance.pick(&[0, 5, 30]),
        };
        let calm = chance.one_in(8);
        let most = *chance.pick(&[2, 4, 13]);
        let kinds =
            KINDS.iter().copied().filter(|_| !calm && chance.one_in(KINDS.len() as u64 / most + 1)).collect();
        Plan {
            names: (0..servers).map(|number| format!("Server{number}")).collect(),
            edges: edges(chance, servers),
            manners,
            topics,
            storm: chance.magnitude(2 * SECOND, 60 * SECOND),
            kinds,
            fault_every: chance.magnitude(100 * MILLISECOND, 8 * SECOND),
            fault_length_max: chance.magnitude(200 * MILLISECOND, 200 * SECOND),
            client_every: chance.magnitude(30 * MILLISECOND, 3 * SECOND),
            silence: Duration::from_millis(*chance.pick(&[600, 1000, 3000])),
            high_mark: chance.magnitude(200, 4000) as u32,
            line_timeout: chance.magnitude(4 * SECOND, 60 * SECOND),
            places_timeout: chance.magnitude(ANSWER_MAX, 5 * SECOND),
            connections_max: if chance.one_in(6) { chance.between(2, 12) as usize } else { 10_000 },
            logs: chance.one_in(8),
            host_name: HOST_NAMES[chance.index(HOST_NAMES.len())],
        }
    }

    pub fn neighbours_of(&self, server: usize) -> impl Iterator<Item = usize> {
        self.edges.iter().filter_map(move |&(one, other)| match server {
            _ if server == one => Some(other),
            _ if server == other => Some(one),
            _ => None,
        })
    }

    /// Whether there is only one way from each server to each other one, and nobody forgets.
    pub fn nobody_hears_twice(&self) -> bool {
        let forgets = |kind: &Kind| matches!(kind, Kind::Kill | Kind::PowerLoss | Kind::Stop);
        self.edges.len() + 1 == self.names.len() && !self.kinds.iter().any(forgets)
    }

    /// Bytes of one client's replies that may wait behind a question, and then are output at once.
    pub fn replies_waiting_max(&self) -> usize {
        if self.topics.questions_one_in > 0 { REPLIES_MAX + ANSWERS_MAX } else { 0 }
    }

    /// How long after everything is repaired all servers agree, at most. A link that seems to be there
    /// is given up after the silence, and so is an attempt to make one that began just before; the
    /// longest delay before the next attempt follows; then everything is sent from server to server.
    pub fn agreement_max(&self) -> Time {
        2 * self.silence.as_nanos() as Time + RETRY_MAX + TRANSFER_MAX
    }
}

/// A random tree, and some more edges.
fn edges(chance: &mut Chance, servers: usize) -> Vec<(usize, usize)> {
    let mut edges: Vec<(usize, usize)> = (1..servers).map(|server| (chance.index(server), server)).collect();
    for _ in 0..chance.below(servers as u64) {
        let (one, other) = (chance.index(servers), chance.index(servers));
        let edge = (one.min(other), one.max(other));
        if one != other && !edges.contains(&edge) {
            edges.push(edge);
        }
    }
    edges
}

const IDS: [&str; 6] = ["kiwi", "a", "\u{e9}t\u{e9}", "b.cs.ucla.edu", "AT", "x-1"];
const LOCATIONS: [&str; 5] =
    ["+34.068930-118.445127", "+27.5916+086.5640", "-90.0+180.0", "+0-0", "+34.068930-118.445128"];
/// Ways to name the one machine that all servers are on.
const HOST_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "looked.up.example"];
/// Servers of a large herd.
const LARGE: usize = 200;
/// A client with so many bytes of replies that wait is no longer read from.
const REPLIES_MAX: usize = 64 * 1024;
/// The answers to as many questions as one client may ask at once: 64, each of less than 2 KiB.
const ANSWERS_MAX: usize = 64 * 2048;
/// A question to Places that is well, and its answer: 6 KiB where each byte is a chunk, 16 bytes in each
/// 5 ms there and back.
const ANSWER_MAX: Time = 3 * SECOND;
/// The longest delay before a neighbour is dialled again.
const RETRY_MAX: Time = SECOND;
/// From end to end of a herd, through small windows.
const TRANSFER_MAX: Time = 3 * SECOND;
