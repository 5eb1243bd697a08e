//! The clients whose records were removed, in that order: followers that have received them are sent a LEFT. All
//! followers share the list, and each has its own position in it.

use std::collections::VecDeque;

/// The last clients whose records were removed.
#[derive(Debug, Default)]
pub(super) struct Departures {
    ids: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// The position of the first of `ids`.
    start: u64,
}

impl Departures {
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The position after the last client.
    pub(super) fn end(&self) -> u64 {
        self.start + self.ids.len() as u64
    }

    pub(super) fn push(&mut self, id: &[u8]) {
        self.bytes += id.len() + ENTRY_BYTES;
        self.ids.push_back(id.into());
        while self.bytes > BYTES_MAX
            && let Some(first) = self.ids.pop_front()
        {
            self.bytes -= first.len() + ENTRY_BYTES;
            self.start += 1;
        }
    }

    pub(super) fn get(&self, position: u64) -> Option<&[u8]> {
        let index = position.checked_sub(self.start)?;
        self.ids.get(usize::try_from(index).ok()?).map(|id| &**id)
    }

    /// Forgets all clients: each follower has been sent its LEFTs.
    pub(super) fn clear(&mut self) {
        self.start = self.end();
        self.bytes = 0;
        self.ids = VecDeque::new();
    }
}

/// Bytes of an entry besides its ID.
const ENTRY_BYTES: usize = size_of::<Box<[u8]>>();
/// Bytes of all entries: some hundred thousand usual IDs. A follower that has not read through as many removals cannot
/// be told what it should drop; it is disconnected, and resumes with FROM.
const BYTES_MAX: usize = if cfg!(test) { 1024 } else { 8 * 1024 * 1024 };
