//! A server that has no file descriptors left.

use std::thread;
use std::time::Duration;

use crate::ask::{everyone, iamat};
use crate::client::Client;
use crate::lab::{Lab, PAIR, until};

/// When descriptors run out, newcomers are closed or wait, and the server does not spin. Clients that
/// are in, neighbours (also one that comes back) and questions to Places go on. When clients leave,
/// others get in.
#[test]
fn row_35_server_without_descriptors_goes_on() {
    let mut lab = Lab::new(PAIR);
    lab.start_with_descriptors("Riley", DESCRIPTORS);
    lab.start("Jaquez");
    let before = iamat(&lab, "Riley", "before");
    everyone(&lab, &["Jaquez"], "before", &before);
    let mut talker = lab.connect("Riley");
    assert_eq!(talker.ask("HALLO"), "? HALLO");

    let mut crowd: Vec<Client> = (0..2 * DESCRIPTORS).map(|_| lab.connect("Riley")).collect();
    // Who was before them is served all the same, and this was read after they had come.
    assert_eq!(talker.ask("STILL HERE"), "? STILL HERE");
    let cpu_before = lab.process("Riley").cpu_time();
    thread::sleep(Duration::from_secs(1));
    let cpu = lab.process("Riley").cpu_time() - cpu_before;
    assert!(cpu < Duration::from_millis(300), "{cpu:?} of processor time in a second");

    lab.kill("Jaquez");
    lab.start("Jaquez");
    everyone(&lab, &["Jaquez"], "before", &before);
    let line = iamat(&lab, "Jaquez", "after");
    until("Riley hears the neighbour that came back", || {
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
    until("there is room again", || {
        let mut client = lab.connect("Riley");
        client.send("A\n");
        client.is_answered()
    });
    iamat(&lab, "Riley", "later");
    assert_eq!(talker.ask("STILL HERE"), "? STILL HERE");
}

const DESCRIPTORS: u32 = 64;
