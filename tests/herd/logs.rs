//! Tests of the log: its lines, its levels, and failures to write it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use serde_json::json;

use crate::ask::{TIME, UCLA, await_everywhere, iamat};
use crate::client::Client;
use crate::lab::{Lab, PAIR, SOLO, until};
use crate::process::Signal;

/// The log has each message received and sent, and each connection to a server, in the format of report 003:
/// `Riley received '…' from (HOST, PORT)`, `Riley sent to client '…'`, `Riley sent to server Jaquez '…'`,
/// `New connection to server Jaquez was made`, `Connection to server Jaquez was dropped`. Each line starts
/// with its time.
#[test]
fn a_log_has_every_message_and_every_neighbour() {
    let mut lab = Lab::running(PAIR);
    lab.await_log("Riley", "New connection to server Jaquez was made");
    let mut client = lab.connect("Riley");
    let (question, address) = (format!("IAMAT kiwi {UCLA} {TIME}"), client.address());
    let line = client.ask(&question);
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    lab.await_log("Riley", &format!("Riley received '{question}' from (127.0.0.1, {})\n", address.port()));
    lab.await_log("Riley", &format!("Riley sent to client '{line}'\n"));
    lab.await_log("Riley", &format!("Riley sent to server Jaquez '{line}'\n"));
    lab.await_log("Jaquez", &format!("Jaquez received '{line}' from (127.0.0.1, "));
    // Control characters, and a CR that could start a new line.
    client.ask("X\x1b[2J\x07\rY");
    lab.await_log("Riley", r"Riley received 'X\x1b[2J\x07\x0dY' from ");
    lab.kill("Jaquez");
    lab.await_log("Riley", "Connection to server Jaquez was dropped");
    for server in ["Riley", "Jaquez"] {
        for line in lab.log(server).lines() {
            let shape: String =
                line.chars().take(27).map(|sign| if sign.is_ascii_digit() { 'D' } else { sign }).collect();
            assert_eq!(shape, "DDDD-DD-DD DD:DD:DD.DDDDDD ", "{line}");
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        }
    }
}

/// Level `events` logs connections only, `off` nothing.
#[test]
fn the_level_limits_the_log() {
    for (level, has_connections) in [("events", true), ("off", false)] {
        let mut lab = Lab::new(PAIR);
        lab.config["log"] = json!({ "level": level });
        lab.write();
        lab.start_all();
        let line = iamat(&lab, "Riley", "kiwi");
        await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
        lab.signal("Riley", Signal::TERM);
        lab.process("Riley").wait();
        let log = lab.log("Riley");
        assert_eq!(
            log.contains("New connection to server Jaquez was made"),
            has_connections,
            "{level}: {log}"
        );
        assert!(!log.contains("kiwi") && (has_connections || log.is_empty()), "{level}: {log}");
    }
}

/// A server whose log cannot be written serves on, and reports the failure once on standard error.
fn serves_without_a_log(prepare: impl Fn(&mut Lab)) {
    let mut lab = Lab::new(PAIR);
    prepare(&mut lab);
    lab.start_all();
    let mut client = lab.connect("Riley");
    // Long enough for a second, failing attempt.
    let end = Instant::now() + RETRIED;
    while Instant::now() < end {
        assert_eq!(client.ask("PING"), "? PING");
    }
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    until("Riley reports the failure", || !lab.output("Riley").is_empty());
    let output = lab.output("Riley");
    let reports: Vec<&str> = output.lines().filter(|line| line.contains("Riley.log")).collect();
    assert_eq!(reports.len(), 1, "{output}");
    assert!(reports[0].starts_with("herd: "), "{output}");
}

#[test]
fn row_33_full_disk_stops_nothing() {
    serves_without_a_log(|lab| {
        fs::create_dir(lab.folder.path("logs")).unwrap();
        symlink("/dev/full", lab.folder.path("logs/Riley.log")).unwrap();
    });
}

/// There is a file at the path of the folder. (Missing permissions would not stop a superuser.)
#[test]
fn row_33_folder_that_cannot_be_created_stops_nothing() {
    serves_without_a_log(|lab| {
        fs::write(lab.folder.path("file"), "").unwrap();
        lab.config["log"] = json!({ "dir": "file/logs" });
        lab.write();
    });
}

/// Makes the log of Solo a FIFO. Returns its reading end, which blocks nobody.
fn fifo_log(lab: &Lab) -> fs::File {
    let log = lab.folder.path("logs/Solo.log");
    fs::create_dir(lab.folder.path("logs")).unwrap();
    mknodat(CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    open(&log, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap().into()
}

/// Sends `count` statements with long IDs, which begin with `name`, and receives their replies.
fn report(client: &mut Client, name: &str, count: usize) {
    let padding = "x".repeat(4000);
    let lines: String = (0..count).map(|n| format!("IAMAT {name}-{n}-{padding} {UCLA} {TIME}\n")).collect();
    client.send(&lines);
    for n in 0..count {
        let line = client.line();
        assert!(line.contains(&format!(" {name}-{n}-xxx")), "{name} {n}: {line}");
    }
}

/// A log whose reader stops holds up no reply: its lines wait in memory, up to a bound, the others are dropped. One
/// line on standard error says so; when the reader goes on, the log has their number in their place.
#[test]
fn row_33_log_that_hangs() {
    let mut lab = Lab::new(SOLO);
    let mut reader = fifo_log(&lab);
    lab.start_all();
    let mut client = lab.connect("Solo");
    let (mut batches, mut log) = (0, Vec::new());
    until("lines are dropped", || {
        report(&mut client, &format!("before-{batches}"), BATCH);
        batches += 1;
        lab.output("Solo").contains("the log falls behind")
    });
    until("the log has the number of lost lines", || {
        let _ = reader.read_to_end(&mut log);
        String::from_utf8_lossy(&log).contains(LOST)
    });
    report(&mut client, "after", 1);
    until("the log is written again", || {
        let _ = reader.read_to_end(&mut log);
        let log = String::from_utf8_lossy(&log);
        log.rsplit_once(" sent to client 'AT Solo ").is_some_and(|(_, last)| last.contains(" after-0-"))
    });
    let log = String::from_utf8(log).unwrap();
    let lost: usize =
        log.lines().filter_map(|line| line.strip_suffix(LOST)?[1..].parse::<usize>().ok()).sum();
    let logged =
        log.lines().filter(|line| line.contains("Solo received '") || line.contains("Solo sent to "));
    // Each statement and its reply.
    assert_eq!((logged.count() + lost, lost > 0), (2 * (BATCH * batches + 1), true));
    assert_eq!(lab.output("Solo").lines().count(), 1, "{}", lab.output("Solo"));
}

/// A log that hangs does not keep a server from ending: it says that its last lines are lost.
#[test]
fn row_33_log_that_hangs_at_shutdown() {
    let mut lab = Lab::new(SOLO);
    let _reader = fifo_log(&lab);
    lab.start_all();
    report(&mut lab.connect("Solo"), "kiwi", BATCH);
    lab.signal("Solo", Signal::TERM);
    assert_eq!(lab.process("Solo").wait().code(), Some(0));
    assert!(lab.output("Solo").contains("before everything was written"), "{}", lab.output("Solo"));
}

/// A server that ends has written all its log lines; a log that is rotated under load, by renaming it and SIGHUP, loses
/// no line.
#[test]
fn row_34_rotation_and_shutdown_lose_no_line() {
    let mut lab = Lab::running(SOLO);
    let mut client = lab.connect("Solo");
    let current = lab.folder.path("logs/Solo.log");
    // A thread of its own opens the log, a little after the start.
    until("there is a log", || current.exists());
    for rotation in 0..ROTATIONS {
        report(&mut client, &format!("rotation-{rotation}"), BATCH);
        fs::rename(&current, lab.folder.path(format!("logs/{rotation}.old"))).unwrap();
        report(&mut client, &format!("renamed-{rotation}"), BATCH);
        lab.signal("Solo", Signal::HUP);
        report(&mut client, &format!("signalled-{rotation}"), BATCH);
        until("there is a new log", || current.exists());
    }
    report(&mut client, "last", BATCH);
    lab.signal("Solo", Signal::TERM);
    assert_eq!(lab.process("Solo").wait().code(), Some(0));
    let old = (0..ROTATIONS).map(|rotation| format!("logs/{rotation}.old"));
    let files = old.chain(["logs/Solo.log".to_owned()]);
    let log: String = files.map(|file| fs::read_to_string(lab.folder.path(file)).unwrap()).collect();
    let replies: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("sent to client '")?.1.split(' ').nth(3)).collect();
    let names = (0..ROTATIONS)
        .flat_map(|rotation| ["rotation", "renamed", "signalled"].map(|name| format!("{name}-{rotation}")));
    let sent =
        names.chain(["last".to_owned()]).flat_map(|name| (0..BATCH).map(move |n| format!("{name}-{n}-")));
    let sent: Vec<String> = sent.collect();
    assert_eq!(replies.len(), sent.len());
    assert!(replies.iter().zip(&sent).all(|(reply, sent)| reply.starts_with(sent.as_str())));
}

/// Statements that are sent together: their log lines are many times the buffer of a FIFO.
const BATCH: usize = 100;
const ROTATIONS: usize = 4;
/// The end of the line that counts lost lines.
const LOST: &str = " lines of this log could not be written and are lost)";
/// More than the delay of a second before a failing log is written again.
const RETRIED: Duration = Duration::from_millis(1500);
