//! TLS on the loop, with real sessions on both sides.

use std::rc::Rc;
use std::time::Duration;

use super::probe::{Probe, Shared};
use super::scripted_system::{Peer, ScriptedSystem};
use super::{Loop, SECOND, calls, command, connect, turns};
use crate::event_loop::handshakes::HANDSHAKES_MAX;
use crate::event_loop::{EventLoop, Turn};
use crate::protocol::{Command, ListenerTag, Quota, TlsDial, TlsListener, TlsSettings, WaterMarks};
use crate::tls;
use crate::tls::testing::{Authority, FarClient};

/// A loop whose listener takes TLS and plain text, and the authority of its certificate.
struct Front {
    system: ScriptedSystem,
    event_loop: Loop,
    authority: Authority,
}

impl Front {
    fn new(shared: Shared) -> Front {
        let authority = Authority::new();
        let system = ScriptedSystem::default();
        let mut event_loop = EventLoop::new(system.clone(), Probe::new(shared), WaterMarks::default());
        let tls = listener(&authority, "riley");
        event_loop.add_listener((), Some(tls), Quota { connections_max: 1000, spare: 0, per_address: 0 });
        Front { system, event_loop, authority }
    }

    /// Runs the loop until it waits.
    fn settle(&mut self) {
        settle(&self.system, &mut self.event_loop);
    }

    fn calls(&mut self) -> String {
        calls(&mut self.event_loop)
    }

    /// A new connection. Returns its number.
    fn arrive(&mut self) -> usize {
        self.system.arrive(Peer::default());
        self.settle();
        self.system.0.borrow().peers.len() - 1
    }

    fn far_client(&self) -> FarClient {
        FarClient::new(self.authority.client(), "riley")
    }

    /// A connection whose handshake is complete.
    fn secured(&mut self) -> (usize, FarClient) {
        let number = self.arrive();
        let mut client = self.far_client();
        self.exchange(number, &mut client);
        assert!(!client.is_handshaking());
        (number, client)
    }

    /// Carries bytes to and fro until there are none.
    fn exchange(&mut self, number: usize, client: &mut FarClient) {
        loop {
            let output = client.output();
            if !output.is_empty() {
                self.system.send(number, &output);
            }
            self.settle();
            let received = std::mem::take(&mut self.system.0.borrow_mut().peers[number].received);
            if output.is_empty() && received.is_empty() {
                return;
            }
            client.input(&received).unwrap();
        }
    }

    /// The first bytes of a TLS client.
    fn client_hello(&self) -> Vec<u8> {
        self.far_client().output()
    }

    fn is_gone(&self, number: usize) -> bool {
        self.system.0.borrow().peers[number].is_gone
    }
}

/// Runs a loop until it waits. A turn that waits would let time pass.
fn settle(system: &ScriptedSystem, event_loop: &mut Loop) {
    while !system.0.borrow().events.is_empty() || event_loop.patience() == Some(Duration::ZERO) {
        turns(event_loop, 1);
    }
}

fn listener(authority: &Authority, name: &str) -> TlsListener {
    let settings = Rc::new(tls::Server::new(authority.server(name)));
    TlsListener { settings, handshake_max: 2 * SECOND, with_plain_text: true }
}

#[test]
fn one_listener_takes_tls_and_plain_text() {
    let mut front = Front::new(Shared::default());
    let plain = front.arrive();
    assert_eq!(front.calls(), "made", "before the first byte");
    let (secured, mut client) = front.secured();
    assert_eq!(front.calls(), "made secured");
    client.write(b"who\nclose\n");
    front.system.send(plain, b"who\n");
    front.exchange(secured, &mut client);
    assert_eq!(front.calls(), "who plain who tls: close");
    assert_eq!((client.received.as_slice(), client.is_closed), (&b"bye"[..], true));
    assert!(front.system.0.borrow().peers[secured].was_half_closed);
}

#[test]
fn plain_text_costs_no_further_read_where_tls_is_spoken_too() {
    let reads = |with_tls: bool| {
        let mut front = Front::new(Shared::default());
        if !with_tls {
            command(&mut front.event_loop, Command::SetTls(ListenerTag(0), None));
        }
        let number = front.arrive();
        front.system.send(number, b"a\n");
        front.settle();
        front.system.send(number, b"b\n");
        front.settle();
        assert_eq!(front.calls(), "made a b");
        front.system.0.borrow().peers[number].reads
    };
    assert_eq!(reads(true), reads(false));
}

#[test]
fn a_handshake_may_come_byte_by_byte_and_with_the_first_lines() {
    let mut front = Front::new(Shared::default());
    let number = front.arrive();
    let mut client = front.far_client();
    for byte in client.output() {
        front.system.send(number, &[byte]);
        front.settle();
    }
    let answer = std::mem::take(&mut front.system.0.borrow_mut().peers[number].received);
    client.input(&answer).unwrap();
    client.write(&b"x\n".repeat(1000));
    front.exchange(number, &mut client);
    assert_eq!(front.calls().matches('x').count(), 1000);
}

#[test]
fn a_handshake_ends_in_time_and_a_silent_connection_waits() {
    let mut front = Front::new(Shared::default());
    let (silent, half, slow) = (front.arrive(), front.arrive(), front.arrive());
    front.system.wait(10 * SECOND);
    let hello = front.client_hello();
    front.system.send(half, &hello[..60]);
    let began = front.system.0.borrow().now;
    // Bytes do not postpone the deadline.
    for byte in &hello {
        front.system.send(slow, &[*byte]);
        turns(&mut front.event_loop, 1);
        if front.is_gone(slow) {
            break;
        }
        front.system.wait(SECOND / 20);
    }
    assert!(front.is_gone(half) && front.is_gone(slow));
    assert_eq!(front.system.0.borrow().now - began, 2 * SECOND);
    assert_eq!(front.calls(), "made made made lost:NotSecured lost:NotSecured");
    front.system.send(silent, b"x\n");
    front.settle();
    assert_eq!(front.calls(), "x");
}

#[test]
fn the_deadline_of_the_protocol_rests_during_the_handshake_and_counts_again_after_it() {
    let mut front = Front::new(Shared::with_line_timeout(5 * SECOND));
    let (number, mut client) = front.secured();
    client.write(b"half a li");
    front.exchange(number, &mut client);
    front.system.wait(5 * SECOND);
    turns(&mut front.event_loop, 1);
    assert_eq!(front.calls(), "made secured timed_out");
}

#[test]
fn bytes_that_are_no_tls_after_the_first_one_end_the_connection() {
    let mut front = Front::new(Shared::default());
    let number = front.arrive();
    front.system.send(number, b"\x16IAMAT kiwi +1-1 5\n");
    front.settle();
    assert_eq!(front.calls(), "made lost:NotSecured");
    let (number, _) = front.secured();
    front.system.send(number, b"plain text\n");
    front.settle();
    assert_eq!(front.calls(), "made secured lost:Failed");
}

#[test]
fn an_end_within_the_handshake_is_a_failure() {
    let mut front = Front::new(Shared::default());
    let number = front.arrive();
    let hello = front.client_hello();
    front.system.send(number, &hello);
    front.system.half_close(number);
    front.settle();
    assert_eq!(front.calls(), "made lost:NotSecured");
}

#[test]
fn close_notify_is_a_half_close() {
    let mut front = Front::new(Shared::default());
    let (number, mut client) = front.secured();
    client.write(b"a\nb");
    client.close();
    front.exchange(number, &mut client);
    assert_eq!(front.calls(), "made secured a eof:b lost:Closed");
    assert!(client.is_closed, "the loop ends with close_notify, too");
}

#[test]
fn a_short_read_leaves_nothing_in_the_session() {
    let mut front = Front::new(Shared::default());
    front.system.0.borrow_mut().short_reads_empty = true;
    let (number, mut client) = front.secured();
    // Everything in one read: more plain text than the loop takes at once, then the end.
    client.write(&b"x\n".repeat(30_000));
    client.close();
    let output = client.output();
    front.system.send(number, &output);
    front.settle();
    let calls = front.calls();
    assert_eq!((calls.matches('x').count(), calls.ends_with("x eof: lost:Closed")), (30_000, true));
}

#[test]
fn an_end_without_close_notify_delivers_whole_lines_only() {
    let mut front = Front::new(Shared::default());
    let (number, mut client) = front.secured();
    client.write(b"a\nIAMAT kiwi +1-1 16214");
    let output = client.output();
    front.system.send(number, &output);
    front.system.half_close(number);
    front.settle();
    assert_eq!(front.calls(), "made secured a eof: lost:Closed");
}

#[test]
fn long_input_and_long_output_arrive_whole() {
    let mut front = Front::new(Shared::default());
    let (number, mut client) = front.secured();
    let lines: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    for part in lines.as_bytes().chunks(10_000) {
        client.write(part);
        front.exchange(number, &mut client);
    }
    let calls = front.calls();
    assert_eq!(calls.split(' ').skip(2).map(|line| format!("{line}\n")).collect::<String>(), lines);
    for _ in 0..5 {
        client.write(b"flood\n");
        front.exchange(number, &mut client);
    }
    assert_eq!(client.received.len(), 500_000);
}

#[test]
fn a_client_that_never_reads_is_given_a_bounded_output() {
    let mut front = Front::new(Shared::default());
    let (number, mut client) = front.secured();
    front.system.0.borrow_mut().peers[number].is_stuck = true;
    client.write(b"flood\n");
    let output = client.output();
    front.system.send(number, &output);
    front.settle();
    assert_eq!(front.calls(), "made secured flood paused");
    front.system.0.borrow_mut().peers[number].is_stuck = false;
    front.system.edge(number, false, true);
    front.exchange(number, &mut client);
    assert_eq!((client.received.len(), front.calls().as_str()), (100_000, "resumed"));
}

#[test]
fn too_many_handshakes_make_room_for_new_ones() {
    let mut front = Front::new(Shared::default());
    let hello = front.client_hello();
    let half_done: Vec<usize> = (0..HANDSHAKES_MAX)
        .map(|_| {
            let number = front.arrive();
            front.system.send(number, &hello[..60]);
            front.settle();
            number
        })
        .collect();
    front.calls();
    // A handshake that is complete leaves its place.
    let (_, _) = front.secured();
    let (_, _) = front.secured();
    assert_eq!(front.calls(), "made lost:NotSecured secured made secured");
    assert!(front.is_gone(half_done[0]) && !front.is_gone(half_done[1]));
    let number = front.arrive();
    front.system.send(number, &hello[..60]);
    front.settle();
    assert!(!front.is_gone(half_done[1]));
    // One that ends does, too.
    front.system.half_close(half_done[1]);
    front.settle();
    let number = front.arrive();
    front.system.send(number, &hello[..60]);
    front.settle();
    assert!(!front.is_gone(half_done[2]) && !front.is_gone(number));
}

#[test]
fn later_connections_get_the_new_settings() {
    let mut front = Front::new(Shared::default());
    let (old, mut old_client) = front.secured();
    let new = Authority::new();
    command(&mut front.event_loop, Command::SetTls(ListenerTag(0), Some(listener(&new, "riley"))));
    front.authority = new;
    let (_, _) = front.secured();
    old_client.write(b"who\n");
    front.exchange(old, &mut old_client);
    assert_eq!(front.calls(), "made secured made secured who tls:", "the old session goes on");
    command(&mut front.event_loop, Command::SetTls(ListenerTag(0), None));
    let number = front.arrive();
    let hello = front.client_hello();
    front.system.send(number, &hello);
    front.settle();
    assert!(front.system.0.borrow().peers[number].received.is_empty(), "plain text only");
}

#[test]
fn a_drain_does_not_wait_for_handshakes() {
    let mut front = Front::new(Shared::default());
    let number = front.arrive();
    let hello = front.client_hello();
    front.system.send(number, &hello[..60]);
    let (secured, mut client) = front.secured();
    client.write(b"a\n");
    let output = client.output();
    front.system.send(secured, &output);
    command(&mut front.event_loop, Command::Drain);
    front.settle();
    assert!(front.event_loop.application().is_drained);
    command(&mut front.event_loop, Command::ShutDown);
    while front.event_loop.turn().unwrap() != Turn::Over {}
    assert_eq!(front.calls(), "made made secured a shut_down lost:Closed lost:Aborted");
}

/// The far end of a dialled connection: an accepting session of the same kind.
struct FarServer {
    session: Box<dyn crate::protocol::TlsSession>,
    received: Vec<u8>,
}

impl FarServer {
    fn new(authority: &Authority, name: &str) -> FarServer {
        let session = tls::Server::new(authority.server(name)).session().unwrap();
        FarServer { session, received: Vec::new() }
    }

    /// Takes the bytes that the loop has sent. Returns those for it.
    fn answer(&mut self, mut input: &[u8]) -> Vec<u8> {
        while !input.is_empty() && self.session.receive(&mut input).is_ok() {}
        let mut text = [0; 1000];
        while let Ok(length) = self.session.read(&mut text)
            && length > 0
        {
            self.received.extend_from_slice(&text[..length]);
        }
        self.output()
    }

    fn output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        while self.session.has_output() {
            self.session.send(&mut output).unwrap();
        }
        output
    }
}

/// A loop that has dialled a TLS server, once nothing moves any more.
fn dialled(trusted: &Authority, server: &mut FarServer) -> (ScriptedSystem, Loop) {
    let system = ScriptedSystem::default();
    system.0.borrow_mut().is_connected = true;
    let mut event_loop = super::event_loop(&system, Shared::default());
    let name = "jaquez".try_into().unwrap();
    let tls =
        TlsDial { settings: Rc::new(tls::Client::new(trusted.client(), name)), handshake_max: 2 * SECOND };
    let Command::Connect { tag, addresses, patience, protocol, .. } =
        connect(&["127.0.0.1:1"], Duration::from_secs(60))
    else {
        unreachable!()
    };
    command(&mut event_loop, Command::Connect { tag, addresses, patience, tls: Some(tls), protocol });
    for _ in 0..5 {
        settle(&system, &mut event_loop);
        let sent = std::mem::take(&mut system.0.borrow_mut().peers[0].received);
        let answer = server.answer(&sent);
        if !answer.is_empty() {
            system.send(0, &answer);
        }
    }
    (system, event_loop)
}

#[test]
fn a_dialled_connection_is_made_after_the_handshake() {
    let authority = Authority::new();
    let mut server = FarServer::new(&authority, "jaquez");
    let (system, mut event_loop) = dialled(&authority, &mut server);
    assert_eq!(calls(&mut event_loop), "connecting:7 made");
    server.session.write(b"who\nclose\n").unwrap();
    let output = server.output();
    system.send(0, &output);
    settle(&system, &mut event_loop);
    assert_eq!(calls(&mut event_loop), "who tls: close");
    let sent = std::mem::take(&mut system.0.borrow_mut().peers[0].received);
    server.answer(&sent);
    assert_eq!(server.received, b"bye");
}

#[test]
fn a_dialled_server_with_a_wrong_certificate_gets_connection_lost_alone() {
    let (authority, other) = (Authority::new(), Authority::new());
    for mut server in [FarServer::new(&other, "jaquez"), FarServer::new(&authority, "juzang")] {
        let (_, mut event_loop) = dialled(&authority, &mut server);
        assert_eq!(calls(&mut event_loop), "connecting:7 lost:NotSecured");
        assert_eq!(server.received, b"");
    }
}

#[test]
fn a_dialled_server_must_announce_its_end() {
    let authority = Authority::new();
    for announces in [true, false] {
        let mut server = FarServer::new(&authority, "jaquez");
        let (system, mut event_loop) = dialled(&authority, &mut server);
        server.session.write(b"a\nb").unwrap();
        if announces {
            server.session.close();
        }
        let output = server.output();
        system.send(0, &output);
        system.half_close(0);
        settle(&system, &mut event_loop);
        let expected = if announces { "eof:b lost:Closed" } else { "lost:Failed" };
        assert_eq!(calls(&mut event_loop), format!("connecting:7 made a {expected}"));
    }
}

#[test]
fn a_dialled_server_that_says_nothing_is_given_up() {
    let authority = Authority::new();
    let mut silent = FarServer::new(&authority, "jaquez");
    silent.session = tls::Client::new(authority.client(), "x".try_into().unwrap()).session().unwrap();
    let (system, mut event_loop) = dialled(&authority, &mut silent);
    system.wait(2 * SECOND);
    turns(&mut event_loop, 1);
    assert_eq!(calls(&mut event_loop), "connecting:7 lost:NotSecured");
}
