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

/// A number `[+-]?(D+.?D*|.D+)([eE][+-]?D+)?` with the same value and digits but without exponent and without zeros before
/// its first digit but one: `1.5e1` is `15`, `.5` is `0.5`, `5.` is `5`. The sign is left as it is. No float is made of it.
/// `None`: it is no such number, or has more than `digits_max` digits.
pub fn written_out(text: &str, digits_max: usize) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (text, 0),
    };
    let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let sign = &mantissa[..mantissa.len() - unsigned.len()];
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = [whole, fraction].concat();
    let most = digits_max as i64;
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits || digits.len() > digits_max || !(-most..=most).contains(&exponent) {
        return None;
    }
    // The place of the point among the digits.
    let point = whole.len() as i64 + exponent;
    let zeros = |count: i64| "0".repeat(count.unsigned_abs() as usize);
    let (whole, fraction) = if point <= 0 {
        ("0".to_owned(), zeros(point) + &digits)
    } else if point >= digits.len() as i64 {
        (format!("{digits}{}", zeros(point - digits.len() as i64)), String::new())
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        (whole.to_owned(), fraction.to_owned())
    };
    let trimmed = whole.trim_start_matches('0');
    let whole = if trimmed.is_empty() { "0" } else { trimmed };
    let point = if fraction.is_empty() { "" } else { "." };
    let written = format!("{sign}{whole}{point}{fraction}");
    (whole.len() + fraction.len() <= digits_max).then_some(written)
}

fn exponent_of(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.strip_prefix('+').unwrap_or(text).parse().ok()
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
    fn exponents_are_written_out_exactly() {
        for (text, expected) in [
            ("5", "5"),
            ("-0.0", "-0.0"),
            ("+012.340", "+12.340"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-.5", "-0.5"),
            ("1e0", "1"),
            ("1.50e1", "15.0"),
            ("1.25e+1", "12.5"),
            ("1.5E3", "1500"),
            ("0.05e1", "0.5"),
            ("0.0e9", "0"),
            ("-0.0e1", "-0"),
            ("15e-4", "0.0015"),
            ("1621464827959E-3", "1621464827.959"),
            ("1e-05", "0.00001"),
        ] {
            assert_eq!(written_out(text, 20).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            ".",
            "-",
            "e5",
            "1e",
            "1e+",
            "1e1.5",
            "1.2.3",
            "--1",
            "+-1",
            "1,5",
            "0x10",
            "NaN",
            "inf",
            "1e999",
            "1e-99999999999999999999",
            "1 ",
            " 1",
            "1_0",
            "\u{661}",
            "1e5é",
            "123456789012345678901",
            "1e20",
        ] {
            assert_eq!(written_out(text, 20), None, "{text}");
        }
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
        fn a_number_that_is_written_out_keeps_its_value(
            text in "[+-]?([0-9]{1,6}\\.?|[0-9]{0,6}\\.[0-9]{1,6})([eE][+-]?[0-9]{1,2})?"
        ) {
            let written = written_out(&text, 200).unwrap();
            prop_assert!(written.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte)), "{}", written);
            prop_assert_eq!(written.parse::<f64>().unwrap(), text.parse::<f64>().unwrap());
        }

        #[test]
        fn digits_are_counted(text in proptest::collection::vec(prop_oneof![any::<u8>(), b'0'..=b'9', Just(b' ')], 0..40)) {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            prop_assert_eq!(digits_at_front(&text), digits);
        }
    }
}
