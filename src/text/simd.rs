//! Bytes, many at a time.
//!
//! An IAMAT, its reply and its lines in the log are four hundred bytes. Looking at each of them on its own
//! took most of the time of a command. Sixteen of them are one vector here, and eight digits one 64-bit
//! word, the first of them its lowest; all of them go through one operation.

use std::marker::PhantomData;

use wide::{CmpEq, CmpGt, CmpLt, i8x16};

/// Digits that are read and written together.
pub const EIGHT: usize = 8;
/// Bytes that are looked at together.
const SIXTEEN: usize = 16;

/// A class of bytes.
pub trait Class {
    /// All bits of each byte that belongs to it.
    fn of(bytes: i8x16) -> i8x16;
}

/// White space; see [`super::fields`].
#[derive(Clone, Copy, Debug)]
pub struct WhiteSpace;

impl Class for WhiteSpace {
    #[inline]
    fn of(bytes: i8x16) -> i8x16 {
        // Signed, so that what is not ASCII is below everything.
        bytes.cmp_eq(each(b' ')) | bytes.cmp_gt(each(b'\t' - 1)) & bytes.cmp_lt(each(b'\r' + 1))
    }
}

/// Everything but the digits.
#[derive(Clone, Copy, Debug)]
pub struct NoDigit;

impl Class for NoDigit {
    #[inline]
    fn of(bytes: i8x16) -> i8x16 {
        bytes.cmp_lt(each(b'0')) | bytes.cmp_gt(each(b'9'))
    }
}

/// Where the bytes of a class stand in a text, one after the other.
#[derive(Clone, Debug)]
pub struct Positions<'a, C> {
    text: &'a [u8],
    /// Where the sixteen bytes begin that are looked at, and which of them were not met yet.
    block: usize,
    mask: u32,
    class: PhantomData<C>,
}

impl<'a, C: Class> Positions<'a, C> {
    /// Those of all of `text`.
    #[inline]
    pub fn of(text: &'a [u8]) -> Positions<'a, C> {
        Positions { text, block: 0, mask: mask(text, 0, C::of), class: PhantomData }
    }

    /// Where the next one stands; the length of the text when there is none.
    #[inline]
    pub fn next_place(&mut self) -> usize {
        while self.mask == 0 {
            self.block += SIXTEEN;
            if self.block >= self.text.len() {
                return self.text.len();
            }
            self.mask = mask(self.text, self.block, C::of);
        }
        let place = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        place
    }
}

/// Whether all bytes are printable ASCII.
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    let odd = |bytes: i8x16| bytes.cmp_lt(each(b' ')) | bytes.cmp_eq(each(b'~' + 1));
    (0..text.len()).step_by(SIXTEEN).fold(0, |found, at| found | mask(text, at, odd)) == 0
}

/// How many digits stand at the front.
#[inline]
pub fn digits_at_front(text: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let digits = mask(text, length, |bytes| !NoDigit::of(bytes)).trailing_ones() as usize;
        length += digits;
        if digits < SIXTEEN {
            return length;
        }
    }
}

/// The value of the first eight bytes, if all of them are digits.
#[inline]
pub fn eight_digits(text: &[u8]) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let values = u64::from_le_bytes(*text.first_chunk()?) ^ (EACH * b'0' as u64);
    // A digit's value stays below 0x80 when 0x80 - 10 is added. A carry comes only from where one does not.
    if (values.wrapping_add(EACH * (0x80 - 10)) | values) & (EACH * 0x80) != 0 {
        return None;
    }
    // Neighbours are added up: eight numbers below 10, four below 100, two below 10,000, one.
    let tens = values.wrapping_mul(1 + (10 << 8)) >> 8;
    let hundreds = (tens & 0x00ff_00ff_00ff_00ff).wrapping_mul(1 + (100 << 16)) >> 16;
    Some((hundreds & 0x0000_ffff_0000_ffff).wrapping_mul(1 + (10_000 << 32)) >> 32)
}

/// The digits of a number below 10^8, with noughts before it.
#[inline]
pub fn write_eight(value: u32) -> [u8; EIGHT] {
    // The other way round: halves below 10,000, quarters below 100, digits. The factors are 1/100 and
    // 1/10 in fixed point, exact for what they are applied to.
    let halves = u64::from(value / 10_000) | u64::from(value % 10_000) << 32;
    let upper = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = upper | (halves - 100 * upper) << 16;
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | (quarters - 10 * tens) << 8;
    (digits | 0x3030_3030_3030_3030).to_le_bytes()
}

/// Which of the sixteen bytes from `at` on something is true of; of none behind the end.
#[inline]
fn mask(text: &[u8], at: usize, is_true: impl Fn(i8x16) -> i8x16) -> u32 {
    let of = |bytes: &[u8; SIXTEEN]| is_true(i8x16::from(bytes.map(|byte| byte as i8))).move_mask() as u32;
    let rest = text.get(at..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        return of(bytes);
    }
    // The last sixteen begin earlier.
    if let Some(bytes) = text.last_chunk() {
        return of(bytes) >> (SIXTEEN - rest.len());
    }
    let mut bytes = [0; SIXTEEN];
    bytes[..rest.len()].copy_from_slice(rest);
    of(&bytes) & ((1 << rest.len()) - 1)
}

fn each(byte: u8) -> i8x16 {
    i8x16::splat(byte as i8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eight_are_read() {
        assert_eq!(eight_digits(b"12345678"), Some(12_345_678));
        assert_eq!(eight_digits(b"000000019"), Some(1));
        assert_eq!(eight_digits(b"99999999."), Some(99_999_999));
        for text in ["", "1234567", "1234567.", "/2345678", "1234:678", "-2345678", "1234567\u{e9}"] {
            assert_eq!(eight_digits(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn each_byte_is_white_or_plain_or_not_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for length in 1..=35 {
                for at in 0..length {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    let mut places = Positions::<WhiteSpace>::of(&text);
                    let found: Vec<usize> =
                        std::iter::from_fn(|| Some(places.next_place()).filter(|&place| place < length))
                            .collect();
                    let expected = if b" \t\r\n\x0b\x0c".contains(&byte) { vec![at] } else { Vec::new() };
                    assert_eq!(found, expected, "{byte} at {at} of {length}");
                    assert_eq!(is_plain(&text), (b' '..=b'~').contains(&byte), "{byte} at {at} of {length}");
                }
            }
        }
        assert!(is_plain(b""));
    }

    proptest! {
        #[test]
        fn they_are_written_as_they_are_read(value in 0..100_000_000u32) {
            prop_assert_eq!(write_eight(value).to_vec(), format!("{value:08}").into_bytes());
            prop_assert_eq!(eight_digits(&write_eight(value)), Some(u64::from(value)));
        }

        #[test]
        fn digits_are_counted(text in proptest::collection::vec(prop_oneof![any::<u8>(), b'0'..=b'9', Just(b' ')], 0..40)) {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            prop_assert_eq!(digits_at_front(&text), digits);
            prop_assert_eq!(eight_digits(&text).is_some(), digits >= EIGHT);
        }
    }
}
