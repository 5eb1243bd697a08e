//! AT and GONE lines: their parser and writer, and the total order of statements. It stores nothing.

use std::cmp::Ordering;

use super::command::IamAt;
use super::fields::exactly;
use super::location::Location;
use super::simd::are_digits;
use super::time::{FRACTION_DIGITS, Skew, Time};

/// A statement about a client, and the server that received it first. `AT SERVER SKEW ID LOCATION TIME`: its location
/// at a time. `GONE SERVER SKEW ID TIME`: it was forgotten at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The server that received the IAMAT or FORGET.
    pub server: &'a [u8],
    /// The time of receipt by that server's clock, minus `time`.
    pub skew: Skew,
    /// The client's ID.
    pub id: &'a [u8],
    /// The client's location; `None`: the statement is a GONE.
    pub location: Option<Location<'a>>,
    /// The time of the IAMAT, by the client's clock; of a GONE, see [`Statement::gone`].
    pub time: Time,
    /// `time` in the client's own bytes; in a GONE as [`Time::write`] writes it.
    pub time_text: &'a [u8],
}

impl<'a> Statement<'a> {
    /// The statement that `server` makes from an IAMAT that it received at `received`.
    pub fn of(iam_at: &IamAt<'a>, server: &'a [u8], received: Time) -> Statement<'a> {
        let &IamAt { id, location, time, time_text } = iam_at;
        let skew = Skew::between(received, time);
        Statement { server, skew, id, location: Some(location), time, time_text }
    }

    /// The GONE that `server` makes from a FORGET that it received at `received`. Its time is that, or the time of the
    /// statement that it replaces if that is greater. `time_text` becomes the text of it.
    pub fn gone(
        id: &'a [u8],
        server: &'a [u8],
        received: Time,
        replaced: Time,
        time_text: &'a mut Vec<u8>,
    ) -> Statement<'a> {
        let time = received.max(replaced);
        time_text.clear();
        time.write(time_text);
        Statement { server, skew: Skew::between(received, time), id, location: None, time, time_text }
    }

    /// Parses a line without its LF. It must have exactly the form that [`Statement::write`] produces.
    pub fn parse(line: &'a [u8]) -> Option<Statement<'a>> {
        if line.first() == Some(&b'G') {
            return Statement::parse_gone(line);
        }
        let [b"AT", server, skew, id, location, time_text] = exactly::<6>(line)? else {
            return None;
        };
        if !is_single_spaced(line, b"AT".len(), [server, skew, id, location, time_text]) {
            return None;
        }
        let (skew, location, time) =
            (Skew::parse(skew)?, Location::parse(location)?, Time::parse(time_text)?);
        Some(Statement { server, skew, id, location: Some(location), time, time_text })
    }

    fn parse_gone(line: &'a [u8]) -> Option<Statement<'a>> {
        let [b"GONE", server, skew, id, time_text] = exactly::<5>(line)? else {
            return None;
        };
        if !is_single_spaced(line, b"GONE".len(), [server, skew, id, time_text]) {
            return None;
        }
        let (skew, time) = (Skew::parse(skew)?, Time::parse_exact(time_text)?);
        Some(Statement { server, skew, id, location: None, time, time_text })
    }

    /// Whether the statement is a GONE.
    pub fn is_gone(&self) -> bool {
        self.location.is_none()
    }

    /// The server time: that of receipt, by the server's clock, in nanoseconds since 1970.
    pub fn received_ns(&self) -> i128 {
        self.time.nanoseconds() + self.skew.nanoseconds()
    }

    /// Whether this statement's time is later than that of a line without its LF; `None`: they are equal.
    /// Reads only the time of the line.
    pub fn is_later_than(&self, line: &[u8]) -> Option<bool> {
        let order = match comparable_time(self.time_text, line) {
            Some(known) => self.time_text.cmp(known),
            None => self.time.cmp(&Time::parse(&line[memchr::memrchr(b' ', line)? + 1..])?),
        };
        (order != Ordering::Equal).then_some(order == Ordering::Greater)
    }

    /// Appends the line with its LF.
    pub fn write(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(if self.is_gone() { b"GONE " } else { b"AT " });
        output.extend_from_slice(self.server);
        output.push(b' ');
        self.skew.write(output);
        output.push(b' ');
        output.extend_from_slice(self.id);
        if let Some(location) = self.location {
            output.push(b' ');
            output.extend_from_slice(location.text);
        }
        output.push(b' ');
        output.extend_from_slice(self.time_text);
        output.push(b'\n');
    }

    /// Whether this statement replaces `other` of the same client. The order is total, so that all servers
    /// agree in whatever order they receive statements (docs/protocol.md, "Which statement wins"): the
    /// greater client time wins; then a GONE over an AT; then the smaller server time; then the smaller server
    /// name, location and time text, compared as bytes. Of two identical statements neither wins.
    pub fn wins_over(&self, other: &Statement<'_>) -> bool {
        fn location<'a>(statement: &Statement<'a>) -> Option<&'a [u8]> {
            statement.location.map(|location| location.text)
        }
        other
            .time
            .cmp(&self.time)
            .then_with(|| other.is_gone().cmp(&self.is_gone()))
            .then_with(|| self.received_ns().cmp(&other.received_ns()))
            .then_with(|| self.server.cmp(other.server))
            .then_with(|| location(self).cmp(&location(other)))
            .then_with(|| self.time_text.cmp(other.time_text))
            == Ordering::Less
    }
}

/// Whether a line is its verb and these fields, with one space before each field and nothing else.
#[inline(always)]
fn is_single_spaced<const N: usize>(line: &[u8], verb: usize, fields: [&[u8]; N]) -> bool {
    let mut gap = verb;
    if gap + fields.iter().map(|field| 1 + field.len()).sum::<usize>() != line.len() {
        return false;
    }
    for field in fields {
        if line[gap] != b' ' {
            return false;
        }
        gap += 1 + field.len();
    }
    true
}

/// The time at the end of a line, if it and `time_text` have the same number of digits, nine of them after
/// the point. Comparing such texts as bytes compares the times.
fn comparable_time<'a>(time_text: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    let point = time_text.len().checked_sub(FRACTION_DIGITS + 1)?;
    let (before, known) = line.split_at_checked(line.len().checked_sub(time_text.len())?)?;
    // If the time of the line is shorter, `known` begins in an earlier field, or at its start.
    let (seconds, fraction) = known.split_last_chunk::<{ FRACTION_DIGITS + 1 }>()?;
    let is_whole = before.last() == Some(&b' ') && are_digits(seconds);
    let has_fraction = fraction[0] == b'.' && are_digits(&fraction[1..]);
    (time_text[point] == b'.' && is_whole && has_fraction).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: &[u8] = b"AT Riley +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503";
    const GONE: &[u8] = b"GONE Riley +0.000000000 kiwi.cs.ucla.edu 1621464900.104000000";

    #[test]
    fn a_line_is_written_as_it_was_parsed() {
        for line in [AT, GONE] {
            let mut output = Vec::new();
            Statement::parse(line).unwrap().write(&mut output);
            assert_eq!(output, [line, b"\n"].concat());
        }
    }

    #[test]
    fn a_gone_has_the_time_of_receipt_or_a_greater_one_of_what_it_replaces() {
        for (received, replaced, line) in [
            ("7.5", "7.4999", "GONE Riley +0.000000000 kiwi 7.500000000\n"),
            ("7.5", "007.5", "GONE Riley +0.000000000 kiwi 7.500000000\n"),
            ("7.5", "9.25", "GONE Riley -1.750000000 kiwi 9.250000000\n"),
        ] {
            let time = |text: &str| Time::parse(text.as_bytes()).unwrap();
            let (mut time_text, mut output) = (Vec::new(), Vec::new());
            let gone = Statement::gone(b"kiwi", b"Riley", time(received), time(replaced), &mut time_text);
            gone.write(&mut output);
            assert_eq!(output, line.as_bytes());
            assert_eq!(Statement::parse(line.trim_end().as_bytes()), Some(gone));
            assert_eq!(gone.received_ns(), time(received).nanoseconds());
        }
    }

    #[test]
    fn is_later_than_compares_only_times() {
        let line = |time: &str| format!("AT Riley +0.000000000 kiwi +1-1 {time}");
        let times =
            ["0.5", "9", "9.000000001", "9.1", "10", "10.000000000", "10.000000001", "99.900000000", "100.0"];
        for (i, one) in times.iter().enumerate() {
            for (j, other) in times.iter().enumerate() {
                let (one, other) = (line(one), line(other));
                let statement = Statement::parse(one.as_bytes()).unwrap();
                let expected = if i == j || i.min(j) == 4 && i.max(j) == 5 { None } else { Some(i > j) };
                assert_eq!(statement.is_later_than(other.as_bytes()), expected, "{one} {other}");
            }
        }
        // Bytes before the time are not taken for a part of it.
        for (new, known) in [
            ("0000000005.000000000", "AT Riley +0.000000000 7 +1-1 99.900000000"),
            ("0000000005.000000000", "AT Riley +0.000000000 kiwi +12-13 999.900000000"),
            ("00000000005.000000000", "AT Riley +0.000000000 17 +1-1 99.900000000"),
            ("199.123456789", "AT Riley +0.000000000 123.b +1-1 200"),
            ("199.123456789", "AT Riley +0.000000000 123.4 +1-1 200"),
        ] {
            let new = line(new);
            let statement = Statement::parse(new.as_bytes()).unwrap();
            assert_eq!(statement.is_later_than(known.as_bytes()), Some(false), "{new} {known}");
        }
    }

    #[test]
    fn only_the_exact_form_is_a_statement() {
        for line in [
            "",
            "AT",
            "AT ",
            "AT Riley +0.263873386 kiwi +34-118",
            "AT Riley +0.263873386 kiwi +34-118 5 6",
            "AT Riley +0.263873386 kiwi +34-118 5 ",
            " AT Riley +0.263873386 kiwi +34-118 5",
            "AT  Riley +0.263873386 kiwi +34-118 5",
            "AT Riley\t+0.263873386 kiwi +34-118 5",
            "AT Riley +0.26 kiwi +34-118 5",
            "AT Riley 0.263873386 kiwi +34-118 5",
            "AT Riley -0.000000000 kiwi +34-118 5",
            "AT Riley +0.263873386 kiwi +34118 5",
            "AT Riley +0.263873386 kiwi +34-118 x",
            "AT Riley +0.263873386 kiwi +34-118 5\r",
            "at Riley +0.263873386 kiwi +34-118 5",
            "GONE",
            "GONE ",
            "GONE Riley +0.000000000 kiwi",
            "GONE Riley +0.000000000 kiwi 5",
            "GONE Riley +0.000000000 kiwi 5.5",
            "GONE Riley +0.000000000 kiwi 05.000000000",
            "GONE Riley +0.000000000 kiwi -5.000000000",
            "GONE Riley +0.000000000 kiwi 5.000000000 ",
            "GONE Riley +0.000000000 kiwi +34-118 5.000000000",
            "GONE  Riley +0.000000000 kiwi 5.000000000",
            "GONE Riley +0.0 kiwi 5.000000000",
            "GONE Riley 0.000000000 kiwi 5.000000000",
            "GONE Riley +0.000000000 kiwi 5.000000000\r",
            "gone Riley +0.000000000 kiwi 5.000000000",
            "GOING Riley +0.000000000 kiwi 5.000000000",
        ] {
            assert_eq!(Statement::parse(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn each_rule_decides_where_those_before_it_do_not() {
        // Sorted: each line wins over all after it.
        let lines = [
            "AT Riley +9.000000000 kiwi +9-9 2000.000000001",
            "GONE Riley +1.000000001 kiwi 2000.000000000",
            "GONE Alford +1.000000002 kiwi 2000.000000000",
            "GONE Riley +1.000000002 kiwi 2000.000000000",
            "AT Riley +1.000000000 kiwi +9-9 2000",
            "AT Bernard +1.000000001 kiwi +9-9 2000",
            "AT Riley +1.000000001 kiwi +1-1 2000",
            "AT Riley +1.000000001 kiwi +2-2 2000",
            "AT Riley +1.000000001 kiwi +2-2 2000.0",
            "AT Alford -0.500000000 kiwi +0-0 1999.9",
        ];
        for (i, a) in lines.iter().enumerate() {
            for (j, b) in lines.iter().enumerate() {
                let (a, b) =
                    (Statement::parse(a.as_bytes()).unwrap(), Statement::parse(b.as_bytes()).unwrap());
                assert_eq!(a.wins_over(&b), i < j, "{i} {j}");
            }
        }
    }

    fn statement_line() -> impl Strategy<Value = String> {
        // Few values for each field, so that ties of every depth are common.
        let location = proptest::option::weighted(0.7, "[+-][12][+-][12]");
        ("[AB]", 0..3i64, location, 1..3u64, "(\\.0{1,2})?").prop_map(
            |(server, skew, location, time, zeros)| match location {
                Some(location) => format!("AT {server} +{skew}.000000000 kiwi {location} {time}{zeros}"),
                None => format!("GONE {server} +{skew}.000000000 kiwi {time}.000000000"),
            },
        )
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in statement_line(), b in statement_line(), c in statement_line()) {
            let s = |line: &'static str| Statement::parse(line.as_bytes()).unwrap();
            let (a, b, c) = (a.leak() as &str, b.leak() as &str, c.leak() as &str);
            prop_assert_eq!(s(a).wins_over(&s(b)) || s(b).wins_over(&s(a)), a != b);
            prop_assert!(!(s(a).wins_over(&s(b)) && s(b).wins_over(&s(a))));
            if s(a).wins_over(&s(b)) && s(b).wins_over(&s(c)) {
                prop_assert!(s(a).wins_over(&s(c)));
            }
        }

        #[test]
        fn the_winner_does_not_depend_on_the_order(lines in proptest::collection::vec(statement_line(), 1..8), seed in any::<u64>()) {
            let winner = |lines: &[String]| {
                let mut best = lines[0].clone();
                for line in lines {
                    if Statement::parse(line.as_bytes()).unwrap().wins_over(&Statement::parse(best.as_bytes()).unwrap()) {
                        best.clone_from(line);
                    }
                }
                best
            };
            let mut shuffled = lines.clone();
            shuffled.rotate_left(seed as usize % lines.len());
            shuffled.swap(0, (seed >> 32) as usize % lines.len());
            prop_assert_eq!(winner(&lines), winner(&shuffled));
        }

        #[test]
        fn no_input_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            Statement::parse(&line);
            Statement::parse(&[&b"AT "[..], &line].concat());
            Statement::parse(&[&b"GONE "[..], &line].concat());
        }
    }
}
