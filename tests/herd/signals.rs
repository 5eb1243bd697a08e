//! Tests of signals: shutdown by SIGTERM and SIGINT, reloading by SIGHUP; and of a second server of one name.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::ask::{UCLA, await_everywhere, iamat, stored_line};
use crate::fake_places::{Play, nearby};
use crate::lab::{Lab, PAIR, SOLO, free_port, is_listening, until};
use crate::process::{Process, Signal, herd};
use crate::secrecy::KEY;

/// SIGTERM and SIGINT end a server within 300 ms with status 0. It answers all received commands, a pending
/// WHATSAT with UNKNOWN_ERROR, and sends all pending output. The next server can bind the port at once.
fn shuts_down_gracefully(signal: Signal) {
    let mut lab = Lab::alone(SOLO);
    lab.start("Solo");
    let line = iamat(&lab, "Solo", "kiwi");
    lab.places.on(UCLA, Play::WhenReleased(nearby(1)));
    let mut idle = lab.connect("Solo");
    assert_eq!(idle.ask("PING"), "? PING");
    let mut waiting = lab.connect("Solo");
    waiting.send("WHATSAT kiwi 10 1\nAFTER\n");
    lab.places.await_question(UCLA);
    lab.await_log("Solo", "received 'AFTER'");

    let began = Instant::now();
    lab.signal("Solo", signal);
    let status = lab.process("Solo").wait();
    let took = began.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took < SHUTDOWN_MAX, "{took:?}");
    assert!(idle.is_closed());
    let (statement, json) = waiting.whats_at();
    assert_eq!(statement, line);
    assert_eq!((&json["status"], &json["results"]), (&json!("UNKNOWN_ERROR"), &json!([])));
    assert_eq!(waiting.everything(), "? AFTER\n");
    assert!(!is_listening(lab.port("Solo")));
    lab.start("Solo");
    assert_eq!(lab.connect("Solo").ask("PING"), "? PING");
}

#[test]
fn row_37_graceful_shutdown_by_sigterm() {
    shuts_down_gracefully(Signal::TERM);
}

#[test]
fn row_37_graceful_shutdown_by_sigint() {
    shuts_down_gracefully(Signal::INT);
}

/// Commands sent before the signal are answered and flooded, even if the server had not read them yet. An
/// answered statement is never lost by a graceful shutdown.
#[test]
fn row_37_statements_answered_at_shutdown_are_flooded() {
    let mut lab = Lab::running(PAIR);
    let linked = iamat(&lab, "Riley", "linked");
    await_everywhere(&lab, &["Jaquez"], "linked", &linked);
    let mut client = lab.connect("Riley");
    assert_eq!(client.ask("PING"), "? PING");
    // Stopped, so that the server finds the commands and the signal at the same time.
    lab.signal("Riley", Signal::STOP);
    let commands: String = (0..100).map(|n| format!("IAMAT client-{n} {UCLA} 1\n")).collect();
    client.send(&commands);
    // A connection made before the signal is served, too.
    let mut late = lab.connect("Riley");
    late.send("PING\n");
    lab.signal("Riley", Signal::TERM);
    lab.signal("Riley", Signal::CONT);
    assert_eq!(lab.process("Riley").wait().code(), Some(0));
    let replies = client.everything();
    assert_eq!(replies.lines().count(), 100, "{replies}");
    assert_eq!(late.everything(), "? PING\n");
    await_everywhere(&lab, &["Jaquez"], "client-99", replies.lines().last().unwrap());
}

/// Ports are not shared: a second server on the same port reports the error in one line and exits with status
/// 1. The first server, its clients and its log are not disturbed.
#[test]
fn row_09_second_server_on_the_same_port() {
    let lab = Lab::running(SOLO);
    let mut client = lab.connect("Solo");
    assert_eq!(client.ask("A"), "? A");
    let mut second = herd();
    second.arg("serve").arg("Solo").arg("-c").arg(lab.file()).stdin(Stdio::null());
    let errors = lab.folder.path("errors");
    second.stderr(fs::File::create(&errors).unwrap());
    let status = Process::start(&mut second, &lab.folder.name()).wait();
    assert_eq!(status.code(), Some(1));
    let errors = fs::read_to_string(errors).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("herd: ") && errors.contains(&lab.port("Solo").to_string()), "{errors}");
    assert_eq!(client.ask("B"), "? B");
    // All new connections reach the first server.
    for _ in 0..20 {
        assert_eq!(lab.connect("Solo").ask("C"), "? C");
    }
}

/// SIGHUP reopens the log file. A renamed log gets no more lines.
#[test]
fn row_34_sighup_reopens_the_log() {
    let mut lab = Lab::running(SOLO);
    let mut client = lab.connect("Solo");
    client.ask("BEFORE");
    lab.await_log("Solo", "BEFORE");
    let (log, old) = (lab.folder.path("logs/Solo.log"), lab.folder.path("logs/old"));
    fs::rename(&log, &old).unwrap();
    lab.signal("Solo", Signal::HUP);
    until("there is a new log", || log.exists());
    assert_eq!(client.ask("AFTER"), "? AFTER");
    lab.await_log("Solo", "AFTER");
    assert!(!lab.log("Solo").contains("BEFORE"));
    assert!(!fs::read_to_string(old).unwrap().contains("AFTER"));
}

/// SIGHUP from a terminal that was closed ends a server, `run-all` and `places` in order, so that their ports
/// are free. Elsewhere SIGHUP reloads.
#[test]
fn a_closed_terminal_ends_every_program() {
    let lab = Lab::new(SOLO);
    lab.write();
    let port = free_port();
    let (places, file) = (format!("127.0.0.1:{port}"), lab.file().to_str().unwrap().to_owned());
    for (arguments, port) in [
        (vec!["serve", "Solo", "-c", &file], lab.port("Solo")),
        (vec!["run-all", "-c", &file], lab.port("Solo")),
        (vec!["places", "-l", &places], port),
    ] {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = fs::OpenOptions::new().read(true).write(true).open(terminal).unwrap();
        // A session of its own, whose controlling terminal is standard input. The tests may run under `nohup`, whose
        // ignored SIGHUP programs inherit.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "env", "--default-signal=HUP"]).arg(herd().get_program());
        command.args(&arguments).current_dir(lab.folder.path(""));
        command.env("PLACES_API_KEY", KEY).stdin(terminal).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::start(&mut command, &lab.folder.name());
        until(&format!("{arguments:?} listens"), || is_listening(port));
        drop(command);
        drop(master);
        assert_eq!(process.wait().code(), Some(0), "{arguments:?}");
        until(&format!("{arguments:?} has left its port"), || !is_listening(port));
    }
}

/// With log level `off` no log file is created, not even by SIGHUP.
#[test]
fn sighup_creates_no_log_at_level_off() {
    let mut lab = Lab::new(SOLO);
    lab.config["log"] = json!({ "dir": "logs", "level": "off" });
    lab.config["limits"] = json!({ "max_line": 100 });
    lab.write();
    lab.start_all();
    lab.config["limits"] = json!({ "max_line": 64 });
    lab.write();
    lab.signal("Solo", Signal::HUP);
    let long = "x".repeat(80);
    until("the herd file is reloaded", || lab.connect("Solo").ask(&long).len() == 66);
    assert!(!lab.folder.path("logs/Solo.log").exists());
}

/// SIGHUP reloads the herd file. A new neighbour is dialled and gets every statement, a removed neighbour
/// gets no more, and clients stay connected.
#[test]
fn row_42_sighup_adds_and_removes_neighbours() {
    let mut lab = Lab::running(&[("Left", &[]), ("Middle", &["Left"]), ("Right", &[])]);
    let mut client = lab.connect("Middle");
    assert_eq!(client.ask("STAYS"), "? STAYS");
    let first = iamat(&lab, "Middle", "first");
    await_everywhere(&lab, &["Left"], "first", &first);
    assert_eq!(stored_line(&lab, "Right", "first"), None);

    lab.config["servers"]["Middle"]["talks_to"] = json!(["Right"]);
    lab.write();
    for server in ["Left", "Middle", "Right"] {
        lab.signal(server, Signal::HUP);
    }
    await_everywhere(&lab, &["Right"], "first", &first);
    lab.await_log("Middle", "Connection to server Left was dropped");
    let second = iamat(&lab, "Middle", "second");
    await_everywhere(&lab, &["Right"], "second", &second);
    assert_eq!(stored_line(&lab, "Left", "second"), None);
    assert_eq!(client.ask("STAYED"), "? STAYED");
}

/// A removed neighbour that was not reloaded keeps dialling. It is refused with the reason, and no statement
/// crosses the edge.
#[test]
fn row_42_removed_neighbour_that_keeps_dialling() {
    let mut lab = Lab::running(&[("Left", &[]), ("Middle", &["Left"])]);
    let before = iamat(&lab, "Left", "before");
    await_everywhere(&lab, &["Middle"], "before", &before);
    lab.config["servers"]["Middle"]["talks_to"] = json!([]);
    lab.write();
    lab.signal("Middle", Signal::HUP);
    let refusal = "REFUSED no neighbour of this server has that name";
    lab.await_log("Left", refusal);
    let after = iamat(&lab, "Left", "after");
    let of_middle = iamat(&lab, "Middle", "of-middle");
    let refusals = lab.log("Left").matches(refusal).count();
    until("Left has dialled two more times", || lab.log("Left").matches(refusal).count() >= refusals + 2);
    assert_eq!((stored_line(&lab, "Middle", "after"), stored_line(&lab, "Left", "of-middle")), (None, None));
    assert_eq!(stored_line(&lab, "Middle", "before"), Some(before));

    lab.config["servers"]["Middle"]["talks_to"] = json!(["Left"]);
    lab.write();
    lab.signal("Middle", Signal::HUP);
    await_everywhere(&lab, &["Middle"], "after", &after);
    await_everywhere(&lab, &["Left"], "of-middle", &of_middle);
}

/// A herd file with an error, or with another `listen`, changes nothing. The server reports the reason.
#[test]
fn row_42_sighup_with_an_invalid_file_changes_nothing() {
    let mut lab = Lab::running(PAIR);
    let mut client = lab.connect("Riley");
    assert_eq!(client.ask("STAYS"), "? STAYS");
    let mut other_port = lab.config.clone();
    other_port["servers"]["Riley"]["listen"] = json!("127.0.0.1:1");
    let mut no_server = lab.config.clone();
    no_server["servers"] = json!({ "Jaquez": { "listen": "127.0.0.1:1" } });
    for (count, wrong) in ["{".to_owned(), other_port.to_string(), no_server.to_string()].iter().enumerate() {
        fs::write(lab.file(), wrong).unwrap();
        lab.signal("Riley", Signal::HUP);
        until(&format!("Riley reports the error in {wrong}"), || {
            lab.output("Riley").lines().filter(|line| line.starts_with("herd: ")).count() > count
        });
        assert_eq!(client.ask("STAYED"), "? STAYED");
        let id = format!("client-{count}");
        let line = iamat(&lab, "Riley", &id);
        await_everywhere(&lab, &["Jaquez"], &id, &line);
    }
}

/// The grace period of 300 ms, and some time for a busy machine.
const SHUTDOWN_MAX: Duration = Duration::from_millis(500);
