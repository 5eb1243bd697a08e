//! Servers that cannot reach each other for a while (docs/faults.md, rows 1, 2, 3, 18).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{everyone, iamat, knows};
use crate::fault_proxy::{Direction, FaultProxy, Flow};
use crate::lab::{Lab, PAIR, until};

/// Left and Right, each with a neighbour of its own, and the edge between them through proxies.
fn two_halves() -> (Lab, [FaultProxy; 2]) {
    let mut lab = Lab::new(&[("West", &["Left"]), ("Left", &["Right"]), ("Right", &["East"]), ("East", &[])]);
    let proxies = lab.edge_through_proxies("Left", "Right");
    make_impatient(&mut lab);
    lab.start_all();
    let linked = iamat(&lab, "West", "linked");
    everyone(&lab, &lab.names(), "linked", &linked);
    (lab, proxies)
}

/// Links that are silent for half a second are dropped: tests need not wait for the usual three.
pub fn make_impatient(lab: &mut Lab) {
    lab.config["peers"]["silence_ms"] = json!(SILENCE_MS);
    lab.write();
}

/// Both halves take statements while nothing passes between them, the same clients and others, then
/// they can reach each other again: within 5 s all hold the same, the newest wins, and no statement
/// crosses the edge more than once in each direction.
fn halves_agree_again(break_it: impl Fn(&FaultProxy), mend: impl Fn(&FaultProxy), is_noticed: bool) {
    let (lab, proxies) = two_halves();
    proxies.iter().for_each(break_it);
    if is_noticed {
        lab.await_log("Left", "Connection to server Right was dropped");
        lab.await_log("Right", "Connection to server Left was dropped");
    }
    let mut newest: Vec<(String, String)> = Vec::new();
    let mut cut_off = Vec::new();
    for n in 0..20 {
        let older = lab.connect("West").ask(&format!("IAMAT both-{n} +1+1 {}", 100 + n));
        let newer = lab.connect("East").ask(&format!("IAMAT both-{n} +2+2 {}", 200 + n));
        assert!(older.starts_with("AT West ") && newer.starts_with("AT East "), "{older} {newer}");
        newest.push((format!("both-{n}"), newer));
        newest.push((format!("west-{n}"), iamat(&lab, "West", &format!("west-{n}"))));
        newest.push((format!("east-{n}"), iamat(&lab, "East", &format!("east-{n}"))));
        cut_off.push((format!("both-{n}"), older));
    }
    for (id, older) in &cut_off {
        everyone(&lab, &["West", "Left"], id, older);
    }
    assert_eq!((knows(&lab, "East", "west-0"), knows(&lab, "West", "east-0")), (None, None));

    let mended = Instant::now();
    proxies.iter().for_each(mend);
    for (id, line) in &newest {
        everyone(&lab, &lab.names(), id, line);
    }
    let took = mended.elapsed();
    assert!(took < AGREED_MAX, "{took:?}");
    for server in ["Left", "Right"] {
        let log = lab.log(server);
        for (id, line) in &newest {
            let heard = log.matches(&format!("{server} received '{line}' from ")).count();
            assert!(heard <= 1, "{server} was told {heard} times of {id}");
        }
    }
}

#[test]
fn row_01_full_partition_that_nobody_is_told_of() {
    let lose_all = |proxy: &FaultProxy| proxy.set_both(Flow::Held);
    halves_agree_again(lose_all, |proxy| proxy.set_both(Flow::Free), true);
}

#[test]
fn row_01_full_partition_by_connections_that_end() {
    halves_agree_again(FaultProxy::cut, FaultProxy::mend, true);
}

/// One that heals before anybody has noticed it.
#[test]
fn row_01_short_partition() {
    let lose_all = |proxy: &FaultProxy| proxy.set_both(Flow::Held);
    halves_agree_again(lose_all, |proxy| proxy.set_both(Flow::Free), false);
}

/// What Riley says is lost, what Jaquez says arrives: the side that hears nothing closes, the other one
/// sees it, and both try again without leaving anything behind. Afterwards they agree.
#[test]
fn row_02_one_way_partition() {
    let mut lab = Lab::new(PAIR);
    let [to_jaquez, to_riley] = lab.edge_through_proxies("Riley", "Jaquez");
    make_impatient(&mut lab);
    lab.start_all();
    let before = iamat(&lab, "Riley", "before");
    everyone(&lab, &lab.names(), "before", &before);
    let descriptors = |lab: &mut Lab| ["Riley", "Jaquez"].map(|name| lab.process(name).descriptors());
    let linked = descriptors(&mut lab);

    to_jaquez.set(Direction::Forth, Flow::Held);
    to_riley.set(Direction::Back, Flow::Held);
    lab.await_log("Jaquez", "Connection from server Riley is ended: nothing arrived for 500ms");
    lab.await_log("Jaquez", "Connection to server Riley is ended: nothing arrived for 500ms");
    lab.await_log("Riley", "Connection to server Jaquez was dropped");
    let missed = iamat(&lab, "Riley", "missed");
    let (first, since) = (to_jaquez.accepted(), Instant::now());
    until("Riley dials again", || to_jaquez.accepted() > first + 1);
    let attempts = to_jaquez.accepted() - first;
    let attempts_max = since.elapsed().as_millis() / u128::from(SILENCE_MS) + 2;
    assert!(attempts as u128 <= attempts_max, "{attempts} attempts in {:?}", since.elapsed());
    for (before, now) in linked.into_iter().zip(descriptors(&mut lab)) {
        assert!(now <= before + 2, "{now} descriptors, {before} when all was well");
    }
    assert_eq!(knows(&lab, "Jaquez", "missed"), None);

    to_jaquez.set(Direction::Forth, Flow::Free);
    to_riley.set(Direction::Back, Flow::Free);
    everyone(&lab, &["Jaquez"], "missed", &missed);
    let back = iamat(&lab, "Jaquez", "back");
    everyone(&lab, &["Riley"], "back", &back);
    // One may be a connection to Places that is kept.
    let left_behind = |lab: &mut Lab| descriptors(lab).iter().zip(linked).any(|(now, was)| *now > was + 1);
    until("nothing is left behind", || !left_behind(&mut lab));
}

/// A link that comes and goes five times a second costs little time and few log lines, and everything
/// has arrived 2 s after it stays.
fn flaps(flapping: Duration) {
    let (mut lab, proxies) = two_halves();
    let (cpu_before, log_before) = (lab.process("Left").cpu_time(), lab.log("Left").lines().count());
    let began = Instant::now();
    let mut lines = Vec::new();
    let mut flaps = 0;
    while began.elapsed() < flapping {
        proxies.iter().for_each(|proxy| if flaps % 2 == 0 { proxy.reset() } else { proxy.cut() });
        lines.push((format!("west-{flaps}"), iamat(&lab, "West", &format!("west-{flaps}"))));
        std::thread::sleep(FLAP / 2);
        proxies.iter().for_each(FaultProxy::mend);
        lines.push((format!("east-{flaps}"), iamat(&lab, "East", &format!("east-{flaps}"))));
        std::thread::sleep(FLAP / 2);
        flaps += 1;
    }
    let stays = Instant::now();
    // The last statement can only be told after all before it.
    for (id, line) in &lines[lines.len() - 2..] {
        everyone(&lab, &lab.names(), id, line);
    }
    let took = stays.elapsed();
    assert!(took < FLAPPED_MAX, "{took:?}");
    for (id, line) in &lines {
        everyone(&lab, &lab.names(), id, line);
    }
    let cpu = lab.process("Left").cpu_time() - cpu_before;
    assert!(cpu < began.elapsed() / 4, "{cpu:?} of processor time in {:?}", began.elapsed());
    let lines_per_flap = (lab.log("Left").lines().count() - log_before) / flaps;
    assert!(lines_per_flap < 100, "{lines_per_flap} log lines for each of {flaps} flaps");
}

#[test]
fn row_03_flapping_link() {
    flaps(FLAPPING);
}

#[test]
#[ignore = "takes long; `make measure-faults` runs it"]
fn row_03_flapping_link_for_a_minute() {
    flaps(Duration::from_secs(60));
}

/// Two servers hear of a client with the same time while they cannot reach each other: in the end both
/// hold the one that was received first, whoever tells whom first.
#[test]
fn row_18_equal_times_at_two_servers() {
    let (lab, proxies) = two_halves();
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Held));
    let statements: Vec<(String, String)> = (0..10)
        .map(|n| {
            let (first, second) = if n % 2 == 0 { ("West", "East") } else { ("East", "West") };
            let id = format!("twin-{n}");
            let winner = lab.connect(first).ask(&format!("IAMAT {id} +1+1 5"));
            lab.connect(second).ask(&format!("IAMAT {id} +2+2 5"));
            (id, winner)
        })
        .collect();
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Free));
    for (id, winner) in &statements {
        everyone(&lab, &lab.names(), id, winner);
    }
}

pub const SILENCE_MS: u64 = 500;
/// From when servers can reach each other again until all hold the same.
const AGREED_MAX: Duration = Duration::from_secs(5);
const FLAPPING: Duration = Duration::from_secs(3);
const FLAP: Duration = Duration::from_millis(200);
/// From when a link stays up until everything has arrived.
const FLAPPED_MAX: Duration = Duration::from_secs(2);
