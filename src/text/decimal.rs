//! Unsigned decimal numbers, `D+(.D+)?`, compared digit by digit: no number is converted to floating point.

/// The digits of a number, split at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    /// The digits before the point, at least one.
    pub whole: &'a [u8],
    /// The digits after the point; empty if there is no point.
    pub fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// Parses all of `text`.
    pub fn parse(text: &'a [u8]) -> Option<Decimal<'a>> {
        let (decimal, rest) = Decimal::prefix(text)?;
        rest.is_empty().then_some(decimal)
    }

    /// Parses a number at the front of `text`. Returns it and the rest of the text.
    #[inline]
    pub fn prefix(text: &'a [u8]) -> Option<(Decimal<'a>, &'a [u8])> {
        let (whole, rest) = digits(text);
        if whole.is_empty() {
            return None;
        }
        let Some((b'.', after_point)) = rest.split_first() else {
            return Some((Decimal { whole, fraction: &[] }, rest));
        };
        let (fraction, rest) = digits(after_point);
        if fraction.is_empty() {
            return None;
        }
        Some((Decimal { whole, fraction }, rest))
    }

    /// Whether the number is at most `limit`. Exact for any number of digits.
    #[inline]
    pub fn at_most(&self, limit: u32) -> bool {
        let Some(whole) = integer(self.whole) else {
            return false;
        };
        whole < u64::from(limit) || (whole == u64::from(limit) && self.fraction.iter().all(|&d| d == b'0'))
    }
}

/// The value of `digits`. `None`: there are none, a byte is not a digit, or the value needs more than 64
/// bits.
pub fn integer(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &d| {
        let digit = d.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The number of digits at the front of `text`. In coordinates and times there are so few of them that a vector takes
/// longer.
#[inline]
pub fn digits_at_front(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

#[inline]
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(digits_at_front(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_digits_around_one_point_are_a_number() {
        let d = Decimal::parse(b"012.50").unwrap();
        assert_eq!((d.whole, d.fraction), (&b"012"[..], &b"50"[..]));
        assert!(Decimal::parse(b"7").is_some());
        for text in ["", ".", "5.", ".5", "1.2.3", "+1", "-1", "1e1", "1_0", "1 ", "\u{661}"] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Decimal::prefix(b"1.5-2").unwrap().1, b"-2");
    }

    #[test]
    fn limits_are_exact_for_any_number_of_digits() {
        let within = |text: &str| Decimal::parse(text.as_bytes()).unwrap().at_most(50);
        assert!(within("50") && within("50.000") && within("49.9999999999999999999999999999"));
        assert!(within("0000000000000000000000000000000050"));
        assert!(!within("50.00000000000000000000000000000000000001") && !within("51"));
        assert!(!within("99999999999999999999999999999999999999999"));
    }

    #[test]
    fn integers_need_digits_only_and_fit_64_bits() {
        assert_eq!(integer(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(integer(b"18446744073709551616"), None);
        assert_eq!(integer(b""), None);
        assert_eq!(integer(b"1/"), None);
        assert_eq!(integer(b"1:"), None);
    }

    proptest! {
        #[test]
        fn digits_are_counted(text in proptest::collection::vec(prop_oneof![any::<u8>(), b'0'..=b'9', Just(b' ')], 0..40)) {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            prop_assert_eq!(digits_at_front(&text), digits);
        }
    }
}
