//! Tests of a server without free file descriptors.

use std::thread;
use std::time::Duration;

use crate::ask::{await_everywhere, iamat};
use crate::client::Client;
use crate::lab::{Lab, PAIR, until};

/// Without free descriptors, new clients are closed or wait in the backlog, and the server does not spin.
/// Connected clients, neighbours (also a restarted one) and questions to Places are served. When clients
/// leave, others are accepted.
#[test]
fn row_35_server_without_descriptors_goes_on() {
    let mut lab = Lab::new(PAIR);
    lab.start_with_descriptors("Riley", DESCRIPTORS);
    lab.start("Jaquez");
    let before = iamat(&lab, "Riley", "before");
    await_everywhere(&lab, &["Jaquez"], "before", &before);
    let mut talker = lab.connect("Riley");
    assert_eq!(talker.ask("PING"), "? PING");

    let mut crowd: Vec<Client> = (0..2 * DESCRIPTORS).map(|_| lab.connect("Riley")).collect();
    // An earlier client is served, after the new ones have connected.
    assert_eq!(talker.ask("STILL HERE"), "? STILL HERE");
    let cpu_before = lab.process("Riley").cpu_time();
    thread::sleep(Duration::from_secs(1));
    let cpu = lab.process("Riley").cpu_time() - cpu_before;
    assert!(cpu < Duration::from_millis(300), "{cpu:?} of processor time in a second");

    lab.kill("Jaquez");
    lab.start("Jaquez");
    await_everywhere(&lab, &["Jaquez"], "before", &before);
    let line = iamat(&lab, "Jaquez", "after");
    until("Riley has the statement of the restarted neighbour", || {
        talker.send("WHATSAT after 1 1\n");
        let reply = talker.line();
        if reply != line {
            assert_eq!(reply, "? WHATSAT after 1 1");
            return false;
        }
        let answer = std::iter::from_fn(|| Some(talker.line()).filter(|line| !line.is_empty()));
        let answer: Vec<String> = answer.collect();
        assert!(answer.concat().contains("\"OK\""), "{answer:?}");
        true
    });

    crowd.clear();
    until("another client is accepted", || {
        let mut client = lab.connect("Riley");
        client.send("A\n");
        client.is_answered()
    });
    iamat(&lab, "Riley", "later");
    assert_eq!(talker.ask("STILL HERE"), "? STILL HERE");
}

const DESCRIPTORS: u32 = 64;
