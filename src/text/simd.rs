//! Search, classification and conversion of bytes with SIMD vectors, and with words as vectors (SWAR). No
//! `unsafe`; the `wide` crate has the vectors.
//!
//! An IAMAT, its reply and its log lines are four hundred bytes, and a loop over single bytes took most of
//! the time of a command. Sixteen bytes are one vector here. Eight digits are one 64-bit word, the first
//! digit in its lowest byte.

use wide::{CmpEq, CmpGt, CmpLt, i8x16};

/// Digits in a word.
pub const EIGHT: usize = 8;
/// Bytes in a vector.
const SIXTEEN: usize = 16;
/// A word with 1 in each byte.
const EACH_BYTE: u64 = 0x0101_0101_0101_0101;
/// Bytes that one mask of positions covers: a bit of a word for each.
const BLOCK: usize = 64;

/// The positions of white space in a text, in order; see [`super::fields`].
#[derive(Clone, Debug)]
pub struct WhiteSpace<'a> {
    text: &'a [u8],
    /// The start of the current block of [`BLOCK`] bytes.
    block: usize,
    /// The white space of the block that was not returned yet, one bit for each byte.
    mask: u64,
}

impl<'a> WhiteSpace<'a> {
    /// The positions in all of `text`.
    #[inline]
    pub fn of(text: &'a [u8]) -> WhiteSpace<'a> {
        WhiteSpace { text, block: 0, mask: mask(text, 0, is_white_space) }
    }

    /// The next position; the length of the text after the last one.
    #[inline]
    pub fn next_position(&mut self) -> usize {
        if self.mask == 0 && (self.is_in_last_block() || !self.next_block()) {
            return self.text.len();
        }
        let position = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        position
    }

    #[inline]
    fn is_in_last_block(&self) -> bool {
        self.block + BLOCK >= self.text.len()
    }

    /// Goes on to the next block with white space. Returns whether there is one. Not inlined: most texts are
    /// one block, and the callers stay small.
    #[inline(never)]
    fn next_block(&mut self) -> bool {
        while self.mask == 0 && !self.is_in_last_block() {
            self.block += BLOCK;
            self.mask = mask(self.text, self.block, is_white_space);
        }
        self.mask != 0
    }
}

#[inline]
fn is_white_space(bytes: i8x16) -> i8x16 {
    // The comparison is signed: bytes from 0x80 on are negative, below all of ASCII.
    bytes.cmp_eq(each(b' ')) | bytes.cmp_gt(each(b'\t' - 1)) & bytes.cmp_lt(each(b'\r' + 1))
}

/// Whether all bytes are printable ASCII.
#[inline]
pub fn is_printable(text: &[u8]) -> bool {
    let others = |bytes: i8x16| bytes.cmp_lt(each(b' ')) | bytes.cmp_eq(each(b'~' + 1));
    let (vectors, rest) = text.as_chunks();
    let found = vectors.iter().fold(each(0), |found, bytes| found | others(vector(bytes)));
    bits(found) | last_mask(text, rest, others) == 0
}

/// Whether all bytes are digits.
#[inline]
pub fn are_digits(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        return text.iter().all(u8::is_ascii_digit);
    };
    // The last word has bytes of the one before it, too.
    let words = text.as_chunks().0.iter().chain([last]);
    words.fold(0, |others, word| others | others_than_digits(values(u64::from_le_bytes(*word)))) == 0
}

/// The value of the first eight bytes, if all of them are digits, and the bytes after them.
#[inline]
pub fn eight_digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let (word, rest) = text.split_first_chunk()?;
    let values = values(u64::from_le_bytes(*word));
    (others_than_digits(values) == 0).then(|| (value_of(values), rest))
}

/// The number of bytes before the first one that is not a digit, and the value of these digits and of a zero in place of
/// each further byte.
#[inline]
pub fn leading_digits(word: u64) -> (usize, u32) {
    let values = values(word);
    let others = others_than_digits(values);
    let digits = (others.trailing_zeros() / u8::BITS) as usize;
    // All bits below the first byte that is not a digit.
    let values = values & ((others & others.wrapping_neg()) >> 7).wrapping_sub(1);
    (digits, value_of(values) as u32)
}

/// The values of digits, one in each byte.
#[inline]
fn values(word: u64) -> u64 {
    word ^ (EACH_BYTE * b'0' as u64)
}

/// The highest bit of the first byte whose value is not that of a digit, and bits after it; 0: all are digits.
#[inline]
fn others_than_digits(values: u64) -> u64 {
    // Adding 0x80 - 10 keeps the value of a digit below 0x80. Only a byte that is not a digit can carry, and only into
    // the bytes after it.
    (values.wrapping_add(EACH_BYTE * (0x80 - 10)) | values) & (EACH_BYTE * 0x80)
}

/// The number of which a word has the digits.
#[inline]
fn value_of(values: u64) -> u64 {
    // Adds up pairs: eight numbers below 10, four below 100, two below 10,000, one.
    let tens = values.wrapping_mul(1 + (10 << 8)) >> 8;
    let hundreds = (tens & 0x00ff_00ff_00ff_00ff).wrapping_mul(1 + (100 << 16)) >> 16;
    (hundreds & 0x0000_ffff_0000_ffff).wrapping_mul(1 + (10_000 << 32)) >> 32
}

/// The digits of a number below 10^8, padded with leading zeros.
#[inline]
pub fn write_eight(value: u32) -> [u8; EIGHT] {
    // Splits into halves below 10,000, quarters below 100, digits. The factors are 1/100 and 1/10 in fixed
    // point, exact for these ranges.
    let halves = u64::from(value / 10_000) | u64::from(value % 10_000) << 32;
    let upper = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = upper | (halves - 100 * upper) << 16;
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | (quarters - 10 * tens) << 8;
    (digits | 0x3030_3030_3030_3030).to_le_bytes()
}

/// Applies `predicate` to the [`BLOCK`] bytes from `at` on: one bit for each byte. Bits after the end are 0.
#[inline]
fn mask(text: &[u8], at: usize, predicate: impl Fn(i8x16) -> i8x16) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    let of = |bytes: &[u8; SIXTEEN]| bits(predicate(vector(bytes)));
    if let Some([a, b, c, d]) = rest.as_chunks().0.first_chunk() {
        return of(a) | of(b) << SIXTEEN | of(c) << (2 * SIXTEEN) | of(d) << (3 * SIXTEEN);
    }
    let (vectors, last) = rest.as_chunks();
    let mut mask = 0;
    for bytes in vectors.iter().rev() {
        mask = mask << SIXTEEN | of(bytes);
    }
    mask | last_mask(text, last, predicate) << (SIXTEEN * vectors.len())
}

/// Applies `predicate` to `rest`, the last bytes of `text`, fewer than sixteen.
#[inline]
fn last_mask(text: &[u8], rest: &[u8], predicate: impl Fn(i8x16) -> i8x16) -> u64 {
    if rest.is_empty() {
        return 0;
    }
    // Takes the last sixteen bytes, and shifts out those before `rest`.
    if let Some(bytes) = text.last_chunk() {
        return bits(predicate(vector(bytes))) >> (SIXTEEN - rest.len());
    }
    let mut bytes = [0; SIXTEEN];
    bytes[..rest.len()].copy_from_slice(rest);
    bits(predicate(vector(&bytes))) & ((1 << rest.len()) - 1)
}

#[inline]
fn vector(bytes: &[u8; SIXTEEN]) -> i8x16 {
    i8x16::from(bytes.map(|byte| byte as i8))
}

/// The highest bit of each byte.
#[inline]
fn bits(bytes: i8x16) -> u64 {
    bytes.move_mask() as u64
}

/// A vector of sixteen copies of `byte`.
fn each(byte: u8) -> i8x16 {
    i8x16::splat(byte as i8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eight_digits_need_eight_digits() {
        assert_eq!(eight_digits(b"12345678"), Some((12_345_678, &b""[..])));
        assert_eq!(eight_digits(b"000000019"), Some((1, &b"9"[..])));
        assert_eq!(eight_digits(b"99999999."), Some((99_999_999, &b"."[..])));
        for text in ["", "1234567", "1234567.", "/2345678", "1234:678", "-2345678", "1234567\u{e9}"] {
            assert_eq!(eight_digits(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn another_byte_than_a_digit_is_found_at_each_position() {
        assert!(are_digits(b""));
        for length in 1..=25 {
            let digits = &b"0123456789".repeat(3)[..length];
            assert!(are_digits(digits));
            for (at, other) in
                (0..length).flat_map(|at| [b'/', b':', b' ', 0, 0xb0, 0xff].map(|other| (at, other)))
            {
                let mut text = digits.to_vec();
                text[at] = other;
                assert!(!are_digits(&text), "{other} at {at} of {length}");
            }
        }
    }

    #[test]
    fn leading_digits_end_at_the_first_other_byte() {
        for (text, digits, value) in [
            (b"12345678", 8, 12_345_678),
            (b"445127\0\0", 6, 44_512_700),
            (b"-1234567", 0, 0),
            (b"0689-118", 4, 6_890_000),
            (b"1\xff345678", 1, 10_000_000),
            (b"99999999", 8, 99_999_999),
            (b"9:999999", 1, 90_000_000),
            (b"0\x00000000", 1, 0),
        ] {
            assert_eq!(leading_digits(u64::from_le_bytes(*text)), (digits, value), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn each_byte_is_classified_at_each_position() {
        for byte in 0..=u8::MAX {
            for length in (1..=35).chain([63, 64, 65, 79, 129]) {
                for at in 0..length {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    let mut positions = WhiteSpace::of(&text);
                    let found: Vec<usize> = std::iter::from_fn(|| {
                        Some(positions.next_position()).filter(|&found| found < length)
                    })
                    .collect();
                    let expected = if b" \t\r\n\x0b\x0c".contains(&byte) { vec![at] } else { Vec::new() };
                    assert_eq!(found, expected, "{byte} at {at} of {length}");
                    assert_eq!(
                        is_printable(&text),
                        (b' '..=b'~').contains(&byte),
                        "{byte} at {at} of {length}"
                    );
                }
            }
        }
        assert!(is_printable(b""));
    }

    proptest! {
        #[test]
        fn eight_digits_are_written_as_they_are_read(value in 0..100_000_000u32) {
            prop_assert_eq!(write_eight(value).to_vec(), format!("{value:08}").into_bytes());
            let written = write_eight(value);
            prop_assert_eq!(eight_digits(&written), Some((u64::from(value), &[][..])));
        }

        #[test]
        fn eight_digits_are_found(text in proptest::collection::vec(prop_oneof![any::<u8>(), b'0'..=b'9', Just(b' ')], 0..40)) {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            prop_assert_eq!(eight_digits(&text).is_some(), digits >= EIGHT);
        }
    }
}
