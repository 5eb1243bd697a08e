//! What the disk has of the store, and the clients whose replies wait for it (docs/protocol.md, section 7). It writes no
//! file.

use std::collections::VecDeque;

use super::{Client, Handle};

/// How far the changes of the store are on the disk.
#[derive(Debug, Default)]
pub struct Durability {
    /// Replies to statements wait for the disk: `store.sync` is `"always"`.
    replies_wait: bool,
    /// The disk does not take changes.
    fails: bool,
    /// Every change up to this one is on the disk.
    on_disk: u64,
    /// Clients with replies that wait, each once, with the newest change at that moment.
    waiting: VecDeque<(u64, Handle<Client>)>,
    /// Clients that were named in this turn.
    named: usize,
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

    /// A client has replies that wait for this change, and was not in the list.
    pub fn wait(&mut self, sequence: u64, client: Handle<Client>) {
        self.waiting.push_back((sequence, client));
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

    /// The next client whose first reply need not wait any longer; it leaves the list. At most [`NAMED_MAX`] in a turn.
    pub fn next_client(&mut self) -> Option<Handle<Client>> {
        let &(sequence, client) = self.waiting.front()?;
        if self.named == NAMED_MAX || sequence > self.on_disk && !self.fails {
            return None;
        }
        self.waiting.pop_front();
        self.named += 1;
        Some(client)
    }

    /// The turn is over. Returns whether clients were left for the next one.
    pub fn turn_ended(&mut self) -> bool {
        std::mem::take(&mut self.named) == NAMED_MAX
    }
}

/// Clients whose replies are sent in one turn, in less than a millisecond.
const NAMED_MAX: usize = if cfg!(test) { 4 } else { 512 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ConnectionId;

    fn client(slot: u32) -> Handle<Client> {
        Handle::new(ConnectionId { slot, generation: 1 })
    }

    #[test]
    fn clients_are_due_when_the_disk_has_their_changes() {
        let mut durability = Durability::default();
        assert!(!durability.must_wait(1), "without store.sync \"always\"");
        durability.let_replies_wait();
        assert!(durability.must_wait(1));
        durability.wait(1, client(1));
        durability.wait(3, client(2));
        assert_eq!(durability.next_client(), None);
        durability.reached(2);
        assert!(!durability.must_wait(2) && durability.must_wait(3));
        assert_eq!((durability.next_client(), durability.next_client()), (Some(client(1)), None));
        durability.failed();
        assert!(durability.refuses());
        assert_eq!(durability.next_client(), Some(client(2)), "its reply is a refusal");
        durability.works_again();
        assert!(!durability.refuses());
    }

    #[test]
    fn a_turn_names_few_clients() {
        let mut durability = Durability::default();
        (0..10).for_each(|slot| durability.wait(1, client(slot)));
        durability.reached(1);
        let mut turns = 0;
        let mut named = 0;
        loop {
            named += std::iter::from_fn(|| durability.next_client()).count();
            turns += 1;
            if !durability.turn_ended() {
                break;
            }
        }
        assert_eq!((named, turns), (10, 3));
    }
}
