//! Servers that are killed, frozen, and come back.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::ask::{everyone, iamat, knows};
use crate::lab::{BRUINS, Lab};
use crate::process::Signal;

/// A restarted server is in the flood again within half a second of its start, however long it was
/// away, with everything that it missed: who hears from it does not wait for the time of his own next
/// attempt.
#[test]
fn a_restarted_server_is_in_the_flood_within_half_a_second() {
    let mut lab = Lab::alone(&[("Left", &["Middle"]), ("Middle", &["Right"]), ("Right", &[])]);
    lab.start_all();
    let before = iamat(&lab, "Middle", "before");
    everyone(&lab, &lab.names(), "before", &before);
    lab.kill("Middle");
    let of_left = iamat(&lab, "Left", "of-left");
    let of_right = iamat(&lab, "Right", "of-right");
    await_long_delays(&lab, "Middle", &["Left", "Right"]);

    let started = Instant::now();
    lab.start("Middle");
    let after = iamat(&lab, "Middle", "after");
    for (id, line) in [("before", before), ("of-left", of_left), ("of-right", of_right), ("after", after)] {
        everyone(&lab, &lab.names(), id, &line);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
}

/// Hangs up in the place of `server` until its neighbours have had so many attempts in vain that they
/// wait longest before the next one. That one of the last who tried is then at least half a second off.
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

/// Of each pair of servers that fails, the others learn whatever they can reach, and those that they
/// cannot reach do not learn. When both are back, everyone agrees.
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
    everyone(lab, &reached, &id, &line);
    // What is said after it and has arrived overtakes nothing.
    let second_id = format!("{id}-again");
    let second_line = iamat(lab, origin, &second_id);
    everyone(lab, &reached, &second_id, &second_line);
    for name in cut_off {
        assert_eq!(knows(lab, name, &id), None, "{name} was told by nobody");
    }
    lab.start(first);
    lab.start(second);
    everyone(lab, names, &id, &line);
    everyone(lab, names, &second_id, &second_line);
}

/// Whom a statement of `origin` reaches when only `left` run.
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

/// A neighbour that does not answer though its connections are open holds up nobody. When it goes on,
/// it gets what it missed.
#[test]
fn row_05_frozen_server_holds_up_nobody() {
    let mut lab = Lab::running(BRUINS);
    let before = iamat(&lab, "Riley", "before");
    everyone(&lab, &lab.names(), "before", &before);
    lab.signal("Jaquez", Signal::STOP);
    let missed = iamat(&lab, "Riley", "missed");
    everyone(&lab, &["Riley", "Juzang", "Campbell", "Bernard"], "missed", &missed);
    lab.signal("Jaquez", Signal::CONT);
    everyone(&lab, &["Jaquez"], "missed", &missed);
    let after = iamat(&lab, "Jaquez", "after");
    everyone(&lab, &lab.names(), "after", &after);
}

/// With delays of 50, 100, 200, 400, 800 and 1000 ms between them.
const ATTEMPTS: u32 = 6;
