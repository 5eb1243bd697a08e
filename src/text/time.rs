//! Wall time as text: POSIX seconds with exact nanoseconds, and the skew between two clocks. No clock is read
//! here.

use super::simd::{EIGHT, eight_digits, write_eight};

/// Nanoseconds in a second.
pub const SECOND_NS: i128 = 1_000_000_000;

/// The greatest number of digits before the point of a time. 18 digits fit 64 bits.
const SECONDS_DIGITS_MAX: usize = 18;
/// The greatest number of digits after the point of a time: nanoseconds.
pub const FRACTION_DIGITS: usize = 9;

/// A time by the wall clock of a client or a server, in seconds and nanoseconds since 1970-01-01 00:00:00
/// UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    seconds: u64,
    nanoseconds: u32,
}

impl Time {
    /// Parses `D{1,18}(.D{1,9})?`.
    pub fn parse(text: &[u8]) -> Option<Time> {
        let (mut seconds, rest) = eight_digits(text).unwrap_or((0, text));
        let mut digits = text.len() - rest.len();
        let mut bytes = rest.iter();
        for &byte in bytes.by_ref() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                if byte != b'.' || digits == 0 {
                    return None;
                }
                return Some(Time { seconds, nanoseconds: nanoseconds(bytes.as_slice())? });
            }
            digits += 1;
            if digits > SECONDS_DIGITS_MAX {
                return None;
            }
            seconds = seconds * 10 + u64::from(digit);
        }
        (digits > 0).then_some(Time { seconds, nanoseconds: 0 })
    }

    /// Parses exactly the form that [`Time::write`] produces.
    pub fn parse_exact(text: &[u8]) -> Option<Time> {
        let point = text.len().checked_sub(FRACTION_DIGITS + 1)?;
        let has_leading_zero = point > 1 && text[0] == b'0';
        if text[point] != b'.' || has_leading_zero {
            return None;
        }
        Time::parse(text)
    }

    /// Appends the seconds without leading zeros, a point and nine digits.
    pub fn write(self, output: &mut Vec<u8>) {
        write_exact(None, self.seconds, self.nanoseconds, output);
    }

    /// Converts from nanoseconds since 1970.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Time {
        Time { seconds: nanoseconds / 1_000_000_000, nanoseconds: (nanoseconds % 1_000_000_000) as u32 }
    }

    /// Returns the nanoseconds since 1970.
    pub const fn nanoseconds(self) -> i128 {
        self.seconds as i128 * SECOND_NS + self.nanoseconds as i128
    }
}

/// Parses the digits after the point, `D{1,9}`.
fn nanoseconds(fraction: &[u8]) -> Option<u32> {
    const WEIGHTS: [u32; FRACTION_DIGITS + 1] =
        [0, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    // Without a digit the weight is 0.
    let weight = *WEIGHTS.get(fraction.len()).filter(|&&weight| weight > 0)?;
    let (value, rest) = eight_digits(fraction).unwrap_or((0, fraction));
    let mut value = value as u32;
    for &byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    Some(value * weight)
}

/// The difference of two clocks in nanoseconds, written in an AT line as `+0.263873386`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skew(i128);

impl Skew {
    /// The server's time when it received a client's message, minus the client's time.
    pub const fn between(server: Time, client: Time) -> Skew {
        Skew(server.nanoseconds() - client.nanoseconds())
    }

    /// The difference in nanoseconds.
    pub const fn nanoseconds(self) -> i128 {
        self.0
    }

    /// Parses exactly the form that [`Skew::write`] produces. Any second form would let servers store
    /// different bytes for the same statement.
    pub fn parse(text: &[u8]) -> Option<Skew> {
        let (&sign, unsigned) = text.split_first()?;
        let size = Time::parse_exact(unsigned)?.nanoseconds();
        match sign {
            b'+' => Some(Skew(size)),
            b'-' if size > 0 => Some(Skew(-size)),
            _ => None,
        }
    }

    /// Appends the sign (always), the seconds, a point and nine digits.
    pub fn write(self, output: &mut Vec<u8>) {
        let size = self.0.unsigned_abs();
        let (seconds, nanoseconds) = match u64::try_from(size) {
            // Up to 584 years. Dividing 128 bits is slow.
            Ok(size) => (size / SECOND_NS as u64, (size % SECOND_NS as u64) as u32),
            // Both fit, because times have at most 18 digits of seconds.
            Err(_) => ((size / SECOND_NS as u128) as u64, (size % SECOND_NS as u128) as u32),
        };
        write_exact(Some(if self.0 < 0 { b'-' } else { b'+' }), seconds, nanoseconds, output);
    }
}

/// Appends the sign, if there is one, the seconds without leading zeros, a point and nine digits.
#[inline(always)]
fn write_exact(sign: Option<u8>, seconds: u64, nanoseconds: u32, output: &mut Vec<u8>) {
    let mut text = [0; DIGITS_MAX + 1 + FRACTION_DIGITS + 1];
    let (whole, fraction) = text.split_at_mut(1 + DIGITS_MAX);
    fraction[0] = b'.';
    fraction[1..=EIGHT].copy_from_slice(&write_eight(nanoseconds / 10));
    fraction[FRACTION_DIGITS] = b'0' + (nanoseconds % 10) as u8;
    let mut first = write_digits(seconds, whole);
    if let Some(sign) = sign {
        first -= 1;
        whole[first] = sign;
    }
    output.extend_from_slice(&text[first..]);
}

/// Appends the decimal digits of `value`.
pub fn write_integer(value: u64, output: &mut Vec<u8>) {
    let mut text = [0; DIGITS_MAX];
    let first = write_digits(value, &mut text);
    output.extend_from_slice(&text[first..]);
}

/// Writes the decimal digits of `value` to the end of `text`, which has room for [`DIGITS_MAX`] of them. Returns
/// the position of the first digit.
#[inline]
fn write_digits(mut value: u64, text: &mut [u8]) -> usize {
    let mut first = text.len();
    loop {
        first -= 1;
        text[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return first;
        }
    }
}

/// Decimal digits of the greatest `u64`.
const DIGITS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(skew: Skew) -> String {
        let mut output = Vec::new();
        skew.write(&mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn valid_times_are_parsed_exactly_and_others_rejected() {
        let ns = |text: &str| Time::parse(text.as_bytes()).map(Time::nanoseconds);
        assert_eq!(ns("1621464827.959498503"), Some(1_621_464_827_959_498_503));
        assert_eq!(ns("1621464827.9"), Some(1_621_464_827_900_000_000));
        assert_eq!(ns("000000000000000000.999999999"), Some(999_999_999));
        assert_eq!(ns("999999999999999999.999999999"), Some(999_999_999_999_999_999_999_999_999));
        for text in ["", ".5", "5.", "-5", "+5", "1,5", "now", ".", "nan", "1e9", "1_000", "1.0000000000"] {
            assert_eq!(ns(text), None, "{text}");
        }
        assert_eq!(ns(&"1".repeat(19)), None);
    }

    #[test]
    fn a_skew_always_has_a_sign_and_nine_digits() {
        let at = |ns| Time::from_nanoseconds(ns);
        assert_eq!(written(Skew::between(at(1_500_000_000), at(1_236_126_614))), "+0.263873386");
        assert_eq!(written(Skew::between(at(0), at(500_000_000))), "-0.500000000");
        assert_eq!(written(Skew::between(at(7), at(7))), "+0.000000000");
        assert_eq!(
            written(Skew::between(at(0), Time::parse(b"999999999999999999.999999999").unwrap())),
            "-999999999999999999.999999999"
        );
    }

    #[test]
    fn a_skew_has_one_text_only() {
        for text in [
            "-0.000000000",
            "+00.000000000",
            "+01.000000000",
            "0.000000000",
            "+1",
            "+1.5",
            "+1.0000000000",
            "++1.000000000",
            "+.000000000",
            "+1000000000000000000.000000000",
        ] {
            assert_eq!(Skew::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_time_has_one_exact_text() {
        let mut output = Vec::new();
        Time::parse(b"007.5").unwrap().write(&mut output);
        assert_eq!(output, b"7.500000000");
        for text in
            ["7.5", "7", "07.500000000", "00.000000000", ".500000000", "+7.500000000", "7.5000000000", ""]
        {
            assert_eq!(Time::parse_exact(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_parsed_as_it_was_written(seconds in 0..10u64.pow(18), nanoseconds in 0..1_000_000_000u32) {
            let time = Time { seconds, nanoseconds };
            let mut output = Vec::new();
            time.write(&mut output);
            prop_assert_eq!(Time::parse_exact(&output), Some(time));
        }

        #[test]
        fn a_skew_is_parsed_as_it_was_written(server in any::<u64>(), seconds in 0..10u64.pow(18), ns in 0..1_000_000_000u32) {
            let client = Time { seconds, nanoseconds: ns };
            let skew = Skew::between(Time::from_nanoseconds(server), client);
            prop_assert_eq!(client.nanoseconds() + skew.nanoseconds(), i128::from(server));
            prop_assert_eq!(Skew::parse(written(skew).as_bytes()), Some(skew));
        }

        #[test]
        fn times_are_ordered_as_numbers(a in "[0-9]{1,18}(\\.[0-9]{1,9})?", b in "[0-9]{1,18}(\\.[0-9]{1,9})?") {
            let (a, b) = (Time::parse(a.as_bytes()).unwrap(), Time::parse(b.as_bytes()).unwrap());
            prop_assert_eq!(a.cmp(&b), a.nanoseconds().cmp(&b.nanoseconds()));
        }

        #[test]
        fn integers_are_written_like_the_standard_library(value in any::<u64>()) {
            let mut output = Vec::new();
            write_integer(value, &mut output);
            prop_assert_eq!(output, value.to_string().into_bytes());
        }
    }
}
