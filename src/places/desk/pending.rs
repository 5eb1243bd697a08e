//! A pending question and its way to the service.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Moment;
use crate::places::dialect::{Request, Service};
use crate::places::question::Question;

/// The name of a question. It is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuestionId(pub(super) u64);

/// A question that has no answer yet.
#[derive(Debug)]
pub(super) struct Pending<C, W> {
    pub(super) question: Question,
    pub(super) request: Request,
    /// The service that it is put to.
    pub(super) service: Rc<Service>,
    /// Those that wait, by their place in the order in which they came.
    pub(super) waiters: BTreeMap<u64, W>,
    pub(super) state: State<C>,
    pub(super) timeout: Duration,
    pub(super) deadline: Moment,
    /// The request was sent, and need not be sent again.
    pub(super) is_sent: bool,
    /// An idle connection failed, so that the question needs a new one.
    pub(super) needs_new: bool,
    /// The service has asked to be asked again.
    was_repeated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State<C> {
    /// The question waits for its turn.
    Waiting,
    /// A connection for the question was asked for.
    Connecting,
    /// The question was assigned to this connection.
    InFlight { connection: C, source: Source },
    /// The question was put, and its connection has brought no answer: it ends, or is put once more.
    Detached,
    /// The question was put, and is put once more at this moment.
    Delayed { until: Moment },
}

/// The source of the connection of a question in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It is being made.
    Pending,
    /// It was made for the question.
    New,
    /// It was idle.
    Reused,
}

impl<C: Copy + Eq, W> Pending<C, W> {
    /// A question that waits for its turn.
    pub(super) fn new(
        question: Question,
        request: Request,
        service: Rc<Service>,
        timeout: Duration,
        deadline: Moment,
    ) -> Pending<C, W> {
        Pending {
            question,
            request,
            service,
            waiters: BTreeMap::new(),
            state: State::Waiting,
            timeout,
            deadline,
            is_sent: false,
            needs_new: false,
            was_repeated: false,
        }
    }

    /// Adds a waiter. Returns its place.
    pub(super) fn add(&mut self, waiter: W) -> u64 {
        let place = self.waiters.last_key_value().map_or(0, |(last, _)| last + 1);
        self.waiters.insert(place, waiter);
        place
    }

    /// The connection of the question, which may still be in the making.
    pub(super) fn connection(&self) -> Option<C> {
        if let State::InFlight { connection, .. } = self.state { Some(connection) } else { None }
    }

    /// Whether the connection of the question is still being made, and an idle one would do.
    pub(super) fn awaits_its_connection(&self) -> bool {
        let is_unmade =
            matches!(self.state, State::Connecting | State::InFlight { source: Source::Pending, .. });
        is_unmade && !self.needs_new
    }

    /// Whether the question may be put once more at this moment.
    pub(super) fn may_repeat(&self, at: Moment) -> bool {
        !self.was_repeated && at < self.deadline
    }

    /// Notes that the question is put once more at this moment.
    pub(super) fn repeat(&mut self, until: Moment) {
        (self.state, self.was_repeated, self.is_sent) = (State::Delayed { until }, true, false);
    }
}
