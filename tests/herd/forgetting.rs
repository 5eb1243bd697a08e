//! Tests of clients that are forgotten, and of statements that expire.

use serde_json::json;

use crate::ask::{UCLA, await_everywhere, iamat, stored_line};
use crate::lab::{Lab, until};

const CHAIN: &[(&str, &[&str])] = &[("Left", &["Middle"]), ("Middle", &["Right"]), ("Right", &[])];

fn await_unknown(lab: &Lab, servers: &[&str], id: &str) {
    for server in servers {
        until(&format!("{server} has forgotten {id}"), || stored_line(lab, server, id).is_none());
    }
}

/// A server that was cut off while a client was forgotten still knows the client. It learns the GONE when it is back,
/// and brings nothing back.
#[test]
fn a_server_that_was_cut_off_brings_no_forgotten_client_back() {
    let mut lab = Lab::running(CHAIN);
    let line = iamat(&lab, "Left", "kiwi");
    await_everywhere(&lab, &lab.names(), "kiwi", &line);
    lab.kill("Middle");
    let gone = lab.connect("Left").ask("FORGET kiwi");
    assert!(gone.starts_with("GONE Left +0.000000000 kiwi "), "{gone}");
    assert_eq!(lab.connect("Left").ask("FORGET kiwi"), "? FORGET kiwi", "the client is unknown");
    assert_eq!(stored_line(&lab, "Right", "kiwi"), Some(line));
    lab.start("Middle");
    await_unknown(&lab, &["Right", "Middle", "Left"], "kiwi");
    // Changes arrive in order: when this later one has arrived, the older statement would have arrived, too.
    let later = iamat(&lab, "Right", "later");
    await_everywhere(&lab, &lab.names(), "later", &later);
    await_unknown(&lab, &lab.names(), "kiwi");
    let time = gone.rsplit(' ').next().unwrap();
    let again = lab.connect("Right").ask(&format!("IAMAT kiwi {UCLA} {time}"));
    assert!(again.starts_with("AT Right "), "an IAMAT that loses is answered: {again}");
    assert_eq!(stored_line(&lab, "Right", "kiwi"), None, "at equal times a GONE wins");
    let seconds: u64 = time.split('.').next().unwrap().parse().unwrap();
    let back = lab.connect("Right").ask(&format!("IAMAT kiwi {UCLA} {}", seconds + 1));
    await_everywhere(&lab, &lab.names(), "kiwi", &back);
}

/// Each server drops a statement by itself. After that an IAMAT with an older time is stored.
#[test]
fn an_expired_client_is_unknown_everywhere() {
    let mut lab = Lab::new(CHAIN);
    lab.config["limits"] = json!({ "expire_s": 2 });
    lab.write();
    lab.start_all();
    let mut line = String::new();
    until("the statement is everywhere before it expires", || {
        line = iamat(&lab, "Left", "kiwi");
        lab.names().iter().all(|server| stored_line(&lab, server, "kiwi").is_some())
    });
    await_unknown(&lab, &lab.names(), "kiwi");
    let older = lab.connect("Right").ask(&format!("IAMAT kiwi {UCLA} 5"));
    assert_eq!(stored_line(&lab, "Right", "kiwi"), Some(older));
}
