//! A pool of output buffers: a connection owns one only while it has output.

/// The buffers that are not in use.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Vec<Vec<u8>>,
}

impl Buffers {
    /// Takes an empty buffer out of the pool, or makes one. It always has capacity: without any, a transport
    /// counts as one that has no buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_else(|| Vec::with_capacity(CAPACITY))
    }

    /// Returns a buffer to the pool, or frees it if it is too large or the pool is full.
    pub(super) fn give(&mut self, buffer: Vec<u8>) {
        if self.free.len() < FREE_MAX && buffer.capacity() <= CAPACITY_MAX {
            self.free.push(buffer);
        }
    }
}

/// Bytes of a new buffer: a few replies.
const CAPACITY: usize = 1024;
/// Bytes of the largest buffer in the pool: a little more than the high-water mark of a transport.
const CAPACITY_MAX: usize = 128 * 1024;
/// Buffers in the pool: the connections that are usually written to in one turn.
const FREE_MAX: usize = 64;
