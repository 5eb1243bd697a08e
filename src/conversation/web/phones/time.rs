//! The forms of time that phones send.

use crate::text::decimal::written_out;
use crate::text::time::{FRACTION_DIGITS, Time};

/// The time of a phone's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PhoneTime {
    /// It has none: the server's time counts.
    Absent,
    /// POSIX seconds, in the form of a line.
    At(String),
    /// It has one that is none of the forms.
    Wrong,
}

impl PhoneTime {
    /// Reads a time.
    pub(super) fn read(text: Option<&[u8]>) -> PhoneTime {
        let Some(text) = text else { return PhoneTime::Absent };
        let Ok(text) = str::from_utf8(text) else { return PhoneTime::Wrong };
        if text.is_empty() {
            return PhoneTime::Absent;
        }
        let seconds = match written_out(text, DIGITS_MAX) {
            Some(number) => {
                if number.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'+' | b'-')) {
                    return PhoneTime::Absent;
                }
                of_number(text, &number)
            }
            None => of_date(text),
        };
        match seconds.map(|seconds| shortened(&seconds).to_owned()) {
            Some(seconds) if Time::parse(seconds.as_bytes()).is_some() => PhoneTime::At(seconds),
            _ => PhoneTime::Wrong,
        }
    }
}

/// Seconds, or milliseconds: from [`MILLISECONDS_FROM`] on. `number` is `text` without exponent.
fn of_number(text: &str, number: &str) -> Option<String> {
    let unsigned = number.strip_prefix('+').unwrap_or(number);
    let whole = unsigned.split('.').next()?;
    let has_milliseconds = whole.parse::<u128>().is_ok_and(|whole| whole >= MILLISECONDS_FROM);
    if has_milliseconds {
        return written_out(&format!("{unsigned}e-3"), DIGITS_MAX);
    }
    // As it was sent: zeros at its beginning are not taken away.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !text.ends_with('.');
    Some(if is_plain && !text.starts_with('.') { text } else { unsigned }.to_owned())
}

/// A date and time of day (ISO 8601): `yyyy-MM-dd`, `T` or a space, `HH:mm:ss`, a fraction or none, and `Z`, an offset
/// from UTC or nothing.
fn of_date(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        if digits.iter().all(u8::is_ascii_digit) { text.get(from..to)?.parse().ok() } else { None }
    };
    let is_at = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|byte| any.contains(byte));
    if !(is_at(4, b"-") && is_at(7, b"-") && is_at(10, b"Tt ") && is_at(13, b":") && is_at(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date =
        time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    if rest.starts_with('.') && fraction.is_empty() {
        return None;
    }
    let days = i64::from(date.to_julian_day() - JULIAN_DAY_OF_1970);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset_seconds(offset)?;
    let point = if fraction.is_empty() { "" } else { "." };
    (seconds >= 0).then(|| format!("{seconds}{point}{fraction}"))
}

/// The seconds of `Z`, `+01:00`, `-0700`, `+01` or nothing. A space in the place of the sign is a `+` that was decoded.
fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes()[0] {
        b'+' | b' ' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = match &text.as_bytes()[1..] {
        [a, b] => [*a, *b, b'0', b'0'],
        [a, b, b':', c, d] | [a, b, c, d] => [*a, *b, *c, *d],
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pair = |at: usize| i64::from(digits[at] - b'0') * 10 + i64::from(digits[at + 1] - b'0');
    let (hours, minutes) = (pair(0), pair(2));
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Without more digits of a fraction than a time has.
fn shortened(seconds: &str) -> &str {
    let end = seconds.find('.').map_or(seconds.len(), |point| point + 1 + FRACTION_DIGITS);
    &seconds[..end.min(seconds.len())]
}

/// From this number on a time is in milliseconds; as seconds it would be in the year 5138.
const MILLISECONDS_FROM: u128 = 100_000_000_000;
/// The Julian day of 1970-01-01.
const JULIAN_DAY_OF_1970: i32 = 2_440_588;
/// Digits of a time: 18 of seconds, and more of a fraction than are kept.
const DIGITS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PhoneTime {
        PhoneTime::read(Some(text.as_bytes()))
    }

    #[test]
    fn each_form_becomes_seconds() {
        for (text, seconds) in [
            ("1795834812", "1795834812"),
            ("1795834812.5", "1795834812.5"),
            ("1795834812.959498503", "1795834812.959498503"),
            ("1795834812.9594985039", "1795834812.959498503"),
            ("1795834812481", "1795834812.481"),
            ("1795834812000", "1795834812.000"),
            ("1795834812481.25", "1795834812.48125"),
            ("99999999999", "99999999999"),
            ("100000000000", "100000000.000"),
            ("1.795834812e9", "1795834812"),
            ("1.795834812481e12", "1795834812.481"),
            ("0001795834812", "0001795834812"),
            ("+5", "5"),
            ("5.", "5"),
            ("2026-11-28T03:00:12Z", "1795834812"),
            ("2026-11-28T03:00:12.481Z", "1795834812.481"),
            ("2026-11-28T03:00:12.0000000009z", "1795834812.000000000"),
            ("2026-11-28 03:00:12", "1795834812"),
            ("2026-11-28T03:00:12", "1795834812"),
            ("2026-11-28T04:00:12+01:00", "1795834812"),
            ("2026-11-28T04:00:12 01:00", "1795834812"),
            ("2026-11-27T20:00:12-0700", "1795834812"),
            ("2026-11-28T04:00:12+01", "1795834812"),
            ("2026-11-28T03:00:12.5+00:00", "1795834812.5"),
            ("2024-02-29T00:00:00Z", "1709164800"),
            ("1970-01-01T00:00:00.5Z", "0.5"),
        ] {
            assert_eq!(read(text), PhoneTime::At(seconds.to_owned()), "{text}");
        }
    }

    #[test]
    fn no_time_is_absent_and_others_are_wrong() {
        for text in ["", "0", "0.0", "0e0", "-0"] {
            assert_eq!(read(text), PhoneTime::Absent, "{text}");
        }
        assert_eq!(PhoneTime::read(None), PhoneTime::Absent);
        for text in [
            "-5",
            "yesterday",
            "2021-13-45T99:00:00Z",
            "2023-02-29T00:00:00Z",
            "2026-11-28T24:00:00Z",
            "2026-11-28T03:00:60Z",
            "2026-11-28T03:00Z",
            "2026-11-28T03:00:12.Z",
            "2026-11-28T03:00:12+1",
            "2026-11-28T03:00:12+25:00",
            "2026-11-28T03:00:12 GMT",
            "2026-11-28",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "999999999999999999999999999999",
            "1e99",
            "2026-11-28T03:00:1é",
            "NaN",
        ] {
            assert_eq!(read(text), PhoneTime::Wrong, "{text}");
        }
        assert_eq!(PhoneTime::read(Some(b"\xff")), PhoneTime::Wrong);
    }
}
