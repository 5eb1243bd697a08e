//! What a server writes down, and what it does when it cannot.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{TIME, UCLA, everyone, iamat};
use crate::lab::{Lab, PAIR, until};

/// Each message in and out, and connections of other servers, in the words of report 003: `Riley
/// received '…' from (HOST, PORT)`, `Riley sent to client '…'`, `Riley sent to server Jaquez '…'`,
/// `New connection to server Jaquez was made`, `Connection to server Jaquez was dropped`. Each line has
/// its time before it.
#[test]
fn a_log_has_every_message_and_every_neighbour() {
    let mut lab = Lab::running(PAIR);
    lab.await_log("Riley", "New connection to server Jaquez was made");
    let mut client = lab.connect("Riley");
    let (question, address) = (format!("IAMAT kiwi {UCLA} {TIME}"), client.address());
    let line = client.ask(&question);
    everyone(&lab, &["Jaquez"], "kiwi", &line);
    lab.await_log("Riley", &format!("Riley received '{question}' from (127.0.0.1, {})\n", address.port()));
    lab.await_log("Riley", &format!("Riley sent to client '{line}'\n"));
    lab.await_log("Riley", &format!("Riley sent to server Jaquez '{line}'\n"));
    lab.await_log("Jaquez", &format!("Jaquez received '{line}' from (127.0.0.1, "));
    // Three bytes that have no business in a log, and one that could begin a line of its own.
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

/// `events` has connections only, `off` nothing at all.
#[test]
fn a_log_has_no_more_than_its_level_says() {
    for (level, has_connections) in [("events", true), ("off", false)] {
        let mut lab = Lab::new(PAIR);
        lab.config["log"] = json!({ "level": level });
        lab.write();
        lab.start_all();
        let line = iamat(&lab, "Riley", "kiwi");
        everyone(&lab, &["Jaquez"], "kiwi", &line);
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

/// A log that cannot be written stops nothing, and says so once on standard error.
fn serves_without_a_log(prepare: impl Fn(&mut Lab)) {
    let mut lab = Lab::new(PAIR);
    prepare(&mut lab);
    lab.start_all();
    let mut client = lab.connect("Riley");
    // Long enough for it to try again, in vain.
    let end = Instant::now() + TRIED_AGAIN;
    while Instant::now() < end {
        assert_eq!(client.ask("HALLO"), "? HALLO");
    }
    let line = iamat(&lab, "Riley", "kiwi");
    everyone(&lab, &["Jaquez"], "kiwi", &line);
    until("Riley speaks of its log", || !lab.output("Riley").is_empty());
    let output = lab.output("Riley");
    let said: Vec<&str> = output.lines().filter(|line| line.contains("Riley.log")).collect();
    assert_eq!(said.len(), 1, "{output}");
    assert!(said[0].starts_with("herd: "), "{output}");
}

#[test]
fn row_33_full_disk_stops_nothing() {
    serves_without_a_log(|lab| {
        fs::create_dir(lab.folder.path("logs")).unwrap();
        symlink("/dev/full", lab.folder.path("logs/Riley.log")).unwrap();
    });
}

/// The rights of a folder do not bind a superuser; that there is a file in its place does.
#[test]
fn row_33_folder_that_cannot_be_made_stops_nothing() {
    serves_without_a_log(|lab| {
        fs::write(lab.folder.path("file"), "").unwrap();
        lab.config["log"] = json!({ "dir": "file/logs" });
        lab.write();
    });
}

/// A log that cannot be written is left alone for a second.
const TRIED_AGAIN: Duration = Duration::from_millis(1500);
