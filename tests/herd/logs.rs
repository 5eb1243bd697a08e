//! Tests of the log: its lines, its levels, and failures to write it.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{TIME, UCLA, await_everywhere, iamat};
use crate::lab::{Lab, PAIR, until};

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
        lab.signal("Riley", crate::process::Signal::TERM);
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

/// More than the delay of a second before a failing log is written again.
const RETRIED: Duration = Duration::from_millis(1500);
