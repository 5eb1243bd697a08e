//! What all web conversations of a server share.

use std::collections::VecDeque;

use super::phones::PhoneCounts;
use super::representation::Events;
use crate::http::server::HttpDate;
use crate::protocol::ConnectionId;

/// The state that all web conversations of a server share.
#[derive(Debug)]
pub struct WebShared {
    pub(super) date: HttpDate,
    /// The last events of streams.
    pub(super) events: Events,
    /// Bytes of bodies of requests that are being received.
    pub(super) body_bytes: usize,
    /// Lists that are being written.
    pub(super) lists: usize,
    /// The connections whose list can go on.
    due: VecDeque<ConnectionId>,
    /// Work that may still be done for lists in this turn.
    pub(super) budget: usize,
    /// Requests that this turn may still carry out.
    requests_left: usize,
    /// The request that is being carried out, as the log shows it.
    request: String,
    /// What phones have sent.
    pub phones: PhoneCounts,
}

impl WebShared {
    /// The state of a server without connections.
    pub(in crate::conversation) fn new() -> WebShared {
        WebShared {
            date: HttpDate::default(),
            events: Events::default(),
            body_bytes: 0,
            lists: 0,
            due: VecDeque::new(),
            budget: TURN_WORK,
            requests_left: TURN_REQUESTS,
            request: String::new(),
            phones: PhoneCounts::default(),
        }
    }

    /// A list can go on.
    pub(super) fn wake(&mut self, connection: ConnectionId) {
        self.due.push_back(connection);
    }

    /// The next connection whose list can go on; `None`: there is none, or this turn has done enough.
    pub fn next_due(&mut self) -> Option<ConnectionId> {
        if self.budget == 0 { None } else { self.due.pop_front() }
    }

    /// The turn is over. Returns whether lists can go on.
    pub fn turn_ended(&mut self) -> bool {
        (self.budget, self.requests_left) = (TURN_WORK, TURN_REQUESTS);
        !self.due.is_empty()
    }

    /// Whether the turn should carry out no further request.
    pub fn is_exhausted(&self) -> bool {
        self.requests_left == 0
    }

    pub(super) fn begin_request(&mut self, method: &str, target: &str) {
        self.requests_left = self.requests_left.saturating_sub(1);
        self.request.clear();
        for part in [method, " ", target] {
            self.request.push_str(part);
        }
    }

    pub(super) fn end_request(&mut self) {
        self.request.clear();
    }

    /// The request that is being carried out; empty: there is none.
    pub(super) fn request(&self) -> &str {
        &self.request
    }
}

/// Requests of one turn, of 2 µs or more each: replies and heartbeats leave at the end of a turn, and must not wait for those
/// of a thousand connections.
const TURN_REQUESTS: usize = 4096;
/// The work for lists in one turn: as many changes that are looked at, each 0.1 µs or more. About a millisecond.
const TURN_WORK: usize = if cfg!(test) { 64 } else { 8 * 1024 };
