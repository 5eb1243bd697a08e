//! Links between neighbours that are slow, dead or broken (docs/faults.md, rows 4 to 7, 10).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{everyone, iamat, knows};
use crate::fault_proxy::{Direction, FaultProxy, Flow};
use crate::faults_partitions::make_impatient;
use crate::lab::{Lab, until};
use crate::process::Signal;

/// Hub has a slow or dead neighbour Far, behind proxies, and one like any other.
const STAR: &[(&str, &[&str])] = &[("Hub", &["Far", "Near"]), ("Far", &[]), ("Near", &[])];

fn star(prepare: impl Fn(&mut Lab)) -> (Lab, [FaultProxy; 2]) {
    let mut lab = Lab::new(STAR);
    let proxies = lab.edge_through_proxies("Hub", "Far");
    prepare(&mut lab);
    lab.write();
    lab.start_all();
    let linked = iamat(&lab, "Far", "linked");
    everyone(&lab, &lab.names(), "linked", &linked);
    let linked = iamat(&lab, "Near", "linked-too");
    everyone(&lab, &lab.names(), "linked-too", &linked);
    (lab, proxies)
}

fn quiet(lab: &mut Lab) {
    lab.config["log"] = json!({ "level": "events" });
}

/// Moves `CLIENTS` clients so many times, on one connection. Gives the last reply.
fn move_clients(lab: &Lab, server: &str, updates: usize) -> String {
    let mut talker = lab.connect(server);
    let mut last = String::new();
    for from in (0..updates).step_by(CLIENTS) {
        let lines: String =
            (0..CLIENTS).map(|n| format!("IAMAT {} +1.5-2.5 {}\n", client(n), from + n)).collect();
        last = talker.send(&lines).last_of_lines(CLIENTS);
    }
    last
}

/// Names so long that what is queued shows in the memory.
fn client(number: usize) -> String {
    format!("client-{number}-{}", "x".repeat(100))
}

/// A neighbour that takes 1 KB/s costs no memory, since clients that move are sent once, and holds up
/// neither replies nor the other neighbour. It is not taken for dead. When it is fast again, it has
/// everything at once.
#[test]
fn row_04_slow_peer() {
    let (mut lab, [to_far, _]) = star(quiet);
    to_far.set(Direction::Forth, Flow::Trickling(1000));
    let memory = lab.process("Hub").status_number("VmRSS");
    let passed = to_far.passed(Direction::Forth);
    let last = move_clients(&lab, "Hub", UPDATES);
    let id = client(CLIENTS - 1);
    everyone(&lab, &["Near"], &id, &last);
    let grown = lab.process("Hub").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < GROWN_KIB_MAX, "{grown} KiB more");
    to_far.set(Direction::Forth, Flow::Free);
    everyone(&lab, &["Far"], &id, &last);
    assert!(!lab.log("Hub").contains("Connection to server Far was dropped"));
    let passed = to_far.passed(Direction::Forth) - passed;
    assert!(passed < TOLD_BYTES_MAX, "{passed} bytes for {CLIENTS} clients");
}

/// A neighbour that is stopped while 50,000 statements come, its connections open:
/// it is taken for dead, costs no memory, holds up nobody, and has everything when it goes on.
#[test]
fn row_05_hung_peer() {
    let (mut lab, _proxies) = star(|lab| {
        quiet(lab);
        make_impatient(lab);
    });
    let memory = lab.process("Hub").status_number("VmRSS");
    lab.signal("Far", Signal::STOP);
    let last = move_clients(&lab, "Hub", UPDATES);
    let id = client(CLIENTS - 1);
    everyone(&lab, &["Near"], &id, &last);
    lab.await_log("Hub", "Connection to server Far was dropped");
    lab.await_log("Hub", "Connection from server Far is ended: nothing arrived for 500ms");
    let grown = lab.process("Hub").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < GROWN_KIB_MAX, "{grown} KiB more");
    lab.signal("Far", Signal::CONT);
    everyone(&lab, &["Far"], &id, &last);
    let back = iamat(&lab, "Far", "back");
    everyone(&lab, &lab.names(), "back", &back);
}

/// A neighbour vanishes without a word, its machine with it, and comes back as a new one at the same
/// address: the link is ended after the time of silence, and the newcomer is told everything.
#[test]
fn row_06_half_open_link() {
    let (mut lab, proxies) = star(make_impatient);
    let before = iamat(&lab, "Hub", "before");
    everyone(&lab, &["Far"], "before", &before);
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Held));
    lab.kill("Far");
    lab.await_log("Hub", "Connection from server Far is ended: nothing arrived for 500ms");
    lab.await_log("Hub", "Connection to server Far was dropped");
    let missed = iamat(&lab, "Hub", "missed");
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Free));
    lab.start("Far");
    for (id, line) in [("before", before), ("missed", missed)] {
        everyone(&lab, &["Far"], id, &line);
    }
}

/// Connections of clients and neighbours that are reset while much is written to them end alone. What
/// neighbours missed is told again.
#[test]
fn row_07_reset_in_the_middle_of_a_write() {
    let (lab, proxies) = star(quiet);
    let mut other = lab.connect("Hub");
    let mut lines = Vec::new();
    for round in 0..10 {
        let ids: Vec<String> = (0..500).map(|n| format!("client-{round}-{n}")).collect();
        let commands: String = ids.iter().map(|id| format!("IAMAT {id} +1+1 {round}\n")).collect();
        let mut client = lab.connect("Hub");
        client.send(&commands);
        lines.push((ids[0].clone(), client.line()));
        // The rest of the replies is on its way or not written yet.
        client.reset();
        proxies.iter().for_each(FaultProxy::reset);
        assert_eq!(other.ask("STILL HERE"), "? STILL HERE");
    }
    for (id, line) in &lines {
        everyone(&lab, &lab.names(), id, line);
    }
    let last = knows(&lab, "Hub", "client-9-499");
    until("Far knows the last one", || knows(&lab, "Far", "client-9-499") == last);
}

/// The side that dials sees its link end and dials again, of which the other side has not been told:
/// the new link takes the place of the old one at once, not after the time of silence.
#[test]
fn row_10_new_link_replaces_one_not_yet_seen_dead() {
    let (mut lab, [to_far, _]) = star(|lab| lab.config["peers"]["silence_ms"] = json!(60_000));
    // The log is open by then.
    lab.await_log("Far", "New connection from server Hub was made");
    let descriptors = lab.process("Far").descriptors();
    for round in 0..3 {
        to_far.strand_dialled();
        let id = format!("client-{round}");
        let began = Instant::now();
        let line = iamat(&lab, "Hub", &id);
        everyone(&lab, &["Far"], &id, &line);
        assert!(began.elapsed() < REPLACED_MAX, "{:?}", began.elapsed());
    }
    let links = || lab.log("Far").matches("New connection from server Hub was made").count();
    until("each link is in the log", || links() > 3);
    assert_eq!(links(), 1 + 3, "the first one, and one for each round");
    until("nothing is left behind", || lab.process("Far").descriptors() <= descriptors);
}

/// A byte that the network changed makes a line that is not understood: the link ends, nothing is
/// learned, and the same is told again on a new one.
#[test]
fn a_corrupted_line_ends_the_link_and_is_told_again() {
    let (lab, [to_far, to_hub]) = star(|_| {});
    for (round, (proxy, direction)) in
        [(&to_far, Direction::Forth), (&to_hub, Direction::Forth), (&to_far, Direction::Back)]
            .iter()
            .enumerate()
    {
        let links = proxy.accepted();
        proxy.corrupt(*direction);
        for origin in ["Hub", "Far"] {
            let id = format!("{origin}-{round}");
            let line = iamat(&lab, origin, &id);
            everyone(&lab, &lab.names(), &id, &line);
        }
        until("there is a new link", || proxy.accepted() > links);
    }
    // 'A' or 'M' with another last bit.
    let said = |server: &str, text: &str| lab.log(server).contains(text);
    assert!(said("Far", "Connection from server Hub is ended: '") && said("Far", "' was not understood"));
    assert!(said("Hub", "Connection from server Far is ended: '"));
    assert!(said("Hub", "Connection to server Far is ended: '@CK "));
}

/// A delay on the way is nothing but a delay.
#[test]
fn a_slow_way_keeps_its_link() {
    let (lab, proxies) = star(make_impatient);
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Delayed(Duration::from_millis(50))));
    for n in 0..3 {
        let id = format!("client-{n}");
        let line = iamat(&lab, "Far", &id);
        everyone(&lab, &lab.names(), &id, &line);
    }
    for (server, other) in [("Hub", "Far"), ("Far", "Hub")] {
        assert!(!lab.log(server).contains(&format!("server {other} was dropped")));
    }
}

const CLIENTS: usize = 1000;
const UPDATES: usize = 50_000;
/// 50,000 lines that wait for somebody would be 8 MB.
const GROWN_KIB_MAX: u64 = 2 * 1024;
/// The socket's buffers, which the system may make some megabytes large, and each client once.
const TOLD_BYTES_MAX: u64 = 5_000_000;
/// A second is the longest delay before a neighbour is dialled again.
const REPLACED_MAX: Duration = Duration::from_secs(5);
