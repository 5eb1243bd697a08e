//! Decimal digits, eight at a time.
//!
//! Every IAMAT has two coordinates and a time, and its reply a skew: some fifty digits, which took half of
//! the time of a command while they were read and written one by one. Eight bytes are one 64-bit word
//! here, the first of them its lowest, and all of them go through one operation.

/// Digits that are read and written together.
pub const EIGHT: usize = 8;

/// The value of the first eight bytes, if all of them are digits.
pub fn eight_digits(text: &[u8]) -> Option<u64> {
    let word = first_word(text)?;
    if first_mark(not_digits(word)) < EIGHT {
        return None;
    }
    // Neighbours are added up: eight numbers below 10, four below 100, two below 10,000, one.
    let tens = (word & each(0x0f)).wrapping_mul(1 + (10 << 8)) >> 8;
    let hundreds = (tens & 0x00ff_00ff_00ff_00ff).wrapping_mul(1 + (100 << 16)) >> 16;
    Some((hundreds & 0x0000_ffff_0000_ffff).wrapping_mul(1 + (10_000 << 32)) >> 32)
}

/// How many digits stand at the front.
pub fn digits_at_front(text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(word) = first_word(&text[length..]) {
        let digits = first_mark(not_digits(word));
        length += digits;
        if digits < EIGHT {
            return length;
        }
    }
    length + text[length..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// How many bytes above a space stand at the front: no white space is among them.
pub fn dark_at_front(text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(word) = first_word(&text[length..]) {
        let dark = first_mark(word.wrapping_sub(each(b' ' + 1)) & !word & each(0x80));
        length += dark;
        if dark < EIGHT {
            return length;
        }
    }
    length + text[length..].iter().take_while(|&&byte| byte > b' ').count()
}

/// The digits of a number below 10^8, with noughts before it.
pub fn write_eight(value: u32) -> [u8; EIGHT] {
    // The other way round: halves below 10,000, quarters below 100, digits. The factors are 1/100 and
    // 1/10 in fixed point, exact for what they are applied to.
    let halves = u64::from(value / 10_000) | u64::from(value % 10_000) << 32;
    let upper = (halves * 10_486 >> 20) & 0x0000_007f_0000_007f;
    let quarters = upper | (halves - 100 * upper) << 16;
    let tens = (quarters * 103 >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | (quarters - 10 * tens) << 8;
    (digits | each(b'0')).to_le_bytes()
}

fn first_word(text: &[u8]) -> Option<u64> {
    text.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A word of eight equal bytes.
const fn each(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// The top bit of each byte that is no digit. Above the first such byte a carry may mark digits, too.
const fn not_digits(word: u64) -> u64 {
    let value = word ^ each(b'0');
    (value.wrapping_add(each(0x80 - 10)) | value) & each(0x80)
}

/// How many bytes stand before the first marked one; all eight, if none is marked.
const fn first_mark(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
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

    proptest! {
        #[test]
        fn they_are_written_as_they_are_read(value in 0..100_000_000u32) {
            prop_assert_eq!(write_eight(value).to_vec(), format!("{value:08}").into_bytes());
            prop_assert_eq!(eight_digits(&write_eight(value)), Some(u64::from(value)));
        }

        #[test]
        fn what_stands_at_the_front_is_counted(text in proptest::collection::vec(prop_oneof![any::<u8>(), b'0'..=b'9', Just(b' ')], 0..40)) {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            prop_assert_eq!(digits_at_front(&text), digits);
            prop_assert_eq!(dark_at_front(&text), text.iter().take_while(|&&byte| byte > b' ').count());
            prop_assert_eq!(eight_digits(&text).is_some(), digits >= EIGHT);
        }
    }
}
