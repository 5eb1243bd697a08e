//! The plan of one seed: the herd, the network, the clients, and the faults. Most seeds have only some of the
//! faults, because the effects of a fault that always comes with all others are seldom seen to the end.

use std::net::IpAddr;
use std::time::Duration;

use herd::places::dialect::Dialect;

use crate::chance::Chance;
use crate::rules::Lifetimes;
use crate::scripts::Vocabulary;
use crate::simulation::RELOADS;
use crate::sockets::LATENCY_MAX;
use crate::world::{Conditions, MILLISECOND, SECOND, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Cut,
    OneWayCut,
    /// A host is cut off from all others.
    Isolation,
    /// A process is killed; its system closes its connections.
    Kill,
    /// A machine loses power: no connection is closed.
    PowerLoss,
    /// A process is stopped by a signal and continued later.
    Pause,
    /// A server is asked to shut down in order.
    Stop,
    ClockJump,
    Reset,
    /// A server has few file descriptors left.
    Descriptors,
    /// Places is slow or silent, or sends invalid responses.
    PlacesBehaviour,
    PlacesDown,
    /// Many clients connect at once.
    Rush,
    /// All servers are killed at once, or lose their power, or are asked to shut down.
    AllKilled,
    AllLosePower,
    AllStop,
    /// The disk with the store of a server fails.
    DiskFails,
    /// A server is killed, and what is on its disk changes.
    DiskIsDamaged,
}

const FAULTS: [Fault; 13] = [
    Fault::Cut,
    Fault::OneWayCut,
    Fault::Isolation,
    Fault::Kill,
    Fault::PowerLoss,
    Fault::Pause,
    Fault::Stop,
    Fault::ClockJump,
    Fault::Reset,
    Fault::Descriptors,
    Fault::PlacesBehaviour,
    Fault::PlacesDown,
    Fault::Rush,
];

#[derive(Clone, Debug)]
pub struct Plan {
    pub names: Vec<String>,
    /// Pairs of neighbours, the smaller number first.
    pub edges: Vec<(usize, usize)>,
    pub conditions: Conditions,
    pub vocabulary: Vocabulary,
    /// The length of the storm, in which faults begin.
    pub storm: Time,
    pub faults: Vec<Fault>,
    pub fault_every: Time,
    pub fault_length_max: Time,
    /// The time between two changes of settings; `None`: settings do not change.
    pub reload_every: Option<Time>,
    pub client_every: Time,
    pub silence: Duration,
    /// The high-water mark of a connection, in bytes.
    pub high_water: u32,
    pub line_timeout: Time,
    pub places_timeout: Time,
    /// Questions to Places of one server in flight.
    pub places_connections: usize,
    pub connections_max: usize,
    pub logs: bool,
    /// How long statements count.
    pub lifetimes: Lifetimes,
    /// Some statements are too long for some servers.
    pub has_long_lines: bool,
    /// Servers have stores on disk.
    pub has_stores: bool,
    /// There are clients over HTTP.
    pub has_web: bool,
    /// Links are TLS.
    pub has_tls: bool,
    /// The service that Places is.
    pub dialect: Dialect,
    /// How long its answers are given again.
    pub cache: Duration,
    /// The host in the addresses of neighbours and Places: an address, localhost, or a name that is looked
    /// up.
    pub host_name: &'static str,
}

impl Plan {
    pub fn new(chance: &mut Chance) -> Plan {
        let mut reload_chance = Chance::new(chance.clone().number() ^ RELOADS);
        let servers = chance.between(2, 12) as usize;
        let mut plan = Plan::of(chance, servers);
        if reload_chance.one_in(RELOADS_ONE_IN) {
            plan.reload_every = Some(reload_chance.magnitude(50 * MILLISECOND, 8 * SECOND));
        }
        plan
    }

    /// A large herd without faults.
    pub fn large(chance: &mut Chance) -> Plan {
        let mut plan = Plan::of(chance, LARGE);
        plan.faults.clear();
        plan.storm = 5 * SECOND;
        plan.client_every = 100 * MILLISECOND;
        plan.conditions.make_reliable();
        plan.vocabulary.questions_one_in = 0;
        plan.silence = Duration::from_secs(3);
        plan
    }

    fn of(chance: &mut Chance, servers: usize) -> Plan {
        // A transfer through small windows needs short latencies to end in time.
        let (window_min, latency_max) =
            *chance.pick(&[(16, 2 * MILLISECOND), (256, LATENCY_MAX), (4096, 50 * MILLISECOND)]);
        let often = |chance: &mut Chance, times: u64| if chance.one_in(2) { times } else { 0 };
        let conditions = Conditions {
            latency_max,
            window_min,
            pieces_one_in: *chance.pick(&[0, 1, 3]),
            short_writes_one_in: often(chance, 4),
            spurious_one_in: often(chance, 10),
            hanging_one_in: often(chance, 20),
            refused_one_in: often(chance, 20),
            unknown_one_in: often(chance, 10),
            coarse_clocks: chance.one_in(2),
            // Decided later from other random numbers, so that older seeds keep their meaning.
            short_reads_empty: false,
            disk_max: MILLISECOND,
            store_max: MILLISECOND,
        };
        let max_line = *chance.pick(&[80, 100, 300, 8192]);
        let (all_ids, all_locations) = (IDS, LOCATIONS);
        let ids = all_ids[..chance.between(1, 6) as usize].iter().map(|id| id.as_bytes().to_vec()).collect();
        let vocabulary = Vocabulary {
            ids,
            locations: all_locations[..chance.between(1, 5) as usize].to_vec(),
            times: chance.magnitude(1, 1000),
            max_line,
            questions_one_in: *chance.pick(&[0, 2, 5, 10]),
            // Decided later from other random numbers, so that older seeds keep their meaning.
            near_one_in: 0,
            garbage_one_in: *chance.pick(&[0, 5, 30]),
        };
        let calm = chance.one_in(8);
        let most = *chance.pick(&[2, 4, 13]);
        let faults = FAULTS
            .iter()
            .copied()
            .filter(|_| !calm && chance.one_in(FAULTS.len() as u64 / most + 1))
            .collect();
        Plan {
            names: (0..servers).map(|number| format!("Server{number}")).collect(),
            edges: edges(chance, servers),
            conditions,
            vocabulary,
            storm: chance.magnitude(2 * SECOND, 60 * SECOND),
            faults,
            fault_every: chance.magnitude(100 * MILLISECOND, 8 * SECOND),
            fault_length_max: chance.magnitude(200 * MILLISECOND, 200 * SECOND),
            // Decided later, as above.
            reload_every: None,
            client_every: chance.magnitude(30 * MILLISECOND, 3 * SECOND),
            silence: Duration::from_millis(*chance.pick(&[600, 1000, 3000])),
            high_water: chance.magnitude(200, 4000) as u32,
            line_timeout: chance.magnitude(4 * SECOND, 60 * SECOND),
            places_timeout: chance.magnitude(ANSWER_MAX, 5 * SECOND),
            places_connections: PLACES_CONNECTIONS,
            connections_max: if chance.one_in(6) { chance.between(2, 12) as usize } else { 10_000 },
            logs: chance.one_in(8),
            // Decided later, as above.
            lifetimes: Lifetimes::default(),
            has_long_lines: false,
            has_stores: false,
            has_web: false,
            has_tls: false,
            dialect: Dialect::GoogleLegacy,
            cache: Duration::ZERO,
            host_name: HOST_NAMES[chance.index(HOST_NAMES.len())],
        }
    }

    pub fn is_large(&self) -> bool {
        self.names.len() == LARGE
    }

    /// The neighbours of a server.
    pub fn neighbours_of(&self, server: usize) -> impl Iterator<Item = usize> {
        self.edges.iter().filter_map(move |&(one, other)| match server {
            _ if server == one => Some(other),
            _ if server == other => Some(one),
            _ => None,
        })
    }

    /// Whether each statement crosses each edge once: the servers are a tree, and none restarts.
    pub fn statements_cross_once(&self) -> bool {
        let restarts = |fault: &Fault| matches!(fault, Fault::Kill | Fault::PowerLoss | Fault::Stop);
        // Checks of stores restart servers, too.
        let restarts = self.has_stores || self.faults.iter().any(restarts);
        self.edges.len() + 1 == self.names.len() && !restarts
    }

    /// Whether the host of addresses is a name that is looked up.
    pub fn has_lookups(&self) -> bool {
        self.host_name != "localhost" && self.host_name.parse::<IpAddr>().is_err()
    }

    /// Bytes of the replies of one client that may wait for the answer to a question, or that one NEAR has.
    pub fn waiting_replies_max(&self) -> usize {
        let near = if self.vocabulary.near_one_in > 0 { NEAR_MAX } else { 0 };
        let near = if self.has_web { near.max(WEB_MAX) } else { near };
        near + if self.vocabulary.questions_one_in > 0 { REPLIES_MAX + ANSWERS_MAX } else { 0 }
    }

    /// The time limit for agreement after all faults have ended. A dead link is closed after the silence, and
    /// so is an attempt to make one that began just before. The longest retry delay follows, then the
    /// transfer from server to server.
    pub fn agreement_max(&self) -> Time {
        let handshake = if self.has_tls { HANDSHAKE_MAX } else { 0 };
        let long_lines = if self.has_long_lines { LONG_TRANSFER_MAX } else { 0 };
        2 * self.silence.as_nanos() as Time + RETRY_MAX + TRANSFER_MAX + long_lines + handshake
    }
}

/// A random tree, and some further edges.
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
/// Names of the one machine that all servers are on.
const HOST_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "looked.up.example"];
/// One seed in so many has settings that change.
const RELOADS_ONE_IN: u64 = 4;
/// The servers of a large herd.
const LARGE: usize = 200;
/// Bytes of waiting replies above which a client is not read from.
const REPLIES_MAX: usize = 64 * 1024;
/// Questions to Places of one server in flight, mostly.
const PLACES_CONNECTIONS: usize = 64;
/// Bytes of the answers to the questions of one client in flight, each of less than 2 KiB.
const ANSWERS_MAX: usize = PLACES_CONNECTIONS * 2048;
/// Bytes of a reply to NEAR: a line of the longest form about each client.
const NEAR_MAX: usize = 8 * 10 * 1024;
/// Bytes of a response over HTTP: a page of metrics, or a portion of a list.
const WEB_MAX: usize = 64 * 1024;
/// The longest time of a question to Places without a fault, and its answer: 6 KiB in chunks of one byte, 16
/// bytes in each round trip of 5 ms.
const ANSWER_MAX: Time = 3 * SECOND;
/// The time limit of a handshake that began just before the end of the storm.
const HANDSHAKE_MAX: Time = 2 * SECOND;
/// The longest retry delay.
const RETRY_MAX: Time = SECOND;
/// The longest transfer of some long lines from end to end of a herd: a few round trips for each.
const LONG_TRANSFER_MAX: Time = 5 * SECOND;
/// The longest transfer from end to end of a herd through small windows.
const TRANSFER_MAX: Time = 3 * SECOND;
