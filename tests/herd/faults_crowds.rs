//! Tests with thousands of abusive clients (docs/faults.md, rows 20, 22, 23, 36, 41).

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{UCLA, await_everywhere, iamat, stored_line};
use crate::client::Client;
use crate::fake_places::Play;
use crate::lab::{Lab, PAIR, SOLO, until};
use crate::process::{Signal, allow_descriptors};

/// Starts a server with this `limits.line_timeout_s`.
fn with_line_timeout(seconds: u32) -> Lab {
    allow_descriptors(DESCRIPTORS);
    let mut lab = Lab::new(SOLO);
    lab.config["limits"] = json!({ "line_timeout_s": seconds });
    lab.config["log"] = json!({ "level": "events" });
    lab.write();
    lab.start_all();
    lab
}

/// Connections with an incomplete line each take little more memory than the bytes of the line, delay no
/// other client, and are closed at the line timeout.
fn half_lines(count: usize, line_timeout_s: u32) {
    let mut lab = with_line_timeout(line_timeout_s);
    let mut talker = lab.connect("Solo");
    assert_eq!(talker.ask("PING"), "? PING");
    let descriptors = lab.process("Solo").descriptors();
    let memory = lab.process("Solo").status_number("VmRSS");
    let half = "x".repeat(HALF_LINE);
    let mut crowd: Vec<Client> = (0..count).map(|_| lab.connect("Solo")).collect();
    crowd.iter_mut().for_each(|client| _ = client.send(&half));
    assert_eq!(talker.ask("PING"), "? PING");
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    println!("{count} half lines of {HALF_LINE} bytes: {grown} KiB");
    assert!(grown < (count * KIB_FOR_A_HALF_LINE_MAX) as u64, "{grown} KiB for {count} half lines");
    // No reply is pending, so they are closed without output.
    assert!(crowd.iter_mut().all(Client::is_closed));
    drop(crowd);
    until("all descriptors are closed", || lab.process("Solo").descriptors() <= descriptors);
    assert_eq!(talker.ask("PING"), "? PING");
}

#[test]
fn row_20_half_lines_by_the_thousand() {
    half_lines(2000, 3);
}

#[test]
#[ignore = "takes long; `make measure-faults` runs it"]
fn row_20_half_lines_by_the_ten_thousand() {
    half_lines(NEARLY_ALL, 8);
}

/// Lines that arrive byte by byte are closed at the line timeout, which starts with the first byte. New
/// clients are served meanwhile.
fn slowloris(count: usize, line_timeout_s: u32, pause: Duration) {
    let mut lab = with_line_timeout(line_timeout_s);
    iamat(&lab, "Solo", "kiwi");
    let descriptors = lab.process("Solo").descriptors();
    let mut crowd: Vec<Client> = (0..count).map(|_| lab.connect("Solo")).collect();
    let mut rounds = 0;
    while !crowd.is_empty() {
        // A write to a closed connection fails.
        crowd.retain_mut(|client| client.try_send(b"I"));
        assert_eq!(lab.connect("Solo").ask("PING"), "? PING");
        thread::sleep(pause);
        rounds += 1;
        assert!(rounds < ROUNDS_MAX, "{} are still connected", crowd.len());
    }
    until("all descriptors are closed", || lab.process("Solo").descriptors() <= descriptors);
}

#[test]
fn row_22_slowloris() {
    slowloris(500, 1, Duration::from_millis(100));
}

#[test]
#[ignore = "takes long; `make measure-faults` runs it"]
fn row_22_slowloris_by_five_thousand() {
    slowloris(5000, 10, Duration::from_secs(5));
}

/// A client that sends commands and never reads replies is paused: the server stops reading from it. It takes
/// some kilobytes and delays no other client. When it reads again, it gets all replies in order.
#[test]
fn row_23_client_that_never_reads() {
    let mut lab = Lab::running(SOLO);
    let line = iamat(&lab, "Solo", "kiwi");
    let result = format!("{{\"name\":\"{}\"}}", "x".repeat(1000));
    let results = vec![result; RESULTS].join(",");
    lab.places.on(UCLA, Play::Answer(format!("{{\"results\":[{results}],\"status\":\"OK\"}}")));
    let memory = lab.process("Solo").status_number("VmRSS");
    // White space makes the commands large, so that few of them fit into the socket buffers.
    let questions: String =
        (0..=RESULTS).map(|bound| format!("WHATSAT kiwi 10 {bound}{}\n", " ".repeat(4000))).collect();
    let mut unread = lab.connect("Solo");
    let sent = unread.send_until_stuck(questions.as_bytes(), STUCK_AFTER, SENT_BYTES_MAX);
    let mut other = lab.connect("Solo");
    assert_eq!(other.ask("PING"), "? PING");
    assert_eq!(stored_line(&lab, "Solo", "kiwi").as_ref(), Some(&line));
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < UNREAD_KIB_MAX, "{grown} KiB more");

    let length = questions.len() / (RESULTS + 1);
    // The commands differ by one byte, since some bounds have two digits.
    let whole = questions.as_bytes().iter().cycle().take(sent).filter(|&&byte| byte == b'\n').count();
    assert!(whole >= sent / (length + 1));
    for bound in (0..=RESULTS).cycle().take(whole) {
        let (statement, json) = unread.whats_at();
        assert_eq!((&statement, json["results"].as_array().unwrap().len()), (&line, bound));
    }
    // Completes the line that was partly sent.
    assert!(unread.ask(" 5 5 5 5").starts_with("? "));
}

/// Waits until a server uses nearly no processor time.
pub fn until_idle(lab: &mut Lab, server: &str) {
    let mut cpu = lab.process(server).cpu_time();
    until(&format!("{server} is idle"), || {
        thread::sleep(STUCK_AFTER);
        let before = std::mem::replace(&mut cpu, lab.process(server).cpu_time());
        cpu - before < STUCK_AFTER / 10
    });
}

/// A thousand clients with large replies that never read take no more memory than their bounded output. Other
/// clients are served, and all descriptors are closed when they leave.
#[test]
fn row_23_thousand_clients_that_never_read() {
    allow_descriptors(DESCRIPTORS);
    let mut lab = with_line_timeout(60);
    let mut talker = lab.connect("Solo");
    assert_eq!(talker.ask("PING"), "? PING");
    let descriptors = lab.process("Solo").descriptors();
    let memory = lab.process("Solo").status_number("VmRSS");
    let lines = format!("{}\n", "x".repeat(4000)).repeat(UNREAD_LINES);
    let crowd: Vec<Client> = (0..UNREAD)
        .map(|_| {
            let mut client = Client::connect_narrow(lab.port("Solo"), NARROW);
            client.send_without_blocking(lines.as_bytes());
            client
        })
        .collect();
    assert_eq!(talker.ask("STILL HERE"), "? STILL HERE");
    until_idle(&mut lab, "Solo");
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    println!("{UNREAD} clients that never read: {grown} KiB");
    assert!(grown < (UNREAD * KIB_FOR_AN_UNREAD_CLIENT_MAX) as u64, "{grown} KiB for {UNREAD} clients");
    crowd.into_iter().for_each(Client::reset);
    until("all descriptors are closed", || lab.process("Solo").descriptors() <= descriptors);
    assert_eq!(talker.ask("PING"), "? PING");
}

/// All clients of a burst are served, and the link to the neighbour works meanwhile.
fn burst(count: usize) {
    allow_descriptors(DESCRIPTORS);
    let lab = Lab::running(PAIR);
    let linked = iamat(&lab, "Riley", "linked");
    await_everywhere(&lab, &["Jaquez"], "linked", &linked);
    let port = lab.port("Riley");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let mut crowd: Vec<Client> = (0..count / 2).map(|_| Client::connect(port)).collect();
                crowd.iter_mut().for_each(|client| _ = client.send("A\n"));
                assert!(crowd.iter_mut().all(|client| client.line() == "? A"));
            });
        }
        for n in 0..20 {
            let line = iamat(&lab, "Jaquez", &format!("client-{n}"));
            await_everywhere(&lab, &["Riley"], &format!("client-{n}"), &line);
        }
    });
    assert!(!lab.log("Riley").contains("server Jaquez was dropped"));
}

#[test]
fn row_36_burst_of_connections() {
    burst(BURST);
}

#[test]
#[ignore = "takes long; `make measure-faults` runs it"]
fn row_36_burst_of_ten_thousand_connections() {
    burst(NEARLY_ALL);
}

/// While the server is busy, new connections wait in the backlog, as many as the system allows. None of them
/// has to retransmit its SYN, which would take at least a second.
#[test]
fn row_36_burst_while_the_server_is_busy() {
    allow_descriptors(DESCRIPTORS);
    let mut lab = Lab::running(SOLO);
    assert_eq!(lab.connect("Solo").ask("PING"), "? PING");
    let backlog_max: usize =
        fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    lab.signal("Solo", Signal::STOP);
    let mut crowd: Vec<Client> = (0..BURST.min(backlog_max))
        .map(|number| {
            let began = Instant::now();
            let client = lab.connect("Solo");
            assert!(began.elapsed() < SYN_RETRANSMITTED, "number {number} waited {:?}", began.elapsed());
            client
        })
        .collect();
    lab.signal("Solo", Signal::CONT);
    crowd.iter_mut().for_each(|client| _ = client.send("A\n"));
    assert!(crowd.iter_mut().all(|client| client.line() == "? A"));
}

/// With `limits.max_clients` clients in the store, an IAMAT of a new client is refused, and its statement
/// from a neighbour is dropped but acknowledged. Known clients are updated.
#[test]
fn row_41_limit_of_clients() {
    let mut lab = Lab::new(PAIR);
    lab.config["limits"] = json!({ "max_clients": 100 });
    lab.write();
    lab.start("Riley");
    let mut client = lab.connect("Riley");
    for n in 0..100 {
        assert!(client.ask(&format!("IAMAT client-{n} +1+1 5")).starts_with("AT "));
    }
    for n in 100..200 {
        let command = format!("IAMAT client-{n} +1+1 5");
        assert_eq!(client.ask(&command), format!("? {command}"));
    }
    let moved = client.ask("IAMAT client-0 +2+2 6");
    assert_eq!(stored_line(&lab, "Riley", "client-0"), Some(moved));
    let mut jaquez = lab.connect("Riley");
    jaquez.send("HELLO herd/1 laboratory Jaquez 0123456789abcdef\n");
    let sent = "AT Jaquez +0.000000000 client-1 +3+3 7";
    jaquez.send(&format!("AT Jaquez +0.000000000 stranger +1+1 5\n{sent}\nMARK 2\n"));
    while jaquez.line() != "ACK 2" {}
    assert_eq!(stored_line(&lab, "Riley", "stranger"), None);
    assert_eq!(stored_line(&lab, "Riley", "client-1").as_deref(), Some(sent));
}

const DESCRIPTORS: u64 = 12_000;
/// `limits.max_connections`, less some for the other connections of the test.
const NEARLY_ALL: usize = 9_900;
/// Nine tenths of `limits.max_line`, in bytes.
const HALF_LINE: usize = 8192 * 9 / 10;
/// The bytes sent, half as many for the growth of the buffer, and the connection.
const KIB_FOR_A_HALF_LINE_MAX: usize = 13;
/// The greatest number of rounds of one byte each. The line timeout takes fewer; a busy machine makes rounds
/// longer.
const ROUNDS_MAX: usize = 60;
const RESULTS: usize = 20;
/// The time without progress after which the server has stopped reading, unless the machine is very busy.
const STUCK_AFTER: Duration = Duration::from_millis(500);
/// The capacity of the socket buffers, and of the little that the server reads.
const SENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The 64 pending answers of Places of 20 KB each, and the memory to handle them.
const UNREAD_KIB_MAX: u64 = 8 * 1024;
const UNREAD: usize = 1000;
/// A receive buffer so small that unread replies fill the server's output, not the system's buffers.
pub const NARROW: usize = 4096;
/// Lines of 4 KB: several times the bound of a client's output. For a thousand clients they stay below the
/// system's limit of TCP memory (about 1 GiB), which would stop all connections.
pub const UNREAD_LINES: usize = 128;
/// The high-water mark of 64 KiB, the echoes of the last read, and unused capacity of buffers that double.
const KIB_FOR_AN_UNREAD_CLIENT_MAX: usize = 256;
const BURST: usize = 2000;
/// Less than the time after which the system retransmits a SYN, one second.
const SYN_RETRANSMITTED: Duration = Duration::from_millis(900);
