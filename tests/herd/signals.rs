//! How a server is told to end, or to read its file again; and a second one of the same name.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{UCLA, everyone, iamat, knows};
use crate::fake_places::{Play, nearby};
use crate::lab::{Lab, PAIR, SOLO, is_listening, until};
use crate::process::{Process, Signal, herd};

/// SIGTERM and SIGINT end a server within 300 ms with status 0: it answers what was received, a WHATSAT
/// that still waits with UNKNOWN_ERROR, and sends what is written. The next one gets the port at once.
fn ends_in_order(signal: Signal) {
    let mut lab = Lab::alone(SOLO);
    lab.start("Solo");
    let line = iamat(&lab, "Solo", "kiwi");
    lab.places.on(UCLA, Play::WhenReleased(nearby(1)));
    let mut idle = lab.connect("Solo");
    assert_eq!(idle.ask("HALLO"), "? HALLO");
    let mut waiting = lab.connect("Solo");
    waiting.send("WHATSAT kiwi 10 1\nBEHIND\n");
    lab.places.await_question(UCLA);
    lab.await_log("Solo", "received 'BEHIND'");

    let began = Instant::now();
    lab.signal("Solo", signal);
    let status = lab.process("Solo").wait();
    let took = began.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took < END_MAX, "{took:?}");
    assert!(idle.is_closed());
    let (statement, json) = waiting.whats_at();
    assert_eq!(statement, line);
    assert_eq!((&json["status"], &json["results"]), (&json!("UNKNOWN_ERROR"), &json!([])));
    assert_eq!(waiting.everything(), "? BEHIND\n");
    assert!(!is_listening(lab.port("Solo")));
    lab.start("Solo");
    assert_eq!(lab.connect("Solo").ask("HALLO"), "? HALLO");
}

#[test]
fn row_37_end_in_order_by_sigterm() {
    ends_in_order(Signal::TERM);
}

#[test]
fn row_37_end_in_order_by_control_c() {
    ends_in_order(Signal::INT);
}

/// What a client said before the signal is answered, and told to the neighbours as well, though the
/// server had not read it yet: whoever has a reply can rely on it.
#[test]
fn row_37_what_is_answered_at_the_end_is_flooded() {
    let mut lab = Lab::running(PAIR);
    let linked = iamat(&lab, "Riley", "linked");
    everyone(&lab, &["Jaquez"], "linked", &linked);
    let mut client = lab.connect("Riley");
    assert_eq!(client.ask("HALLO"), "? HALLO");
    // So it finds the commands and the signal at the same time.
    lab.signal("Riley", Signal::STOP);
    let commands: String = (0..100).map(|n| format!("IAMAT client-{n} {UCLA} 1\n")).collect();
    client.send(&commands);
    // One that connected before the signal, too, was received.
    let mut late = lab.connect("Riley");
    late.send("HALLO\n");
    lab.signal("Riley", Signal::TERM);
    lab.signal("Riley", Signal::CONT);
    assert_eq!(lab.process("Riley").wait().code(), Some(0));
    let replies = client.everything();
    assert_eq!(replies.lines().count(), 100, "{replies}");
    assert_eq!(late.everything(), "? HALLO\n");
    everyone(&lab, &["Jaquez"], "client-99", replies.lines().last().unwrap());
}

/// A port is never shared: a second server of a name says so in one line, exits 1, and leaves the first
/// alone, its clients and its log included.
#[test]
fn row_09_second_server_of_a_name() {
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
    // Each newcomer finds the first one, none is shared out to a second.
    for _ in 0..20 {
        assert_eq!(lab.connect("Solo").ask("C"), "? C");
    }
}

/// SIGHUP opens the log file anew: what was renamed stays as it was.
#[test]
fn row_34_hang_up_opens_the_log_anew() {
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

/// A log that is off is no file, also after SIGHUP.
#[test]
fn hang_up_opens_no_log_that_is_off() {
    let mut lab = Lab::new(SOLO);
    lab.config["log"] = json!({ "dir": "logs", "level": "off" });
    lab.config["limits"] = json!({ "max_line": 100 });
    lab.write();
    lab.start_all();
    lab.config["limits"] = json!({ "max_line": 64 });
    lab.write();
    lab.signal("Solo", Signal::HUP);
    let long = "x".repeat(80);
    until("the herd file was read again", || lab.connect("Solo").ask(&long).len() == 66);
    assert!(!lab.folder.path("logs/Solo.log").exists());
}

/// SIGHUP reads the herd file again: a new neighbour is dialled and gets everything, one that was
/// removed hears no more, clients stay.
#[test]
fn row_42_hang_up_brings_and_takes_neighbours() {
    let mut lab = Lab::running(&[("Left", &[]), ("Middle", &["Left"]), ("Right", &[])]);
    let mut client = lab.connect("Middle");
    assert_eq!(client.ask("STAYS"), "? STAYS");
    let first = iamat(&lab, "Middle", "first");
    everyone(&lab, &["Left"], "first", &first);
    assert_eq!(knows(&lab, "Right", "first"), None);

    lab.config["servers"]["Middle"]["talks_to"] = json!(["Right"]);
    lab.write();
    for server in ["Left", "Middle", "Right"] {
        lab.signal(server, Signal::HUP);
    }
    everyone(&lab, &["Right"], "first", &first);
    until("Left is no longer told", || lab.log("Middle").contains("Connection to server Left was dropped"));
    let second = iamat(&lab, "Middle", "second");
    everyone(&lab, &["Right"], "second", &second);
    assert_eq!(knows(&lab, "Left", "second"), None);
    assert_eq!(client.ask("STAYED"), "? STAYED");
}

/// A neighbour that was removed and does not know it dials on. It is refused with the reason, nothing that
/// it says is heard, and nothing is told to it.
#[test]
fn row_42_removed_neighbour_that_dials_on() {
    let mut lab = Lab::running(&[("Left", &[]), ("Middle", &["Left"])]);
    let before = iamat(&lab, "Left", "before");
    everyone(&lab, &["Middle"], "before", &before);
    lab.config["servers"]["Middle"]["talks_to"] = json!([]);
    lab.write();
    lab.signal("Middle", Signal::HUP);
    let refusal = "REFUSED no neighbour of this server has that name";
    lab.await_log("Left", refusal);
    let after = iamat(&lab, "Left", "after");
    let of_middle = iamat(&lab, "Middle", "of-middle");
    let refusals = lab.log("Left").matches(refusal).count();
    until("Left has tried twice more", || lab.log("Left").matches(refusal).count() >= refusals + 2);
    assert_eq!((knows(&lab, "Middle", "after"), knows(&lab, "Left", "of-middle")), (None, None));
    assert_eq!(knows(&lab, "Middle", "before"), Some(before));

    lab.config["servers"]["Middle"]["talks_to"] = json!(["Left"]);
    lab.write();
    lab.signal("Middle", Signal::HUP);
    everyone(&lab, &["Middle"], "after", &after);
    everyone(&lab, &["Left"], "of-middle", &of_middle);
}

/// A file with an error, or with another `listen`, changes nothing, and the server says so.
#[test]
fn row_42_hang_up_with_a_wrong_file_changes_nothing() {
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
        until(&format!("Riley says what is wrong with {wrong}"), || {
            lab.output("Riley").lines().filter(|line| line.starts_with("herd: ")).count() > count
        });
        assert_eq!(client.ask("STAYED"), "? STAYED");
        let id = format!("client-{count}");
        let line = iamat(&lab, "Riley", &id);
        everyone(&lab, &["Jaquez"], &id, &line);
    }
}

/// 300 ms, and what a busy machine takes to notice.
const END_MAX: Duration = Duration::from_millis(500);
