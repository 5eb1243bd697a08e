//! An arena for the lines of all records: chunks of bytes, instead of an allocation for each line. It does not
//! know which record a line belongs to.
//!
//! A line takes whole blocks of eight bytes, so that 32 bits are enough for its offset. A header of four
//! bytes before it has its length and the start of the client's ID. A line that is freed leaves a free run,
//! which is reused by the next line of the same number of blocks. The free runs of one length are a doubly
//! linked list through their own bytes.
//!
//! When more blocks are free than used, the arena is compacted, one chunk after the other: the lines of a
//! chunk that is mostly free move elsewhere, then its memory is freed. Each call moves a few lines.

/// Lines, each with its LF.
#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// The chunk that lines are appended to.
    tail: usize,
    /// Chunks whose memory was freed.
    vacant: Vec<u32>,
    /// The first free run of each length in blocks, or [`NO_RUN`].
    free: Vec<u32>,
    used_blocks: usize,
    free_blocks: usize,
    compaction: Compaction,
    /// Whether [`Arena::compact`] has something to do.
    should_compact: bool,
    /// The most bytes that one call of [`Arena::compact`] has moved or passed.
    #[cfg(test)]
    pub(super) compacted_max: usize,
}

/// A part of the arena. Its runs, each a line or free, stand one after the other without a gap.
#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    free_blocks: usize,
}

/// The state of compaction.
#[derive(Debug)]
enum Compaction {
    /// The next chunk to look at, when there is reason for it.
    Idle(usize),
    /// The lines of a chunk are moved. Those before byte `at` were.
    Moving { chunk: usize, at: usize },
}

/// The offset of a line in the arena: the number of its chunk, and its first block in the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockOffset(u32);

impl BlockOffset {
    fn of(chunk: usize, at: usize) -> BlockOffset {
        BlockOffset((chunk * CHUNK_BLOCKS + at / BLOCK) as u32)
    }

    fn chunk(self) -> usize {
        self.0 as usize / CHUNK_BLOCKS
    }

    /// The first byte in the chunk.
    fn at(self) -> usize {
        self.0 as usize % CHUNK_BLOCKS * BLOCK
    }
}

/// The header of a line: its length in the lower three bytes, the start of its ID in the highest byte. The
/// header of a free run: its length in blocks, and [`FREE`].
#[derive(Clone, Copy)]
struct Header(u32);

impl Header {
    /// `None`: the line is longer than [`LENGTH_MAX`].
    fn of(line: &[u8], id_start: usize) -> Option<Header> {
        let length = u32::try_from(line.len()).ok().filter(|&length| length <= LENGTH_MAX)?;
        let id_start = u8::try_from(id_start).ok().filter(|&start| start != FREE).unwrap_or(ID_START_UNKNOWN);
        Some(Header(u32::from(id_start) << LENGTH_BITS | length))
    }

    fn free(blocks: usize) -> Header {
        Header(u32::from(FREE) << LENGTH_BITS | blocks as u32)
    }

    fn is_free(self) -> bool {
        (self.0 >> LENGTH_BITS) as u8 == FREE
    }

    fn length(self) -> usize {
        (self.0 & LENGTH_MAX) as usize
    }

    /// The number of blocks of the run.
    fn blocks(self) -> usize {
        if self.is_free() { self.length() } else { blocks(self.length()) }
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
    pub(super) fn new() -> Arena {
        Arena {
            chunks: Vec::new(),
            tail: 0,
            vacant: Vec::new(),
            free: Vec::new(),
            used_blocks: 0,
            free_blocks: 0,
            compaction: Compaction::Idle(0),
            should_compact: false,
            #[cfg(test)]
            compacted_max: 0,
        }
    }

    /// The line at `offset`, with its LF.
    pub(super) fn get(&self, offset: BlockOffset) -> &[u8] {
        self.entry(offset).1
    }

    /// The line at `offset` from the client's ID on.
    #[inline(always)]
    pub(super) fn id_and_rest(&self, offset: BlockOffset) -> &[u8] {
        let (header, line) = self.entry(offset);
        &line[header.id_start(line)..]
    }

    /// Adds a line whose ID begins at `id_start`. `None`: the line is longer than [`LENGTH_MAX`], or the
    /// arena is full, at 2^32 blocks (32 GiB).
    pub(super) fn add(&mut self, line: &[u8], id_start: usize) -> Option<BlockOffset> {
        let header = Header::of(line, id_start)?;
        let offset = self.take(header.blocks())?;
        write(&mut self.chunks[offset.chunk()].bytes[offset.at()..], header, line);
        Some(offset)
    }

    /// Replaces a line if `should_replace` is true for it: in place if the new one has as many blocks, otherwise
    /// at a new offset, which is put into `offset`. `None` as in [`Arena::add`]; the old line stays then.
    pub(super) fn replace_if(
        &mut self,
        offset: &mut BlockOffset,
        line: &[u8],
        id_start: usize,
        should_replace: impl FnOnce(&[u8]) -> bool,
    ) -> Option<bool> {
        let run = &mut self.chunks[offset.chunk()].bytes[offset.at()..];
        let length = header_of(run).length();
        if !should_replace(&run[HEADER..HEADER + length]) {
            return Some(false);
        }
        let header = Header::of(line, id_start)?;
        if blocks(length) == blocks(line.len()) {
            write(run, header, line);
        } else {
            let new = self.add(line, id_start)?;
            self.remove(std::mem::replace(offset, new));
        }
        Some(true)
    }

    /// Removes a line.
    pub(super) fn remove(&mut self, offset: BlockOffset) {
        let blocks = self.entry(offset).0.blocks();
        self.used_blocks -= blocks;
        self.free_blocks += blocks;
        self.should_compact |= self.is_sparse();
        self.chunks[offset.chunk()].free_blocks += blocks;
        if self.free.len() <= blocks {
            self.free.resize(blocks + 1, NO_RUN);
        }
        let next = std::mem::replace(&mut self.free[blocks], offset.0);
        self.set_word(offset, HEADER_WORD, Header::free(blocks).0);
        self.set_word(offset, PREVIOUS_WORD, NO_RUN);
        self.set_word(offset, NEXT_WORD, next);
        if next != NO_RUN {
            self.set_word(BlockOffset(next), PREVIOUS_WORD, offset.0);
        }
    }

    /// Whether [`Arena::compact`] has something to do.
    pub(super) fn should_compact(&self) -> bool {
        self.should_compact
    }

    /// Moves some lines of a chunk that is mostly free. Calls `moved` for each line with the line from the ID
    /// on, its old offset and its new one. Ends after [`PORTION`] bytes and the line that exceeds them.
    pub(super) fn compact(&mut self, mut moved: impl FnMut(&[u8], BlockOffset, BlockOffset)) {
        let (chunk, mut at) = match self.compaction {
            Compaction::Moving { chunk, at } => (chunk, at),
            Compaction::Idle(first) => match self.sparse_chunk(first) {
                Some(chunk) => (chunk, 0),
                None => {
                    self.should_compact = self.is_sparse();
                    return;
                }
            },
        };
        self.compaction = Compaction::Moving { chunk, at };
        let mut passed = 0;
        while at < self.chunks[chunk].bytes.len() && passed < PORTION {
            let offset = BlockOffset::of(chunk, at);
            let header = Header(self.word(offset, HEADER_WORD));
            let blocks = header.blocks();
            if header.is_free() {
                self.unlink(offset, blocks);
                passed += BLOCK;
            } else {
                // The arena is full: the rest waits until lines are removed.
                let Some(new) = self.take(blocks) else { break };
                self.copy(offset, new, blocks);
                self.used_blocks -= blocks;
                moved(self.id_and_rest(new), offset, new);
                passed += blocks * BLOCK;
            }
            at += blocks * BLOCK;
        }
        #[cfg(test)]
        {
            self.compacted_max = self.compacted_max.max(passed);
        }
        if at < self.chunks[chunk].bytes.len() {
            self.compaction = Compaction::Moving { chunk, at };
        } else {
            self.chunks[chunk] = Chunk::default();
            self.vacant.push(chunk as u32);
            self.compaction = Compaction::Idle(chunk + 1);
            self.should_compact = self.is_sparse();
        }
    }

    /// Reads one byte of each cache line of a line of usual length, so that the processor fetches them.
    pub(super) fn touch(&self, offset: BlockOffset) -> u32 {
        let bytes = &self.chunks[offset.chunk()].bytes[offset.at()..];
        let byte = |position: usize| u32::from(bytes.get(position).copied().unwrap_or_default());
        byte(0) ^ byte(CACHE_LINE) ^ byte(LINE_USUAL)
    }

    /// A chunk of which at least half is free, from the chunk `first` on. Looks at a few chunks only: the
    /// next call goes on after them. Not the last chunk, to which the lines would move.
    fn sparse_chunk(&mut self, first: usize) -> Option<usize> {
        let count = self.chunks.len().min(LOOKED_AT_MAX);
        for chunk in (first..first + count).map(|number| number % self.chunks.len()) {
            let Chunk { bytes, free_blocks } = &self.chunks[chunk];
            if chunk != self.tail && *free_blocks > 0 && free_blocks * 2 * BLOCK >= bytes.len() {
                return Some(chunk);
            }
        }
        self.compaction = Compaction::Idle((first + count) % self.chunks.len().max(1));
        None
    }

    /// Takes blocks for a line: a free run, or new ones. `None`: the arena is full.
    fn take(&mut self, blocks: usize) -> Option<BlockOffset> {
        let offset = match self.free.get(blocks).map(|&first| BlockOffset(first)) {
            Some(first) if first.0 != NO_RUN && !self.is_emptied(first.chunk()) => {
                self.unlink(first, blocks);
                first
            }
            _ => self.append(blocks)?,
        };
        self.used_blocks += blocks;
        Some(offset)
    }

    /// Whether so many blocks are free that lines should move.
    pub(super) fn is_sparse(&self) -> bool {
        self.free_blocks > self.used_blocks + FREE_BLOCKS_MIN
    }

    /// Whether the lines of this chunk are moved elsewhere.
    fn is_emptied(&self, number: usize) -> bool {
        matches!(self.compaction, Compaction::Moving { chunk, .. } if chunk == number)
    }

    /// New blocks at the end of the last chunk, or in a new one. A chunk is longer than usual if its first
    /// line is. The blocks after the last line of a chunk stay unused, and are no memory of the process yet.
    fn append(&mut self, blocks: usize) -> Option<BlockOffset> {
        let bytes = blocks * BLOCK;
        let fits = |chunk: &Chunk| chunk.bytes.len() + bytes <= CHUNK_BLOCKS * BLOCK;
        if !self.chunks.get(self.tail).is_some_and(fits) {
            let chunk = Chunk { bytes: Vec::with_capacity(bytes.max(CHUNK_BLOCKS * BLOCK)), free_blocks: 0 };
            if let Some(vacant) = self.vacant.pop() {
                self.tail = vacant as usize;
                self.chunks[self.tail] = chunk;
            } else if self.chunks.len() < CHUNKS_MAX {
                self.tail = self.chunks.len();
                self.chunks.push(chunk);
            } else {
                return None;
            }
        }
        let tail = &mut self.chunks[self.tail].bytes;
        let at = tail.len();
        tail.resize(at + bytes, 0);
        Some(BlockOffset::of(self.tail, at))
    }

    /// Removes a free run from its list.
    fn unlink(&mut self, offset: BlockOffset, blocks: usize) {
        let (previous, next) = (self.word(offset, PREVIOUS_WORD), self.word(offset, NEXT_WORD));
        match previous {
            NO_RUN => self.free[blocks] = next,
            previous => self.set_word(BlockOffset(previous), NEXT_WORD, next),
        }
        if next != NO_RUN {
            self.set_word(BlockOffset(next), PREVIOUS_WORD, previous);
        }
        self.free_blocks -= blocks;
        self.chunks[offset.chunk()].free_blocks -= blocks;
    }

    /// Copies a run to another chunk.
    fn copy(&mut self, from: BlockOffset, to: BlockOffset, blocks: usize) {
        let range = |offset: BlockOffset| offset.at()..offset.at() + blocks * BLOCK;
        if let Ok([source, target]) = self.chunks.get_disjoint_mut([from.chunk(), to.chunk()]) {
            target.bytes[range(to)].copy_from_slice(&source.bytes[range(from)]);
        }
    }

    fn entry(&self, offset: BlockOffset) -> (Header, &[u8]) {
        let run = &self.chunks[offset.chunk()].bytes[offset.at()..];
        let header = header_of(run);
        (header, &run[HEADER..HEADER + header.length()])
    }

    /// One of the first words of a run.
    fn word(&self, offset: BlockOffset, word: usize) -> u32 {
        let bytes = &self.chunks[offset.chunk()].bytes[offset.at() + word * HEADER..];
        u32::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; HEADER]))
    }

    fn set_word(&mut self, offset: BlockOffset, word: usize, value: u32) {
        let start = offset.at() + word * HEADER;
        self.chunks[offset.chunk()].bytes[start..start + HEADER].copy_from_slice(&value.to_le_bytes());
    }
}

/// The header of the run with which these bytes begin.
fn header_of(bytes: &[u8]) -> Header {
    Header(u32::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; HEADER])))
}

/// Writes a line where these bytes begin.
fn write(bytes: &mut [u8], header: Header, line: &[u8]) {
    let run = &mut bytes[..HEADER + line.len()];
    run[..HEADER].copy_from_slice(&header.0.to_le_bytes());
    run[HEADER..].copy_from_slice(line);
}

/// The number of blocks of a line of this length and its header. At least two, so that a free run has room
/// for its header and the links of its list.
fn blocks(length: usize) -> usize {
    (HEADER + length).div_ceil(BLOCK).max(2)
}

/// Bytes of a cache line of the processor.
const CACHE_LINE: usize = 64;
/// The offset of the last byte of a line of usual length, with its header: the example of docs/protocol.md,
/// section 1.
const LINE_USUAL: usize = 86;
/// Bytes of a header.
const HEADER: usize = 4;
/// The words of a free run: its header, the run before it in its list, and the one after it.
const HEADER_WORD: usize = 0;
const PREVIOUS_WORD: usize = 1;
const NEXT_WORD: usize = 2;
/// `NO_RUN`: an end of a list of free runs. No run begins in the last block of the arena.
const NO_RUN: u32 = u32::MAX;
/// Bits of the line's length in a header.
const LENGTH_BITS: u32 = 24;
/// The greatest length of a line, in bytes: sixteen times what `limits.max_line` allows.
const LENGTH_MAX: u32 = (1 << LENGTH_BITS) - 1;
/// `ID_START_UNKNOWN`: the start of the ID does not fit its byte, and is searched for each time. No ID starts
/// at 0.
const ID_START_UNKNOWN: u8 = 0;
/// `FREE`: in the place of the start of an ID, the mark of a free run.
const FREE: u8 = u8::MAX;
/// Bytes of a block. Smaller blocks would waste less memory after a line, and limit the arena to less memory.
const BLOCK: usize = 8;
/// Blocks of a chunk: a mebibyte.
const CHUNK_BLOCKS: usize = (if cfg!(test) { 1 << 11 } else { 1 << 20 }) / BLOCK;
/// The greatest number of chunks, so that an offset has 32 bits.
const CHUNKS_MAX: usize = 1 << (u32::BITS - CHUNK_BLOCKS.ilog2());
/// The number of free blocks up to which the arena is not compacted. With more, and more than used ones, some
/// chunk beside the last one is half free.
const FREE_BLOCKS_MIN: usize = 2 * CHUNK_BLOCKS;
/// The bytes that one call of [`Arena::compact`] moves: those of about 46 lines. Where more than half is free,
/// two runs for each report would suffice.
pub(super) const PORTION: usize = if cfg!(test) { 256 } else { 4096 };
/// The greatest number of chunks that one call of [`Arena::compact`] looks at to find a sparse one.
const LOOKED_AT_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replace(arena: &mut Arena, offset: BlockOffset, line: &[u8], id_start: usize) -> Option<BlockOffset> {
        let mut offset = offset;
        arena.replace_if(&mut offset, line, id_start, |_| true).map(|_| offset)
    }

    #[test]
    fn a_line_is_replaced_in_place_or_moved() {
        let mut arena = Arena::new();
        let a = arena.add(b"123\n", 1).unwrap();
        let b = arena.add(b"b\n", 1).unwrap();
        assert_eq!(replace(&mut arena, a, b"x\n", 1), Some(a));
        assert_eq!((arena.get(a), arena.get(b)), (&b"x\n"[..], &b"b\n"[..]));
        let moved = replace(&mut arena, a, b"more than two blocks\n", 1).unwrap();
        assert_ne!(moved, a);
        assert_eq!(arena.free_blocks, 2);
        let mut unchanged = b;
        assert_eq!(arena.replace_if(&mut unchanged, b"x\n", 1, |known| known != b"b\n"), Some(false));
        assert_eq!(arena.get(b), b"b\n");
        assert_eq!(arena.add(b"c\n", 1), Some(a), "its blocks are reused");
        assert_eq!(arena.free_blocks, 0);
        assert_eq!((arena.get(moved), arena.get(b)), (&b"more than two blocks\n"[..], &b"b\n"[..]));
    }

    #[test]
    fn an_id_is_found_at_any_start() {
        let mut arena = Arena::new();
        for length in [1, 200, 243, 244, 300] {
            let line = format!("AT {} +0.000000000 kiwi +1-1 5\n", "x".repeat(length));
            let offset = arena.add(line.as_bytes(), line.len() - b"kiwi +1-1 5\n".len()).unwrap();
            assert_eq!(arena.id_and_rest(offset), b"kiwi +1-1 5\n");
            assert_eq!(arena.get(offset), line.as_bytes());
        }
    }

    #[test]
    fn a_line_may_be_longer_than_a_chunk() {
        let mut arena = Arena::new();
        let long = [&vec![b'x'; 3 * CHUNK_BLOCKS * BLOCK][..], b"\n"].concat();
        let lines: Vec<BlockOffset> =
            [&b"a\n"[..], &long, b"b\n"].iter().map(|line| arena.add(line, 1).unwrap()).collect();
        assert_eq!(arena.get(lines[0]), b"a\n");
        assert_eq!(arena.get(lines[1]), long);
        assert_eq!(arena.get(lines[2]), b"b\n");
        assert_eq!(arena.add(&vec![b'x'; LENGTH_MAX as usize + 1], 1), None);
    }

    proptest! {
        /// Lines of all lengths come, go and change, while the arena is compacted.
        #[test]
        fn lines_survive_compaction(
            steps in proptest::collection::vec((0..8u8, 0..60usize, prop_oneof![9 => 0..200usize, 1 => 1000..5000usize]), 0..600),
        ) {
            let mut arena = Arena::new();
            let mut model: Vec<(BlockOffset, Vec<u8>)> = Vec::new();
            for (number, (action, which, length)) in steps.into_iter().enumerate() {
                let line = format!("A {number} {}\n", "x".repeat(length)).into_bytes();
                match action {
                    0..3 => model.push((arena.add(&line, 2).unwrap(), line)),
                    3..5 if !model.is_empty() => {
                        let which = which % model.len();
                        model[which] = (replace(&mut arena, model[which].0, &line, 2).unwrap(), line);
                    }
                    5.. if !model.is_empty() => {
                        arena.remove(model.swap_remove(which % model.len()).0);
                    }
                    _ => {}
                }
                if arena.should_compact() {
                    arena.compact(|rest, old, new| {
                        let found = model.iter_mut().find(|(offset, _)| *offset == old).expect("a line of the model");
                        assert_eq!(&found.1[2..], rest);
                        found.0 = new;
                    });
                }
                let mut used = 0;
                for (offset, line) in &model {
                    prop_assert_eq!(arena.get(*offset), &line[..]);
                    used += blocks(line.len());
                }
                prop_assert_eq!(arena.used_blocks, used);
                let bytes: usize = arena.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
                let emptied = match arena.compaction {
                    Compaction::Moving { at, .. } => at,
                    Compaction::Idle(_) => 0,
                };
                prop_assert_eq!((arena.used_blocks + arena.free_blocks) * BLOCK, bytes - emptied);
            }
        }
    }

    #[test]
    fn compaction_frees_memory_in_bounded_steps() {
        let mut arena = Arena::new();
        let line = [&[b'x'; 79][..], b"\n"].concat();
        let mut lines: Vec<BlockOffset> = (0..2000).map(|_| arena.add(&line, 1).unwrap()).collect();
        let full = arena.chunks.iter().filter(|chunk| !chunk.bytes.is_empty()).count();
        for number in 0..1800 {
            arena.remove(lines.swap_remove(number * 7 % lines.len()));
            if arena.should_compact() {
                arena.compact(|_, old, new| {
                    let found = lines.iter_mut().find(|offset| **offset == old).unwrap();
                    *found = new;
                });
            }
        }
        let left = arena.chunks.iter().filter(|chunk| !chunk.bytes.is_empty()).count();
        assert!(left * 3 < full, "{left} of {full} chunks are left");
        assert!(lines.iter().all(|&offset| arena.get(offset) == line));
        assert!(arena.compacted_max > 0 && arena.compacted_max < PORTION + blocks(line.len()) * BLOCK);
    }
}
