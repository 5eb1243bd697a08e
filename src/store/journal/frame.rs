//! Frames: the records of the files of a store, each with its length and a checksum. It reads and writes bytes, no file.
//!
//! ```text
//! length    u32   bytes of the content
//! checksum  u32   CRC-32C of the length, the number and the content
//! number    u64   of the change; 0: the content is no change
//! content         a line with its LF
//! ```
//!
//! Numbers are little-endian. A length of 0 is the end of a file: files are made longer before they are written.

use memchr::memmem;

use crate::text::record::Statement;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The number of the change; 0: the content is no change.
    pub number: u64,
    /// A line with its LF.
    pub content: &'a [u8],
}

/// What stands at the front of some bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// A whole frame, and its length in the file in bytes.
    Frame(Frame<'a>, usize),
    /// The beginning of a frame: more bytes are needed.
    Part,
    /// Nothing was written from here on.
    End,
    /// No frame.
    Damage,
}

impl<'a> Frame<'a> {
    /// The statement of a change; `None`: the content is none.
    pub fn statement(&self) -> Option<Statement<'a>> {
        self.content.strip_suffix(b"\n").and_then(Statement::parse)
    }

    /// Its length in a file, in bytes.
    pub fn length(&self) -> usize {
        HEADER + self.content.len()
    }

    /// Appends the frame, except its checksum; see [`seal`].
    pub fn write(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(&(self.content.len() as u32).to_le_bytes());
        output.extend_from_slice(&[0; 4]);
        output.extend_from_slice(&self.number.to_le_bytes());
        output.extend_from_slice(self.content);
    }

    /// Reads the front of some bytes of a file.
    pub fn read(bytes: &'a [u8]) -> Front<'a> {
        let Some(length) = word(bytes, 0) else {
            return if bytes.iter().all(|&byte| byte == 0) { Front::End } else { Front::Part };
        };
        let length = length as usize;
        if length == 0 {
            return Front::End;
        }
        if length > CONTENT_MAX {
            return Front::Damage;
        }
        let Some(content) = bytes.get(HEADER..HEADER + length) else {
            return Front::Part;
        };
        if word(bytes, 4) != Some(checksum(bytes, length)) {
            return Front::Damage;
        }
        let number = u64::from_le_bytes(bytes[8..16].try_into().unwrap_or_default());
        Front::Frame(Frame { number, content }, HEADER + length)
    }
}

/// The frames in these bytes, whose checksums need no check: they were checked when they were read, or are in memory.
pub fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let length = word(bytes, 0)? as usize;
        let number = u64::from_le_bytes(bytes.get(8..HEADER)?.try_into().ok()?);
        let (frame, rest) = bytes.split_at_checked(HEADER + length)?;
        bytes = rest;
        Some(Frame { number, content: &frame[HEADER..] })
    })
}

/// Fills in the checksums of whole frames. Separate from writing them, because the thread that writes the file has
/// more time.
pub fn seal(frames: &mut [u8]) {
    let mut at = 0;
    while let Some(length) = word(&frames[at..], 0) {
        let checksum = checksum(&frames[at..], length as usize);
        frames[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        at += HEADER + length as usize;
    }
}

/// The number of bytes before the next place at which a frame may begin, after damage at the front; `None`: there is none
/// in these bytes. Every frame but those of notes has the content of a statement.
pub fn next_candidate(bytes: &[u8]) -> Option<usize> {
    let from = HEADER + 1;
    let rest = bytes.get(from..)?;
    STARTS.iter().filter_map(|start| memmem::find(rest, start)).min().map(|found| found + 1)
}

/// The checksum of the frame at the front.
fn checksum(bytes: &[u8], length: usize) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[8..HEADER + length])
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().unwrap_or_default()))
}

/// Bytes of a frame before its content.
pub const HEADER: usize = 16;
/// The greatest length of a content, in bytes: that of a line of the store, which is a mebibyte at most
/// (`limits.max_line`), and of the note about sixty-four neighbours.
pub const CONTENT_MAX: usize = 2 * 1024 * 1024;
/// The beginnings of the contents of frames.
const STARTS: [&[u8]; 5] = [b"AT ", b"GONE ", b"STATE ", b"END ", b"WHOLE\n"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(contents: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (content, number) in contents.iter().zip(1..) {
            Frame { number, content }.write(&mut bytes);
        }
        seal(&mut bytes);
        bytes
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let contents: [&[u8]; 3] = [b"AT a\n", b"GONE b\n", b"END\n"];
        let bytes = frames(&contents);
        let mut at = 0;
        for (content, number) in contents.into_iter().zip(1..) {
            let Front::Frame(frame, length) = Frame::read(&bytes[at..]) else { panic!("no frame at {at}") };
            assert_eq!(frame, Frame { number, content });
            at += length;
        }
        assert_eq!((at, Frame::read(&bytes[at..])), (bytes.len(), Front::End));
    }

    #[test]
    fn zeros_are_the_end() {
        for count in 0..40 {
            assert_eq!(Frame::read(&vec![0; count]), Front::End, "{count} zeros");
        }
    }

    #[test]
    fn a_candidate_is_the_next_frame() {
        let mut bytes = frames(&[b"AT one\n", b"GONE two\n"]);
        bytes[17] ^= 1;
        assert_eq!(Frame::read(&bytes), Front::Damage);
        assert_eq!(next_candidate(&bytes), Some(HEADER + 7));
        assert_eq!(next_candidate(&bytes[HEADER + 7..]), None);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_noticed(content in proptest::collection::vec(any::<u8>(), 1..100), bit in any::<prop::sample::Index>()) {
            let good = frames(&[&content]);
            let mut bytes = good.clone();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(Frame::read(&bytes), Front::Frame(..)));
        }

        #[test]
        fn no_bytes_are_a_frame_that_is_longer_than_they(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Front::Frame(_, length) = Frame::read(&bytes) {
                prop_assert!(length <= bytes.len());
            }
            if let Some(candidate) = next_candidate(&bytes) {
                prop_assert!(candidate > 0 && candidate < bytes.len());
            }
        }
    }
}
