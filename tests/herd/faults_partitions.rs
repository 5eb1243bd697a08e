//! Tests of network partitions (docs/faults.md, rows 1, 2, 3, 18).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{await_everywhere, iamat, stored_line};
use crate::fault_proxy::{Direction, FaultProxy, Flow};
use crate::lab::{Lab, PAIR, until};

/// A herd of two halves, West and Left, Right and East. The edge between Left and Right goes through proxies.
fn two_halves() -> (Lab, [FaultProxy; 2]) {
    let mut lab = Lab::new(&[("West", &["Left"]), ("Left", &["Right"]), ("Right", &["East"]), ("East", &[])]);
    let proxies = lab.edge_through_proxies("Left", "Right");
    shorten_silence(&mut lab);
    lab.start_all();
    lab.await_links("Left", "Right");
    let linked = iamat(&lab, "West", "linked");
    await_everywhere(&lab, &lab.names(), "linked", &linked);
    (lab, proxies)
}

/// Sets `peers.silence_ms` to half a second instead of three, to make tests faster.
pub fn shorten_silence(lab: &mut Lab) {
    lab.config["peers"]["silence_ms"] = json!(SILENCE_MS);
    lab.write();
}

/// Both halves accept statements during a partition, of the same clients and of others. Within 5 s of its end
/// all servers have the newest statement of each client, and no statement has crossed the edge more than once
/// in each direction.
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
        await_everywhere(&lab, &["West", "Left"], id, older);
    }
    assert_eq!((stored_line(&lab, "East", "west-0"), stored_line(&lab, "West", "east-0")), (None, None));

    let mended = Instant::now();
    proxies.iter().for_each(mend);
    for (id, line) in &newest {
        await_everywhere(&lab, &lab.names(), id, line);
    }
    let took = mended.elapsed();
    assert!(took < AGREED_MAX, "{took:?}");
    for server in ["Left", "Right"] {
        let log = lab.log(server);
        for (id, line) in &newest {
            let received = log.matches(&format!("{server} received '{line}' from ")).count();
            assert!(received <= 1, "{server} has received the line of {id} {received} times");
        }
    }
}

#[test]
fn row_01_full_partition_without_closed_connections() {
    let lose_all = |proxy: &FaultProxy| proxy.set_both(Flow::Blackhole);
    halves_agree_again(lose_all, |proxy| proxy.set_both(Flow::Free), true);
}

#[test]
fn row_01_full_partition_with_closed_connections() {
    halves_agree_again(FaultProxy::cut, FaultProxy::mend, true);
}

/// A partition that ends before any server has noticed it.
#[test]
fn row_01_short_partition() {
    let lose_all = |proxy: &FaultProxy| proxy.set_both(Flow::Blackhole);
    halves_agree_again(lose_all, |proxy| proxy.set_both(Flow::Free), false);
}

/// Packets from Riley are lost, packets from Jaquez arrive: Jaquez drops the link after the silence, Riley
/// sees it close, and both retry without leaking descriptors. After the partition they agree.
#[test]
fn row_02_one_way_partition() {
    let mut lab = Lab::new(PAIR);
    let [to_jaquez, to_riley] = lab.edge_through_proxies("Riley", "Jaquez");
    shorten_silence(&mut lab);
    lab.start_all();
    lab.await_links("Riley", "Jaquez");
    let before = iamat(&lab, "Riley", "before");
    await_everywhere(&lab, &lab.names(), "before", &before);
    let descriptors = |lab: &mut Lab| ["Riley", "Jaquez"].map(|name| lab.process(name).descriptors());
    let linked = descriptors(&mut lab);

    to_jaquez.set(Direction::ToDialled, Flow::Blackhole);
    to_riley.set(Direction::ToDialler, Flow::Blackhole);
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
        assert!(now <= before + 2, "{now} descriptors, {before} before the partition");
    }
    assert_eq!(stored_line(&lab, "Jaquez", "missed"), None);

    to_jaquez.set(Direction::ToDialled, Flow::Free);
    to_riley.set(Direction::ToDialler, Flow::Free);
    await_everywhere(&lab, &["Jaquez"], "missed", &missed);
    let back = iamat(&lab, "Jaquez", "back");
    await_everywhere(&lab, &["Riley"], "back", &back);
    // One more may be a kept connection to Places.
    let has_more = |lab: &mut Lab| descriptors(lab).iter().zip(linked).any(|(now, was)| *now > was + 1);
    until("all other descriptors are closed", || !has_more(&mut lab));
}

/// A link that flaps five times a second takes little processor time and few log lines. Within 2 s of the
/// last flap every statement has arrived.
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
    let stable_since = Instant::now();
    // Changes are sent in order, so the last one arrives last.
    for (id, line) in &lines[lines.len() - 2..] {
        await_everywhere(&lab, &lab.names(), id, line);
    }
    let took = stable_since.elapsed();
    assert!(took < FLAPPED_MAX, "{took:?}");
    for (id, line) in &lines {
        await_everywhere(&lab, &lab.names(), id, line);
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

/// During a partition two servers receive statements of one client with the same time. After it all servers
/// have the one that was received first.
#[test]
fn row_18_equal_times_at_two_servers() {
    let (lab, proxies) = two_halves();
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Blackhole));
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
        await_everywhere(&lab, &lab.names(), id, winner);
    }
}

pub const SILENCE_MS: u64 = 500;
/// The bound from the end of a partition until all servers agree.
const AGREED_MAX: Duration = Duration::from_secs(5);
const FLAPPING: Duration = Duration::from_secs(3);
const FLAP: Duration = Duration::from_millis(200);
/// The bound from the last flap until every statement has arrived.
const FLAPPED_MAX: Duration = Duration::from_secs(2);
