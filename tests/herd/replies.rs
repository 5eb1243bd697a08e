//! Replies that have to wait for Places.

use serde_json::json;

use crate::ask::{TIME, UCLA, everyone, iamat, knows};
use crate::fake_places::{Play, nearby};
use crate::lab::{Lab, PAIR, SOLO, until};

/// After the client's half-close the server still answers everything that it received, slow commands
/// and a last line without LF included, and then closes.
#[test]
fn a_half_close_waits_for_slow_replies() {
    let lab = Lab::running(SOLO);
    let line = iamat(&lab, "Solo", "kiwi");
    lab.places.on(UCLA, Play::WhenReleased(nearby(3)));
    let mut client = lab.connect("Solo");
    client.send("FIRST\nWHATSAT kiwi 10 2\nWHATSAT kiwi 10 1\nLAST").half_close();
    assert_eq!(client.line(), "? FIRST");
    lab.places.await_question(UCLA);
    // A server that closes at the end of input has done so before it does this.
    iamat(&lab, "Solo", "other");
    assert!(client.is_quiet());
    lab.places.release();
    let (statement, json) = client.whats_at();
    assert_eq!((statement, results(&json)), (line.clone(), 2));
    let (statement, json) = client.whats_at();
    assert_eq!((statement, results(&json)), (line, 1));
    assert_eq!(client.everything(), "? LAST\n");
}

/// Replies leave in the order of the commands, also when a slow one stands before a fast one. The fast
/// one takes effect at once: it is stored and flooded; only its reply waits.
#[test]
fn a_fast_command_behind_a_slow_one_takes_effect_at_once() {
    let lab = Lab::running(PAIR);
    let line = iamat(&lab, "Riley", "kiwi");
    lab.places.on(UCLA, Play::WhenReleased(nearby(1)));
    let mut client = lab.connect("Riley");
    client.send(&format!("WHATSAT kiwi 10 1\nIAMAT fast +1.5-2.5 {TIME}\nWHATSAT fast 10 1\n"));
    lab.places.await_question(UCLA);
    // Its own question to Places does not stand behind the slow one.
    lab.places.await_question("+1.5-2.5");
    let mut fast = None;
    for server in lab.names() {
        until(&format!("{server} knows it"), || {
            fast = knows(&lab, server, "fast");
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

/// A WHATSAT that waits for Places holds up nobody else, neither at this server nor at others; and
/// what it tells is the statement that was stored when it arrived.
#[test]
fn a_slow_whatsat_holds_up_nobody_else() {
    let lab = Lab::running(PAIR);
    let line = lab.connect("Riley").ask(&format!("IAMAT kiwi +3-4 {TIME}"));
    lab.places.on("+3-4", Play::WhenReleased(nearby(1)));
    let mut slow = lab.connect("Riley");
    slow.send("WHATSAT kiwi 10 1\n");
    lab.places.await_question("+3-4");
    let other = iamat(&lab, "Riley", "other");
    everyone(&lab, &lab.names(), "other", &other);
    let moved = lab.connect("Riley").ask("IAMAT kiwi +1-1 1621464828");
    everyone(&lab, &["Riley", "Jaquez"], "kiwi", &moved);
    assert!(slow.is_quiet());
    lab.places.release();
    let (statement, json) = slow.whats_at();
    assert_eq!((statement, results(&json)), (line, 1));
}

/// When Places gives no usable answer, the reply has the same shape, and says what failed.
#[test]
fn places_that_hangs_up_or_hangs_is_told_of() {
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
