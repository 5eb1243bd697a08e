//! The questions to Places: which are asked now, which wait, on which connections.
//!
//! Knows neither sockets nor time. `C` names a connection, `W` who waits for the answer.

use std::collections::{BTreeMap, VecDeque};

use super::answer::Answer;
use super::question::Question;

/// One question; no other ever has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuestionId(u64);

/// Why a question was not answered on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether not one byte of an answer had come.
    pub nothing_came: bool,
    /// What failed, for people.
    pub reason: String,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<C> {
    /// Ask this on a connection that was kept.
    Reuse(C, QuestionId),
    /// Make a connection for this, see [`Pool::dialled`].
    Dial(QuestionId),
}

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<W> {
    /// This waiter gets the answer, or the reason why there is none.
    Done(W, Result<Answer, String>),
    /// Nobody waits for it any longer.
    Forgotten,
    /// It is asked once more.
    AskedAgain,
}

/// The questions and the connections to Places.
#[derive(Debug)]
pub struct Pool<C, W> {
    /// In the order in which they were asked, which is the order in which they are given up.
    questions: BTreeMap<QuestionId, Asked<C, W>>,
    last: u64,
    /// In the order in which they were asked; may name some that are gone.
    waiting: VecDeque<QuestionId>,
    /// Those that are neither waiting nor gone.
    running: usize,
    kept: Vec<C>,
    /// How often it was renewed.
    generation: u32,
}

#[derive(Debug)]
struct Asked<C, W> {
    question: Question,
    waiter: W,
    state: State<C>,
}

#[derive(Debug, PartialEq, Eq)]
enum State<C> {
    /// `fresh`: a kept connection failed it, so that a new one must be made.
    Waiting { fresh: bool },
    /// Its connection is being made.
    Dialling,
    /// It is asked on this connection.
    Asked { connection: C, kept: bool, generation: u32 },
}

impl<C, W> Default for Pool<C, W> {
    fn default() -> Pool<C, W> {
        Pool {
            questions: BTreeMap::new(),
            last: 0,
            waiting: VecDeque::new(),
            running: 0,
            kept: Vec::new(),
            generation: 0,
        }
    }
}

impl<C: Copy + Eq, W> Pool<C, W> {
    /// Takes a question, or gives its waiter back because too many wait already.
    pub fn ask(&mut self, question: Question, waiter: W) -> Result<QuestionId, W> {
        if self.questions.len() >= QUESTIONS_MAX {
            return Err(waiter);
        }
        self.last += 1;
        let id = QuestionId(self.last);
        self.questions.insert(id, Asked { question, waiter, state: State::Waiting { fresh: false } });
        self.waiting.push_back(id);
        Ok(id)
    }

    /// What is asked.
    pub fn question(&self, id: QuestionId) -> Option<&Question> {
        self.questions.get(&id).map(|asked| &asked.question)
    }

    /// The next thing to do, if there is one. Call it until there is none.
    pub fn next_step(&mut self) -> Option<Step<C>> {
        while self.running < RUNNING_MAX {
            let id = self.waiting.pop_front()?;
            let Some(asked) = self.questions.get_mut(&id) else {
                continue;
            };
            let fresh = matches!(asked.state, State::Waiting { fresh: true });
            let kept = if fresh { None } else { self.kept.pop() };
            self.running += 1;
            let Some(connection) = kept else {
                asked.state = State::Dialling;
                return Some(Step::Dial(id));
            };
            asked.state = State::Asked { connection, kept: true, generation: self.generation };
            return Some(Step::Reuse(connection, id));
        }
        None
    }

    /// Notes that this connection is being made for a question.
    pub fn dialled(&mut self, id: QuestionId, connection: C) {
        if let Some(asked) = self.questions.get_mut(&id) {
            asked.state = State::Asked { connection, kept: false, generation: self.generation };
        }
    }

    /// Notes that no connection can be made for a question.
    pub fn not_dialled(&mut self, id: QuestionId, reason: String) -> Outcome<W> {
        match self.remove(id) {
            Some(asked) => Outcome::Done(asked.waiter, Err(reason)),
            None => Outcome::Forgotten,
        }
    }

    /// Notes what came of the question that was asked on this connection. A connection that is
    /// `reusable` is kept for the next one. One that was kept and ended before the first byte of an
    /// answer is replaced by a new one, once.
    pub fn answered(&mut self, connection: C, result: Result<Answer, Failure>, reusable: bool) -> Outcome<W> {
        let on_it = |asked: &Asked<C, W>| matches!(asked.state, State::Asked { connection: c, .. } if c == connection);
        let Some((&id, asked)) = self.questions.iter_mut().find(|(_, asked)| on_it(asked)) else {
            return Outcome::Forgotten;
        };
        // One that was made before leads to another place, which must not get another's key.
        if reusable && matches!(asked.state, State::Asked { generation, .. } if generation == self.generation)
        {
            self.kept.push(connection);
        }
        let was_kept = matches!(asked.state, State::Asked { kept: true, .. });
        if was_kept && result.as_ref().is_err_and(|failure| failure.nothing_came) {
            asked.state = State::Waiting { fresh: true };
            self.running -= 1;
            self.waiting.push_front(id);
            return Outcome::AskedAgain;
        }
        match self.remove(id) {
            Some(asked) => Outcome::Done(asked.waiter, result.map_err(|failure| failure.reason)),
            None => Outcome::Forgotten,
        }
    }

    /// Notes that a connection is gone.
    pub fn connection_lost(&mut self, connection: C) {
        self.kept.retain(|&kept| kept != connection);
    }

    /// Forgets a question, because its time is up: its waiter, and the connection on which it was asked.
    pub fn expire(&mut self, id: QuestionId) -> Option<(W, Option<C>)> {
        let asked = self.remove(id)?;
        let connection = asked.connection();
        Some((asked.waiter, connection))
    }

    /// Forgets the questions of some waiters; gives the connections on which they were asked.
    pub fn withdraw(&mut self, whose: impl Fn(&W) -> bool) -> Vec<C> {
        let ids: Vec<QuestionId> = self.ids().filter(|id| whose(&self.questions[id].waiter)).collect();
        ids.into_iter().filter_map(|id| self.remove(id)?.connection()).collect()
    }

    /// All questions, in the order in which they were asked.
    pub fn ids(&self) -> impl Iterator<Item = QuestionId> + '_ {
        self.questions.keys().copied()
    }

    /// Places is somewhere else from now on: forgets the connections that are kept, and gives them.
    /// Those that are in use are not kept when they are done.
    pub fn renew(&mut self) -> Vec<C> {
        self.generation += 1;
        std::mem::take(&mut self.kept)
    }

    fn remove(&mut self, id: QuestionId) -> Option<Asked<C, W>> {
        let asked = self.questions.remove(&id)?;
        match asked.state {
            State::Waiting { .. } => self.waiting.retain(|&other| other != id),
            State::Dialling | State::Asked { .. } => self.running -= 1,
        }
        Some(asked)
    }
}

impl<C: Copy, W> Asked<C, W> {
    fn connection(&self) -> Option<C> {
        match self.state {
            State::Asked { connection, .. } => Some(connection),
            State::Waiting { .. } | State::Dialling => None,
        }
    }
}

/// Questions that are asked at the same time: as many as docs/protocol.md promises at least.
pub const RUNNING_MAX: usize = 64;
/// Questions that are asked or wait, at most: as many as can be answered in a few seconds.
pub const QUESTIONS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question::new(b"+1", b"-1", b"10")
    }

    fn answer() -> Answer {
        Answer::parse(b"{\"results\":[]}".to_vec()).unwrap()
    }

    fn failure(nothing_came: bool) -> Result<Answer, Failure> {
        Err(Failure { nothing_came, reason: "it broke".into() })
    }

    #[test]
    fn a_connection_is_kept_and_asked_again() {
        let mut pool = Pool::<u32, &str>::default();
        let first = pool.ask(question(), "a").unwrap();
        assert_eq!(pool.next_step(), Some(Step::Dial(first)));
        assert_eq!(pool.next_step(), None);
        pool.dialled(first, 7);
        assert!(matches!(pool.answered(7, Ok(answer()), true), Outcome::Done("a", Ok(_))));
        let second = pool.ask(question(), "b").unwrap();
        assert_eq!(pool.next_step(), Some(Step::Reuse(7, second)));
        assert!(matches!(pool.answered(7, Ok(answer()), false), Outcome::Done("b", Ok(_))));
        let third = pool.ask(question(), "c").unwrap();
        assert_eq!(pool.next_step(), Some(Step::Dial(third)), "it was not reusable");
    }

    #[test]
    fn a_kept_connection_that_ends_unheard_is_replaced_once() {
        let mut pool = Pool::<u32, &str>::default();
        for connection in [7, 8] {
            let id = pool.ask(question(), "x").unwrap();
            pool.next_step();
            pool.dialled(id, connection);
        }
        pool.answered(7, Ok(answer()), true);
        pool.answered(8, Ok(answer()), true);
        let id = pool.ask(question(), "a").unwrap();
        assert_eq!(pool.next_step(), Some(Step::Reuse(8, id)));
        assert_eq!(pool.answered(8, failure(true), false), Outcome::AskedAgain);
        assert_eq!(pool.next_step(), Some(Step::Dial(id)), "not on another kept one");
        pool.dialled(id, 9);
        assert!(matches!(pool.answered(9, failure(true), false), Outcome::Done("a", Err(_))));
    }

    #[test]
    fn a_connection_to_where_places_was_before_is_not_kept() {
        let mut pool = Pool::<u32, &str>::default();
        let ids = [pool.ask(question(), "a").unwrap(), pool.ask(question(), "b").unwrap()];
        for (id, connection) in ids.into_iter().zip([7, 8]) {
            pool.next_step();
            pool.dialled(id, connection);
        }
        pool.answered(7, Ok(answer()), true);
        assert_eq!(pool.renew(), [7]);
        assert!(matches!(pool.answered(8, Ok(answer()), true), Outcome::Done("b", Ok(_))));
        let next = pool.ask(question(), "c").unwrap();
        assert_eq!(pool.next_step(), Some(Step::Dial(next)));
    }

    #[test]
    fn an_answer_that_breaks_off_is_not_asked_again() {
        let mut pool = Pool::<u32, &str>::default();
        let id = pool.ask(question(), "a").unwrap();
        pool.next_step();
        pool.dialled(id, 7);
        pool.answered(7, Ok(answer()), true);
        pool.ask(question(), "b").unwrap();
        pool.next_step();
        assert!(matches!(pool.answered(7, failure(false), false), Outcome::Done("b", Err(_))));
    }

    #[test]
    fn questions_are_given_up_in_the_order_in_which_they_were_asked() {
        let mut pool = Pool::<u32, &str>::default();
        let asked: Vec<QuestionId> = (0..20).map(|_| pool.ask(question(), "a").unwrap()).collect();
        for (connection, &id) in (0..).zip(&asked) {
            pool.next_step();
            pool.dialled(id, connection);
        }
        assert_eq!(pool.ids().collect::<Vec<_>>(), asked);
        assert_eq!(pool.withdraw(|_| true), (0..20).collect::<Vec<u32>>());
    }

    #[test]
    fn so_many_run_and_the_others_wait_in_order() {
        let mut pool = Pool::<u32, usize>::default();
        let ids: Vec<QuestionId> = (0..RUNNING_MAX + 2).map(|n| pool.ask(question(), n).unwrap()).collect();
        for (connection, &id) in (0..).zip(&ids[..RUNNING_MAX]) {
            assert_eq!(pool.next_step(), Some(Step::Dial(id)));
            pool.dialled(id, connection);
        }
        assert_eq!(pool.next_step(), None);
        pool.expire(ids[RUNNING_MAX]);
        pool.answered(3, Ok(answer()), true);
        assert_eq!(pool.next_step(), Some(Step::Reuse(3, ids[RUNNING_MAX + 1])));
        while pool.ids().count() < QUESTIONS_MAX {
            pool.ask(question(), 0).unwrap();
        }
        assert_eq!(pool.ask(question(), 5), Err(5));
    }

    #[test]
    fn what_nobody_waits_for_is_forgotten() {
        let mut pool = Pool::<u32, &str>::default();
        let (a, b) = (pool.ask(question(), "a").unwrap(), pool.ask(question(), "b").unwrap());
        pool.next_step();
        pool.dialled(a, 7);
        assert_eq!(pool.withdraw(|&waiter| waiter == "a"), [7]);
        assert_eq!(pool.answered(7, failure(true), false), Outcome::Forgotten);
        assert_eq!(pool.next_step(), Some(Step::Dial(b)));
        assert_eq!(pool.expire(b), Some(("b", None)));
        pool.dialled(b, 8);
        assert_eq!((pool.running, pool.waiting.len(), pool.ids().count()), (0, 0, 0));
    }
}
