//! The lines of all records in one piece of memory: no allocation for each of them.
//!
//! A line has a head of four bytes, which says how long it is and where the client's ID stands in it, and
//! takes whole blocks of eight bytes, so that 32 bits name its place. What a line leaves is used by the
//! next one of as many blocks. When more lies waste than is used, whoever owns the lines has the arena
//! laid out anew.

/// Lines, each with its LF.
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

/// What stands before a line: its length in the lower three bytes, above them where its ID begins.
#[derive(Clone, Copy)]
struct Head(u32);

impl Head {
    fn of(line: &[u8], id_at: usize) -> Option<Head> {
        let length = u32::try_from(line.len()).ok().filter(|&length| length <= LENGTH_MAX)?;
        // An ID that begins too far behind is looked for each time.
        let id_at = u8::try_from(id_at).unwrap_or(NOT_NOTED);
        Some(Head(u32::from(id_at) << LENGTH_BITS | length))
    }

    fn length(self) -> usize {
        (self.0 & LENGTH_MAX) as usize
    }

    fn id_at(self, line: &[u8]) -> usize {
        match (self.0 >> LENGTH_BITS) as u8 {
            // It is the fourth field.
            NOT_NOTED => line.splitn(4, |&byte| byte == b' ').take(3).map(|field| field.len() + 1).sum(),
            id_at => usize::from(id_at),
        }
    }
}

impl Arena {
    /// The line there, with its LF.
    pub(super) fn get(&self, at: At) -> &[u8] {
        self.look(at).1
    }

    /// The line there from the client's ID on.
    pub(super) fn id_and_rest(&self, at: At) -> &[u8] {
        let (head, line) = self.look(at);
        &line[head.id_at(line)..]
    }

    /// Keeps a line whose ID begins at `id_at`. `None`: it is too long, or there is no further place that
    /// 32 bits can name (32 GiB).
    pub(super) fn add(&mut self, line: &[u8], id_at: usize) -> Option<At> {
        let (head, blocks) = (Head::of(line, id_at)?, blocks(line.len()));
        if let Some(at) = self.free.get_mut(blocks).and_then(Vec::pop) {
            self.wasted -= blocks;
            self.write(At(at), head, line);
            return Some(At(at));
        }
        let at = u32::try_from(self.bytes.len() / BLOCK).ok()?;
        self.bytes.extend_from_slice(&head.0.to_le_bytes());
        self.bytes.extend_from_slice(line);
        self.bytes.resize((at as usize + blocks) * BLOCK, 0);
        Some(At(at))
    }

    /// Keeps a line in the place of another one, which it overwrites where it fits.
    pub(super) fn replace(&mut self, at: At, line: &[u8], id_at: usize) -> Option<At> {
        let old = blocks(self.look(at).0.length());
        if old == blocks(line.len()) {
            self.write(at, Head::of(line, id_at)?, line);
            return Some(at);
        }
        let new = self.add(line, id_at)?;
        if self.free.len() <= old {
            self.free.resize_with(old + 1, Vec::new);
        }
        self.free[old].push(at.0);
        self.wasted += old;
        Some(new)
    }

    /// Adds a line of another arena.
    pub(super) fn take_over(&mut self, other: &Arena, at: At) -> Option<At> {
        let (head, line) = other.look(at);
        self.add(line, head.id_at(line))
    }

    /// Whether laying it out anew would pay.
    pub(super) fn is_wasteful(&self) -> bool {
        self.wasted > WASTE_MIN && self.wasted * 2 > self.bytes.len() / BLOCK
    }

    /// Reads a byte of each cache line that a usual line takes.
    pub(super) fn touch(&self, at: At) -> u32 {
        let byte = |place: usize| u32::from(self.bytes.get(place).copied().unwrap_or_default());
        let start = at.0 as usize * BLOCK;
        byte(start) ^ byte(start + CACHE_LINE) ^ byte(start + LINE_USUAL)
    }

    fn look(&self, at: At) -> (Head, &[u8]) {
        // A place that was given holds a head.
        let (&head, rest) =
            self.bytes[at.0 as usize * BLOCK..].split_first_chunk().unwrap_or((&[0; HEAD], &[]));
        let head = Head(u32::from_le_bytes(head));
        (head, &rest[..head.length()])
    }

    fn write(&mut self, at: At, head: Head, line: &[u8]) {
        let start = at.0 as usize * BLOCK;
        let place = &mut self.bytes[start..start + HEAD + line.len()];
        place[..HEAD].copy_from_slice(&head.0.to_le_bytes());
        place[HEAD..].copy_from_slice(line);
    }
}

/// Blocks that a line of this length takes with its head.
fn blocks(length: usize) -> usize {
    (HEAD + length).div_ceil(BLOCK)
}

/// Bytes that a processor fetches together.
const CACHE_LINE: usize = 64;
/// Where the last byte of a usual line is: the example of docs/protocol.md, section 1, with its head.
const LINE_USUAL: usize = 86;
/// Bytes of a head.
const HEAD: usize = 4;
/// Bits of a head that tell the length of the line.
const LENGTH_BITS: u32 = 24;
/// The longest line that can be kept, in bytes: sixteen times what `limits.max_line` allows.
const LENGTH_MAX: u32 = (1 << LENGTH_BITS) - 1;
/// No ID begins with its line.
const NOT_NOTED: u8 = 0;
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
        let a = arena.add(b"123\n", 1).unwrap();
        let b = arena.add(b"b\n", 1).unwrap();
        assert_eq!(arena.replace(a, b"x\n", 1), Some(a));
        assert_eq!((arena.get(a), arena.get(b)), (&b"x\n"[..], &b"b\n"[..]));
        let moved = arena.replace(a, b"more than one block\n", 1).unwrap();
        assert_ne!(moved, a);
        assert_eq!(arena.wasted, 1);
        assert_eq!(arena.add(b"c\n", 1), Some(a), "its place is used again");
        assert_eq!(arena.wasted, 0);
        assert_eq!((arena.get(moved), arena.get(b)), (&b"more than one block\n"[..], &b"b\n"[..]));
    }

    #[test]
    fn an_id_is_found_wherever_it_begins() {
        let mut arena = Arena::default();
        for length in [1, 200, 300] {
            let line = format!("AT {} +0.000000000 kiwi +1-1 5\n", "x".repeat(length));
            let at = arena.add(line.as_bytes(), line.len() - b"kiwi +1-1 5\n".len()).unwrap();
            assert_eq!(arena.id_and_rest(at), b"kiwi +1-1 5\n");
            let mut other = Arena::default();
            let at = other.take_over(&arena, at).unwrap();
            assert_eq!((other.get(at), other.id_and_rest(at)), (line.as_bytes(), &b"kiwi +1-1 5\n"[..]));
        }
    }

    #[test]
    fn what_lies_waste_is_counted() {
        let mut arena = Arena::default();
        let mut at = arena.add(b"\n", 1).unwrap();
        for length in 1..2000 {
            at = arena.replace(at, &[&vec![b'x'; length * BLOCK][..], b"\n"].concat(), 1).unwrap();
        }
        assert!(arena.is_wasteful());
    }
}
