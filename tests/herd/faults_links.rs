//! Tests of slow, dead and corrupted links between neighbours (docs/faults.md, rows 4 to 7, 10).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{await_everywhere, iamat, stored_line};
use crate::fault_proxy::{Direction, FaultProxy, Flow};
use crate::faults_partitions::shorten_silence;
use crate::lab::{Lab, until};
use crate::process::Signal;

/// Hub has a neighbour Far, through proxies, and a neighbour Near without faults.
const STAR: &[(&str, &[&str])] = &[("Hub", &["Far", "Near"]), ("Far", &[]), ("Near", &[])];

fn star(prepare: impl Fn(&mut Lab)) -> (Lab, [FaultProxy; 2]) {
    let mut lab = Lab::new(STAR);
    let proxies = lab.edge_through_proxies("Hub", "Far");
    prepare(&mut lab);
    lab.write();
    lab.start_all();
    lab.await_links("Hub", "Far");
    lab.await_links("Hub", "Near");
    let linked = iamat(&lab, "Far", "linked");
    await_everywhere(&lab, &lab.names(), "linked", &linked);
    let linked = iamat(&lab, "Near", "linked-too");
    await_everywhere(&lab, &lab.names(), "linked-too", &linked);
    (lab, proxies)
}

/// Logs events only, which is faster.
fn log_events_only(lab: &mut Lab) {
    lab.config["log"] = json!({ "level": "events" });
}

/// Sends `updates` IAMATs of [`CLIENTS`] clients on one connection. Returns the last reply.
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

/// A client ID, so long that queued lines would be visible in the memory of a server.
fn client(number: usize) -> String {
    format!("client-{number}-{}", "x".repeat(100))
}

/// A neighbour that reads 1 KB/s takes no memory, because only the newest statement of each client is sent.
/// It delays neither replies nor the other neighbour, and its link stays. When it is fast again, it gets
/// everything at once.
#[test]
fn row_04_slow_peer() {
    let (mut lab, [to_far, _]) = star(log_events_only);
    to_far.set(Direction::ToDialled, Flow::Throttled(1000));
    let memory = lab.process("Hub").status_number("VmRSS");
    let passed = to_far.passed(Direction::ToDialled);
    let last = move_clients(&lab, "Hub", UPDATES);
    let id = client(CLIENTS - 1);
    await_everywhere(&lab, &["Near"], &id, &last);
    let grown = lab.process("Hub").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < GROWN_KIB_MAX, "{grown} KiB more");
    to_far.set(Direction::ToDialled, Flow::Free);
    await_everywhere(&lab, &["Far"], &id, &last);
    assert!(!lab.log("Hub").contains("Connection to server Far was dropped"));
    let passed = to_far.passed(Direction::ToDialled) - passed;
    assert!(passed < SENT_BYTES_MAX, "{passed} bytes for {CLIENTS} clients");
}

/// A neighbour is stopped, with open connections, during 50,000 updates. Its links are dropped, it takes no
/// memory and delays no other server. When it continues, it gets everything that it missed.
#[test]
fn row_05_hung_peer() {
    let (mut lab, _proxies) = star(|lab| {
        log_events_only(lab);
        shorten_silence(lab);
    });
    let memory = lab.process("Hub").status_number("VmRSS");
    lab.signal("Far", Signal::STOP);
    let last = move_clients(&lab, "Hub", UPDATES);
    let id = client(CLIENTS - 1);
    await_everywhere(&lab, &["Near"], &id, &last);
    lab.await_log("Hub", "Connection to server Far was dropped");
    lab.await_log("Hub", "Connection from server Far is ended: nothing arrived for 500ms");
    let grown = lab.process("Hub").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < GROWN_KIB_MAX, "{grown} KiB more");
    lab.signal("Far", Signal::CONT);
    await_everywhere(&lab, &["Far"], &id, &last);
    let back = iamat(&lab, "Far", "back");
    await_everywhere(&lab, &lab.names(), "back", &back);
}

/// A neighbour vanishes without closing its connections, like a machine that loses power. Its link is dropped
/// after the silence. When it is restarted, it gets every statement.
#[test]
fn row_06_half_open_link() {
    let (mut lab, proxies) = star(shorten_silence);
    let before = iamat(&lab, "Hub", "before");
    await_everywhere(&lab, &["Far"], "before", &before);
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Blackhole));
    lab.kill("Far");
    lab.await_log("Hub", "Connection from server Far is ended: nothing arrived for 500ms");
    lab.await_log("Hub", "Connection to server Far was dropped");
    let missed = iamat(&lab, "Hub", "missed");
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Free));
    lab.start("Far");
    for (id, line) in [("before", before), ("missed", missed)] {
        await_everywhere(&lab, &["Far"], id, &line);
    }
}

/// A connection of a client or neighbour that is reset during a write ends without affecting others. A
/// neighbour gets the statements that it missed on the next link.
#[test]
fn row_07_reset_in_the_middle_of_a_write() {
    let (lab, proxies) = star(log_events_only);
    let mut other = lab.connect("Hub");
    let mut lines = Vec::new();
    for round in 0..10 {
        let ids: Vec<String> = (0..500).map(|n| format!("client-{round}-{n}")).collect();
        let commands: String = ids.iter().map(|id| format!("IAMAT {id} +1+1 {round}\n")).collect();
        let mut client = lab.connect("Hub");
        client.send(&commands);
        lines.push((ids[0].clone(), client.line()));
        // The other replies are in flight or not written yet.
        client.reset();
        proxies.iter().for_each(FaultProxy::reset);
        assert_eq!(other.ask("STILL HERE"), "? STILL HERE");
    }
    for (id, line) in &lines {
        await_everywhere(&lab, &lab.names(), id, line);
    }
    let last = stored_line(&lab, "Hub", "client-9-499");
    until("Far has the last statement", || stored_line(&lab, "Far", "client-9-499") == last);
}

/// The dialler sees its link close and dials again; the acceptor has not seen the old link close. The new
/// link replaces the old one at once, not after the silence.
#[test]
fn row_10_new_link_replaces_the_old_one_at_once() {
    let (mut lab, [to_far, _]) = star(|lab| lab.config["peers"]["silence_ms"] = json!(60_000));
    // Opens the log, which takes a descriptor.
    lab.await_log("Far", "New connection from server Hub was made");
    let descriptors = lab.process("Far").descriptors();
    for round in 0..3 {
        to_far.strand_dialled();
        let id = format!("client-{round}");
        let began = Instant::now();
        let line = iamat(&lab, "Hub", &id);
        await_everywhere(&lab, &["Far"], &id, &line);
        assert!(began.elapsed() < REPLACED_MAX, "{:?}", began.elapsed());
    }
    let links = || lab.log("Far").matches("New connection from server Hub was made").count();
    until("each link is in the log", || links() > 3);
    assert_eq!(links(), 1 + 3, "the first link, and one for each round");
    until("all descriptors are closed", || lab.process("Far").descriptors() <= descriptors);
}

/// A corrupted byte makes a line malformed: the link ends, the line is not stored, and it is sent again on a
/// new link.
#[test]
fn a_corrupted_line_ends_the_link_and_is_sent_again() {
    let (lab, [to_far, to_hub]) = star(|_| {});
    for (round, (proxy, direction)) in
        [(&to_far, Direction::ToDialled), (&to_hub, Direction::ToDialled), (&to_far, Direction::ToDialler)]
            .iter()
            .enumerate()
    {
        let links = proxy.accepted();
        proxy.corrupt(*direction);
        for origin in ["Hub", "Far"] {
            let id = format!("{origin}-{round}");
            let line = iamat(&lab, origin, &id);
            await_everywhere(&lab, &lab.names(), &id, &line);
        }
        until("there is a new link", || proxy.accepted() > links);
    }
    let logged = |server: &str, text: &str| lab.log(server).contains(text);
    assert!(logged("Far", "Connection from server Hub is ended: '") && logged("Far", "' was not understood"));
    assert!(logged("Hub", "Connection from server Far is ended: '"));
    // "ACK", with a flipped bit.
    assert!(logged("Hub", "Connection to server Far is ended: '@CK "));
}

/// Latency delays statements and does not end links.
#[test]
fn latency_does_not_end_a_link() {
    let (lab, proxies) = star(shorten_silence);
    proxies.iter().for_each(|proxy| proxy.set_both(Flow::Delayed(Duration::from_millis(50))));
    for n in 0..3 {
        let id = format!("client-{n}");
        let line = iamat(&lab, "Far", &id);
        await_everywhere(&lab, &lab.names(), &id, &line);
    }
    for (server, other) in [("Hub", "Far"), ("Far", "Hub")] {
        assert!(!lab.log(server).contains(&format!("server {other} was dropped")));
    }
}

const CLIENTS: usize = 1000;
const UPDATES: usize = 50_000;
/// Less than 50,000 queued lines, which would take 8 MB.
const GROWN_KIB_MAX: u64 = 2 * 1024;
/// One line for each client, and the socket buffers, which the system may grow to some megabytes.
const SENT_BYTES_MAX: u64 = 5_000_000;
/// More than the longest backoff of a second, and much less than the silence.
const REPLACED_MAX: Duration = Duration::from_secs(5);
