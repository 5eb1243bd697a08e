//! The fuzz target `line`: all parsers of lines, against the naive grammar.

use herd::places::question::Question;
use herd::text::command::{ClientCommand, Forget, IamAt, NearCentre, WhatsAt};
use herd::text::follow::Whom;
use herd::text::peer_line::{self, Epoch};
use herd::text::record::Statement;
use herd::text::time::Time;

use super::grammar::{self, ClientLine};

/// All parsers agree with the grammar, and a parsed line is written as it was read. A line that contains an
/// LF is also tested as two statements, one of which wins.
pub fn line(data: &[u8]) {
    command(data);
    statement(data);
    peer_lines(data);
    if let Some(at) = data.iter().position(|&byte| byte == b'\n') {
        two_statements(&data[..at], &data[at + 1..]);
    }
}

fn command(data: &[u8]) {
    match (ClientCommand::parse(data), grammar::client_line(data)) {
        (ClientCommand::Blank, ClientLine::Blank)
        | (ClientCommand::HttpRequest, ClientLine::HttpRequest)
        | (ClientCommand::Invalid, ClientLine::Invalid) => {}
        (ClientCommand::IamAt(read), ClientLine::IamAt { id, location, time, time_text }) => {
            assert_eq!((read.id, read.location.text, read.time_text), (id, location.text, time_text));
            assert_eq!(
                (read.location.latitude(), read.location.longitude()),
                (location.latitude, location.longitude)
            );
            assert_eq!(read.time.nanoseconds(), time);
            at_line(&read, data.len() as u64 * 123_456_789);
        }
        (ClientCommand::WhatsAt(read), ClientLine::WhatsAt { id, radius_km, bound }) => {
            assert_eq!(read, WhatsAt { id, radius_km, bound });
            let question = Question::new(b"+1", b"-2.50", radius_km);
            let kilometres = str::from_utf8(radius_km).expect("ASCII");
            assert_eq!(grammar::scaled(question.radius_m(), 0), grammar::scaled(kilometres, 3));
        }
        (ClientCommand::Near(read), ClientLine::Near { centre, radius_km, bound }) => {
            assert_eq!((read.radius_km, read.bound), (radius_km, bound));
            match (read.centre, centre) {
                (NearCentre::Client(read), grammar::NearCentre::Client(id)) => assert_eq!(read, id),
                (NearCentre::Location(read), grammar::NearCentre::Location(location)) => {
                    assert_eq!(read.text, location.text);
                    let (latitude, longitude) = herd::geo::degrees(&read);
                    assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0);
                }
                (read, expected) => panic!("expected {expected:?}, got {read:?}"),
            }
        }
        (ClientCommand::Follow(read), ClientLine::Follow { whom, from }) => {
            match (read.whom, whom) {
                (Whom::Client(read), grammar::Whom::Client(text))
                | (Whom::Prefix(read), grammar::Whom::Prefix(text)) => assert_eq!(read, text),
                (Whom::Area { centre, radius_km }, grammar::Whom::Area(location, radius)) => {
                    assert_eq!((centre.text, radius_km), (location.text, radius));
                }
                (read, expected) => panic!("expected {expected:?}, got {read:?}"),
            }
            let position = from.map(|(epoch, sequence)| (grammar::epoch(epoch), sequence));
            let read = read.from.map(|from| (from.epoch.map(|epoch| epoch.0), from.sequence));
            assert_eq!(read, position);
        }
        (ClientCommand::Forget(read), ClientLine::Forget { id }) => {
            assert_eq!(read, Forget { id });
            let (received, replaced) =
                (data.len() as u64 * 123_456_789, data.len() as u64 * 987_654_321 % 7_000);
            gone_line(id, Time::from_nanoseconds(received), Time::from_nanoseconds(replaced * 10_000_000));
        }
        (read, expected) => panic!("expected {expected:?}, got {read:?}"),
    }
}

/// The GONE line of a FORGET is a valid statement, with the greater one of the two times.
fn gone_line(id: &[u8], received: Time, replaced: Time) {
    let (mut time_text, mut written) = (Vec::new(), Vec::new());
    let statement = Statement::gone(id, b"Riley", received, replaced, &mut time_text);
    statement.write(&mut written);
    assert_eq!(Statement::parse(&written[..written.len() - 1]), Some(statement));
    let read = grammar::statement(&written[..written.len() - 1]).expect("a statement");
    assert_eq!(read.time, received.max(replaced).nanoseconds());
    assert_eq!(read.time + read.skew, received.nanoseconds());
}

/// The AT line of an IAMAT is a valid statement with the fields of the IAMAT.
fn at_line(iam_at: &IamAt<'_>, received: u64) {
    let statement = Statement::of(iam_at, b"Riley", Time::from_nanoseconds(received));
    let mut written = Vec::new();
    statement.write(&mut written);
    assert_eq!(Statement::parse(&written[..written.len() - 1]), Some(statement));
    let read = grammar::statement(&written[..written.len() - 1]).expect("a statement");
    assert_eq!(read.time + read.skew, i128::from(received));
}

fn statement(data: &[u8]) {
    let (read, expected) = (Statement::parse(data), grammar::statement(data));
    assert_eq!(read.is_some(), expected.is_some(), "{read:?} {expected:?}");
    let (Some(read), Some(expected)) = (read, expected) else { return };
    assert_eq!(
        (read.server, read.id, read.location.map(|location| location.text)),
        (expected.server, expected.id, expected.location.map(|location| location.text))
    );
    assert_eq!((read.skew.nanoseconds(), read.time.nanoseconds()), (expected.skew, expected.time));
    let mut written = Vec::new();
    read.write(&mut written);
    assert_eq!(written, [data, b"\n"].concat());
    assert_eq!(written, grammar::statement_line(&expected));
}

fn two_statements(first: &[u8], second: &[u8]) {
    let (Some(a), Some(b)) = (Statement::parse(first), Statement::parse(second)) else { return };
    let rank = |line| grammar::statement(line).expect("a statement").rank();
    assert_eq!(a.wins_over(&b), rank(first) < rank(second));
    assert_eq!(b.wins_over(&a), rank(second) < rank(first));
    if a.id == b.id {
        assert_eq!(a.wins_over(&b) || b.wins_over(&a), first != second, "the order is total");
    }
}

fn peer_lines(data: &[u8]) {
    assert_eq!(peer_line::is_hello(data), grammar::is_hello(data));
    if peer_line::is_hello(data) {
        let read = peer_line::Hello::parse(data).ok();
        let expected = grammar::hello(data).map(|hello| peer_line::Hello {
            herd: hello.herd,
            name: hello.name,
            epoch: Epoch(hello.epoch),
        });
        assert_eq!(read, expected);
        if let Some(hello) = read {
            let mut written = Vec::new();
            hello.write(&mut written);
            assert_eq!(peer_line::Hello::parse(&written), Ok(hello));
        }
    }
    assert_eq!(peer_line::parse_mark(data), grammar::mark(data));
    let expected = grammar::acceptor_line(data).map(|line| match line {
        grammar::AcceptorLine::Welcome { name, epoch, since } => {
            peer_line::AcceptorLine::Welcome { name, epoch: Epoch(epoch), since }
        }
        grammar::AcceptorLine::Refused => peer_line::AcceptorLine::Refused(b""),
        grammar::AcceptorLine::Ack(sequence) => peer_line::AcceptorLine::Ack(sequence),
    });
    match (peer_line::AcceptorLine::parse(data), expected) {
        (Some(peer_line::AcceptorLine::Refused(_)), Some(peer_line::AcceptorLine::Refused(_))) => {}
        (read, expected) => assert_eq!(read, expected),
    }
}
