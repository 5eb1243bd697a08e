//! Tests with many connected clients.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::ask::{await_everywhere, iamat, stored_line};
use crate::client::Client;
use crate::lab::{Lab, PAIR, until};
use crate::process::allow_descriptors;

/// Idle connections take no processor time and a few hundred bytes each. A client beyond
/// `limits.max_connections` is closed, but a restarted neighbour is accepted. When a client has left, another
/// one is accepted.
#[test]
fn row_35_thousand_idle_clients_and_one_more() {
    allow_descriptors(u64::from(CROWD) * 2);
    let mut lab = Lab::new(PAIR);
    lab.config["limits"] = json!({ "max_connections": CROWD });
    lab.write();
    lab.start_all();
    let known = iamat(&lab, "Riley", "known");
    await_everywhere(&lab, &["Jaquez"], "known", &known);
    let port = lab.port("Riley");
    let mut talker = lab.connect("Riley");
    assert_eq!(talker.ask("PING"), "? PING");
    let memory_before = lab.process("Riley").status_number("VmRSS");

    // Earlier connections of this test may still be closing, so it tries until enough clients are served.
    let mut crowd: Vec<Client> = Vec::new();
    for attempt in 0.. {
        if crowd.len() == CROWD as usize - 1 {
            break;
        }
        assert!(attempt < 2 * CROWD, "only {} were accepted", crowd.len());
        let mut client = Client::connect(port);
        client.send("A\n");
        if client.is_answered() {
            crowd.push(client);
        }
    }
    let memory = lab.process("Riley").status_number("VmRSS").saturating_sub(memory_before);
    assert!(memory <= u64::from(CROWD) * IDLE_KIB_MAX, "{memory} KiB for {CROWD} idle connections");
    let cpu_before = lab.process("Riley").cpu_time();
    thread::sleep(Duration::from_secs(1));
    let cpu = lab.process("Riley").cpu_time() - cpu_before;
    assert!(cpu < CPU_OF_IDLE_SECOND_MAX, "{cpu:?} of processor time in an idle second");

    assert!(Client::connect(port).is_closed(), "one client more than allowed is closed");
    lab.kill("Jaquez");
    lab.start("Jaquez");
    await_everywhere(&lab, &["Jaquez"], "known", &known);
    let id = "flooded-to-the-full-server";
    let line = iamat(&lab, "Jaquez", id);
    until("Riley has the statement of the restarted neighbour", || {
        let reply = talker.ask(&format!("WHATSAT {id} 1 1"));
        let is_known = reply == line;
        if is_known {
            // Skips the JSON, which ends with an empty line.
            while !talker.line().is_empty() {}
        }
        is_known
    });
    assert!(Client::connect(port).is_closed(), "the server is still full");
    drop(crowd.pop());
    until("another client is accepted", || {
        let mut client = Client::connect(port);
        client.send("A\n");
        client.is_answered()
    });
    assert_eq!(talker.ask("PING"), "? PING");
}

/// A server has one thread for everything and one that writes the log. (A third one would look up host names.)
#[test]
fn a_server_has_one_thread_besides_that_of_the_log() {
    let mut lab = Lab::running(PAIR);
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    let clients: Vec<Client> = (0..50).map(|_| lab.connect("Riley")).collect();
    for _ in 0..50 {
        assert!(stored_line(&lab, "Riley", "kiwi").is_some());
    }
    let threads = lab.process("Riley").status_number("Threads");
    assert_eq!(threads, 2, "threads for {} clients", clients.len());
}

const CROWD: u32 = 1000;
/// With rounding by the system. An input buffer for each connection would take much more.
const IDLE_KIB_MAX: u64 = 1;
/// The only work is one heartbeat a second.
const CPU_OF_IDLE_SECOND_MAX: Duration = Duration::from_millis(100);
