//! Tests of servers that are killed, stopped and restarted.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::ask::{await_everywhere, iamat, stored_line};
use crate::lab::{BRUINS, Lab};
use crate::process::Signal;

/// Within half a second of its start a restarted server has every statement and floods again, however long it
/// was down: its HELLO makes its neighbours dial at once, whatever their backoff.
#[test]
fn a_restarted_server_is_in_the_flood_within_half_a_second() {
    let mut lab = Lab::alone(&[("Left", &["Middle"]), ("Middle", &["Right"]), ("Right", &[])]);
    lab.start_all();
    let before = iamat(&lab, "Middle", "before");
    await_everywhere(&lab, &lab.names(), "before", &before);
    lab.kill("Middle");
    let of_left = iamat(&lab, "Left", "of-left");
    let of_right = iamat(&lab, "Right", "of-right");
    await_long_delays(&lab, "Middle", &["Left", "Right"]);

    let started = Instant::now();
    lab.start("Middle");
    let after = iamat(&lab, "Middle", "after");
    for (id, line) in [("before", before), ("of-left", of_left), ("of-right", of_right), ("after", after)] {
        await_everywhere(&lab, &lab.names(), id, &line);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
}

/// Accepts and closes connections on the port of `server` until the backoff of its neighbours has reached its
/// maximum. The next attempt of the last one is then at least half a second away.
fn await_long_delays(lab: &Lab, server: &str, neighbours: &[&str]) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lab.port(server))).unwrap();
    let mut attempts: HashMap<String, u32> = HashMap::new();
    while neighbours.iter().any(|&name| attempts.get(name).is_none_or(|&count| count < ATTEMPTS)) {
        let mut hello = String::new();
        BufReader::new(listener.accept().unwrap().0).read_line(&mut hello).unwrap();
        let name = hello.split(' ').nth(3).unwrap_or_else(|| panic!("no HELLO: {hello}"));
        *attempts.entry(name.to_owned()).or_default() += 1;
    }
}

/// For each pair of failed servers: a statement reaches exactly the servers that are still connected to its
/// origin. When both are restarted, all servers agree.
#[test]
fn any_two_servers_fail() {
    let mut lab = Lab::running(BRUINS);
    let names: Vec<&str> = BRUINS.iter().map(|(name, _)| *name).collect();
    for (index, first) in names.iter().enumerate() {
        for second in &names[index + 1..] {
            two_servers_fail(&mut lab, &names, first, second);
        }
    }
}

fn two_servers_fail(lab: &mut Lab, names: &[&str], first: &str, second: &str) {
    lab.kill(first);
    lab.kill(second);
    let left: Vec<&str> = names.iter().copied().filter(|name| ![first, second].contains(name)).collect();
    let origin = left[0];
    let (reached, cut_off): (Vec<&str>, Vec<&str>) =
        left.iter().copied().partition(|name| reachable(origin, &left).contains(name));
    let id = format!("without-{first}-and-{second}");
    let line = iamat(lab, origin, &id);
    await_everywhere(lab, &reached, &id, &line);
    // Changes arrive in order, so the first statement would have arrived before this one.
    let second_id = format!("{id}-again");
    let second_line = iamat(lab, origin, &second_id);
    await_everywhere(lab, &reached, &second_id, &second_line);
    for name in cut_off {
        assert_eq!(stored_line(lab, name, &id), None, "{name} cannot be reached");
    }
    lab.start(first);
    lab.start(second);
    await_everywhere(lab, names, &id, &line);
    await_everywhere(lab, names, &second_id, &second_line);
}

/// The servers that a statement of `origin` reaches when only the servers `left` run.
fn reachable<'a>(origin: &'a str, left: &[&'a str]) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::from([origin]);
    loop {
        let before = reached.len();
        for &(name, talks_to) in BRUINS {
            for &other in talks_to {
                if left.contains(&name) && left.contains(&other) {
                    let either = reached.contains(name) || reached.contains(other);
                    reached.extend(either.then_some([name, other]).into_iter().flatten());
                }
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

/// A stopped server, whose connections stay open, delays no other server. When it continues, it gets the
/// statements that it missed.
#[test]
fn row_05_stopped_server_delays_no_other() {
    let mut lab = Lab::running(BRUINS);
    let before = iamat(&lab, "Riley", "before");
    await_everywhere(&lab, &lab.names(), "before", &before);
    lab.signal("Jaquez", Signal::STOP);
    let missed = iamat(&lab, "Riley", "missed");
    await_everywhere(&lab, &["Riley", "Juzang", "Campbell", "Bernard"], "missed", &missed);
    lab.signal("Jaquez", Signal::CONT);
    await_everywhere(&lab, &["Jaquez"], "missed", &missed);
    let after = iamat(&lab, "Jaquez", "after");
    await_everywhere(&lab, &lab.names(), "after", &after);
}

/// Attempts until the backoff is at its maximum: 50, 100, 200, 400, 800, 1000 ms.
const ATTEMPTS: u32 = 6;
