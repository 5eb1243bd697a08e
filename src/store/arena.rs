//! An arena for the lines of all records: one vector of bytes, instead of an allocation for each line. It
//! does not know which record a line belongs to.
//!
//! A line takes whole blocks of eight bytes, so that 32 bits are enough for its offset. A header of four
//! bytes before it has its length and the start of the client's ID. Freed blocks are reused by the next line
//! of the same number of blocks. When more blocks are free than used, the owner should compact: copy all
//! lines into a new arena.

/// Lines, each with its LF.
#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    /// The offsets of free runs of blocks, indexed by the length of the run in blocks.
    free: Vec<Vec<u32>>,
    /// The number of free blocks.
    free_blocks: usize,
}

/// The offset of a line in the arena, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockOffset(u32);

/// The header of a line: its length in the lower three bytes, the start of its ID in the highest byte.
#[derive(Clone, Copy)]
struct LineHeader(u32);

impl LineHeader {
    /// `None`: the line is longer than [`LENGTH_MAX`].
    fn of(line: &[u8], id_start: usize) -> Option<LineHeader> {
        let length = u32::try_from(line.len()).ok().filter(|&length| length <= LENGTH_MAX)?;
        let id_start = u8::try_from(id_start).unwrap_or(ID_START_UNKNOWN);
        Some(LineHeader(u32::from(id_start) << LENGTH_BITS | length))
    }

    fn length(self) -> usize {
        (self.0 & LENGTH_MAX) as usize
    }

    fn id_start(self, line: &[u8]) -> usize {
        match (self.0 >> LENGTH_BITS) as u8 {
            // The ID is the fourth field.
            ID_START_UNKNOWN => {
                line.splitn(4, |&byte| byte == b' ').take(3).map(|field| field.len() + 1).sum()
            }
            id_start => usize::from(id_start),
        }
    }
}

impl Arena {
    /// The line at `offset`, with its LF.
    pub(super) fn get(&self, offset: BlockOffset) -> &[u8] {
        self.entry(offset).1
    }

    /// The line at `offset` from the client's ID on.
    pub(super) fn id_and_rest(&self, offset: BlockOffset) -> &[u8] {
        let (header, line) = self.entry(offset);
        &line[header.id_start(line)..]
    }

    /// Adds a line whose ID begins at `id_start`. `None`: the line is longer than [`LENGTH_MAX`], or the
    /// arena is full, at 2^32 blocks (32 GiB).
    pub(super) fn add(&mut self, line: &[u8], id_start: usize) -> Option<BlockOffset> {
        let (header, blocks) = (LineHeader::of(line, id_start)?, blocks(line.len()));
        if let Some(offset) = self.free.get_mut(blocks).and_then(Vec::pop) {
            self.free_blocks -= blocks;
            self.write(BlockOffset(offset), header, line);
            return Some(BlockOffset(offset));
        }
        let offset = u32::try_from(self.bytes.len() / BLOCK).ok()?;
        self.bytes.extend_from_slice(&header.0.to_le_bytes());
        self.bytes.extend_from_slice(line);
        self.bytes.resize((offset as usize + blocks) * BLOCK, 0);
        Some(BlockOffset(offset))
    }

    /// Replaces a line: in place if the new one has as many blocks, otherwise at a new offset. `None` as in
    /// [`Arena::add`]; the old line stays then.
    pub(super) fn replace(
        &mut self,
        offset: BlockOffset,
        line: &[u8],
        id_start: usize,
    ) -> Option<BlockOffset> {
        let old = blocks(self.entry(offset).0.length());
        if old == blocks(line.len()) {
            self.write(offset, LineHeader::of(line, id_start)?, line);
            return Some(offset);
        }
        let new = self.add(line, id_start)?;
        if self.free.len() <= old {
            self.free.resize_with(old + 1, Vec::new);
        }
        self.free[old].push(offset.0);
        self.free_blocks += old;
        Some(new)
    }

    /// Adds a copy of a line of another arena.
    pub(super) fn copy_from(&mut self, other: &Arena, offset: BlockOffset) -> Option<BlockOffset> {
        let (header, line) = other.entry(offset);
        self.add(line, header.id_start(line))
    }

    /// Whether so many blocks are free that the owner should compact.
    pub(super) fn should_compact(&self) -> bool {
        self.free_blocks > FREE_BLOCKS_MIN && self.free_blocks * 2 > self.bytes.len() / BLOCK
    }

    /// Reads one byte of each cache line of a line of usual length, so that the processor fetches them.
    pub(super) fn touch(&self, offset: BlockOffset) -> u32 {
        let byte = |position: usize| u32::from(self.bytes.get(position).copied().unwrap_or_default());
        let start = offset.0 as usize * BLOCK;
        byte(start) ^ byte(start + CACHE_LINE) ^ byte(start + LINE_USUAL)
    }

    fn entry(&self, offset: BlockOffset) -> (LineHeader, &[u8]) {
        // Every offset that `add` returned has a header.
        let (&header, rest) =
            self.bytes[offset.0 as usize * BLOCK..].split_first_chunk().unwrap_or((&[0; HEADER], &[]));
        let header = LineHeader(u32::from_le_bytes(header));
        (header, &rest[..header.length()])
    }

    fn write(&mut self, offset: BlockOffset, header: LineHeader, line: &[u8]) {
        let start = offset.0 as usize * BLOCK;
        let entry = &mut self.bytes[start..start + HEADER + line.len()];
        entry[..HEADER].copy_from_slice(&header.0.to_le_bytes());
        entry[HEADER..].copy_from_slice(line);
    }
}

/// The number of blocks of a line of this length and its header.
fn blocks(length: usize) -> usize {
    (HEADER + length).div_ceil(BLOCK)
}

/// Bytes of a cache line of the processor.
const CACHE_LINE: usize = 64;
/// The offset of the last byte of a line of usual length, with its header: the example of docs/protocol.md,
/// section 1.
const LINE_USUAL: usize = 86;
/// Bytes of a header.
const HEADER: usize = 4;
/// Bits of the line's length in a header.
const LENGTH_BITS: u32 = 24;
/// The greatest length of a line, in bytes: sixteen times what `limits.max_line` allows.
const LENGTH_MAX: u32 = (1 << LENGTH_BITS) - 1;
/// `ID_START_UNKNOWN`: the start of the ID does not fit its byte, and is searched for each time. No ID starts
/// at 0.
const ID_START_UNKNOWN: u8 = 0;
/// Bytes of a block. Smaller blocks would waste less memory after a line, and limit the arena to less memory.
const BLOCK: usize = 8;
/// The number of free blocks up to which the arena is not compacted: a mebibyte.
const FREE_BLOCKS_MIN: usize = (1 << 20) / BLOCK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_replaced_in_place_or_moved() {
        let mut arena = Arena::default();
        let a = arena.add(b"123\n", 1).unwrap();
        let b = arena.add(b"b\n", 1).unwrap();
        assert_eq!(arena.replace(a, b"x\n", 1), Some(a));
        assert_eq!((arena.get(a), arena.get(b)), (&b"x\n"[..], &b"b\n"[..]));
        let moved = arena.replace(a, b"more than one block\n", 1).unwrap();
        assert_ne!(moved, a);
        assert_eq!(arena.free_blocks, 1);
        assert_eq!(arena.add(b"c\n", 1), Some(a), "its blocks are reused");
        assert_eq!(arena.free_blocks, 0);
        assert_eq!((arena.get(moved), arena.get(b)), (&b"more than one block\n"[..], &b"b\n"[..]));
    }

    #[test]
    fn an_id_is_found_at_any_start() {
        let mut arena = Arena::default();
        for length in [1, 200, 300] {
            let line = format!("AT {} +0.000000000 kiwi +1-1 5\n", "x".repeat(length));
            let offset = arena.add(line.as_bytes(), line.len() - b"kiwi +1-1 5\n".len()).unwrap();
            assert_eq!(arena.id_and_rest(offset), b"kiwi +1-1 5\n");
            let mut other = Arena::default();
            let offset = other.copy_from(&arena, offset).unwrap();
            assert_eq!(
                (other.get(offset), other.id_and_rest(offset)),
                (line.as_bytes(), &b"kiwi +1-1 5\n"[..])
            );
        }
    }

    #[test]
    fn free_blocks_are_counted() {
        let mut arena = Arena::default();
        let mut offset = arena.add(b"\n", 1).unwrap();
        for length in 1..2000 {
            offset = arena.replace(offset, &[&vec![b'x'; length * BLOCK][..], b"\n"].concat(), 1).unwrap();
        }
        assert!(arena.should_compact());
    }
}
