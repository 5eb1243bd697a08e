//! The questions to Places: the ones in flight, the ones waiting, and the connections they use
//! (docs/protocol.md, section 1).
//!
//! A pure state machine: it opens no connection and reads no clock. Callers pass the time, and carry out
//! the [`Step`]s that it returns. `C` names a connection, `W` a waiter for an answer.

mod breaker;
mod cache;
mod changing;
mod connections;
mod minute;
mod pending;
mod statistics;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use self::breaker::Breaker;
use self::cache::Cache;
use self::minute::Minute;
pub use self::pending::QuestionId;
use self::pending::{Pending, Source, State};
pub use self::statistics::{End, Reception, Statistics};
use super::answer::{Answer, Status};
use super::dialect::{Request, Service};
use super::question::Question;
use crate::clock::Moment;
use crate::http::client::Response;

/// What one connection has brought for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole response, with any status.
    Response(Response),
    /// No connection was made, for this reason.
    NotConnected(String),
    /// The connection ended, or sent no response.
    Broken {
        /// No byte of a response had arrived, so that the request can be repeated (RFC 9112, section 9.3.1).
        nothing_received: bool,
        /// The reason, for people.
        reason: String,
    },
}

/// An action that the desk asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<C, W> {
    /// Make a connection for this question, then call [`Desk::connecting`] or [`Desk::not_connected`].
    Connect(QuestionId),
    /// Send this request on an idle connection.
    Ask(C, Request),
    /// Hand over an answer.
    Answer(W, Rc<Answer>),
    /// End this connection.
    Abort(C),
    /// Call [`Desk::wake`] at this moment.
    WakeAt(Moment),
}

/// The bounds of a desk, from the section `places` of the herd file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest time of a question, from the WHATSAT to the last byte of the answer.
    pub timeout: Duration,
    /// Questions in flight at the same time, each on a connection of its own.
    pub connections: usize,
    /// Questions that wait for a connection.
    pub waiting: usize,
    /// Requests that are sent in any 60 s; 0: no bound.
    pub per_minute: usize,
    /// How long an answer is given again; zero: never.
    pub cache: Duration,
}

/// The questions and the connections to Places.
#[derive(Debug)]
pub struct Desk<C, W> {
    bounds: Bounds,
    /// The service that later questions are put to.
    service: Rc<Service>,
    /// This server shuts down: no question is accepted.
    is_closed: bool,
    /// The pending questions by id, which is the order in which they came.
    questions: BTreeMap<QuestionId, Pending<C, W>>,
    /// The pending questions that later ones share, by their requests.
    shared: BTreeMap<Request, QuestionId>,
    /// The question of each waiter, and its place there.
    waiters: BTreeMap<W, (QuestionId, u64)>,
    /// The pending questions by the end of their time.
    deadlines: BTreeSet<(Moment, QuestionId)>,
    /// The questions that are put once more, by the moment at which that happens.
    repetitions: BTreeSet<(Moment, QuestionId)>,
    /// The moment of the last [`Step::WakeAt`] that has not come; [`Moment::NEVER`]: none.
    wake_at: Moment,
    last: u64,
    /// Waiting questions. The oldest one is put next.
    waiting: BTreeSet<QuestionId>,
    /// Questions that are being connected, were put, or are put once more: at most `bounds.connections`.
    in_flight: BTreeSet<QuestionId>,
    /// Connections without a question, the most recently used last.
    idle: Vec<C>,
    /// Connections that are being made, and whose question has got another one.
    unmade: Vec<C>,
    breaker: Breaker,
    minute: Minute,
    cache: Cache,
    statistics: Statistics,
    steps: VecDeque<Step<C, W>>,
}

impl<C, W> Desk<C, W> {
    /// A desk that puts questions to this service.
    pub fn new(bounds: Bounds, service: Service) -> Desk<C, W> {
        Desk {
            bounds,
            service: Rc::new(service),
            is_closed: false,
            questions: BTreeMap::new(),
            shared: BTreeMap::new(),
            waiters: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            repetitions: BTreeSet::new(),
            wake_at: Moment::NEVER,
            last: 0,
            waiting: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            idle: Vec::new(),
            unmade: Vec::new(),
            breaker: Breaker::default(),
            minute: Minute::default(),
            cache: Cache::default(),
            statistics: Statistics::default(),
            steps: VecDeque::new(),
        }
    }

    /// The number of pending questions. Equal questions count once.
    pub fn pending(&self) -> usize {
        self.questions.len()
    }

    /// What became of the questions since the start.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Whether the breaker lets no question pass but a trial.
    pub fn is_breaker_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// The name of the last question that was accepted.
    #[cfg(test)]
    pub(crate) fn last_question(&self) -> QuestionId {
        QuestionId(self.last)
    }

    /// The request of a pending question.
    pub fn request(&self, id: QuestionId) -> Option<&Request> {
        self.questions.get(&id).map(|pending| &pending.request)
    }
}

impl<C: Copy + Eq, W: Copy + Ord> Desk<C, W> {
    /// Gives up all pending questions and refuses later ones: this server shuts down.
    pub fn close(&mut self) {
        self.is_closed = true;
        let answer = Rc::new(self.closed());
        let ids: Vec<QuestionId> = self.questions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.answer(id, End::Ending, answer.clone()));
    }

    fn closed(&self) -> Answer {
        self.service.failure(Status::UnknownError, "the server is ending")
    }

    /// Accepts a question. Its answer follows as a step, unless its waiter is withdrawn.
    pub fn ask(&mut self, now: Moment, question: Question, waiter: W) {
        let reception = match self.accept(now, question, waiter) {
            Ok(reception) => reception,
            Err((reception, answer)) => {
                self.steps.push_back(Step::Answer(waiter, answer));
                reception
            }
        };
        self.statistics.note_received(reception);
        self.set_alarm();
    }

    /// Accepts a question, or answers it at once. The order of the checks is that of docs/protocol.md.
    fn accept(
        &mut self,
        now: Moment,
        question: Question,
        waiter: W,
    ) -> Result<Reception, (Reception, Rc<Answer>)> {
        if self.is_closed {
            return Err((Reception::Ending, Rc::new(self.closed())));
        }
        if let Some(refusal) = self.service.refusal(&question) {
            return Err((Reception::Invalid, Rc::new(refusal)));
        }
        let request = self.service.request(&question);
        if let Some(answer) = self.cache.get(now, self.bounds.cache, &request) {
            return Err((Reception::Cached, answer));
        }
        if let Some(&id) = self.shared.get(&request)
            && let Some(pending) = self.questions.get_mut(&id)
        {
            self.waiters.insert(waiter, (id, pending.add(waiter)));
            return Ok(Reception::Shared);
        }
        let over_limit = |reception, reason: &str| {
            Err((reception, Rc::new(self.service.failure(Status::OverQueryLimit, reason))))
        };
        if let Some(last) = self.breaker.refusal(now) {
            let answer = Rc::new(self.service.failure(Status::UnknownError, &last));
            return Err((Reception::BreakerOpen, answer));
        }
        if !self.minute.has_room(now, self.bounds.per_minute) {
            let reason = "this server has sent places.max_per_minute questions in the last minute";
            return over_limit(Reception::PerMinute, reason);
        }
        if self.questions.len() >= self.bounds.connections + self.bounds.waiting {
            return over_limit(Reception::TooMany, "places.max_waiting questions wait already");
        }
        self.last += 1;
        let id = QuestionId(self.last);
        let (timeout, deadline) = (self.bounds.timeout, now + self.bounds.timeout);
        let mut pending = Pending::new(question, request, self.service.clone(), timeout, deadline);
        self.shared.insert(pending.request.clone(), id);
        self.waiters.insert(waiter, (id, pending.add(waiter)));
        self.questions.insert(id, pending);
        self.waiting.insert(id);
        self.deadlines.insert((deadline, id));
        self.minute.reserve();
        self.breaker.put(id);
        Ok(Reception::Accepted)
    }

    /// Gives up the questions whose time is over, and puts those once more whose time for that has come. Called at
    /// each moment of [`Step::WakeAt`].
    pub fn wake(&mut self, now: Moment) {
        if now >= self.wake_at {
            self.wake_at = Moment::NEVER;
        }
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.remove(&(deadline, id));
            self.time_out(now, id);
        }
        while let Some(&(at, id)) = self.repetitions.first()
            && at <= now
        {
            self.repetitions.remove(&(at, id));
            let step = self.put(now, id);
            self.steps.extend(step);
        }
        self.set_alarm();
    }

    fn time_out(&mut self, now: Moment, id: QuestionId) {
        let Some(pending) = self.questions.get(&id) else { return };
        let (timeout, was_put) = (pending.timeout, pending.state != State::Waiting);
        let answer = pending.service.unreachable(&format!("no answer within {timeout:?}"));
        self.note_latency(now, id);
        if was_put {
            self.failed(now, id, End::TimedOut, answer);
        } else {
            self.answer(id, End::TimedOut, Rc::new(answer));
        }
    }

    /// The next action. The caller asks until there is none, after each call of another method.
    pub fn next_step(&mut self, now: Moment) -> Option<Step<C, W>> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            let has_room = self.in_flight.len() < self.bounds.connections;
            let Some(id) = has_room.then(|| self.waiting.pop_first()).flatten() else {
                // Nothing needs the connections that are being made.
                return self.unmade.pop().map(Step::Abort);
            };
            self.in_flight.insert(id);
            if let Some(step) = self.put(now, id) {
                return Some(step);
            }
        }
    }

    /// The question on this connection has a result. `reusable`: the connection can take another question.
    pub fn answered(&mut self, now: Moment, connection: C, outcome: Outcome, reusable: bool) {
        let Some(id) = self.question_on(connection) else { return };
        let Some(pending) = self.questions.get_mut(&id) else { return };
        let is_present = Rc::ptr_eq(&pending.service, &self.service);
        let is_reused = matches!(pending.state, State::InFlight { source: Source::Reused, .. });
        pending.state = State::Detached;
        match outcome {
            Outcome::Response(response) => self.responded(now, id, response),
            Outcome::Broken { nothing_received: true, .. } if is_reused => self.replace(now, id),
            Outcome::Broken { reason, .. } => self.broken(now, id, &reason),
            Outcome::NotConnected(reason) => self.could_not_connect(now, id, &reason),
        }
        // A connection to an earlier service must not get the key of another.
        if reusable && is_present {
            self.became_idle(now, connection);
        }
        self.set_alarm();
    }

    fn responded(&mut self, now: Moment, id: QuestionId, response: Response) {
        let Some(pending) = self.questions.get_mut(&id) else { return };
        if let (429 | 503, Some(after)) = (response.status, response.retry_after)
            && pending.may_repeat(now + after)
            && self.minute.has_room(now, self.bounds.per_minute)
        {
            pending.repeat(now + after);
            self.minute.reserve();
            self.repetitions.insert((now + after, id));
            return;
        }
        let is_failure = (500..600).contains(&response.status);
        let answer = pending.service.answer(response);
        self.note_latency(now, id);
        if is_failure {
            return self.failed(now, id, End::Error, answer);
        }
        let answer = Rc::new(answer);
        if answer.succeeded()
            && self.leads_to_present_service(id)
            && let Some(pending) = self.questions.get(&id)
        {
            self.cache.insert(now, self.bounds.cache, &pending.request, &answer);
        }
        self.breaker.succeeded();
        let end = if answer.succeeded() { End::Answered } else { End::Error };
        self.answer(id, end, answer);
    }

    /// Counts the time from the acceptance of a question to its answer or failure.
    pub(super) fn note_latency(&mut self, now: Moment, id: QuestionId) {
        if let Some(pending) = self.questions.get(&id) {
            let latency = (now + pending.timeout).nanoseconds_since(pending.deadline);
            self.statistics.latencies.note(latency, 1);
        }
    }

    fn broken(&mut self, now: Moment, id: QuestionId, reason: &str) {
        let Some(pending) = self.questions.get(&id) else { return };
        let answer = Rc::new(pending.service.unreachable(reason));
        self.breaker.succeeded();
        self.note_latency(now, id);
        self.answer(id, End::Broken, answer);
    }

    fn could_not_connect(&mut self, now: Moment, id: QuestionId, reason: &str) {
        if let Some(pending) = self.questions.get(&id) {
            let answer = pending.service.unreachable(reason);
            self.note_latency(now, id);
            self.failed(now, id, End::NotConnected, answer);
        }
    }

    /// Ends a question that was put and has failed as the breaker counts it.
    fn failed(&mut self, now: Moment, id: QuestionId, end: End, answer: Answer) {
        let has_opened = self.breaker.failed(now, id, answer.error_message().unwrap_or_default());
        self.answer(id, end, Rc::new(answer));
        if !has_opened {
            return;
        }
        // It has opened: what was not put yet must not wait.
        let Some(last) = self.breaker.refusal(now) else { return };
        let answer = Rc::new(self.service.failure(Status::UnknownError, &last));
        let later = self.repetitions.iter().map(|(_, id)| *id);
        let ids: Vec<QuestionId> = self.waiting.iter().copied().chain(later).collect();
        ids.into_iter().for_each(|id| self.answer(id, End::BreakerOpen, answer.clone()));
    }

    /// Forgets a waiter, which gets no answer. A question without waiters is given up.
    pub fn withdraw(&mut self, waiter: &W) {
        let Some((id, place)) = self.waiters.remove(waiter) else { return };
        let Some(pending) = self.questions.get_mut(&id) else { return };
        pending.waiters.remove(&place);
        if pending.waiters.is_empty() {
            self.statistics.note_ended(End::Withdrawn);
            self.remove(id);
        }
    }

    /// Ends a question with this answer.
    fn answer(&mut self, id: QuestionId, end: End, answer: Rc<Answer>) {
        let Some(pending) = self.remove(id) else { return };
        self.statistics.note_ended(end);
        for waiter in pending.waiters.into_values() {
            self.waiters.remove(&waiter);
            self.steps.push_back(Step::Answer(waiter, answer.clone()));
        }
    }

    /// Removes a question, and ends the connection that has not answered it.
    fn remove(&mut self, id: QuestionId) -> Option<Pending<C, W>> {
        let pending = self.questions.remove(&id)?;
        if self.shared.get(&pending.request) == Some(&id) {
            self.shared.remove(&pending.request);
        }
        self.deadlines.remove(&(pending.deadline, id));
        self.waiting.remove(&id);
        self.in_flight.remove(&id);
        self.breaker.forget(id);
        match pending.state {
            State::InFlight { connection, .. } => self.steps.push_back(Step::Abort(connection)),
            State::Delayed { until } => drop(self.repetitions.remove(&(until, id))),
            State::Waiting | State::Connecting | State::Detached => {}
        }
        if !pending.is_sent {
            self.minute.release();
        }
        Some(pending)
    }

    /// Asks for a wake-up at the first deadline or repetition, unless an earlier one was asked for.
    fn set_alarm(&mut self) {
        let first = self.deadlines.first().into_iter().chain(self.repetitions.first()).min();
        if let Some(&(at, _)) = first
            && at < self.wake_at
        {
            self.wake_at = at;
            self.steps.push_back(Step::WakeAt(at));
        }
    }
}

#[cfg(test)]
mod tests;
