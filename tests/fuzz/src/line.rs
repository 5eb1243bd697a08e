//! One line, in each of the parts that a line can play.

use herd::places::question::Question;
use herd::text::command::{Command, IamAt, WhatsAt};
use herd::text::peer_line::{self, Epoch};
use herd::text::record::Statement;
use herd::text::time::Time;

use super::grammar::{self, Said};

/// Whatever is read is what the grammar says, and is written as it was read. A line with an LF in it
/// is also two statements, one of which wins.
pub fn line(data: &[u8]) {
    command(data);
    statement(data);
    greetings(data);
    if let Some(at) = data.iter().position(|&byte| byte == b'\n') {
        two_statements(&data[..at], &data[at + 1..]);
    }
}

fn command(data: &[u8]) {
    match (Command::parse(data), grammar::said(data)) {
        (Command::Blank, Said::Nothing)
        | (Command::HttpRequest, Said::HttpRequest)
        | (Command::Invalid, Said::Invalid) => {}
        (Command::IamAt(read), Said::IamAt { id, location, time, time_text }) => {
            assert_eq!((read.id, read.location.text, read.time_text), (id, location.text, time_text));
            assert_eq!(
                (read.location.latitude, read.location.longitude),
                (location.latitude, location.longitude)
            );
            assert_eq!(read.time.nanoseconds(), time);
            said_by_a_server(&read, data.len() as u64 * 123_456_789);
        }
        (Command::WhatsAt(read), Said::WhatsAt { id, radius_km, bound }) => {
            assert_eq!(read, WhatsAt { id, radius_km, bound });
            let question = Question::new(b"+1", b"-2.50", radius_km);
            let kilometres = str::from_utf8(radius_km).expect("digits and a point");
            assert_eq!(grammar::scaled(question.radius_m(), 0), grammar::scaled(kilometres, 3));
        }
        (read, said) => panic!("read as {read:?}, is {said:?}"),
    }
}

/// The AT line of an IAMAT is a statement, and says what the client said.
fn said_by_a_server(iam_at: &IamAt<'_>, received: u64) {
    let statement = Statement::of(iam_at, b"Riley", Time::from_nanoseconds(received));
    let mut written = Vec::new();
    statement.write(&mut written);
    assert_eq!(Statement::parse(&written[..written.len() - 1]), Some(statement));
    let read = grammar::statement(&written[..written.len() - 1]).expect("a statement");
    assert_eq!(read.time + read.skew, i128::from(received));
}

fn statement(data: &[u8]) {
    let (read, said) = (Statement::parse(data), grammar::statement(data));
    assert_eq!(read.is_some(), said.is_some(), "{read:?} {said:?}");
    let (Some(read), Some(said)) = (read, said) else { return };
    assert_eq!((read.server, read.id, read.location.text), (said.server, said.id, said.location.text));
    assert_eq!((read.skew.nanoseconds(), read.time.nanoseconds()), (said.skew, said.time));
    let mut written = Vec::new();
    read.write(&mut written);
    assert_eq!(written, [data, b"\n"].concat());
    assert_eq!(written, grammar::at_line(&said));
}

fn two_statements(first: &[u8], second: &[u8]) {
    let (Some(a), Some(b)) = (Statement::parse(first), Statement::parse(second)) else { return };
    let said = |line| grammar::statement(line).expect("a statement").rank();
    assert_eq!(a.wins_over(&b), said(first) < said(second));
    assert_eq!(b.wins_over(&a), said(second) < said(first));
    if a.id == b.id {
        assert_eq!(a.wins_over(&b) || b.wins_over(&a), first != second, "one text, one statement");
    }
}

fn greetings(data: &[u8]) {
    assert_eq!(peer_line::is_hello(data), grammar::is_hello(data));
    if peer_line::is_hello(data) {
        let read = peer_line::Hello::parse(data).ok();
        let said = grammar::hello(data);
        assert_eq!(
            read,
            said.map(|said| peer_line::Hello { herd: said.herd, name: said.name, epoch: Epoch(said.epoch) })
        );
        if let Some(hello) = read {
            let mut written = Vec::new();
            hello.write(&mut written);
            assert_eq!(peer_line::Hello::parse(&written), Ok(hello));
        }
    }
    assert_eq!(peer_line::parse_mark(data), grammar::mark(data));
    match (peer_line::AcceptorLine::parse(data), grammar::answer(data)) {
        (None, None) | (Some(peer_line::AcceptorLine::Refused(_)), Some(grammar::Answer::Refused)) => {}
        (Some(peer_line::AcceptorLine::Ack(read)), Some(grammar::Answer::Ack(said))) => {
            assert_eq!(read, said)
        }
        (
            Some(peer_line::AcceptorLine::Welcome { name, epoch, since }),
            Some(grammar::Answer::Welcome { name: said_name, epoch: said_epoch, since: said_since }),
        ) => assert_eq!((name, epoch, since), (said_name, Epoch(said_epoch), said_since)),
        (read, said) => panic!("read as {read:?}, is {said:?}"),
    }
}
