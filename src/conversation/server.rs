//! The state of one server of a herd that all its conversations share.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::counts::outcome_index;
use super::operating::{Course, ProcessFigures};
use super::{
    Conversation, Counts, Durability, EventLimit, Followers, Handle, NeighbourId, Neighbours,
    OlderStatements, PlacesRequest, Searches, WebShared,
};
use crate::access::Access;
use crate::config::{Limits, PlacesSection};
use crate::log::Log;
use crate::places::desk::Desk;
use crate::places::dialect::Service;
use crate::protocol::{ConnectionId, TlsKeys};
use crate::store::{Origin, Outcome, Retention, Store};
use crate::text::peer_line::Epoch;
use crate::text::record::Statement;

/// The identity of a server. It does not change as long as the server runs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name of its herd.
    pub herd: Box<str>,
    /// Its own name.
    pub name: Box<str>,
    /// The epoch of its store.
    pub epoch: Epoch,
}

/// A conversation that waits for an answer of Places, or for the end of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiter {
    /// The conversation.
    pub conversation: Handle<Conversation>,
    /// The number that it has given to the question or the search.
    pub ticket: u32,
}

/// The ends of a server's certificates, in seconds since 1970; `None`: there is no such certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateEnds {
    /// That for links.
    pub links: Option<i64>,
    /// That for HTTP.
    pub http: Option<i64>,
}

/// The desk of questions to Places, as a server uses it.
pub type PlacesDesk = Desk<Handle<PlacesRequest>, Waiter>;

/// A report of a conversation to the part of the server that dials neighbours.
#[derive(Debug, PartialEq, Eq)]
pub enum Signal {
    /// A neighbour has dialled this server, so it is reachable. The epoch is that of its HELLO.
    NeighbourAlive(NeighbourId, Epoch),
    /// A neighbour has acknowledged changes on the outbound link.
    LinkWorks(NeighbourId),
    /// What was reached at an address of a neighbour cannot prove to be the neighbour.
    NotTheNeighbour(NeighbourId),
    /// The outbound link to a neighbour is down, or could not be made.
    LinkLost(NeighbourId),
    /// This inbound link was replaced by a newer one.
    LinkReplaced(ConnectionId),
}

/// The state of one server of a herd.
#[derive(Debug)]
pub struct Server {
    /// Its identity.
    pub identity: Identity,
    /// The limits of the herd file.
    pub limits: Limits,
    /// A link on which nothing arrives for this time is dropped.
    pub silence: Duration,
    /// The keys of mutual TLS on links; `None`: links are plain text, from loopback addresses only.
    pub keys: Option<Rc<dyn TlsKeys>>,
    /// The newest statement of each client.
    pub store: Store,
    /// What the disk has of the store.
    pub durability: Durability,
    /// The connections that follow clients.
    pub followers: Followers,
    /// The neighbours.
    pub neighbours: Neighbours,
    /// The log.
    pub log: Log,
    /// The questions to Places.
    pub desk: PlacesDesk,
    /// The searches of NEAR.
    pub searches: Searches,
    /// Reports that were not acted on yet.
    pub signals: VecDeque<Signal>,
    /// What the server counts for its metrics.
    pub counts: Counts,
    /// The facts of [`readiness`](super::operating::readiness) that no other part has.
    pub course: Course,
    /// The ends of the server's certificates.
    pub certificate_ends: CertificateEnds,
    /// Reads the figures of the process; `None`: this server has no process of its own.
    pub read_process: Option<fn() -> ProcessFigures>,
    /// Bytes of answers of Places and of searches that their client has not read.
    pub unread_answer_bytes: usize,
    /// Statements of neighbours that were dropped for lack of room; see [`Outcome::Full`].
    pub statements_dropped: u64,
    /// The refused commands of clients.
    pub refusals: EventLimit,
    /// Statements that are too long for a link, in either direction.
    pub passed_over: EventLimit,
    /// The refused HELLOs, and the connections of clients that were closed because the server is full.
    pub connections_refused: EventLimit,
    /// The TLS handshakes of accepted connections that have failed.
    pub handshakes_failed: EventLimit,
    /// The clients whose losing statements were logged.
    pub older_statements: OlderStatements,
    /// What requests over HTTP may do.
    pub access: Access,
    /// What the web conversations share.
    pub web: WebShared,
    /// The server shuts down.
    pub is_ending: bool,
}

impl Server {
    /// A server with an empty store and no neighbours, whose questions go to a Places on this machine until its
    /// desk gets another service.
    pub fn new(identity: Identity, limits: Limits, silence: Duration, log: Log) -> Server {
        let mut store = Store::new(limits.max_clients);
        store.set_retention(retention(&limits));
        Server {
            store,
            identity,
            limits,
            silence,
            keys: None,
            durability: Durability::default(),
            followers: Followers::new(),
            neighbours: Neighbours::default(),
            log,
            desk: Desk::new(PlacesSection::default().bounds, Service::default()),
            searches: Searches::new(),
            signals: VecDeque::new(),
            counts: Counts::default(),
            course: Course::default(),
            certificate_ends: CertificateEnds::default(),
            read_process: None,
            unread_answer_bytes: 0,
            statements_dropped: 0,
            refusals: EventLimit::new(),
            passed_over: EventLimit::new(),
            connections_refused: EventLimit::new(),
            handshakes_failed: EventLimit::new(),
            older_statements: OlderStatements::default(),
            access: Access::open(),
            web: WebShared::new(),
            is_ending: false,
        }
    }

    /// Takes over other limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.store.set_records_max(limits.max_clients);
        self.store.set_retention(retention(&limits));
        self.limits = limits;
    }

    /// Sets the time of what follows, in nanoseconds since 1970: of log lines, and for the end of statements.
    pub fn set_time(&mut self, wall: u64) {
        self.log.set_time(wall);
        self.store.set_time(wall);
    }

    /// Removes records whose statements are over: a portion of a pass through all records. Returns whether the pass
    /// goes on.
    pub fn sweep(&mut self) -> bool {
        let followers = &mut self.followers;
        let expired = &mut self.counts.clients_expired;
        self.store.sweep(|removed| {
            *expired += u64::from(!removed.is_gone);
            if !followers.is_empty() {
                followers.removed(removed.record, removed.id, removed.is_gone);
            }
        })
    }

    /// Stores a statement of a neighbour, if it is not over and wins. `line` is its line with LF.
    pub fn learn(&mut self, statement: &Statement<'_>, line: &[u8], origin: Origin) {
        let outcome = self.followers.report(&mut self.store, statement, line, origin);
        self.counts.statements_of_neighbours[outcome_index(outcome)] += 1;
        if outcome == Outcome::Full {
            if self.statements_dropped == 0 {
                let (contents, most) = (self.store_contents(), self.limits.max_clients);
                self.log.event(format_args!(
                    "Statements of neighbours are dropped: the store is full with {contents}; limits.max_clients is \
                     {most}"
                ));
            }
            self.statements_dropped += 1;
        }
    }

    /// The number of records in words, for the log: `5 clients and 2 forgotten ones`.
    pub fn store_contents(&self) -> String {
        let clients = self.store.len();
        match self.store.records() - clients {
            0 => format!("{clients} clients"),
            forgotten => format!("{clients} clients and {forgotten} forgotten ones"),
        }
    }

    /// The longest pause between two lines on a link, so that the other side does not drop it as silent.
    pub fn heartbeat(&self) -> Duration {
        (self.silence / 3).min(HEARTBEAT_MAX)
    }
}

/// How long statements count.
fn retention(limits: &Limits) -> Retention {
    Retention { at_s: limits.expire_s, gone_s: limits.remember_gone_s }
}

/// The longest heartbeat interval (docs/protocol.md, section 2).
const HEARTBEAT_MAX: Duration = Duration::from_secs(1);
