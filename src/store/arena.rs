//! The lines of all records in one piece of memory: no allocation, and no header, for each of them.
//!
//! A line takes whole blocks of eight bytes, so that 32 bits name its place. What a line leaves is
//! used by the next one of as many blocks. When more lies waste than is used, whoever owns the
//! lines has the arena laid out anew.

/// Lines, each of which ends with its only LF.
#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    /// Places that are free, by how many blocks they have.
    free: Vec<Vec<u32>>,
    /// Blocks that are free.
    wasted: usize,
}

/// Where a line is: the number of its first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(u32);

impl Arena {
    /// The line there, with its LF.
    pub(super) fn get(&self, at: At) -> &[u8] {
        let bytes = &self.bytes[at.0 as usize * BLOCK..];
        &bytes[..memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1)]
    }

    /// Keeps a line. `None`: there is no further place that 32 bits can name (32 GiB).
    pub(super) fn add(&mut self, line: &[u8]) -> Option<At> {
        let blocks = blocks(line);
        if let Some(at) = self.free.get_mut(blocks).and_then(Vec::pop) {
            self.wasted -= blocks;
            self.write(At(at), line);
            return Some(At(at));
        }
        let at = u32::try_from(self.bytes.len() / BLOCK).ok()?;
        self.bytes.extend_from_slice(line);
        self.bytes.resize((at as usize + blocks) * BLOCK, 0);
        Some(At(at))
    }

    /// Keeps a line in the place of another one, which it overwrites where it fits.
    pub(super) fn replace(&mut self, at: At, line: &[u8]) -> Option<At> {
        let old = blocks(self.get(at));
        if old == blocks(line) {
            self.write(at, line);
            return Some(at);
        }
        let new = self.add(line)?;
        if self.free.len() <= old {
            self.free.resize_with(old + 1, Vec::new);
        }
        self.free[old].push(at.0);
        self.wasted += old;
        Some(new)
    }

    /// Whether laying it out anew would pay.
    pub(super) fn is_wasteful(&self) -> bool {
        self.wasted > WASTE_MIN && self.wasted * 2 > self.bytes.len() / BLOCK
    }

    fn write(&mut self, at: At, line: &[u8]) {
        let start = at.0 as usize * BLOCK;
        self.bytes[start..start + line.len()].copy_from_slice(line);
    }
}

fn blocks(line: &[u8]) -> usize {
    line.len().div_ceil(BLOCK)
}

/// Bytes of a block. Smaller ones would waste less of a line's end and name less memory.
const BLOCK: usize = 8;
/// Blocks that may lie waste whatever the share: a mebibyte.
const WASTE_MIN: usize = (1 << 20) / BLOCK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_overwritten_where_it_fits_and_moved_where_not() {
        let mut arena = Arena::default();
        let a = arena.add(b"1234567\n").unwrap();
        let b = arena.add(b"b\n").unwrap();
        assert_eq!(arena.replace(a, b"x\n"), Some(a));
        assert_eq!((arena.get(a), arena.get(b)), (&b"x\n"[..], &b"b\n"[..]));
        let moved = arena.replace(a, b"more than one block\n").unwrap();
        assert_ne!(moved, a);
        assert_eq!(arena.wasted, 1);
        assert_eq!(arena.add(b"c\n"), Some(a), "its place is used again");
        assert_eq!(arena.wasted, 0);
        assert_eq!((arena.get(moved), arena.get(b)), (&b"more than one block\n"[..], &b"b\n"[..]));
    }

    #[test]
    fn what_lies_waste_is_counted() {
        let mut arena = Arena::default();
        let mut at = arena.add(b"\n").unwrap();
        for length in 1..2000 {
            at = arena.replace(at, &[&vec![b'x'; length * BLOCK][..], b"\n"].concat()).unwrap();
        }
        assert!(arena.is_wasteful());
    }
}
