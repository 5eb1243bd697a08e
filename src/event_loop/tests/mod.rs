//! The loop on a scripted system: rules about single turns and about events that must never happen. Whole
//! herds, and chance, are the simulator's (tests/simulation).

mod echo;
mod probe;
mod scripted_system;
mod tls;

use std::io;
use std::time::Duration;

use super::connecting::ATTEMPT_MAX;
use super::serving::TURN_MAX;
use super::system::Event;
use super::{EventLoop, READ_MAX, Turn};
use crate::protocol::{Command, Done, Lane, ListenerTag, Quota, Task, WaterMarks, Work};
use probe::{Probe, ProbeProtocol, Shared};
use scripted_system::{Peer, ScriptedSystem};

type Loop = EventLoop<ScriptedSystem, Probe>;

const SECOND: Duration = Duration::from_secs(1);

fn event_loop(system: &ScriptedSystem, shared: Shared) -> Loop {
    let mut event_loop = EventLoop::new(system.clone(), Probe::new(shared), WaterMarks::default());
    event_loop.add_listener((), None, Quota { connections_max: 1000, spare: 0, per_address: 0 });
    event_loop
}

fn turns(event_loop: &mut Loop, count: usize) {
    for _ in 0..count {
        assert_eq!(event_loop.turn().unwrap(), Turn::Done);
    }
}

/// The calls that the protocols have received since.
fn calls(event_loop: &mut Loop) -> String {
    let mut calls = String::new();
    event_loop.update(|probe, _| calls = std::mem::take(&mut probe.shared.calls).join(" "));
    calls
}

fn command(event_loop: &mut Loop, command: Command<ProbeProtocol, u32>) {
    event_loop.update(|probe, _| probe.commands.push_back(command));
}

fn connect(addresses: &[&str], patience: Duration) -> Command<ProbeProtocol, u32> {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Command::Connect { tag: 7, addresses, patience, tls: None, protocol: ProbeProtocol::default() }
}

#[test]
fn the_calls_of_a_connection_come_in_order() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::sending(b"a\nb", b""));
    turns(&mut event_loop, 1);
    system.half_close(0);
    turns(&mut event_loop, 2);
    assert_eq!(calls(&mut event_loop), "made a eof:b lost:Closed");
}

#[test]
fn a_deadline_of_a_busy_connection_is_not_postponed_for_ever() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::with_line_timeout(60 * SECOND));
    system.arrive(Peer::sending(b"", b"x"));
    while system.0.borrow().now < 120 * SECOND {
        turns(&mut event_loop, 1);
        system.wait(Duration::from_millis(100));
    }
    assert!(calls(&mut event_loop).contains("timed_out"));
}

#[test]
fn input_that_arrived_in_time_is_in_time_even_if_reading_it_takes_several_turns() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::with_line_timeout(60 * SECOND));
    system.arrive(Peer::default());
    turns(&mut event_loop, 1);
    system.send(0, b"x");
    turns(&mut event_loop, 1);
    // The process is stopped, and the rest of the line waits in the socket.
    system.wait(120 * SECOND);
    system.send(0, &[&vec![b'x'; 3 * READ_MAX][..], b"\n"].concat());
    turns(&mut event_loop, 5);
    assert!(!calls(&mut event_loop).contains("timed_out"));
    system.send(0, b"x");
    turns(&mut event_loop, 1);
    system.wait(61 * SECOND);
    turns(&mut event_loop, 1);
    assert!(calls(&mut event_loop).contains("timed_out"), "the next line has its own deadline");
}

#[test]
fn the_share_of_a_connection_shrinks_with_the_number_of_busy_ones() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    let peers = 4 * TURN_MAX / READ_MAX;
    for _ in 0..peers {
        system.arrive(Peer::sending(b"", b"x\n"));
    }
    while system.0.borrow().peers.len() < peers {
        turns(&mut event_loop, 1);
    }
    let read = || system.0.borrow().peers.iter().map(|peer| peer.read).collect::<Vec<_>>();
    let mut before = read();
    for _ in 0..4 {
        turns(&mut event_loop, 1);
        let now = read();
        assert!(now.iter().zip(&before).all(|(now, before)| now - before == TURN_MAX / peers));
        before = now;
    }
}

#[test]
fn a_failure_to_accept_pauses_accepting_and_is_noticed_once() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    turns(&mut event_loop, 1);
    let before = system.0.borrow().accepts;
    while system.0.borrow().now < 10 * SECOND {
        // Too many open files.
        system.0.borrow_mut().backlog.push(Err(io::Error::from_raw_os_error(24)));
        system.0.borrow_mut().events.push(Event::Accept(ListenerTag(0)));
        turns(&mut event_loop, 1);
        system.wait(Duration::from_millis(7));
    }
    let accepts = system.0.borrow().accepts - before;
    assert!((90..=100).contains(&accepts), "once in 100 ms: {accepts}");
    assert_eq!(calls(&mut event_loop), "accept_failed");
}

#[test]
fn a_quota_counts_connections_until_they_end_or_leave_it() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    command(
        &mut event_loop,
        Command::SetQuota(ListenerTag(0), Quota { connections_max: 2, spare: 1, per_address: 0 }),
    );
    for _ in 0..4 {
        system.arrive(Peer::default());
    }
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "Admitted made Admitted made Spare made Full");
    system.send(2, b"leave_quota\n");
    turns(&mut event_loop, 1);
    system.arrive(Peer::default());
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "leave_quota Spare made");
    system.half_close(0);
    turns(&mut event_loop, 2);
    system.arrive(Peer::default());
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "eof: lost:Closed Admitted made");
}

#[test]
fn a_quota_counts_the_connections_of_each_address_off_loopback() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    let quota = Quota { connections_max: 100, spare: 1, per_address: 2 };
    command(&mut event_loop, Command::SetQuota(ListenerTag(0), quota));
    let arrive = |address| system.arrive(Peer::at(address));
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        arrive(address);
    }
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "Admitted made Admitted made Spare made Full Admitted made");
    // The same address in another form; the fourth peer was not kept.
    arrive("[::ffff:192.0.2.2]");
    arrive("[::ffff:192.0.2.2]");
    for _ in 0..3 {
        arrive("127.0.0.1");
    }
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "Admitted made Full Admitted made Admitted made Admitted made");
    system.send(0, b"leave_quota\n");
    system.half_close(4);
    turns(&mut event_loop, 2);
    calls(&mut event_loop);
    arrive("192.0.2.1");
    arrive("192.0.2.1");
    arrive("192.0.2.2");
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "Admitted made Full Admitted made");
}

#[test]
fn an_unreachable_address_is_left_for_the_next_one() {
    for (patience, attempt) in [(8 * SECOND, ATTEMPT_MAX), (2 * SECOND, SECOND / 2)] {
        let system = ScriptedSystem::default();
        let mut event_loop = event_loop(&system, Shared::default());
        command(&mut event_loop, connect(&["127.0.0.1:1", "[::1]:1"], patience));
        while !event_loop.application().shared.calls.contains(&"lost:NotMade".to_owned()) {
            turns(&mut event_loop, 1);
        }
        assert_eq!(system.0.borrow().dialled.len(), 2);
        assert_eq!(system.0.borrow().now, attempt + patience, "the last address has all of the patience");
        assert_eq!(calls(&mut event_loop), "connecting:7 lost:NotMade");
    }
}

#[test]
fn a_connection_that_fails_at_once_gets_connection_lost_alone() {
    let system = ScriptedSystem::default();
    system.0.borrow_mut().is_unreachable = true;
    let mut event_loop = event_loop(&system, Shared::default());
    command(&mut event_loop, connect(&["127.0.0.1:1"], SECOND));
    assert_eq!(calls(&mut event_loop), "connecting:7 lost:NotMade");
    command(&mut event_loop, connect(&[], SECOND));
    assert_eq!(calls(&mut event_loop), "connecting:7 lost:NotMade");
    let before = system.0.borrow().dialled.len();
    command(&mut event_loop, connect(&["127.0.0.1:1"; 1000], SECOND));
    assert_eq!(calls(&mut event_loop), "connecting:7 lost:NotMade");
    assert_eq!(system.0.borrow().dialled.len() - before, 64, "a turn is not long, however many there are");
}

#[test]
fn a_dialled_connection_is_made_and_can_be_called_and_aborted() {
    let system = ScriptedSystem::default();
    system.0.borrow_mut().is_connected = true;
    let mut event_loop = event_loop(&system, Shared::default());
    command(&mut event_loop, connect(&["127.0.0.1:1"], SECOND));
    turns(&mut event_loop, 1);
    let to = event_loop.application().connection.unwrap();
    let call =
        Box::new(|_: &mut ProbeProtocol, context: &mut probe::Context<'_>| context.transport.write(b"hi"));
    command(&mut event_loop, Command::Deliver { to, call });
    turns(&mut event_loop, 1);
    assert_eq!(system.received(0), "hi");
    command(&mut event_loop, Command::Abort(to));
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "connecting:7 made lost:Aborted");
    let call = Box::new(|_: &mut ProbeProtocol, _: &mut probe::Context<'_>| panic!("the connection is gone"));
    command(&mut event_loop, Command::Deliver { to, call });
}

#[test]
fn a_last_reply_is_sent_although_the_deadline_has_passed() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::with_line_timeout(2 * SECOND));
    system.arrive(Peer::sending(b"clo", b""));
    turns(&mut event_loop, 1);
    system.wait(2 * SECOND);
    system.send(0, b"se\n");
    turns(&mut event_loop, 1);
    assert_eq!(system.received(0), "bye");
}

#[test]
fn a_closing_connection_waits_for_its_reader_and_lingers_for_a_while() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::stuck(b"close\n"));
    turns(&mut event_loop, 1);
    system.wait(29 * SECOND);
    turns(&mut event_loop, 1);
    assert!(!system.0.borrow().peers[0].is_gone);
    system.0.borrow_mut().peers[0].is_stuck = false;
    system.edge(0, false, true);
    turns(&mut event_loop, 1);
    assert_eq!(system.received(0), "bye");
    assert!(system.0.borrow().peers[0].was_half_closed && !system.0.borrow().peers[0].is_gone);
    system.send(0, b"late input is discarded");
    turns(&mut event_loop, 1);
    system.half_close(0);
    turns(&mut event_loop, 1);
    assert!(system.0.borrow().peers[0].is_gone);
    assert_eq!(calls(&mut event_loop), "made close lost:Closed");
}

#[test]
fn a_closing_connection_without_a_reader_is_given_up() {
    for is_stuck in [true, false] {
        let system = ScriptedSystem::default();
        let mut event_loop = event_loop(&system, Shared::default());
        system.arrive(if is_stuck { Peer::stuck(b"close\n") } else { Peer::sending(b"close\n", b"") });
        turns(&mut event_loop, 3);
        let limit = if is_stuck { 30 * SECOND } else { 2 * SECOND };
        system.0.borrow_mut().now = limit;
        turns(&mut event_loop, 1);
        assert_eq!(calls(&mut event_loop), "made close lost:TimedOut");
    }
}

#[test]
fn a_half_closed_peer_that_does_not_read_is_given_up() {
    for window in [0, 1] {
        let system = ScriptedSystem::default();
        let mut event_loop = event_loop(&system, Shared::default());
        system.arrive(Peer::stuck(b"flood\n"));
        turns(&mut event_loop, 2);
        let mut turn_at = |seconds: u32| {
            system.0.borrow_mut().now = seconds * SECOND;
            // An event without effect, so that the turn does not wait.
            system.edge(0, false, false);
            turns(&mut event_loop, 1);
            system.0.borrow().peers[0].is_gone
        };
        assert!(!turn_at(1000), "no limit before the peer has ended");
        system.report_end(0);
        assert!(!turn_at(1000));
        assert!(!turn_at(1029));
        system.0.borrow_mut().peers[0].window = window;
        system.edge(0, false, true);
        assert!(!turn_at(1029));
        assert_eq!(turn_at(1030), window == 0, "30 s after its end, or after the last byte that it took");
        assert_eq!(turn_at(1058), window == 0);
        assert!(turn_at(1059));
        assert_eq!(calls(&mut event_loop), "made flood paused lost:TimedOut");
    }
}

#[test]
fn a_half_closed_peer_that_has_read_everything_is_not_limited() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::default());
    turns(&mut event_loop, 2);
    system.report_end(0);
    system.send(0, b"flood\n");
    turns(&mut event_loop, 2);
    system.0.borrow_mut().now = 1000 * SECOND;
    system.edge(0, false, false);
    turns(&mut event_loop, 1);
    assert!(!system.0.borrow().peers[0].is_gone);
}

#[test]
fn a_drain_delivers_all_input_before_protocols_shut_down() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::default());
    turns(&mut event_loop, 1);
    // Input without a reported edge, and a connection in the backlog.
    system.0.borrow_mut().peers[0].received.clear();
    system.send(0, &b"x\n".repeat(READ_MAX));
    system.0.borrow_mut().events.clear();
    system.arrive(Peer::sending(b"y\n", b""));
    system.0.borrow_mut().events.clear();
    command(&mut event_loop, Command::Drain);
    while !event_loop.application().is_drained {
        turns(&mut event_loop, 1);
    }
    let delivered = calls(&mut event_loop);
    assert_eq!((delivered.matches('x').count(), delivered.matches('y').count()), (READ_MAX, 1));
    command(&mut event_loop, connect(&["127.0.0.1:1"], SECOND));
    command(&mut event_loop, Command::ShutDown);
    let mut turns = 0;
    while event_loop.turn().unwrap() != Turn::Over {
        turns += 1;
        assert!(turns < 10);
    }
    let calls = calls(&mut event_loop);
    assert_eq!(calls.matches("shut_down").count(), 2);
    assert!(calls.contains("lost:Aborted"), "the connection that was being made: {calls}");
}

#[test]
fn a_drain_does_not_wait_for_a_connection_that_breaks_while_it_writes() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::default());
    turns(&mut event_loop, 1);
    system.0.borrow_mut().peers[0].is_stuck = true;
    system.send(0, b"flood\npause\n");
    turns(&mut event_loop, 1);
    system.send(0, b"x\n");
    command(&mut event_loop, Command::Drain);
    turns(&mut event_loop, 2);
    assert!(!event_loop.application().is_drained);
    system.0.borrow_mut().peers[0].write_error = Some(io::ErrorKind::ConnectionReset);
    system.edge(0, false, true);
    turns(&mut event_loop, 1);
    assert_eq!(event_loop.patience(), Some(Duration::ZERO));
    turns(&mut event_loop, 1);
    assert!(event_loop.application().is_drained);
}

#[test]
fn exit_ends_the_loop_with_connections_open() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::default());
    turns(&mut event_loop, 1);
    command(&mut event_loop, Command::Exit);
    assert_eq!(event_loop.turn().unwrap(), Turn::Over);
}

#[test]
fn work_and_timers_report_with_their_tags() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    let work = Work::Resolve { host: "riley.example".into(), port: 1, lane: Lane("names") };
    command(&mut event_loop, Command::Run { tag: 5, work });
    command(&mut event_loop, Command::Timer { at: crate::clock::Moment::START + SECOND, tag: 6 });
    let (ticket, started) = system.0.borrow_mut().work.pop().unwrap();
    assert!(matches!(started, Work::Resolve { host, port: 1, .. } if host == "riley.example"));
    let done = Done::Resolved(Ok(Vec::new()));
    system.0.borrow_mut().events.push(Event::Done { ticket, done });
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "done:5");
    turns(&mut event_loop, 2);
    assert_eq!((calls(&mut event_loop).as_str(), system.0.borrow().now), ("timer:6", SECOND));
}

#[test]
fn a_slow_reader_pauses_its_protocol_and_a_fast_one_resumes_it() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::stuck(b"flood\n"));
    turns(&mut event_loop, 2);
    assert_eq!(calls(&mut event_loop), "made flood paused");
    system.0.borrow_mut().peers[0].is_stuck = false;
    system.edge(0, false, true);
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "resumed");
}

#[test]
fn the_end_of_the_turn_is_called_until_the_connection_ends() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::sending(b"turns\n", b""));
    turns(&mut event_loop, 2);
    assert_eq!(calls(&mut event_loop), "made turns turn");
    assert_eq!(event_loop.patience(), Some(Duration::ZERO), "it has more output");
    turns(&mut event_loop, 1);
    system.send(0, b"close\n");
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "turn close");
}

/// A task that does nothing.
#[derive(Debug)]
struct Idle;

impl Task for Idle {
    fn lane(&self) -> Lane {
        Lane("idle")
    }

    fn run(&mut self) {}
}

/// The ticket of the last piece of work that was started, which must be a task, and the task.
fn started_task(system: &ScriptedSystem) -> (usize, Box<dyn Task>) {
    match system.0.borrow_mut().work.pop() {
        Some((ticket, Work::Run(task))) => (ticket, task),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_end_of_each_turn_is_reported_after_the_replies_and_the_last_one_as_the_last() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    turns(&mut event_loop, 2);
    assert_eq!(event_loop.application().ended, [false, false]);
    event_loop.update(|probe, _| probe.commands.push_back(Command::Exit));
    assert_eq!(event_loop.turn().unwrap(), Turn::Over);
    assert_eq!(event_loop.application().ended, [false, false, true]);
}

#[test]
fn an_application_that_has_enough_ends_the_turn_and_the_next_one_serves_the_rest() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::sending(b"a\n", b""));
    system.arrive(Peer::sending(b"b\n", b""));
    turns(&mut event_loop, 1);
    event_loop.update(|probe, _| probe.ends_turns = true);
    calls(&mut event_loop);
    turns(&mut event_loop, 1);
    let first = calls(&mut event_loop);
    assert_eq!(first.len(), 1, "{first}");
    assert_eq!(event_loop.patience(), Some(Duration::ZERO));
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), if first == "a" { "b" } else { "a" });
}

#[test]
fn the_end_waits_for_tasks_and_not_for_lookups() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    let lookup = Work::Resolve { host: "riley.example".into(), port: 1, lane: Lane("names") };
    command(&mut event_loop, Command::Run { tag: 1, work: lookup });
    assert!(event_loop.finish(SECOND).unwrap());
    command(&mut event_loop, Command::Run { tag: 2, work: Work::Run(Box::new(Idle)) });
    let (ticket, task) = started_task(&system);
    system.0.borrow_mut().events.push(Event::Done { ticket, done: Done::Ran(task) });
    assert!(event_loop.finish(SECOND).unwrap());
    assert_eq!(calls(&mut event_loop), "done:2");
    assert_eq!(system.0.borrow().now, Duration::ZERO);
}

#[test]
fn the_end_does_not_wait_for_a_task_that_hangs_nor_after_another_signal() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    command(&mut event_loop, Command::Run { tag: 2, work: Work::Run(Box::new(Idle)) });
    assert!(!event_loop.finish(SECOND).unwrap());
    assert_eq!(system.0.borrow().now, SECOND);
    system.0.borrow_mut().events.push(Event::Stop);
    assert!(!event_loop.finish(SECOND).unwrap());
    assert_eq!(system.0.borrow().now, SECOND);
}

#[test]
fn the_application_learns_the_bytes_and_the_duration_of_each_turn() {
    let system = ScriptedSystem::default();
    let mut event_loop = event_loop(&system, Shared::default());
    system.arrive(Peer::default());
    turns(&mut event_loop, 1);
    system.send(0, b"flood\nde");
    turns(&mut event_loop, 1);
    system.0.borrow_mut().now += SECOND;
    turns(&mut event_loop, 1);
    system.send(0, b"f\n");
    turns(&mut event_loop, 1);
    let written = system.0.borrow().peers[0].received.len();
    assert!(written > 0);
    let probe = event_loop.application();
    assert_eq!((probe.bytes, &probe.lasted[..]), ([10, written], &[0, 0, 1_000_000_000, 0][..]));
}
