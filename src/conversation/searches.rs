//! The searches of NEAR that are not over at once: a turn has a bounded number of steps for them. It does not know
//! which client is near which.
//!
//! Nearly every NEAR is answered at once. One that needs more steps than its turn has left goes on in later turns,
//! the oldest first; so does one among a crowd at one spot, each of whom is looked at. What it finds is what the store
//! had when it began.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Waiter;
use crate::store::{Nearby, SearchId, Store};
use crate::text::prefixes::Prefixes;

/// The searches of all clients.
#[derive(Debug)]
pub struct Searches {
    /// Steps that the commands of this turn have left.
    steps: usize,
    /// Searches that have begun, the oldest first.
    running: VecDeque<(SearchId, Waiter)>,
    waiting: VecDeque<Waiting>,
}

/// A search that has not begun.
#[derive(Debug)]
struct Waiting {
    waiter: Waiter,
    nearby: Nearby<'static>,
    left_out: Option<Box<[u8]>>,
    only: Option<Arc<Prefixes>>,
}

/// The state of a search after [`Searches::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is over: its results can be taken with [`Store::end_search`].
    Over(SearchId),
    /// It goes on in later turns.
    Runs,
    /// It begins in a later turn.
    Waits,
}

impl Searches {
    /// No searches.
    pub fn new() -> Searches {
        Searches { steps: STEPS_OF_A_TURN, running: VecDeque::new(), waiting: VecDeque::new() }
    }

    /// The number of searches that wait or go on.
    pub fn len(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// Whether no search waits or goes on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a search for a client. `may_run`: the client has no other one.
    pub fn begin(
        &mut self,
        store: &mut Store,
        nearby: &Nearby<'_>,
        waiter: Waiter,
        may_run: bool,
    ) -> Progress {
        if self.steps == 0 || !may_run || !self.waiting.is_empty() || self.running.len() >= RUNNING_MAX {
            let left_out = nearby.left_out.map(Box::from);
            let only = nearby.only.cloned();
            let nearby = Nearby { left_out: None, only: None, ..*nearby };
            self.waiting.push_back(Waiting { waiter, nearby, left_out, only });
            return Progress::Waits;
        }
        let id = store.search(nearby);
        if store.advance_search(id, &mut self.steps) {
            return Progress::Over(id);
        }
        self.running.push_back((id, waiter));
        Progress::Runs
    }

    /// Counts the bytes of a reply: copying them takes time, too.
    pub fn note_reply(&mut self, bytes: usize) {
        self.steps = self.steps.saturating_sub(bytes / BYTES_OF_A_STEP);
    }

    /// Whether this turn has no steps left for commands.
    pub fn are_exhausted(&self) -> bool {
        self.steps == 0
    }

    /// Begins a turn. Returns whether searches are to go on with [`Searches::advance`].
    pub fn begin_turn(&mut self) -> bool {
        self.steps = STEPS_OF_A_TURN;
        !self.running.is_empty() || !self.waiting.is_empty()
    }

    /// Goes on with the searches for as many steps as a turn has. Returns the replies of those that are over.
    pub fn advance(&mut self, store: &mut Store) -> Vec<(Waiter, Vec<u8>)> {
        let mut steps = STEPS_OF_A_TURN;
        let mut replies = Vec::new();
        while steps > 0 {
            self.begin_waiting(store);
            let Some(&(id, waiter)) = self.running.front() else { break };
            if !store.advance_search(id, &mut steps) {
                break;
            }
            self.running.pop_front();
            let mut reply = Vec::new();
            store.end_search(id, &mut reply);
            reply.push(b'\n');
            steps = steps.saturating_sub(reply.len() / BYTES_OF_A_STEP);
            replies.push((waiter, reply));
        }
        replies
    }

    /// Drops the searches of a client that is gone.
    pub fn withdraw(&mut self, store: &mut Store, waiter: &Waiter) {
        self.waiting.retain(|waiting| waiting.waiter != *waiter);
        if let Some(position) = self.running.iter().position(|(_, running)| running == waiter)
            && let Some((id, _)) = self.running.remove(position)
        {
            store.cancel_search(id);
        }
    }

    fn begin_waiting(&mut self, store: &mut Store) {
        while self.running.len() < RUNNING_MAX
            && let Some(Waiting { waiter, nearby, left_out, only }) = self.waiting.pop_front()
        {
            let id = store.search(&Nearby { left_out: left_out.as_deref(), only: only.as_ref(), ..nearby });
            self.running.push_back((id, waiter));
        }
    }
}

impl Default for Searches {
    fn default() -> Searches {
        Searches::new()
    }
}

/// Steps of all searches in one turn, for the commands that it has read, and again for searches that go on: about a
/// millisecond. A usual NEAR takes a hundred, one for the thousand nearest of a million clients five thousand.
const STEPS_OF_A_TURN: usize = if cfg!(test) { 500 } else { 16 * 1024 };
/// Searches that run at the same time. Each change of a record looks at all of them.
const RUNNING_MAX: usize = 16;
/// Bytes of a reply that take a step.
const BYTES_OF_A_STEP: usize = 64;
