//! The bounds of answers that were written and that no client has read.

use crate::protocol::Transport;

/// Bytes of one connection that count as unread answers, while its output is above the high-water mark.
#[derive(Debug, Default)]
pub(super) struct Held(u32);

impl Held {
    /// The bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0 as usize
    }

    /// Counts an output above the high-water mark as unread answers, until the next call. `of_all`: the unread bytes of all
    /// connections.
    pub(super) fn note_output(&mut self, transport: &Transport, of_all: &mut usize) {
        self.set(if transport.has_room() { 0 } else { transport.pending() }, of_all);
    }

    /// The connection is gone.
    pub(super) fn release(&mut self, of_all: &mut usize) {
        self.set(0, of_all);
    }

    fn set(&mut self, bytes: usize, of_all: &mut usize) {
        *of_all = *of_all - self.0 as usize + bytes;
        self.0 = bytes as u32;
    }
}

/// Whether a connection that has `own` bytes of unread answers may have so many bytes more; `of_all`: those of all
/// connections.
pub(super) fn has_room_for(own: usize, bytes: usize, of_all: usize) -> bool {
    own < ANSWERS_MAX && (of_all < ANSWERS_OF_ALL_MAX || own + bytes <= FEW_ANSWERS_MAX)
}

/// Bytes of unread answers of one client: two of the largest, and many usual ones.
pub(super) const ANSWERS_MAX: usize = 8 * 1024 * 1024;
/// Bytes of unread answers of all clients, those in their outputs included. From here on each client has a smaller
/// bound: many clients that ask and never read must not exhaust the machine's memory.
pub(super) const ANSWERS_OF_ALL_MAX: usize = if cfg!(test) { 16 * 1024 * 1024 } else { 256 * 1024 * 1024 };
/// Bytes of unread answers of one client while all clients have [`ANSWERS_OF_ALL_MAX`]: as many as the output
/// of a client may have anyway.
pub(super) const FEW_ANSWERS_MAX: usize = 64 * 1024;
