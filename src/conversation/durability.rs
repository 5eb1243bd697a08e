//! What the disk has of the store, and the conversations whose replies wait for it (docs/protocol.md, section 7). It writes no
//! file.

use std::collections::BTreeSet;

use super::{Conversation, Handle};
use crate::clock::Moment;
use crate::metrics::Durations;

/// How far the changes of the store are on the disk.
#[derive(Debug, Default)]
pub struct Durability {
    /// Replies to statements wait for the disk: `store.sync` is `"always"`.
    replies_wait: bool,
    /// The disk does not take changes.
    fails: bool,
    /// Every change up to this one is on the disk.
    on_disk: u64,
    /// Conversations with replies that wait, each once, with the first change that they wait for.
    waiting: BTreeSet<(u64, Handle<Conversation>)>,
    /// Conversations that were named in this turn.
    named: usize,
    /// What was written.
    written: Written,
}

/// What was written to the store on disk since the start.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Batches that were carried out.
    pub batches: u64,
    /// Bytes of their changes, those of snapshots included.
    pub bytes: u64,
    /// Batches that have failed.
    pub errors: u64,
    /// The times of all batches on the thread that writes, the wait for it included.
    pub times: Durations,
    /// When the last batch was carried out, or the store was opened; `None`: there is no store on disk.
    pub last: Option<Moment>,
}

impl Durability {
    /// From now on replies to statements wait for the disk.
    pub fn let_replies_wait(&mut self) {
        self.replies_wait = true;
    }

    /// Whether a reply about the changes up to this one has to wait.
    #[inline]
    pub fn must_wait(&self, sequence: u64) -> bool {
        self.replies_wait && sequence > self.on_disk
    }

    /// Whether statements are refused: their replies would wait for a disk that fails.
    #[inline]
    pub fn refuses(&self) -> bool {
        self.replies_wait && self.fails
    }

    /// Whether the disk does not take changes.
    pub fn fails(&self) -> bool {
        self.fails
    }

    /// Every change up to this one is on the disk.
    pub fn on_disk(&self) -> u64 {
        self.on_disk
    }

    /// What was written.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// Whether replies wait for the disk.
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What was written, to be counted.
    pub fn written_mut(&mut self) -> &mut Written {
        &mut self.written
    }

    /// A conversation has a reply that waits for this change, and others that wait for later ones. It is not in the list yet.
    pub fn wait(&mut self, sequence: u64, conversation: Handle<Conversation>) {
        self.waiting.insert((sequence, conversation));
    }

    /// A conversation that may be in the list, with this change, is gone.
    pub fn withdraw(&mut self, sequence: u64, conversation: Handle<Conversation>) {
        self.waiting.remove(&(sequence, conversation));
    }

    /// Every change up to this one is on the disk now.
    pub fn reached(&mut self, sequence: u64) {
        self.on_disk = self.on_disk.max(sequence);
    }

    /// The disk does not take changes: what waits is refused.
    pub fn failed(&mut self) {
        self.fails = true;
    }

    /// The disk takes changes again, and has all that it has missed.
    pub fn works_again(&mut self) {
        self.fails = false;
    }

    /// The next conversation whose first reply need not wait any longer; it leaves the list. At most [`NAMED_MAX`] in a turn.
    pub fn next_conversation(&mut self) -> Option<Handle<Conversation>> {
        let &(sequence, conversation) = self.waiting.first()?;
        if self.named == NAMED_MAX || sequence > self.on_disk && !self.fails {
            return None;
        }
        self.waiting.pop_first();
        self.named += 1;
        Some(conversation)
    }

    /// The turn is over. Returns whether conversations were left for the next one.
    pub fn turn_ended(&mut self) -> bool {
        std::mem::take(&mut self.named) == NAMED_MAX
    }
}

/// Conversations whose replies are sent in one turn, in less than a millisecond.
const NAMED_MAX: usize = if cfg!(test) { 4 } else { 512 };

#[cfg(test)]
mod tests;
