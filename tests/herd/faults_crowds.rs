//! Clients by the thousand that cost more than they should (docs/faults.md, rows 20, 22, 23, 36, 41).

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{UCLA, everyone, iamat, knows};
use crate::client::Client;
use crate::fake_places::Play;
use crate::lab::{Lab, PAIR, SOLO, until};
use crate::process::{Signal, allow_descriptors};

/// A server that allows lines to take so many seconds.
fn with_line_timeout(seconds: u32) -> Lab {
    allow_descriptors(DESCRIPTORS);
    let mut lab = Lab::new(SOLO);
    lab.config["limits"] = json!({ "line_timeout_s": seconds });
    lab.config["log"] = json!({ "level": "events" });
    lab.write();
    lab.start_all();
    lab
}

/// Connections by the thousand with nine tenths of a line each cost what was sent and a little more,
/// delay nobody, and are closed when their time is up.
fn half_lines(count: usize, line_timeout_s: u32) {
    let mut lab = with_line_timeout(line_timeout_s);
    let mut talker = lab.connect("Solo");
    assert_eq!(talker.ask("HALLO"), "? HALLO");
    let descriptors = lab.process("Solo").descriptors();
    let memory = lab.process("Solo").status_number("VmRSS");
    let half = "x".repeat(HALF_LINE);
    let mut crowd: Vec<Client> = (0..count).map(|_| lab.connect("Solo")).collect();
    crowd.iter_mut().for_each(|client| _ = client.send(&half));
    assert_eq!(talker.ask("HALLO"), "? HALLO");
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    println!("{count} half lines of {HALF_LINE} bytes: {grown} KiB");
    assert!(grown < (count * KIB_FOR_A_HALF_LINE_MAX) as u64, "{grown} KiB for {count} half lines");
    // Nothing is owed to them, so they are closed without a word.
    assert!(crowd.iter_mut().all(Client::is_closed));
    drop(crowd);
    until("nothing is left of them", || lab.process("Solo").descriptors() <= descriptors);
    assert_eq!(talker.ask("HALLO"), "? HALLO");
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

/// Bytes that come one by one do not give a line more time; whoever comes meanwhile is served.
fn slowloris(count: usize, line_timeout_s: u32, pause: Duration) {
    let mut lab = with_line_timeout(line_timeout_s);
    iamat(&lab, "Solo", "kiwi");
    let descriptors = lab.process("Solo").descriptors();
    let mut crowd: Vec<Client> = (0..count).map(|_| lab.connect("Solo")).collect();
    let mut drips = 0;
    while !crowd.is_empty() {
        // One that was closed shows when it is written to.
        crowd.retain_mut(|client| client.try_send(b"I"));
        assert_eq!(lab.connect("Solo").ask("HALLO"), "? HALLO");
        thread::sleep(pause);
        drips += 1;
        assert!(drips < DRIPS_MAX, "{} are still connected", crowd.len());
    }
    until("nothing is left of them", || lab.process("Solo").descriptors() <= descriptors);
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

/// A client that asks and asks and never reads is not read from any longer, costs some kilobytes, and
/// delays nobody. When it reads after all it gets everything, in order.
#[test]
fn row_23_client_that_never_reads() {
    let mut lab = Lab::running(SOLO);
    let line = iamat(&lab, "Solo", "kiwi");
    let result = format!("{{\"name\":\"{}\"}}", "x".repeat(1000));
    let results = vec![result; RESULTS].join(",");
    lab.places.on(UCLA, Play::Answer(format!("{{\"results\":[{results}],\"status\":\"OK\"}}")));
    let memory = lab.process("Solo").status_number("VmRSS");
    // The white space makes the commands large: otherwise too many of them fit into the sockets.
    let questions: String =
        (0..=RESULTS).map(|bound| format!("WHATSAT kiwi 10 {bound}{}\n", " ".repeat(4000))).collect();
    let mut deaf = lab.connect("Solo");
    let sent = deaf.send_until_stuck(questions.as_bytes(), STUCK_AFTER, SENT_BYTES_MAX);
    let mut other = lab.connect("Solo");
    assert_eq!(other.ask("HALLO"), "? HALLO");
    assert_eq!(knows(&lab, "Solo", "kiwi").as_ref(), Some(&line));
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < DEAF_KIB_MAX, "{grown} KiB more");

    let length = questions.len() / (RESULTS + 1);
    // They differ by one byte where the bound has two digits, but not by more than that.
    let whole = questions.as_bytes().iter().cycle().take(sent).filter(|&&byte| byte == b'\n').count();
    assert!(whole >= sent / (length + 1));
    for bound in (0..=RESULTS).cycle().take(whole) {
        let (statement, json) = deaf.whats_at();
        assert_eq!((&statement, json["results"].as_array().unwrap().len()), (&line, bound));
    }
    // The rest of the line that it was stuck in.
    assert!(deaf.ask(" 5 5 5 5").starts_with("? "));
}

/// Waits until a server has nothing left to do for those who said much.
pub fn until_idle(lab: &mut Lab, server: &str) {
    let mut cpu = lab.process(server).cpu_time();
    until(&format!("{server} has nothing left to do"), || {
        thread::sleep(STUCK_AFTER);
        let before = std::mem::replace(&mut cpu, lab.process(server).cpu_time());
        cpu - before < STUCK_AFTER / 10
    });
}

/// A thousand clients that say what has large replies, and read none of them, cost no more than their
/// output each; whoever else comes is served, and nothing is left when they go.
#[test]
fn row_23_thousand_clients_that_never_read() {
    allow_descriptors(DESCRIPTORS);
    let mut lab = with_line_timeout(60);
    let mut talker = lab.connect("Solo");
    assert_eq!(talker.ask("HALLO"), "? HALLO");
    let descriptors = lab.process("Solo").descriptors();
    let memory = lab.process("Solo").status_number("VmRSS");
    let lines = format!("{}\n", "x".repeat(4000)).repeat(UNREAD_LINES);
    let crowd: Vec<Client> = (0..DEAF)
        .map(|_| {
            let mut client = Client::connect_narrow(lab.port("Solo"), NARROW);
            client.send_what_is_taken(lines.as_bytes());
            client
        })
        .collect();
    assert_eq!(talker.ask("STILL HERE"), "? STILL HERE");
    until_idle(&mut lab, "Solo");
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    println!("{DEAF} clients that never read: {grown} KiB");
    assert!(grown < (DEAF * KIB_FOR_A_DEAF_CLIENT_MAX) as u64, "{grown} KiB for {DEAF} of them");
    crowd.into_iter().for_each(Client::reset);
    until("nothing is left of them", || lab.process("Solo").descriptors() <= descriptors);
    assert_eq!(talker.ask("HALLO"), "? HALLO");
}

/// Newcomers in a burst are all served, and the link to the neighbour goes on meanwhile.
fn burst(count: usize) {
    allow_descriptors(DESCRIPTORS);
    let lab = Lab::running(PAIR);
    let linked = iamat(&lab, "Riley", "linked");
    everyone(&lab, &["Jaquez"], "linked", &linked);
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
            everyone(&lab, &["Riley"], &format!("client-{n}"), &line);
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

/// Newcomers wait for a server that is busy for a moment, as many as the system lets wait: none of them
/// has to knock again, which takes a second at least.
#[test]
fn row_36_burst_while_the_server_is_busy() {
    allow_descriptors(DESCRIPTORS);
    let mut lab = Lab::running(SOLO);
    assert_eq!(lab.connect("Solo").ask("HALLO"), "? HALLO");
    let waiting_max: usize =
        fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    lab.signal("Solo", Signal::STOP);
    let mut crowd: Vec<Client> = (0..BURST.min(waiting_max))
        .map(|number| {
            let began = Instant::now();
            let client = lab.connect("Solo");
            assert!(began.elapsed() < KNOCKED_AGAIN, "number {number} waited {:?}", began.elapsed());
            client
        })
        .collect();
    lab.signal("Solo", Signal::CONT);
    crowd.iter_mut().for_each(|client| _ = client.send("A\n"));
    assert!(crowd.iter_mut().all(|client| client.line() == "? A"));
}

/// When `limits.max_clients` clients are known, a further one is refused, from neighbours dropped but
/// acknowledged; those that are known still move.
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
    assert_eq!(knows(&lab, "Riley", "client-0"), Some(moved));
    let mut jaquez = lab.connect("Riley");
    jaquez.send("HELLO herd/1 laboratory Jaquez 0123456789abcdef\n");
    let told = "AT Jaquez +0.000000000 client-1 +3+3 7";
    jaquez.send(&format!("AT Jaquez +0.000000000 stranger +1+1 5\n{told}\nMARK 2\n"));
    while jaquez.line() != "ACK 2" {}
    assert_eq!(knows(&lab, "Riley", "stranger"), None);
    assert_eq!(knows(&lab, "Riley", "client-1").as_deref(), Some(told));
}

const DESCRIPTORS: u64 = 12_000;
/// Of `limits.max_connections`, with room for those who ask meanwhile.
const NEARLY_ALL: usize = 9_900;
/// Nine tenths of what a line may have.
const HALF_LINE: usize = 8192 * 9 / 10;
/// What was sent, half as much again, and the connection itself.
const KIB_FOR_A_HALF_LINE_MAX: usize = 13;
/// A second is allowed; a busy machine makes each round longer.
const DRIPS_MAX: usize = 60;
const RESULTS: usize = 20;
/// The server has had nothing to do for so long, unless the machine is very busy.
const STUCK_AFTER: Duration = Duration::from_millis(500);
/// What the system may keep in the sockets, and the little that the server does.
const SENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The 64 answers of Places that may wait for the client, 20 KB each, and what handling them takes.
const DEAF_KIB_MAX: u64 = 8 * 1024;
const DEAF: usize = 1000;
/// So that what is not read fills the server's output and not the system's memory.
pub const NARROW: usize = 4096;
/// Of 4 KB: several times what the server lets wait, and from a thousand clients not so much that the
/// system runs out of what it has for TCP (1 GiB, say), which would hold up everybody.
pub const UNREAD_LINES: usize = 128;
/// 64 KiB of output above which it is not read from, the echoes of what was read in one piece before that
/// was seen, and what buffers that double have to spare.
const KIB_FOR_A_DEAF_CLIENT_MAX: usize = 256;
const BURST: usize = 2000;
/// The system repeats a SYN that nobody answered after a second.
const KNOCKED_AGAIN: Duration = Duration::from_millis(900);
