//! The questions to Places: the ones in flight, the ones waiting, and the connections they use.
//!
//! A pure state machine: it opens no connection and reads no clock. Callers pass the time, and carry out
//! the [`Step`]s that it returns. `C` names a connection, `W` a waiter for an answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::answer::Answer;
use super::question::Question;
use crate::clock::Moment;

/// The name of a question. It is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuestionId(u64);

/// The failure of a question on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFailure {
    /// No byte of a response had arrived, so that the request can be repeated (RFC 9112, section 9.3.1).
    pub nothing_received: bool,
    /// The reason, for people.
    pub reason: String,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// This server has no key for Places.
    NoKey,
    /// [`QUESTIONS_MAX`] questions are pending.
    TooMany,
    /// No answer arrived within this time.
    TimedOut(Duration),
    /// This server shuts down.
    ShuttingDown,
    /// Asking failed, for this reason.
    Failed(String),
}

/// An action that the desk asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<C, W> {
    /// Make a connection for this question, then call [`Desk::connecting`] or [`Desk::not_connected`].
    Connect(QuestionId),
    /// Ask this question on an idle connection.
    Ask(C, QuestionId),
    /// Hand over an answer, or the reason why there is none.
    Answer(W, Result<Answer, Problem>),
    /// End this connection.
    Abort(C),
    /// Call [`Desk::wake`] at this moment.
    WakeAt(Moment),
}

/// The questions and the connections to Places.
#[derive(Debug)]
pub struct Desk<C, W> {
    timeout: Duration,
    /// The reason to refuse questions; `None`: questions are accepted.
    closed: Option<Problem>,
    /// The pending questions by id, which is the order in which they came.
    questions: BTreeMap<QuestionId, Pending<C, W>>,
    /// The pending questions by the end of their time.
    deadlines: BTreeSet<(Moment, QuestionId)>,
    /// The moment of the last [`Step::WakeAt`] that has not come; [`Moment::NEVER`]: none.
    wake_at: Moment,
    last: u64,
    /// Waiting questions. The oldest one is asked next.
    waiting: BTreeSet<QuestionId>,
    /// Questions that are being connected, or were asked: at most [`IN_FLIGHT_MAX`].
    in_flight: BTreeSet<QuestionId>,
    /// Connections without a question, the most recently used last.
    idle: Vec<C>,
    /// The number of times that the service was changed: a connection to an earlier one is not reused.
    service: u32,
    steps: VecDeque<Step<C, W>>,
}

#[derive(Debug)]
struct Pending<C, W> {
    question: Question,
    waiter: W,
    state: State<C>,
    timeout: Duration,
    deadline: Moment,
    /// An idle connection failed, so that the question needs a new one.
    needs_new: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State<C> {
    /// The question waits for its turn.
    Waiting,
    /// A connection for the question was asked for.
    Connecting,
    /// The question was assigned to this connection.
    InFlight { connection: C, source: Source, service: u32 },
}

impl<C, W> Pending<C, W> {
    /// Whether the connection of the question is still being made, and an idle one would do.
    fn awaits_its_connection(&self) -> bool {
        let is_unmade =
            matches!(self.state, State::Connecting | State::InFlight { source: Source::Pending, .. });
        is_unmade && !self.needs_new
    }
}

/// The source of the connection of a question in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It is being made for the question.
    Pending,
    /// It was made for the question.
    New,
    /// It was idle.
    Reused,
}

impl<C, W> Desk<C, W> {
    /// A desk that accepts questions and waits for each answer for `timeout`.
    pub fn new(timeout: Duration) -> Desk<C, W> {
        Desk {
            timeout,
            closed: None,
            questions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            wake_at: Moment::NEVER,
            last: 0,
            waiting: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            idle: Vec::new(),
            service: 0,
            steps: VecDeque::new(),
        }
    }

    /// The number of pending questions.
    pub fn pending(&self) -> usize {
        self.questions.len()
    }

    /// A pending question.
    pub fn question(&self, id: QuestionId) -> Option<&Question> {
        self.questions.get(&id).map(|pending| &pending.question)
    }
}

impl<C: Copy + Eq, W> Desk<C, W> {
    /// Changes the time limit of later questions, and accepts questions again unless `closed`.
    pub fn configure(&mut self, timeout: Duration, closed: Option<Problem>) {
        self.timeout = timeout;
        self.closed = closed;
    }

    /// Asks another service from now on: idle connections are ended, and connections in use are not reused.
    pub fn change_service(&mut self) {
        self.service += 1;
        let idle = std::mem::take(&mut self.idle);
        self.steps.extend(idle.into_iter().map(Step::Abort));
    }

    /// Gives up all pending questions and refuses later ones.
    pub fn close(&mut self, problem: Problem) {
        let ids: Vec<QuestionId> = self.questions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.give_up(id, problem.clone()));
        self.closed = Some(problem);
    }

    /// Accepts a question. Its answer, or the problem, follows as a step, unless its waiter is withdrawn.
    pub fn ask(&mut self, now: Moment, question: Question, waiter: W) {
        let refusal = match &self.closed {
            Some(problem) => Some(problem.clone()),
            None => (self.questions.len() >= QUESTIONS_MAX).then_some(Problem::TooMany),
        };
        if let Some(problem) = refusal {
            self.steps.push_back(Step::Answer(waiter, Err(problem)));
            return;
        }
        self.last += 1;
        let id = QuestionId(self.last);
        let (timeout, deadline) = (self.timeout, now + self.timeout);
        let (state, needs_new) = (State::Waiting, false);
        self.questions.insert(id, Pending { question, waiter, state, timeout, deadline, needs_new });
        self.waiting.insert(id);
        self.deadlines.insert((deadline, id));
        self.set_alarm();
    }

    /// Gives up the questions whose time is over. Called at each moment of [`Step::WakeAt`].
    pub fn wake(&mut self, now: Moment) {
        if now >= self.wake_at {
            self.wake_at = Moment::NEVER;
        }
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            let timeout = self.questions.get(&id).map_or(self.timeout, |pending| pending.timeout);
            self.give_up(id, Problem::TimedOut(timeout));
        }
        self.set_alarm();
    }

    /// The next action. The caller asks until there is none, after each call of another method.
    pub fn next_step(&mut self) -> Option<Step<C, W>> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        while self.in_flight.len() < IN_FLIGHT_MAX {
            let id = self.waiting.pop_first()?;
            let Some(pending) = self.questions.get_mut(&id) else {
                continue;
            };
            let idle = if pending.needs_new { None } else { self.idle.pop() };
            self.in_flight.insert(id);
            let Some(connection) = idle else {
                pending.state = State::Connecting;
                return Some(Step::Connect(id));
            };
            pending.state = State::InFlight { connection, source: Source::Reused, service: self.service };
            return Some(Step::Ask(connection, id));
        }
        None
    }

    /// A connection for this question is being made.
    pub fn connecting(&mut self, id: QuestionId, connection: C) {
        match self.questions.get_mut(&id) {
            Some(pending) if pending.state == State::Connecting => {
                pending.state =
                    State::InFlight { connection, source: Source::Pending, service: self.service };
            }
            // The question has its answer, or another connection.
            _ => self.steps.push_back(Step::Abort(connection)),
        }
    }

    /// The connection for a question was made.
    pub fn connected(&mut self, connection: C) {
        if let Some((id, _, _)) = self.question_on(connection)
            && let Some(State::InFlight { source, .. }) =
                self.questions.get_mut(&id).map(|pending| &mut pending.state)
        {
            *source = Source::New;
        }
    }

    /// Whether a question waits for the first answer on a new connection. A service that serves one connection
    /// at a time answers it only after the others have ended.
    pub fn awaits_new_connection(&self) -> bool {
        self.asked().any(|(_, pending)| matches!(pending.state, State::InFlight { source: Source::New, .. }))
    }

    /// No connection can be made for this question.
    pub fn not_connected(&mut self, id: QuestionId, reason: String) {
        if self.questions.get(&id).is_some_and(|pending| pending.state != State::Connecting) {
            return;
        }
        if let Some(pending) = self.remove(id) {
            self.steps.push_back(Step::Answer(pending.waiter, Err(Problem::Failed(reason))));
        }
    }

    /// The question on this connection has a result. `reusable`: the connection can take another question.
    /// A reused connection that ended before the first byte of a response is replaced by a new one, once.
    pub fn answered(&mut self, connection: C, result: Result<Answer, RequestFailure>, reusable: bool) {
        let Some((id, source, service)) = self.question_on(connection) else {
            return;
        };
        // A connection to an earlier service must not get the key of another.
        let is_idle = reusable && service == self.service;
        if source == Source::Reused && result.as_ref().is_err_and(|failure| failure.nothing_received) {
            if let Some(pending) = self.questions.get_mut(&id) {
                pending.state = State::Waiting;
                pending.needs_new = true;
            }
            self.in_flight.remove(&id);
            self.waiting.insert(id);
        } else if let Some(pending) = self.remove(id) {
            let result = result.map_err(|failure| Problem::Failed(failure.reason));
            self.steps.push_back(Step::Answer(pending.waiter, result));
        }
        if is_idle {
            self.became_idle(connection);
        }
    }

    /// Gives an idle connection to the oldest question whose own connection is still being made.
    fn became_idle(&mut self, connection: C) {
        let oldest = self.asked().find(|(_, pending)| pending.awaits_its_connection()).map(|(id, _)| id);
        let Some((id, pending)) = oldest.and_then(|id| Some((id, self.questions.get_mut(&id)?))) else {
            self.idle.push(connection);
            return;
        };
        if let State::InFlight { connection: unmade, .. } = pending.state {
            self.steps.push_back(Step::Abort(unmade));
        }
        pending.state = State::InFlight { connection, source: Source::Reused, service: self.service };
        self.steps.push_back(Step::Ask(connection, id));
    }

    /// A connection is gone. A question that was assigned to it, but reported no result, was never sent.
    pub fn connection_lost(&mut self, connection: C) {
        self.idle.retain(|&idle| idle != connection);
        let reason = "the connection ended before the question was sent".to_owned();
        self.answered(connection, Err(RequestFailure { nothing_received: true, reason }), false);
    }

    /// Forgets the questions of these waiters; they get no answer.
    pub fn withdraw(&mut self, whose: impl Fn(&W) -> bool) {
        let ids: Vec<QuestionId> =
            self.questions.iter().filter(|(_, pending)| whose(&pending.waiter)).map(|(&id, _)| id).collect();
        for id in ids {
            if let Some(State::InFlight { connection, .. }) = self.remove(id).map(|pending| pending.state) {
                self.steps.push_back(Step::Abort(connection));
            }
        }
    }

    /// Asks for a wake-up at the first deadline, unless an earlier one was asked for.
    fn set_alarm(&mut self) {
        if let Some(&(deadline, _)) = self.deadlines.first()
            && deadline < self.wake_at
        {
            self.wake_at = deadline;
            self.steps.push_back(Step::WakeAt(deadline));
        }
    }

    fn give_up(&mut self, id: QuestionId, problem: Problem) {
        if let Some(pending) = self.remove(id) {
            if let State::InFlight { connection, .. } = pending.state {
                self.steps.push_back(Step::Abort(connection));
            }
            self.steps.push_back(Step::Answer(pending.waiter, Err(problem)));
        }
    }

    /// The questions in flight, the oldest first.
    fn asked(&self) -> impl Iterator<Item = (QuestionId, &Pending<C, W>)> {
        self.in_flight.iter().filter_map(|id| Some((*id, self.questions.get(id)?)))
    }

    /// The question on a connection, the source of the connection, and which service it leads to. Looks at the
    /// questions in flight only, however many wait.
    fn question_on(&self, connection: C) -> Option<(QuestionId, Source, u32)> {
        self.asked().find_map(|(id, pending)| match pending.state {
            State::InFlight { connection: own, source, service } if own == connection => {
                Some((id, source, service))
            }
            _ => None,
        })
    }

    fn remove(&mut self, id: QuestionId) -> Option<Pending<C, W>> {
        let pending = self.questions.remove(&id)?;
        self.deadlines.remove(&(pending.deadline, id));
        self.waiting.remove(&id);
        self.in_flight.remove(&id);
        Some(pending)
    }
}

/// Questions in flight at the same time (docs/protocol.md, section 1).
pub const IN_FLIGHT_MAX: usize = 64;
/// Pending questions: as many as can be answered in a few seconds.
pub const QUESTIONS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of the time of questions that are asked at the start.
    fn end() -> Moment {
        Moment::START + Duration::from_secs(5)
    }

    fn desk<W>() -> Desk<u32, W> {
        Desk::new(Duration::from_secs(5))
    }

    fn ask<W>(desk: &mut Desk<u32, W>, waiter: W) -> QuestionId {
        desk.ask(Moment::START, Question::new(b"+1", b"-1", b"10"), waiter);
        if let Some(Step::WakeAt(at)) = desk.steps.back() {
            assert_eq!(*at, end());
            desk.steps.pop_back();
        }
        QuestionId(desk.last)
    }

    fn answer() -> Answer {
        Answer::parse(b"{\"results\":[]}".to_vec()).unwrap()
    }

    fn failure(nothing_received: bool) -> Result<Answer, RequestFailure> {
        Err(RequestFailure { nothing_received, reason: "it broke".into() })
    }

    fn is_answered<W: PartialEq>(desk: &mut Desk<u32, W>, waiter: W) -> bool {
        matches!(desk.next_step(), Some(Step::Answer(own, Ok(_))) if own == waiter)
    }

    /// A question that was answered on this connection, which stays idle.
    fn answered_on(desk: &mut Desk<u32, &'static str>, connection: u32) {
        let id = ask(desk, "x");
        desk.next_step();
        desk.connecting(id, connection);
        desk.answered(connection, Ok(answer()), true);
        assert!(is_answered(desk, "x"));
    }

    #[test]
    fn an_idle_connection_is_reused() {
        let mut desk = desk();
        let first = ask(&mut desk, "a");
        assert_eq!(desk.next_step(), Some(Step::Connect(first)));
        assert_eq!(desk.next_step(), None);
        desk.connecting(first, 7);
        desk.answered(7, Ok(answer()), true);
        assert!(is_answered(&mut desk, "a"));
        let second = ask(&mut desk, "b");
        assert_eq!(desk.next_step(), Some(Step::Ask(7, second)));
        desk.answered(7, Ok(answer()), false);
        assert!(is_answered(&mut desk, "b"));
        let third = ask(&mut desk, "c");
        assert_eq!(desk.next_step(), Some(Step::Connect(third)), "it was not reusable");
    }

    #[test]
    fn a_reused_connection_that_ends_without_a_byte_is_replaced_once() {
        let mut desk = desk();
        let ids = [ask(&mut desk, "x"), ask(&mut desk, "x")];
        for (id, connection) in ids.into_iter().zip([7, 8]) {
            desk.next_step();
            desk.connecting(id, connection);
            desk.connected(connection);
        }
        for connection in [7, 8] {
            desk.answered(connection, Ok(answer()), true);
            assert!(is_answered(&mut desk, "x"));
        }
        let id = ask(&mut desk, "a");
        assert_eq!(desk.next_step(), Some(Step::Ask(8, id)));
        desk.answered(8, failure(true), false);
        assert_eq!(desk.next_step(), Some(Step::Connect(id)), "not on another idle connection");
        desk.connecting(id, 9);
        desk.answered(9, failure(true), false);
        assert!(matches!(desk.next_step(), Some(Step::Answer("a", Err(Problem::Failed(_))))));
    }

    #[test]
    fn a_question_whose_connection_is_gone_is_asked_on_a_new_one() {
        let mut desk = desk();
        answered_on(&mut desk, 7);
        let id = ask(&mut desk, "a");
        assert_eq!(desk.next_step(), Some(Step::Ask(7, id)));
        desk.connection_lost(7);
        assert_eq!(desk.next_step(), Some(Step::Connect(id)));
    }

    #[test]
    fn a_question_whose_connection_is_being_made_takes_an_idle_one() {
        let mut desk = desk();
        let ids = [ask(&mut desk, "a"), ask(&mut desk, "b"), ask(&mut desk, "c")];
        for id in ids {
            assert_eq!(desk.next_step(), Some(Step::Connect(id)));
        }
        desk.connecting(ids[0], 7);
        desk.connected(7);
        desk.connecting(ids[1], 8);
        desk.answered(7, Ok(answer()), true);
        assert!(is_answered(&mut desk, "a"));
        assert_eq!(desk.next_step(), Some(Step::Abort(8)));
        assert_eq!(desk.next_step(), Some(Step::Ask(7, ids[1])));
        desk.connection_lost(8);
        desk.answered(7, Ok(answer()), true);
        assert!(is_answered(&mut desk, "b"));
        assert_eq!(desk.next_step(), Some(Step::Ask(7, ids[2])), "its connection was only asked for");
        desk.connecting(ids[2], 9);
        assert_eq!(desk.next_step(), Some(Step::Abort(9)));
        desk.not_connected(ids[2], "no matter".into());
        assert_eq!((desk.next_step(), desk.pending()), (None, 1));
        // The idle connection fails: the question gets a new one, and no idle one a second time.
        let other = ask(&mut desk, "d");
        desk.next_step();
        desk.connecting(other, 10);
        desk.connected(10);
        desk.answered(7, failure(true), false);
        assert_eq!(desk.next_step(), Some(Step::Connect(ids[2])));
        desk.answered(10, Ok(answer()), true);
        assert!(is_answered(&mut desk, "d"));
        assert_eq!(desk.next_step(), None);
    }

    #[test]
    fn a_question_on_a_new_connection_stays_there() {
        let mut desk = desk();
        let ids = [ask(&mut desk, "a"), ask(&mut desk, "b")];
        for (id, connection) in ids.into_iter().zip([7, 8]) {
            desk.next_step();
            desk.connecting(id, connection);
            desk.connected(connection);
        }
        assert!(desk.awaits_new_connection());
        desk.answered(7, Ok(answer()), true);
        assert!(is_answered(&mut desk, "a"));
        assert_eq!((desk.next_step(), desk.awaits_new_connection()), (None, true));
        desk.answered(8, Ok(answer()), true);
        assert!(!desk.awaits_new_connection());
    }

    #[test]
    fn a_connection_to_an_earlier_service_is_not_reused() {
        let mut desk = desk();
        let ids = [ask(&mut desk, "a"), ask(&mut desk, "b")];
        for (id, connection) in ids.into_iter().zip([7, 8]) {
            desk.next_step();
            desk.connecting(id, connection);
            desk.connected(connection);
        }
        desk.answered(7, Ok(answer()), true);
        assert!(is_answered(&mut desk, "a"));
        desk.change_service();
        assert_eq!(desk.next_step(), Some(Step::Abort(7)));
        desk.answered(8, Ok(answer()), true);
        assert!(is_answered(&mut desk, "b"));
        let next = ask(&mut desk, "c");
        assert_eq!(desk.next_step(), Some(Step::Connect(next)));
    }

    #[test]
    fn an_answer_that_breaks_off_is_not_asked_again() {
        let mut desk = desk();
        answered_on(&mut desk, 7);
        ask(&mut desk, "b");
        desk.next_step();
        desk.answered(7, failure(false), false);
        assert!(matches!(desk.next_step(), Some(Step::Answer("b", Err(_)))));
    }

    #[test]
    fn questions_are_given_up_in_the_order_in_which_they_came() {
        let mut desk = desk();
        for connection in 0..20 {
            let id = ask(&mut desk, connection);
            desk.next_step();
            desk.connecting(id, connection);
        }
        desk.withdraw(|&waiter| waiter < 10);
        for connection in 0..10 {
            assert_eq!(desk.next_step(), Some(Step::Abort(connection)));
        }
        desk.close(Problem::ShuttingDown);
        for connection in 10..20 {
            assert_eq!(desk.next_step(), Some(Step::Abort(connection)));
            assert_eq!(desk.next_step(), Some(Step::Answer(connection, Err(Problem::ShuttingDown))));
        }
        assert_eq!((desk.next_step(), desk.pending()), (None, 0));
    }

    #[test]
    fn questions_in_flight_are_bounded_and_the_others_wait_in_order() {
        let mut desk = desk();
        let ids: Vec<QuestionId> = (0..IN_FLIGHT_MAX + 2).map(|n| ask(&mut desk, n)).collect();
        for (connection, &id) in (0..).zip(&ids[..IN_FLIGHT_MAX]) {
            assert_eq!(desk.next_step(), Some(Step::Connect(id)));
            desk.connecting(id, connection);
            desk.connected(connection);
        }
        assert_eq!(desk.next_step(), None);
        assert_eq!((desk.asked().count(), desk.waiting.len()), (IN_FLIGHT_MAX, 2));
        desk.withdraw(|&waiter| waiter == IN_FLIGHT_MAX);
        desk.answered(3, Ok(answer()), true);
        assert!(is_answered(&mut desk, 3));
        assert_eq!(desk.next_step(), Some(Step::Ask(3, ids[IN_FLIGHT_MAX + 1])));
        while desk.pending() < QUESTIONS_MAX {
            ask(&mut desk, 0);
        }
        assert_eq!(desk.asked().count(), IN_FLIGHT_MAX, "an answer is looked up among these only");
        desk.ask(Moment::START, Question::new(b"+1", b"-1", b"10"), 5);
        assert_eq!(desk.next_step(), Some(Step::Answer(5, Err(Problem::TooMany))));
    }

    #[test]
    fn each_question_has_its_own_time_and_all_share_one_alarm() {
        let mut desk = desk();
        let half = Moment::START + Duration::from_millis(2500);
        ask(&mut desk, "a");
        desk.ask(half, Question::new(b"+1", b"-1", b"10"), "b");
        desk.configure(Duration::from_secs(1), None);
        desk.ask(half, Question::new(b"+1", b"-1", b"10"), "c");
        let mut alarms = Vec::new();
        let mut given_up = Vec::new();
        let mut now = half;
        for _ in 0..10 {
            while let Some(step) = desk.next_step() {
                match step {
                    Step::WakeAt(at) => alarms.push(at),
                    Step::Answer(waiter, Err(Problem::TimedOut(limit))) => {
                        given_up.push((waiter, now, limit))
                    }
                    Step::Connect(_) => {}
                    step => panic!("{step:?}"),
                }
            }
            let Some(next) = alarms.iter().copied().filter(|&at| at > now).min() else { break };
            now = next;
            desk.wake(now);
        }
        let (one, five) = (Duration::from_secs(1), Duration::from_secs(5));
        assert_eq!(given_up, [("c", half + one, one), ("a", end(), five), ("b", half + five, five)]);
        assert_eq!((desk.deadlines.len(), desk.wake_at), (0, Moment::NEVER));
        assert!(alarms.len() <= 4, "{alarms:?}");
    }

    #[test]
    fn a_closed_desk_answers_with_the_reason() {
        let mut desk = desk();
        desk.configure(Duration::from_secs(1), Some(Problem::NoKey));
        desk.ask(Moment::START, Question::new(b"+1", b"-1", b"10"), "a");
        assert_eq!(desk.next_step(), Some(Step::Answer("a", Err(Problem::NoKey))));
        desk.configure(Duration::from_secs(1), None);
        desk.ask(Moment::START, Question::new(b"+1", b"-1", b"10"), "a");
        let until = Moment::START + Duration::from_secs(1);
        assert_eq!(desk.next_step(), Some(Step::WakeAt(until)));
    }

    #[test]
    fn questions_without_a_waiter_are_forgotten() {
        let mut desk = desk();
        let (a, b) = (ask(&mut desk, "a"), ask(&mut desk, "b"));
        assert_eq!(desk.next_step(), Some(Step::Connect(a)));
        desk.connecting(a, 7);
        desk.withdraw(|&waiter| waiter == "a");
        assert_eq!(desk.next_step(), Some(Step::Abort(7)));
        desk.answered(7, failure(true), false);
        assert_eq!(desk.next_step(), Some(Step::Connect(b)));
        desk.wake(end());
        assert!(matches!(desk.next_step(), Some(Step::Answer("b", Err(Problem::TimedOut(_))))));
        desk.connecting(b, 8);
        assert_eq!(desk.next_step(), Some(Step::Abort(8)), "a connection without a question");
        assert_eq!((desk.in_flight.len(), desk.waiting.len(), desk.pending()), (0, 0, 0));
    }
}
