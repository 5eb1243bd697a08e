//! Many clients at once.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::ask::{everyone, iamat, knows};
use crate::client::Client;
use crate::lab::{Lab, PAIR, until};
use crate::process::allow_descriptors;

/// Idle connections cost next to nothing: no processor time, a few hundred bytes each. Beyond
/// `limits.max_connections` one more is closed, but a neighbour that comes back still gets in, and
/// there is room again when a client has left.
#[test]
fn row_35_thousand_idle_clients_and_one_more() {
    allow_descriptors(u64::from(CROWD) * 2);
    let mut lab = Lab::new(PAIR);
    lab.config["limits"] = json!({ "max_connections": CROWD });
    lab.write();
    lab.start_all();
    let known = iamat(&lab, "Riley", "known");
    everyone(&lab, &["Jaquez"], "known", &known);
    let port = lab.port("Riley");
    let mut talker = lab.connect("Riley");
    assert_eq!(talker.ask("HALLO"), "? HALLO");
    let memory_before = lab.process("Riley").status_number("VmRSS");

    // The connections that asked whether the server listens, and that told it of the client, may still
    // be on their way out: how many more fit is seen by who is answered.
    let mut crowd: Vec<Client> = Vec::new();
    for attempt in 0.. {
        if crowd.len() == CROWD as usize - 1 {
            break;
        }
        assert!(attempt < 2 * CROWD, "only {} get in", crowd.len());
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

    assert!(Client::connect(port).is_closed(), "one more than may be is closed");
    lab.kill("Jaquez");
    lab.start("Jaquez");
    everyone(&lab, &["Jaquez"], "known", &known);
    let id = "told-to-the-full-server";
    let line = iamat(&lab, "Jaquez", id);
    until("Riley hears the neighbour that came back", || {
        let reply = talker.ask(&format!("WHATSAT {id} 1 1"));
        // The answer of Places ends with an empty line.
        let known = reply == line;
        if known {
            while !talker.line().is_empty() {}
        }
        known
    });
    assert!(Client::connect(port).is_closed(), "it is still full");
    drop(crowd.pop());
    until("there is room again", || {
        let mut client = Client::connect(port);
        client.send("A\n");
        client.is_answered()
    });
    assert_eq!(talker.ask("HALLO"), "? HALLO");
}

/// Everything happens on one thread, but for looking up names.
#[test]
fn a_server_has_at_most_two_threads() {
    let mut lab = Lab::running(PAIR);
    let line = iamat(&lab, "Riley", "kiwi");
    everyone(&lab, &["Jaquez"], "kiwi", &line);
    let clients: Vec<Client> = (0..50).map(|_| lab.connect("Riley")).collect();
    for _ in 0..50 {
        assert!(knows(&lab, "Riley", "kiwi").is_some());
    }
    let threads = lab.process("Riley").status_number("Threads");
    assert!(threads <= 2, "{threads} threads for {} clients", clients.len());
}

const CROWD: u32 = 1000;
/// What the system rounds up to included: an input buffer for each would be much more.
const IDLE_KIB_MAX: u64 = 1;
/// A heartbeat a second is all that there is to do.
const CPU_OF_IDLE_SECOND_MAX: Duration = Duration::from_millis(100);
