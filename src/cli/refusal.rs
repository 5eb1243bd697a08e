//! Why a server refused a line, as far as its text shows.

use crate::config::words::{did_you_mean, quoted};
use crate::text::command::{ClientCommand, NEAR_RESULTS_MAX, RADIUS_KM_MAX, RESULTS_MAX};
use crate::text::decimal::{Decimal, integer};
use crate::text::fields::fields;
use crate::text::location::{AREA_RADIUS_KM_MAX, Location};
use crate::text::time::Time;

/// The reason why a line was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A mistake in a command, and its remedy.
    Mistake(String),
    /// The verb of a command without its operands: the shell has split the line.
    Unquoted(String),
    /// The line is not meant as a command, for all that its text shows.
    Unknown(String),
}

/// Explains why a server refused this line. `now` is the present in nanoseconds since 1970.
pub(super) fn explain(line: &[u8], now: u64) -> Refusal {
    let words: Vec<&[u8]> = fields(line).collect();
    let Some((&verb, operands)) = words.split_first() else {
        return Refusal::Unknown("the line is blank".to_owned());
    };
    let text = shown(verb);
    if operands.is_empty()
        && let Some(Form { form, .. }) = FORMS.iter().find(|form| form.verb == text)
    {
        return Refusal::Unquoted(format!("its operands are missing; write a line in quotes: '{form}'"));
    }
    match text.as_str() {
        "IAMAT" => Refusal::Mistake(iam_at(operands, now)),
        "WHATSAT" => Refusal::Mistake(whats_at(operands)),
        "NEAR" => Refusal::Mistake(near(operands)),
        "FOLLOW" => Refusal::Mistake(follow(operands)),
        "FORGET" => Refusal::Mistake(forget(operands)),
        "AT" | "GONE" | "HELLO" => {
            Refusal::Mistake(format!("{text} is for servers; a client writes {}", verbs()))
        }
        _ if FORMS.iter().any(|form| text.eq_ignore_ascii_case(form.verb)) => {
            Refusal::Mistake(format!("verbs are upper case; write {}", text.to_ascii_uppercase()))
        }
        _ if matches!(ClientCommand::parse(line), ClientCommand::HttpRequest) => Refusal::Mistake(
            "it looks like an HTTP request, after which the server closes the connection".to_owned(),
        ),
        _ => {
            let guess = did_you_mean(&text, FORMS.map(|form| form.verb));
            let problem = format!("unknown command {}: expected {}{guess}", quoted(&text), verbs());
            if guess.is_empty() { Refusal::Unknown(problem) } else { Refusal::Mistake(problem) }
        }
    }
}

/// A command, for messages.
#[derive(Clone, Copy)]
struct Form {
    verb: &'static str,
    form: &'static str,
}

const IAMAT: Form = Form { verb: "IAMAT", form: "IAMAT CLIENT +34.068930-118.445127 now" };
const WHATSAT: Form = Form { verb: "WHATSAT", form: "WHATSAT CLIENT 10 5" };
const NEAR: Form = Form { verb: "NEAR", form: "NEAR CLIENT 10 5" };
const FORGET: Form = Form { verb: "FORGET", form: "FORGET CLIENT" };
const FOLLOW: Form = Form { verb: "FOLLOW", form: "FOLLOW CLIENT" };
const FORMS: [Form; 5] = [IAMAT, WHATSAT, NEAR, FOLLOW, FORGET];

/// The verbs of a client: `A, B or C`.
fn verbs() -> String {
    let verbs = FORMS.map(|form| form.verb).join(", ");
    verbs.rsplit_once(", ").map_or(verbs.clone(), |(first, last)| format!("{first} or {last}"))
}

fn iam_at(operands: &[&[u8]], now: u64) -> String {
    let &[_, location, time] = operands else {
        return count(operands, "a client, a location and a time", &IAMAT);
    };
    if Location::parse(location).is_none() {
        return location_problem(location);
    }
    let Some(time) = Time::parse(time) else {
        return format!(
            "time: expected POSIX seconds of at most 18 digits, with at most 9 after a point, got {}",
            quoted(&shown(time))
        );
    };
    if time.nanoseconds() > i128::from(now) {
        return "time: it is ahead of the clock of this machine, perhaps by more than limits.max_future_s \
                allows; write now for the present"
            .to_owned();
    }
    "the text is valid: the store of the server may be full (limits.max_clients), its disk may fail \
     (store.sync), or the line longer than limits.max_line; its log may say more"
        .to_owned()
}

fn location_problem(location: &[u8]) -> String {
    let text = shown(location);
    let expected = format!("expected degrees like +34.068930-118.445127, got {}", quoted(&text));
    let signs = |text: &str| text.bytes().filter(|byte| b"+-".contains(byte)).count();
    let hint = if text.contains(',') {
        "; no comma"
    } else if !text.starts_with(['+', '-']) {
        "; a sign before the latitude is missing"
    } else if signs(&text) < 2 {
        "; a sign before the longitude is missing"
    } else if text.ends_with('/') {
        "; no / at the end"
    } else if text.bytes().all(|byte| b"+-.0123456789".contains(&byte)) {
        "; a latitude is from -90 to +90, a longitude from -180 to +180"
    } else {
        ""
    };
    format!("location: {expected}{hint}")
}

fn whats_at(operands: &[&[u8]]) -> String {
    let &[client, radius, bound] = operands else {
        return count(operands, "a client, a radius and a bound", &WHATSAT);
    };
    search(radius, RADIUS_KM_MAX, bound, RESULTS_MAX).unwrap_or_else(|| unknown(client))
}

fn near(operands: &[&[u8]]) -> String {
    let &[centre, radius, bound] = operands else {
        return count(operands, "a client or a location, a radius and a bound", &NEAR);
    };
    if let Some(problem) = search(radius, AREA_RADIUS_KM_MAX, bound, NEAR_RESULTS_MAX) {
        return problem;
    }
    if Location::parse(centre).is_some() {
        return "the text is valid: too many bytes of earlier answers were not read; the log of the server may say more"
            .to_owned();
    }
    unknown(centre)
}

fn follow(operands: &[&[u8]]) -> String {
    match operands {
        [_] | [_, b"FROM", _, _] => {
            "the text is valid: as many connections as limits.max_followers allows may follow already"
                .to_owned()
        }
        [location, _] if Location::parse(location).is_none() => location_problem(location),
        [_, radius] => format!(
            "radius: expected a number of kilometres from 0 to {AREA_RADIUS_KM_MAX}, got {}",
            quoted(&shown(radius))
        ),
        _ => count(operands, "a client, a prefix with *, * alone, or a location and a radius", &FOLLOW),
    }
}

/// The mistake in the radius or the bound of a search.
fn search(radius: &[u8], radius_km_max: u32, bound: &[u8], results_max: u64) -> Option<String> {
    if !Decimal::parse(radius).is_some_and(|radius| radius.at_most(radius_km_max)) {
        return Some(format!(
            "radius: expected a number of kilometres from 0 to {radius_km_max}, got {}",
            quoted(&shown(radius))
        ));
    }
    integer(bound)
        .is_none_or(|bound| bound > results_max)
        .then(|| format!("bound: expected an integer from 0 to {results_max}, got {}", quoted(&shown(bound))))
}

fn forget(operands: &[&[u8]]) -> String {
    match operands {
        [client] => unknown(client),
        _ => count(operands, "a client", &FORGET),
    }
}

fn unknown(client: &[u8]) -> String {
    format!("the server knows no client {}; report it by IAMAT", quoted(&shown(client)))
}

fn count(operands: &[&[u8]], expected: &str, form: &Form) -> String {
    format!("expected {expected}, got {} after the verb; write {}", words(operands.len()), form.form)
}

fn words(count: usize) -> String {
    if count == 1 { "1 word".to_owned() } else { format!("{count} words") }
}

fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// `char`s of a field in a message.
const SHOWN_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_621_464_827_000_000_000;

    #[test]
    fn mistakes_are_named() {
        for (line, why) in [
            ("IAMAT kiwi +34-118", "expected a client, a location and a time, got 2 words after the verb"),
            ("IAMAT kiwi +34 -118 5", "got 4 words"),
            ("IAMAT kiwi 34.06-118.4 5", "a sign before the latitude is missing"),
            ("IAMAT kiwi +34.06118.4 5", "a sign before the longitude is missing"),
            ("IAMAT kiwi +34,06-118.4 5", "no comma"),
            ("IAMAT kiwi +91-118 5", "a latitude is from -90 to +90"),
            ("IAMAT kiwi +34-118/ 5", "no / at the end"),
            ("IAMAT kiwi +34-118 yesterday", "time: expected POSIX seconds"),
            ("IAMAT kiwi +34-118 9999999999", "ahead of the clock"),
            ("IAMAT kiwi +34-118 5", "the text is valid: the store"),
            ("WHATSAT kiwi", "got 1 word after the verb; write WHATSAT CLIENT 10 5"),
            ("WHATSAT kiwi 51 5", "radius: expected a number of kilometres from 0 to 50, got \"51\""),
            ("WHATSAT kiwi 10 21", "bound: expected an integer from 0 to 20, got \"21\""),
            ("WHATSAT kiwi 10 5", "the server knows no client \"kiwi\""),
            ("FOLLOW +34-118 20101", "radius: expected a number of kilometres from 0 to 20100"),
            ("FOLLOW kiwi 5", "a sign before the latitude is missing"),
            ("FOLLOW kiwi FROM 5", "expected a client, a prefix with *"),
            ("FOLLOW kiwi", "limits.max_followers"),
            ("follow kiwi", "write FOLLOW"),
            ("FORGET kiwi plum", "expected a client, got 2 words after the verb; write FORGET CLIENT"),
            ("FORGET kiwi", "the server knows no client \"kiwi\""),
            ("Forget kiwi", "write FORGET"),
            ("FORGETS kiwi", "did you mean FORGET?"),
            ("GONE Riley +1 kiwi 5", "a client writes IAMAT, WHATSAT, NEAR, FOLLOW or FORGET"),
            ("iamat kiwi +34-118 5", "write IAMAT"),
            ("IAMA kiwi +34-118 5", "did you mean IAMAT?"),
            ("AT Riley +1 kiwi +34-118 5", "AT is for servers"),
            ("GET / HTTP/1.1", "looks like an HTTP request"),
        ] {
            let Refusal::Mistake(reason) = explain(line.as_bytes(), NOW) else { panic!("{line}") };
            assert!(reason.contains(why) && !reason.contains('\n'), "{line}: {reason}");
        }
    }

    #[test]
    fn other_lines_are_not_taken_for_mistakes() {
        assert!(matches!(explain(b"FOO", NOW), Refusal::Unknown(why) if why.contains("command \"FOO\"")));
        assert!(matches!(explain(b"\xff", NOW), Refusal::Unknown(_)));
        assert!(matches!(explain(b"", NOW), Refusal::Unknown(_)));
        assert!(matches!(explain(b"IAMAT", NOW), Refusal::Unquoted(why) if why.contains("'IAMAT CLIENT")));
        assert!(matches!(explain(b"WHATSAT", NOW), Refusal::Unquoted(why) if why.contains("'WHATSAT")));
        assert!(matches!(explain(b"FORGET", NOW), Refusal::Unquoted(why) if why.contains("'FORGET CLIENT'")));
    }
}
