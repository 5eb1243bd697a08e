//! Tests of neighbours that violate the protocol (docs/faults.md, rows 9, 11, 13, 14, 15).

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{UCLA, await_everywhere, iamat, stored_line};
use crate::client::Client;
use crate::lab::{Lab, PAIR, free_port, until};

const JAQUEZ: &str = "HELLO herd/1 laboratory Jaquez 0123456789abcdef\n";

/// A running server Riley, and a connection that it has accepted as its neighbour Jaquez.
fn as_jaquez() -> (Lab, Client) {
    let mut lab = Lab::new(PAIR);
    lab.start("Riley");
    let mut jaquez = lab.connect("Riley");
    welcome(&mut jaquez);
    (lab, jaquez)
}

fn welcome(jaquez: &mut Client) {
    let welcome = jaquez.send(JAQUEZ).line();
    assert!(welcome.starts_with("WELCOME Riley "), "{welcome}");
}

/// Two servers with the same name and different ports replace each other's link again and again. The
/// statements of both arrive, no other server is disturbed, and it stops when one of the two ends.
#[test]
fn row_09_duplicate_server_name() {
    let mut lab = Lab::running(PAIR);
    let first = iamat(&lab, "Riley", "of-the-first");
    await_everywhere(&lab, &["Jaquez"], "of-the-first", &first);
    let impostor = free_port();
    let file = lab.folder.path("impostor.json");
    let mut config = lab.config.clone();
    config["servers"]["Riley"]["listen"] = json!(format!("127.0.0.1:{impostor}"));
    config["log"] = json!({ "dir": "logs-of-impostor" });
    std::fs::write(&file, config.to_string()).unwrap();
    let mut second = lab.start_with_file("Riley", &file);
    until("the second server listens", || {
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, impostor)).is_ok()
    });
    let line = Client::connect(impostor).ask(&format!("IAMAT of-the-second {UCLA} 5"));
    await_everywhere(&lab, &["Jaquez"], "of-the-second", &line);
    let both = iamat(&lab, "Riley", "of-the-first-again");
    await_everywhere(&lab, &["Jaquez"], "of-the-first-again", &both);
    let cpu = lab.process("Jaquez").cpu_time();
    let began = Instant::now();
    let mut client = lab.connect("Jaquez");
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(client.ask("PING"), "? PING");
        std::thread::sleep(Duration::from_millis(5));
    }
    let cpu = lab.process("Jaquez").cpu_time() - cpu;
    assert!(cpu < began.elapsed() / 2, "{cpu:?} of processor time in {:?}", began.elapsed());
    second.kill();
    let last = iamat(&lab, "Jaquez", "last");
    await_everywhere(&lab, &["Riley"], "last", &last);
}

/// A peer of another herd, with an unknown name, another version or a missing field is refused with the
/// reason, which is also in the log. The lines after its HELLO are ignored.
#[test]
fn row_11_peer_of_another_herd() {
    let mut lab = Lab::new(PAIR);
    lab.start("Riley");
    let forged = format!("AT Jaquez +0.000000000 kiwi {UCLA} 5\nMARK 1\n");
    for (hello, reason) in [
        ("HELLO herd/1 bruins Jaquez 0123456789abcdef", "this server is of another herd"),
        ("HELLO herd/1 laboratory Stranger 0123456789abcdef", "no neighbour of this server has that name"),
        // Riley's own name.
        ("HELLO herd/1 laboratory Riley 0123456789abcdef", "no neighbour of this server has that name"),
        ("HELLO herd/2 laboratory Jaquez 0123456789abcdef", "this server speaks herd/1"),
        ("HELLO herd/1 laboratory Jaquez", "a HELLO needs a version, a herd, a name and an epoch"),
        ("HELLO herd/1 laboratory Jaquez xyz", "an epoch has 16 hexadecimal digits"),
        ("HELLO herd/1 laboratory Jaquez 0123456789abcdef0", "an epoch has 16 hexadecimal digits"),
    ] {
        let replies = lab.connect("Riley").send(&format!("{hello}\n{forged}")).everything();
        assert_eq!(replies, format!("REFUSED {reason}\n"), "{hello}");
        lab.await_log("Riley", &format!("sent to client 'REFUSED {reason}'"));
    }
    let long = format!("HELLO herd/1 laboratory Jaquez {}", "0".repeat(1024));
    assert_eq!(lab.connect("Riley").send(&long).everything(), "REFUSED a HELLO has at most 1024 bytes\n");
    // An incomplete HELLO.
    let began = Instant::now();
    let refused = lab.connect("Riley").send("HELLO herd/1 lab").everything();
    assert_eq!(refused, "REFUSED a HELLO must be complete within 2 s\n");
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(stored_line(&lab, "Riley", "kiwi"), None);
}

/// A replayed HELLO is accepted, because a herd trusts every program on its machine. It changes no statement,
/// and the neighbour itself reconnects.
#[test]
fn row_11_replayed_handshake() {
    let lab = Lab::running(PAIR);
    let line = iamat(&lab, "Jaquez", "kiwi");
    await_everywhere(&lab, &["Riley"], "kiwi", &line);
    let mut hello = None;
    until("its HELLO is in the log", || {
        let log = lab.log("Jaquez");
        // On its other link Jaquez may have sent a WELCOME before.
        let sent = log.lines().find_map(|line| line.split_once("sent to server Riley 'HELLO "));
        hello = sent.map(|(_, rest)| format!("HELLO {}", rest.trim_end_matches('\'')));
        hello.is_some()
    });
    let replayed = format!("{}\n", hello.unwrap());
    let welcome = lab.connect("Riley").send(&replayed).half_close().everything();
    assert!(welcome.starts_with("WELCOME Riley "), "{welcome}");
    assert_eq!(stored_line(&lab, "Riley", "kiwi"), Some(line));
    let after = iamat(&lab, "Jaquez", "after");
    await_everywhere(&lab, &["Riley"], "after", &after);
}

/// A malformed line of a neighbour ends the link. Neither it nor any line after it changes a statement.
#[test]
fn row_13_malformed_line_of_a_peer() {
    let mut lab = Lab::new(PAIR);
    lab.start("Riley");
    let before = iamat(&lab, "Riley", "kiwi");
    let long_id = "x".repeat(8192 + 1024);
    let lines: [&[u8]; 20] = [
        b"",
        b" ",
        b"GOSSIP 5",
        b"HELLO herd/1 laboratory Jaquez 0123456789abcdef",
        b"IAMAT kiwi +1+1 5000000000",
        b"ACK 5",
        b"MARK",
        b"MARK -1",
        b"MARK 99999999999999999999999999",
        b"MARK 1e3",
        b"\xff\xfe\x80",
        b"AT Jaquez +0.000000000 kiwi +1+1",
        b"AT Jaquez +0.000000000 kiwi +1+1 5 more",
        b"AT Jaquez  +0.000000000 kiwi +1+1 5",
        b"AT Jaquez +0.0 kiwi +1+1 5",
        b"AT Jaquez -0.000000000 kiwi +1+1 5",
        b"AT Jaquez +0.000000000 kiwi +91+1 5",
        b"AT Jaquez +0.000000000 kiwi +1+1 9999999999999999999",
        b"AT Jaquez +0.000000000 kiwi +1+1 5\r",
        format!("MARK {long_id}").leak().as_bytes(),
    ];
    for line in lines {
        let mut jaquez = lab.connect("Riley");
        welcome(&mut jaquez);
        let after = b"\nAT Jaquez +0.000000000 after +1+1 5\nMARK 7\n";
        let rest = jaquez.send_bytes(&[line, after].concat()).every_byte();
        assert!(!rest.windows(5).any(|reply| reply == b"ACK 7"), "{}", line.escape_ascii());
        assert_eq!(stored_line(&lab, "Riley", "after"), None, "{}", line.escape_ascii());
    }
    assert_eq!(stored_line(&lab, "Riley", "kiwi"), Some(before));
    lab.await_log("Riley", r"Connection from server Jaquez is ended: '\xff\xfe\x80' was not understood");
    lab.await_log("Riley", "Connection from server Jaquez is ended: a line has more than 9216 bytes");
}

/// A dialled neighbour that answers with a malformed line is dialled again with exponential backoff. No
/// statement is sent before a valid WELCOME.
#[test]
fn row_13_malformed_answer_of_a_peer() {
    let mut lab = Lab::new(PAIR);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lab.port("Jaquez"))).unwrap();
    lab.start("Riley");
    iamat(&lab, "Riley", "secret");
    let endless = "x".repeat(5000);
    let answers = [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "WELCOME Stranger 0123456789abcdef 0\n",
        "WELCOME Jaquez 0123 0\n",
        "ACK 5\n",
        "\n",
        "REFUSED \x1b[2J no\n",
        "WELCOME Jaquez 0123456789abcdef 0\nACK x\n",
        &endless,
    ];
    let began = Instant::now();
    for answer in answers {
        let mut stream = listener.accept().unwrap().0;
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut hello = String::new();
        reader.read_line(&mut hello).unwrap();
        assert!(hello.starts_with("HELLO herd/1 laboratory Riley "), "{hello}");
        stream.write_all(answer.as_bytes()).unwrap();
        let mut next = String::new();
        let _ = reader.read_line(&mut next);
        assert!(
            next.is_empty() || answer.starts_with("WELCOME Jaquez 0123456789abcdef "),
            "{answer}: {next}"
        );
    }
    // The delays are at least half of 50, 100, 200, 400, 800, 1000 and 1000 ms.
    assert!(began.elapsed() > Duration::from_millis(1775), "{:?}", began.elapsed());
    let mut client = lab.connect("Riley");
    assert_eq!(client.ask("PING"), "? PING");
}

/// A neighbour's record of the far future is accepted, because clocks differ, and wins until a newer one
/// arrives. `limits.max_future_s` is for clients only.
#[test]
fn row_14_records_of_the_far_future_from_a_peer() {
    let (lab, mut jaquez) = as_jaquez();
    let future = "AT Jaquez -100.000000000 kiwi +1+1 999999999999999999";
    jaquez.send(&format!("{future}\nMARK 1\n"));
    while jaquez.line() != "ACK 1" {}
    assert_eq!(stored_line(&lab, "Riley", "kiwi").as_deref(), Some(future));
    let own = format!("IAMAT kiwi {UCLA} 999999999999999999");
    assert_eq!(lab.connect("Riley").ask(&own), format!("? {own}"));
    iamat(&lab, "Riley", "kiwi");
    assert_eq!(stored_line(&lab, "Riley", "kiwi").as_deref(), Some(future));
}

/// A `since` above the last sequence number counts as 0: every statement is sent.
#[test]
fn a_peer_with_an_impossible_since_gets_everything() {
    let mut lab = Lab::new(PAIR);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lab.port("Jaquez"))).unwrap();
    lab.start("Riley");
    let line = iamat(&lab, "Riley", "kiwi");
    let mut stream = listener.accept().unwrap().0;
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut received = String::new();
    reader.read_line(&mut received).unwrap();
    stream.write_all(b"WELCOME Jaquez 0123456789abcdef 18446744073709551615\n").unwrap();
    received.clear();
    reader.read_line(&mut received).unwrap();
    reader.read_line(&mut received).unwrap();
    assert_eq!(received, format!("{line}\nMARK 1\n"));
}

/// A ring with chords, edges configured on both sides or on one, and servers that are their own neighbours:
/// each statement reaches all servers, at most two lines of it cross an edge, and no server sends it to
/// itself.
#[test]
fn row_15_cycles_and_a_neighbour_of_itself() {
    let lab = Lab::running(&[
        ("A", &["A", "B", "C"]),
        ("B", &["A", "C", "D"]),
        ("C", &["A", "B", "D", "C"]),
        ("D", &["B"]),
        ("E", &["A", "D"]),
    ]);
    for origin in lab.names() {
        let id = format!("client-of-{origin}");
        let line = iamat(&lab, origin, &id);
        await_everywhere(&lab, &lab.names(), &id, &line);
    }
    for one in lab.names() {
        for other in lab.names() {
            for origin in lab.names() {
                let sent = |from: &str, to: &str| {
                    let log = lab.log(from);
                    let is_sent = |line: &&str| line.contains(&format!("sent to server {to} 'AT {origin} "));
                    log.lines().filter(is_sent).count()
                };
                let crossed = if one == other { sent(one, one) } else { sent(one, other) + sent(other, one) };
                let at_most = if one == other { 0 } else { 2 };
                assert!(crossed <= at_most, "{crossed} lines of {origin} between {one} and {other}");
            }
        }
    }
}
