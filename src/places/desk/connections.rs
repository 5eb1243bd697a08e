//! The connections to Places: each question in flight has one of its own, and idle ones are kept for the next.

use std::rc::Rc;

use super::pending::{Pending, QuestionId, Source, State};
use super::{Desk, End, Outcome, Step};
use crate::clock::Moment;
use crate::places::answer::Status;
use crate::places::dialect::Request;

impl<C: Copy + Eq, W: Copy + Ord> Desk<C, W> {
    /// Puts a question in flight on a connection. `None`: on one that is being made, or the question has its answer.
    pub(super) fn put(&mut self, now: Moment, id: QuestionId) -> Option<Step<C, W>> {
        if !self.leads_to_present_service(id) {
            // It was put to an earlier service already, whose key another must not get.
            self.readdress(id);
        }
        let pending = self.questions.get_mut(&id)?;
        let idle = if pending.needs_new { None } else { self.idle.pop() };
        if let Some(connection) = idle {
            return Some(self.assign(now, id, connection));
        }
        if let Some(connection) = self.unmade.pop() {
            pending.state = State::InFlight { connection, source: Source::Pending };
            return None;
        }
        pending.state = State::Connecting;
        if self.idle.len() + self.in_flight.len() > self.bounds.connections && !self.idle.is_empty() {
            self.steps.push_back(Step::Abort(self.idle.remove(0)));
        }
        Some(Step::Connect(id))
    }

    /// Assigns a question to a connection that was idle.
    fn assign(&mut self, now: Moment, id: QuestionId, connection: C) -> Step<C, W> {
        let Some(pending) = self.questions.get_mut(&id) else { return Step::Abort(connection) };
        pending.state = State::InFlight { connection, source: Source::Reused };
        pending.is_sent = true;
        self.minute.send(now, self.bounds.per_minute);
        Step::Ask(connection, pending.request.clone())
    }

    /// A connection for this question is being made.
    pub fn connecting(&mut self, id: QuestionId, connection: C) {
        match self.questions.get_mut(&id) {
            Some(pending) if pending.state == State::Connecting => {
                pending.state = State::InFlight { connection, source: Source::Pending };
            }
            // The question has its answer, or another connection.
            _ => self.steps.push_back(Step::Abort(connection)),
        }
    }

    /// A connection was made. Returns the request to send; `None`: the connection is idle.
    pub fn connected(&mut self, now: Moment, connection: C) -> Option<Request> {
        let Some(id) = self.question_on(connection) else {
            if let Some(at) = self.unmade.iter().position(|&unmade| unmade == connection) {
                self.unmade.remove(at);
                self.became_idle(now, connection);
            }
            return None;
        };
        let pending = self.questions.get_mut(&id)?;
        pending.state = State::InFlight { connection, source: Source::New };
        pending.is_sent = true;
        self.minute.send(now, self.bounds.per_minute);
        Some(pending.request.clone())
    }

    /// Whether a question waits for the first answer on a new connection. A service that serves one connection
    /// at a time answers it only after the others have ended.
    pub fn awaits_new_connection(&self) -> bool {
        self.asked().any(|(_, pending)| matches!(pending.state, State::InFlight { source: Source::New, .. }))
    }

    /// No connection can be made for this question.
    pub fn not_connected(&mut self, now: Moment, id: QuestionId, reason: &str) {
        if self.questions.get(&id).is_some_and(|pending| pending.state == State::Connecting) {
            self.could_not_connect(now, id, reason);
        }
    }

    /// Puts a question again whose kept connection has ended before the first byte of an answer, on a new one.
    pub(super) fn replace(&mut self, now: Moment, id: QuestionId) {
        if !self.minute.has_room(now, self.bounds.per_minute) {
            let reason = "a kept connection ended, and this server has sent places.max_per_minute questions in the \
                          last minute";
            let answer = Rc::new(self.service.failure(Status::OverQueryLimit, reason));
            self.note_latency(now, id);
            return self.answer(id, End::PerMinute, answer);
        }
        let Some(pending) = self.questions.get_mut(&id) else { return };
        (pending.state, pending.needs_new, pending.is_sent) = (State::Waiting, true, false);
        self.minute.reserve();
        self.in_flight.remove(&id);
        self.waiting.insert(id);
    }

    /// Gives an idle connection to the oldest question whose own connection is still being made. That one is for the
    /// next question that waits.
    pub(super) fn became_idle(&mut self, now: Moment, connection: C) {
        let would_take = |pending: &Pending<C, W>| {
            pending.awaits_its_connection() && Rc::ptr_eq(&pending.service, &self.service)
        };
        let oldest = self.asked().find(|(_, pending)| would_take(pending));
        let Some((id, unmade)) = oldest.map(|(id, pending)| (id, pending.connection())) else {
            self.idle.push(connection);
            return;
        };
        self.unmade.extend(unmade);
        let step = self.assign(now, id, connection);
        self.steps.push_back(step);
    }

    /// A connection is gone. A question that was assigned to it, but reported no result, was never sent.
    pub fn connection_lost(&mut self, now: Moment, connection: C) {
        self.idle.retain(|&idle| idle != connection);
        self.unmade.retain(|&unmade| unmade != connection);
        let reason = "the connection ended before the question was sent".to_owned();
        self.answered(now, connection, Outcome::Broken { nothing_received: true, reason }, false);
    }

    /// The questions in flight, the oldest first.
    fn asked(&self) -> impl Iterator<Item = (QuestionId, &Pending<C, W>)> {
        self.in_flight.iter().filter_map(|id| Some((*id, self.questions.get(id)?)))
    }

    /// The question on a connection. Looks at the questions in flight only, however many wait.
    pub(super) fn question_on(&self, connection: C) -> Option<QuestionId> {
        self.asked().find(|(_, pending)| pending.connection() == Some(connection)).map(|(id, _)| id)
    }

    pub(super) fn leads_to_present_service(&self, id: QuestionId) -> bool {
        self.questions.get(&id).is_some_and(|pending| Rc::ptr_eq(&pending.service, &self.service))
    }
}
