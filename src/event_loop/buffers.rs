//! Output buffers that go round: a connection has one only while it has output.

/// Buffers that nobody uses now.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Vec<Vec<u8>>,
}

impl Buffers {
    /// An empty buffer, which owns memory: a transport knows by that whether it was lent one.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_else(|| Vec::with_capacity(CAPACITY))
    }

    /// Takes one back, or frees it if it has grown too large or there are enough.
    pub(super) fn give(&mut self, buffer: Vec<u8>) {
        if self.free.len() < FREE_MAX && buffer.capacity() <= CAPACITY_MAX {
            self.free.push(buffer);
        }
    }
}

/// Bytes of a new buffer: a few replies.
const CAPACITY: usize = 1024;
/// Bytes of a buffer that is worth keeping: a little more than a transport's high mark.
const CAPACITY_MAX: usize = 128 * 1024;
/// Buffers that are kept: as many as connections are usually written to in one turn.
const FREE_MAX: usize = 64;
