//! Tests of replies that wait for Places.

use serde_json::json;

use crate::ask::{TIME, UCLA, await_everywhere, iamat, stored_line};
use crate::fake_places::{Play, nearby};
use crate::lab::{Lab, PAIR, SOLO, until};

/// After the client's half-close the server answers all received commands, including slow ones and a last
/// line without LF, and then closes.
#[test]
fn a_half_close_waits_for_slow_replies() {
    let lab = Lab::running(SOLO);
    let line = iamat(&lab, "Solo", "kiwi");
    lab.places.on(UCLA, Play::WhenReleased(nearby(3)));
    let mut client = lab.connect("Solo");
    client.send("FIRST\nWHATSAT kiwi 10 2\nWHATSAT kiwi 10 1\nLAST").half_close();
    assert_eq!(client.line(), "? FIRST");
    lab.places.await_question(UCLA);
    // Gives the server the time to close too early.
    iamat(&lab, "Solo", "other");
    assert!(client.is_quiet());
    lab.places.release();
    let (statement, json) = client.whats_at();
    assert_eq!((statement, results(&json)), (line.clone(), 2));
    let (statement, json) = client.whats_at();
    assert_eq!((statement, results(&json)), (line, 1));
    assert_eq!(client.everything(), "? LAST\n");
}

/// Replies are sent in the order of the commands. A fast command after a slow one is executed at once: its
/// statement is stored and flooded, only its reply waits.
#[test]
fn a_fast_command_after_a_slow_one_takes_effect_at_once() {
    let lab = Lab::running(PAIR);
    let line = iamat(&lab, "Riley", "kiwi");
    lab.places.on(UCLA, Play::WhenReleased(nearby(1)));
    let mut client = lab.connect("Riley");
    client.send(&format!("WHATSAT kiwi 10 1\nIAMAT fast +1.5-2.5 {TIME}\nWHATSAT fast 10 1\n"));
    lab.places.await_question(UCLA);
    // Its question to Places does not wait for the slow one.
    lab.places.await_question("+1.5-2.5");
    let mut fast = None;
    for server in lab.names() {
        until(&format!("{server} has stored it"), || {
            fast = stored_line(&lab, server, "fast");
            fast.is_some()
        });
    }
    assert!(client.is_quiet());
    lab.places.release();
    assert_eq!(client.whats_at().0, line);
    let fast = fast.unwrap();
    assert_eq!(client.line(), fast);
    let (statement, json) = client.whats_at();
    assert_eq!((statement, results(&json)), (fast, 0));
}

/// A WHATSAT that waits for Places delays no other client of any server. Its reply has the statement that was
/// stored when the WHATSAT arrived.
#[test]
fn a_slow_whatsat_delays_no_other_client() {
    let lab = Lab::running(PAIR);
    let line = lab.connect("Riley").ask(&format!("IAMAT kiwi +3-4 {TIME}"));
    lab.places.on("+3-4", Play::WhenReleased(nearby(1)));
    let mut slow = lab.connect("Riley");
    slow.send("WHATSAT kiwi 10 1\n");
    lab.places.await_question("+3-4");
    let other = iamat(&lab, "Riley", "other");
    await_everywhere(&lab, &lab.names(), "other", &other);
    let moved = lab.connect("Riley").ask("IAMAT kiwi +1-1 1621464828");
    await_everywhere(&lab, &["Riley", "Jaquez"], "kiwi", &moved);
    assert!(slow.is_quiet());
    lab.places.release();
    let (statement, json) = slow.whats_at();
    assert_eq!((statement, results(&json)), (line, 1));
}

/// Without a usable answer of Places the reply has the same format, and an error message with the reason.
#[test]
fn a_failure_of_places_is_reported_in_the_reply() {
    let mut lab = Lab::new(SOLO);
    lab.config["places"]["timeout_ms"] = json!(100);
    lab.write();
    lab.start_all();
    iamat(&lab, "Solo", "kiwi");
    let mut client = lab.connect("Solo");
    for play in [Play::Drop, Play::WhenReleased(nearby(1)), Play::Answer("no JSON".to_owned())] {
        lab.places.on(UCLA, play);
        client.send("WHATSAT kiwi 10 1\n");
        let (_, json) = client.whats_at();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["html_attributions", "results", "status", "error_message"], "{json}");
        assert_eq!((&json["status"], results(&json)), (&json!("UNKNOWN_ERROR"), 0));
        assert!(json["error_message"].as_str().is_some_and(|message| message.len() > 8), "{json}");
    }
    lab.places.on(UCLA, Play::Answer(nearby(1)));
    client.send("WHATSAT kiwi 10 1\n");
    assert_eq!(client.whats_at().1["status"], "OK");
}

fn results(json: &serde_json::Value) -> usize {
    json["results"].as_array().unwrap().len()
}
