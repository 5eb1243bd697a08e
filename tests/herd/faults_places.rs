//! Tests of Places services that are slow, unreachable or invalid (docs/faults.md, rows 24, 25, 27 to 32).

use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::ask::{TIME, iamat};
use crate::fake_places::{Play, Then, nearby, response};
use crate::lab::{Lab, SOLO, free_port, until};

/// Starts a server with this `places.timeout_ms`. `prepare` changes the lab before the start.
pub fn with_timeout(milliseconds: u32, prepare: impl Fn(&mut Lab)) -> Lab {
    let mut lab = Lab::new(SOLO);
    lab.config["places"]["timeout_ms"] = json!(milliseconds);
    prepare(&mut lab);
    lab.write();
    lab.start_all();
    lab
}

/// The answer to a WHATSAT of a client at `location`.
pub fn near(lab: &Lab, location: &str) -> Value {
    let mut client = lab.connect("Solo");
    client.ask(&format!("IAMAT near{location} {location} {TIME}"));
    client.send(&format!("WHATSAT near{location} 10 20\n"));
    client.whats_at().1
}

/// Checks that the answer to a WHATSAT at `location` is UNKNOWN_ERROR, with a message that contains `words`.
pub fn fails(lab: &Lab, location: &str, words: &str) {
    let json = near(lab, location);
    assert_eq!((&json["status"], &json["results"]), (&json!("UNKNOWN_ERROR"), &json!([])), "{location}");
    let message = json["error_message"].as_str().unwrap();
    assert!(message.contains(words), "{location}: {message}");
}

/// Checks that a WHATSAT at `location` fails after 500 ms, that other clients are served meanwhile, and that
/// no descriptor is leaked.
fn hangs(lab: &mut Lab, location: &str) {
    let descriptors = lab.process("Solo").descriptors();
    let mut client = lab.connect("Solo");
    client.ask(&format!("IAMAT near{location} {location} {TIME}"));
    let began = Instant::now();
    client.send(&format!("WHATSAT near{location} 10 20\n"));
    let mut other = lab.connect("Solo");
    assert_eq!(other.ask("PING"), "? PING");
    assert!(client.is_quiet());
    let (_, json) = client.whats_at();
    assert!(json["error_message"].as_str().unwrap().contains("no answer within 500ms"), "{json}");
    assert!(began.elapsed() >= Duration::from_millis(500));
    drop((client, other));
    until("all descriptors are closed", || lab.process("Solo").descriptors() <= descriptors);
}

#[test]
fn row_24_places_never_accepts() {
    // One connection fills the backlog; the SYN of another one is not answered.
    let port = free_port();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::from(std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port)))).unwrap();
    listener.listen(0).unwrap();
    let _waits = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut lab =
        with_timeout(500, |lab| lab.config["places"]["url"] = json!(format!("http://127.0.0.1:{port}")));
    hangs(&mut lab, "+1+1");
}

#[test]
fn row_24_places_is_silent() {
    let mut lab = with_timeout(500, |lab| lab.places.on("+1+1", Play::WhenReleased(nearby(1))));
    hangs(&mut lab, "+1+1");
}

#[test]
fn row_24_places_trickles() {
    let mut lab = with_timeout(500, |lab| lab.places.on("+1+1", Play::Trickle(nearby(9))));
    hangs(&mut lab, "+1+1");
}

/// An answer that is too large or not HTTP is rejected at its bound and takes no more memory than that. Its
/// connection is not reused.
#[test]
fn row_25_oversized_and_malformed_answers() {
    let mut lab = with_timeout(20_000, |_| {});
    assert_eq!(near(&lab, "+9+9")["status"], "OK");
    let memory = lab.process("Solo").status_number("VmRSS");
    let raw = |text: &str| Play::Raw(text.as_bytes().to_vec(), Then::Keep);
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
    let piece = "x".repeat(64 * 1024);
    let endless =
        |head: &str, piece: &str| Play::Endless(head.as_bytes().to_vec(), piece.as_bytes().to_vec());
    let plays = [
        (raw(&format!("{ok}Content-Length: 10485760\r\n\r\n")), "larger than 4 MiB"),
        (raw(&format!("{ok}Content-Length: 99999999999999999999999\r\n\r\n")), "larger than 4 MiB"),
        (endless(&format!("{ok}\r\n"), &piece), "larger than 4 MiB"),
        (endless(&chunked, &format!("10000\r\n{piece}\r\n")), "larger than 4 MiB"),
        (endless(&chunked, "1;x\r\n \r\n"), "chunk"),
        (endless(&chunked, "xyz\r\n"), "size of a chunk"),
        (endless(&chunked, "-1\r\n"), "size of a chunk"),
        (endless(&chunked, "fffffffffffffffff\r\n"), ""),
        (endless(&chunked, "2\r\nxxxx"), "chunk"),
        (endless(ok, &format!("X-Filler: {}\r\n", "y".repeat(1000))), "larger than 16 KiB"),
        (endless(ok, "A: b\r\n"), "head of the answer"),
        (endless("", "HTTP/1.1 100 Continue\r\n\r\n"), "interim"),
        (raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"), "101"),
        (raw(&format!("{ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\n")), "where it ends"),
        (raw(&format!("{ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")), "where it ends"),
        (endless("", "SSH-2.0-OpenSSH_9.6\r\n"), "does not speak HTTP"),
        (endless("", "\0\0\0\0"), "does not speak HTTP"),
    ];
    for (number, (play, words)) in plays.into_iter().enumerate() {
        let location = format!("+1+{number}");
        lab.places.on(&location, play);
        let connections = lab.places.connections();
        fails(&lab, &location, words);
        assert_eq!(near(&lab, "+9+9")["status"], "OK");
        assert!(lab.places.connections() > connections, "{location}: the connection was reused");
    }
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < ANSWERS_KIB_MAX, "{grown} KiB more");
}

/// A truncated answer is rejected, whatever it contains, and the question is not sent again.
#[test]
fn row_27_truncated_answers() {
    let lab = with_timeout(20_000, |_| {});
    let whole = response(&nearby(3));
    let short = whole.as_bytes()[..whole.len() - 1].to_vec();
    let head = whole.split_inclusive("\r\n\r\n").next().unwrap().as_bytes().to_vec();
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{\"results\":[]}\r\n".to_vec();
    for (number, bytes) in [short, head, chunks, b"HTTP/1.1 200 O".to_vec()].into_iter().enumerate() {
        for then in [Then::Close, Then::Reset] {
            let location = format!("+{number}+{}", then as usize);
            lab.places.on(&location, Play::Raw(bytes.clone(), then));
            fails(&lab, &location, if matches!(then, Then::Close) { "closed in the middle" } else { "" });
            assert_eq!(lab.places.asked(&location), 1, "it was asked again");
        }
    }
}

/// A redirection is not followed. The message has its status.
#[test]
fn row_28_redirections() {
    let lab = with_timeout(20_000, |_| {});
    let elsewhere = format!("{}/maps/api/place/nearbysearch/json?location=5,5", lab.places.url());
    for (number, (status, target)) in
        [(301, &*elsewhere), (302, "http://example.com/"), (307, "/other?location=5,5"), (308, &elsewhere)]
            .iter()
            .enumerate()
    {
        let location = format!("+1+{number}");
        let answer = format!("HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
        lab.places.on(&location, Play::Raw(answer.into_bytes(), Then::Keep));
        fails(&lab, &location, &status.to_string());
    }
    assert_eq!(lab.places.asked("+5+5"), 0);
}

/// An answer of the right format is passed on, whatever its status; any other is rejected. Neither is cached.
#[test]
fn row_29_error_answers() {
    let lab = with_timeout(20_000, |_| {});
    for status in ["OVER_QUERY_LIMIT", "REQUEST_DENIED", "INVALID_REQUEST", "ZERO_RESULTS", "NEWS"] {
        let body = format!("{{\"results\":[],\"status\":\"{status}\"}}");
        lab.places.on("+1+1", Play::Answer(body));
        assert_eq!(near(&lab, "+1+1")["status"], status);
    }
    for body in
        ["<!DOCTYPE html><html></html>", "", "[]", "{\"results\":", "{\"status\":\"OK\"}", "{\"results\":{}}"]
    {
        lab.places.on("+1+1", Play::Answer(body.to_owned()));
        fails(&lab, "+1+1", "");
    }
    lab.places.on("+1+1", Play::Raw(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec(), Then::Keep));
    fails(&lab, "+1+1", "503");
    lab.places.on("+1+1", Play::Answer(nearby(2)));
    assert_eq!(near(&lab, "+1+1")["results"].as_array().unwrap().len(), 2);
}

/// No nesting of an answer, complete or not, overflows the stack.
#[test]
fn row_29_deep_nesting() {
    let lab = with_timeout(20_000, |_| {});
    let deep = |depth: usize, end: &str| {
        let body = format!("{{\"results\":[{}{}]}}", "[".repeat(depth), end.repeat(depth));
        lab.places.on("+1+1", Play::Answer(body));
        let mut client = lab.connect("Solo");
        client.ask(&format!("IAMAT deep +1+1 {TIME}"));
        client.send("WHATSAT deep 10 20\n");
        client.line();
        client.line()
    };
    assert!(deep(100_000, "]").starts_with("{\"results\":[[[[["));
    assert!(deep(100_000, "").contains("UNKNOWN_ERROR"));
    assert!(deep(1_000_000, "}").contains("UNKNOWN_ERROR"));
}

/// When a kept connection closes as a question is sent on it, the question is sent once more, on a new
/// connection.
#[test]
fn row_30_kept_connection_that_closes_on_the_next_question() {
    let lab = with_timeout(20_000, |_| {});
    lab.places.on("+1+1", Play::DropKept(nearby(1)));
    for round in 1..=5 {
        assert_eq!(near(&lab, "+9+9")["status"], "OK");
        assert_eq!(near(&lab, "+1+1")["status"], "OK");
        assert_eq!(lab.places.asked("+1+1"), 2 * round);
    }
    lab.places.on("+1+1", Play::Drop);
    assert_eq!(near(&lab, "+9+9")["status"], "OK");
    fails(&lab, "+1+1", "closed without an answer");
    assert_eq!(lab.places.asked("+1+1"), 2 * 5 + 2);
}

/// A thousand different questions while Places does not answer: 64 are in flight. When their time is over, the
/// breaker opens, and all others are answered at once. Other clients are served meanwhile, and questions succeed again
/// when Places answers again.
#[test]
fn row_31_thousand_questions_without_an_answer() {
    let mut lab = with_timeout(2000, |lab| lab.places.on("+1+1", Play::WhenReleased(nearby(1))));
    lab.connect("Solo").ask(&format!("IAMAT kiwi +1+1 {TIME}"));
    let descriptors = lab.process("Solo").descriptors();
    let memory = lab.process("Solo").status_number("VmRSS");
    let mut crowd: Vec<_> = (0..20).map(|_| lab.connect("Solo")).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        let question = |n| format!("WHATSAT kiwi 1.{:04} 1\n", 50 * number + n);
        client.send(&(0..50).map(question).collect::<String>());
    }
    until("64 questions are in flight", || lab.places.asked("+1+1") == 64);
    iamat(&lab, "Solo", "other");
    assert_eq!(lab.places.connections(), 64);
    let now = lab.process("Solo").descriptors();
    assert!(now <= descriptors + 20 + 64 + 2, "{now} descriptors, {descriptors} before");
    let mut refused = 0;
    for client in &mut crowd {
        for _ in 0..50 {
            let (_, json) = client.whats_at();
            assert_eq!(json["status"], "UNKNOWN_ERROR");
            refused += usize::from(json["error_message"].as_str().unwrap().contains("no question is put"));
        }
    }
    assert_eq!((refused, lab.places.asked("+1+1")), (1000 - 64, 64), "the breaker is open");
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < ANSWERS_KIB_MAX, "{grown} KiB more");
    drop(crowd);
    until("all descriptors are closed", || lab.process("Solo").descriptors() <= descriptors);
    lab.places.release();
    until("the breaker is closed", || near(&lab, "+1+1")["status"] == "OK");
}

/// The breaker opens after five failures in a row, its answers have the message of the last one, and one question after
/// the other tries whether Places works again.
#[test]
fn row_31_breaker() {
    let lab = with_timeout(20_000, |_| {});
    let broken = |status: &str| {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        lab.places.on("+1+1", Play::Raw(answer.into_bytes(), Then::Keep));
    };
    broken("500 No");
    (0..4).for_each(|_| fails(&lab, "+1+1", "HTTP status 500"));
    broken("404 No");
    fails(&lab, "+1+1", "HTTP status 404");
    broken("503 No");
    (0..5).for_each(|_| fails(&lab, "+1+1", "HTTP status 503"));
    assert_eq!(lab.places.asked("+1+1"), 10, "the count began anew");
    lab.places.on("+1+1", Play::Answer(nearby(1)));
    fails(
        &lab,
        "+2+2",
        "no question is put for a moment, since the last ones failed; the last failure: Places at ",
    );
    fails(&lab, "+2+2", "HTTP status 503");
    until("the breaker is closed", || near(&lab, "+1+1")["status"] == "OK");
    assert_eq!(near(&lab, "+2+2")["status"], "OK");
}

/// A thousand clients ask the same: one question is sent.
#[test]
fn equal_questions_are_asked_once() {
    let lab = with_timeout(20_000, |lab| lab.places.on("+1+1", Play::WhenReleased(nearby(20))));
    lab.connect("Solo").ask(&format!("IAMAT kiwi +1+1 {TIME}"));
    let mut crowd: Vec<_> = (0..1000).map(|_| lab.connect("Solo")).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        client.send(&format!("PING\nWHATSAT kiwi 10 {}\n", number % 21));
    }
    // Both lines arrive together, so that all clients have asked.
    crowd.iter_mut().for_each(|client| assert_eq!(client.line(), "? PING"));
    lab.places.release();
    for (number, client) in crowd.iter_mut().enumerate() {
        assert_eq!(client.whats_at().1["results"].as_array().unwrap().len(), number % 21);
    }
    assert_eq!(lab.places.asked("+1+1"), 1);
}

/// A host name that cannot be resolved, or not in time, delays no other client.
#[test]
fn row_32_host_name_that_is_not_found() {
    let lab = with_timeout(500, |lab| lab.config["places"]["url"] = json!("https://places.invalid"));
    let mut client = lab.connect("Solo");
    client.ask(&format!("IAMAT kiwi +1+1 {TIME}"));
    client.send("WHATSAT kiwi 10 1\n");
    let mut other = lab.connect("Solo");
    assert_eq!(other.ask("PING"), "? PING");
    let (_, json) = client.whats_at();
    let message = json["error_message"].as_str().unwrap();
    assert!(message.contains("cannot be looked up") || message.contains("no answer within"), "{message}");
}

/// A few answers of 4 MiB, one after the other, and the memory to parse them.
const ANSWERS_KIB_MAX: u64 = 24 * 1024;
