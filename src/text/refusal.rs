//! The reasons why a line is not a valid command, in words for the log. The reply has no room for them.

use super::command::{NEAR_RESULTS_MAX, RADIUS_KM_MAX, RESULTS_MAX, is_http_method, is_http_version};
use super::decimal::{Decimal, integer};
use super::fields::fields;
use super::location::{AREA_RADIUS_KM_MAX, Location};
use super::time::Time;

/// The reason why a line is an invalid command, or an HTTP request. It quotes nothing of the line.
pub fn reason(line: &[u8]) -> String {
    let words: Vec<&[u8]> = fields(line).take(FIELDS_SEEN).collect();
    let Some((verb, operands)) = words.split_first() else {
        return "a line of white space".to_owned();
    };
    if is_http_method(verb) || fields(line).last().is_some_and(is_http_version) {
        return "an HTTP request, and this port does not speak HTTP".to_owned();
    }
    match (*verb, operands) {
        (b"IAMAT", [_, location, time]) => {
            if Location::parse(location).is_none() {
                match location_mistake(location) {
                    Some(mistake) => {
                        format!("the location {mistake}; expected a form like +34.0689-118.4451")
                    }
                    None => "the location is not in the form +34.0689-118.4451 (within 90 and 180 degrees)"
                        .to_owned(),
                }
            } else if Time::parse(time).is_none() {
                match time_mistake(time) {
                    Some(mistake) => format!("the time {mistake}; expected POSIX seconds like 1621464827.959"),
                    None => "the time is not in the form 1621464827.959 (POSIX seconds; at most 18 digits, and 9 after \
                             the point)"
                        .to_owned(),
                }
            } else {
                "invalid".to_owned()
            }
        }
        (b"IAMAT", _) => {
            format!("IAMAT takes client, location and time: 3 operands, got {}", count(operands))
        }
        (b"WHATSAT", [_, radius, bound]) => mistake_of_search(radius, RADIUS_KM_MAX, bound, RESULTS_MAX),
        (b"NEAR", [_, radius, bound]) => {
            mistake_of_search(radius, AREA_RADIUS_KM_MAX, bound, NEAR_RESULTS_MAX)
        }
        (b"WHATSAT", _) => {
            format!("WHATSAT takes client, radius and bound: 3 operands, got {}", count(operands))
        }
        (b"FOLLOW", operands) => follow_mistake(operands),
        (b"NEAR", _) => {
            format!("NEAR takes client or location, radius and bound: 3 operands, got {}", count(operands))
        }
        (b"FORGET", [_]) => "unknown client".to_owned(),
        (b"FORGET", _) => format!("FORGET takes a client: 1 operand, got {}", count(operands)),
        (b"AT" | b"GONE", _) => {
            "locations are taken from neighbours only, and no HELLO came first".to_owned()
        }
        (b"HELLO", _) => "a HELLO names herd/ and a version, and is the first line".to_owned(),
        (verb, _)
            if [&b"IAMAT"[..], b"WHATSAT", b"NEAR", b"FOLLOW", b"FORGET"]
                .iter()
                .any(|known| verb.eq_ignore_ascii_case(known)) =>
        {
            "the verb is not in upper case".to_owned()
        }
        _ => "unknown command".to_owned(),
    }
}

/// The mistake in the operands of a FOLLOW.
fn follow_mistake(operands: &[&[u8]]) -> String {
    match operands {
        [] => "FOLLOW takes a client, a prefix with *, * alone, or a location and a radius".to_owned(),
        [first, _] if Location::parse(first).is_some() => {
            format!("expected a radius from 0 to {AREA_RADIUS_KM_MAX} km")
        }
        [first, _, b"FROM", ..] if Location::parse(first).is_some() => {
            "FROM is not for an area".to_owned()
        }
        [_, b"FROM", ..] => "FROM takes the epoch and the number of a MARK".to_owned(),
        [first, _] => match location_mistake(first) {
            Some(mistake) => format!("the location {mistake}; expected a form like +34.0689-118.4451"),
            None => "the location is not in the form +34.0689-118.4451 (within 90 and 180 degrees)".to_owned(),
        },
        _ => "FOLLOW takes a client, a prefix with *, * alone, or a location and a radius; then FROM, an epoch and a \
              number"
            .to_owned(),
    }
}

/// The mistake in the radius or the bound of a search around a client.
fn mistake_of_search(radius: &[u8], radius_km_max: u32, bound: &[u8], results_max: u64) -> String {
    if !Decimal::parse(radius).is_some_and(|radius| radius.at_most(radius_km_max)) {
        format!("expected a radius from 0 to {radius_km_max} km")
    } else if integer(bound).is_none_or(|bound| bound > results_max) {
        format!("expected an upper bound from 0 to {results_max}")
    } else {
        "unknown client".to_owned()
    }
}

/// Returns a length of time in one unit, rounded down: `93 days`.
pub fn in_words(seconds: u64) -> String {
    let (size, unit) = [(86_400, "days"), (3600, "hours"), (60, "minutes")]
        .into_iter()
        .find(|(size, _)| seconds >= 2 * size)
        .unwrap_or((1, "seconds"));
    format!("{} {unit}", seconds / size)
}

/// The frequent mistake in a location, after "the location".
fn location_mistake(location: &[u8]) -> Option<&'static str> {
    let is_sign = |byte: &u8| b"+-".contains(byte);
    let signs = location.iter().filter(|byte| is_sign(byte)).count();
    Some(if !location.is_ascii() {
        "has a byte outside ASCII"
    } else if location.ends_with(b"/") {
        "ends with a slash"
    } else if location.contains(&b',') {
        "has a comma"
    } else if location.iter().any(|byte| byte.is_ascii_alphabetic() && !b"eE".contains(byte)) {
        "has a letter"
    } else if location.iter().any(|byte| b"eE".contains(byte)) {
        "has an exponent"
    } else if !location.first().is_some_and(is_sign) {
        "has no sign"
    } else if signs < 2 {
        "has no sign before the longitude"
    } else if signs > 2 {
        "has an altitude"
    } else if is_reversed(location) {
        "has the longitude first"
    } else {
        return None;
    })
}

/// Whether a text has the longitude before the latitude.
fn is_reversed(location: &[u8]) -> bool {
    location.iter().rposition(|byte| b"+-".contains(byte)).is_some_and(|middle| {
        let (longitude, latitude) = location.split_at(middle);
        Location::parse(&[latitude, longitude].concat()).is_some()
    })
}

/// The frequent mistake in a time, after "the time".
fn time_mistake(time: &[u8]) -> Option<&'static str> {
    Some(if time.starts_with(b"+") || time.starts_with(b"-") {
        "has a sign"
    } else if time.iter().any(|byte| b"-:TZ".contains(byte)) {
        "looks like a date"
    } else if time.iter().any(|byte| b"eE".contains(byte)) {
        "has an exponent"
    } else if time.contains(&b',') {
        "has a comma"
    } else if time.ends_with(b".") {
        "ends with a point"
    } else {
        return None;
    })
}

fn count(operands: &[&[u8]]) -> String {
    if operands.len() + 1 == FIELDS_SEEN { "more".to_owned() } else { operands.len().to_string() }
}

/// Fields that are looked at: the verb, and one operand more than the longest command has.
const FIELDS_SEEN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_reason() {
        for (line, words) in [
            ("IAMAT a +1+1", "3 operands, got 2"),
            ("IAMAT a +1+1 5 6 7", "3 operands, got more"),
            ("IAMAT a +34.0689-118.4451/ 5", "ends with a slash"),
            ("IAMAT a +34.0689-118.4451+071 5", "has an altitude"),
            ("IAMAT a +51.5-1e-05 5", "has an exponent"),
            ("IAMAT a +34,0689-118,4451 5", "has a comma"),
            ("IAMAT a 34-118 5", "has no sign"),
            ("IAMAT a +118.4451-34.0689 5", "has the longitude first"),
            ("IAMAT a +91+181 5", "within 90 and 180 degrees)"),
            ("IAMAT a +34.0689118.4451 5", "no sign before the longitude"),
            ("IAMAT a \u{2212}34.0689-118.4451 5", "a byte outside ASCII"),
            ("IAMAT a 34.0689N118.4451E 5", "has a letter"),
            ("IAMAT a +1+1 1.62E9", "has an exponent"),
            ("IAMAT a +1+1 5.", "ends with a point"),
            ("IAMAT a +1+1 5,5", "has a comma"),
            ("IAMAT a +1+1 -5", "has a sign"),
            ("IAMAT a +1+1 2021-05-19T22:53:47Z", "looks like a date"),
            ("IAMAT a +1+1 1.0123456789", "9 after the point)"),
            ("WHATSAT a 51 1", "a radius from 0 to 50 km"),
            ("WHATSAT a 1 21", "an upper bound from 0 to 20"),
            ("WHATSAT a 1 1", "unknown client"),
            ("WHATSAT", "3 operands, got 0"),
            ("FOLLOW", "takes a client"),
            ("FOLLOW +1+1 20101", "a radius from 0 to 20100 km"),
            ("FOLLOW 34-118 5", "has no sign"),
            ("FOLLOW +91+181 5", "within 90 and 180 degrees)"),
            ("FOLLOW +1+1 5 FROM x 1", "not for an area"),
            ("FOLLOW a FROM x", "the epoch and the number of a MARK"),
            ("FOLLOW a b c", "then FROM"),
            ("follow *", "upper case"),
            ("NEAR a 20101 1", "a radius from 0 to 20100 km"),
            ("NEAR +1+1 1 1001", "an upper bound from 0 to 1000"),
            ("NEAR a 1 1", "unknown client"),
            ("NEAR a 1", "3 operands, got 2"),
            ("near a 1 1", "upper case"),
            ("FORGET a", "unknown client"),
            ("FORGET", "1 operand, got 0"),
            ("FORGET a b", "1 operand, got 2"),
            ("forget a", "upper case"),
            ("AT Riley +0.000000000 a +1+1 5", "from neighbours only"),
            ("GONE Riley +0.000000000 a 5.000000000", "from neighbours only"),
            ("HELLO there", "the first line"),
            ("iamat a +1+1 5", "upper case"),
            ("FOO", "unknown command"),
            ("GET /", "HTTP"),
            ("x HTTP/1.1", "HTTP"),
        ] {
            let reason = reason(line.as_bytes());
            assert!(reason.contains(words), "{line}: {reason}");
        }
    }

    #[test]
    fn times_are_in_one_unit() {
        let words = [
            (1, "1 seconds"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (86_401, "24 hours"),
            (8_035_200, "93 days"),
        ];
        for (seconds, text) in words {
            assert_eq!(in_words(seconds), text);
        }
    }
}
