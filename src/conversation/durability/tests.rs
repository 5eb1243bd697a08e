use super::*;
use crate::conversation::Conversation;
use crate::conversation::testing::Bench;
use crate::protocol::{Close, ConnectionId};
use std::time::Duration;

fn client(slot: u32) -> Handle<Client> {
    Handle::new(ConnectionId { slot, generation: 1 })
}

/// A client of a server whose replies wait for the disk.
fn bench() -> Bench {
    let mut bench = Bench::new(Conversation::Client(Client::unidentified()));
    bench.server.durability.let_replies_wait();
    bench.wall = 7_000_000_000;
    bench
}

/// Serves the clients that are due, in as many turns as it takes.
fn serve(bench: &mut Bench) {
    loop {
        while let Some(client) = bench.server.durability.next_client() {
            assert_eq!(client.id(), bench.id);
            bench.deliver(Handle::call(Client::disk_reached));
        }
        if !bench.server.durability.turn_ended() {
            return;
        }
    }
}

/// What is sent when the disk has the changes up to this one.
fn reached(bench: &mut Bench, sequence: u64) -> String {
    bench.server.durability.reached(sequence);
    serve(bench);
    bench.sent()
}

/// What is sent when the disk fails.
fn failed(bench: &mut Bench) -> String {
    bench.server.durability.failed();
    serve(bench);
    bench.sent()
}

fn iamats(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("IAMAT client{number} +1-1 7\n")).collect()
}

#[test]
fn clients_are_due_when_the_disk_has_their_changes() {
    let mut durability = Durability::default();
    assert!(!durability.must_wait(1), "without store.sync \"always\"");
    durability.let_replies_wait();
    assert!(durability.must_wait(1));
    durability.wait(3, client(1));
    durability.wait(1, client(2));
    assert_eq!(durability.next_client(), None);
    durability.reached(2);
    assert!(!durability.must_wait(2) && durability.must_wait(3));
    assert_eq!((durability.next_client(), durability.next_client()), (Some(client(2)), None));
    durability.failed();
    assert!(durability.refuses());
    assert_eq!(durability.next_client(), Some(client(1)), "its reply is a refusal");
    durability.works_again();
    assert!(!durability.refuses());
}

#[test]
fn a_turn_names_few_clients() {
    let mut durability = Durability::default();
    (0..10).for_each(|slot| durability.wait(1, client(slot)));
    durability.reached(1);
    let mut turns = 0;
    let mut named = 0;
    loop {
        named += std::iter::from_fn(|| durability.next_client()).count();
        turns += 1;
        if !durability.turn_ended() {
            break;
        }
    }
    assert_eq!((named, turns), (10, 3));
}

#[test]
fn a_reply_waits_for_the_disk_and_its_statement_does_not() {
    let mut bench = bench();
    bench.receive(b"IAMAT a +1-1 7\n");
    let line = "AT Riley +0.000000000 a +1-1 7\n";
    assert_eq!(
        bench.server.store.get(b"a"),
        Some(line.as_bytes()),
        "neighbours and followers get it at once"
    );
    assert_eq!((bench.sent(), bench.log().contains("sent to client")), (String::new(), false));
    assert_eq!(reached(&mut bench, 1), line);
    assert!(bench.log().contains("sent to client 'AT Riley +0.000000000 a +1-1 7'"));
    bench.server.durability.reached(5);
    bench.receive(b"IAMAT b +1-1 7\n");
    assert!(bench.sent().starts_with("AT Riley +0.000000000 b"), "its change is on the disk already");
}

#[test]
fn replies_keep_their_order_while_some_wait() {
    let mut bench = bench();
    bench.receive(
        b"IAMAT a +1-1 7\nFOO\nWHATSAT a 10 1\nIAMAT b +1-1 7\nFORGET a\nNEAR +1-1 1 5\nBAR\nFORGET b\nFOO\n",
    );
    assert_eq!((bench.server.store.len(), bench.server.store.sequence()), (0, 4));
    assert_eq!(bench.sent(), "");
    // The disk may be ahead of Places.
    assert_eq!(reached(&mut bench, 2), "AT Riley +0.000000000 a +1-1 7\n? FOO\n");
    bench.answer_questions(r#"{"results":[]}"#);
    assert_eq!(
        bench.sent(),
        "AT Riley +0.000000000 a +1-1 7\n{\"results\":[]}\n\nAT Riley +0.000000003 b +1-1 7\n"
    );
    let near = "AT Riley +0.000000003 b +1-1 7\n\n";
    assert_eq!(
        reached(&mut bench, 3),
        format!("GONE Riley +0.000000004 a 7.000000000\n{near}? BAR\n").as_str()
    );
    bench.receive(b"IAMAT c +1-1 7\nWHATSAT c 10 1\nBAR\n");
    // Places may be ahead of the disk.
    bench.answer_questions(r#"{"results":[]}"#);
    assert_eq!(bench.sent(), "");
    assert_eq!(reached(&mut bench, 4), "GONE Riley +0.000000007 b 7.000000000\n? FOO\n");
    let c = "AT Riley +0.000000009 c +1-1 7\n";
    assert_eq!(reached(&mut bench, 5), format!("{c}{c}{{\"results\":[]}}\n\n? BAR\n"));
}

#[test]
fn a_statement_that_loses_waits_for_the_one_that_is_stored() {
    let mut bench = bench();
    bench.receive(b"IAMAT a +1-1 7\nIAMAT a +2-2 6\n");
    assert_eq!((bench.sent(), bench.server.store.sequence()), (String::new(), 1));
    assert_eq!(reached(&mut bench, 1), "AT Riley +0.000000000 a +1-1 7\nAT Riley +1.000000001 a +2-2 6\n");
    bench.receive(b"IAMAT a +2-2 6\n");
    assert!(bench.sent().starts_with("AT Riley"), "the stored one is on the disk");
}

#[test]
fn a_client_is_listed_once_for_the_first_change_that_it_waits_for() {
    let mut bench = bench();
    bench.receive(iamats(0..20).as_bytes());
    assert_eq!(bench.server.durability.waiting.len(), 1);
    assert_eq!(reached(&mut bench, 12).lines().count(), 12);
    let listed: Vec<_> = bench.server.durability.waiting.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(listed, [13]);
    bench.receive(iamats(20..22).as_bytes());
    assert_eq!((bench.server.durability.waiting.len(), reached(&mut bench, 22).lines().count()), (1, 10));
    assert!(bench.server.durability.waiting.is_empty());
}

#[test]
fn replies_that_wait_for_a_disk_that_fails_become_refusals() {
    let mut bench = bench();
    bench.receive(b"IAMAT a +1-1 7\nFOO\n \tIAMAT  b +1-1  7\r\nBAR\nFORGET a\n");
    bench.server.durability.reached(1);
    assert_eq!(
        failed(&mut bench),
        "AT Riley +0.000000000 a +1-1 7\n? FOO\n? IAMAT  b +1-1  7\n? BAR\n? FORGET a\n"
    );
    assert!(bench.server.store.get(b"b").is_some(), "it may have been flooded");
    assert_eq!(bench.log().matches("is refused: store.sync: the disk fails").count(), 2);
    assert!(bench.log().contains("sent to client '? FORGET a'"));
    assert!(bench.server.durability.waiting.is_empty());
}

#[test]
fn while_the_disk_fails_statements_are_refused_and_not_stored() {
    let mut bench = bench();
    bench.receive(b"IAMAT a +1-1 7\n");
    reached(&mut bench, 1);
    bench.server.durability.failed();
    bench.receive(b"IAMAT b +1-1 7\n  FORGET a\nIAMAT a +2-2 8\nNEAR +1-1 1 5\n");
    let a = "AT Riley +0.000000000 a +1-1 7\n";
    assert_eq!(bench.sent(), format!("? IAMAT b +1-1 7\n? FORGET a\n? IAMAT a +2-2 8\n{a}\n"));
    assert_eq!((bench.server.store.sequence(), bench.server.store.get(b"a")), (1, Some(a.as_bytes())));
    assert_eq!(bench.log().matches("is refused: store.sync: the disk fails").count(), 3);
    bench.server.durability.works_again();
    bench.receive(b"IAMAT b +1-1 7\n");
    assert!(reached(&mut bench, 2).starts_with("AT Riley"));
}

#[test]
fn without_always_a_disk_that_fails_refuses_nothing() {
    let mut bench = Bench::new(Conversation::Client(Client::unidentified()));
    bench.server.durability.failed();
    bench.receive(b"IAMAT a +1-1 7\nFORGET a\n");
    let sent = bench.sent();
    assert!(sent.starts_with("AT Riley") && sent.contains("\nGONE Riley"), "{sent}");
}

#[test]
fn after_a_half_close_the_replies_are_waited_for() {
    let mut bench = bench();
    bench.receive(b"IAMAT a +1-1 7\nIAMAT b +1-1 7");
    bench.eof();
    assert_eq!((bench.sent(), bench.closing()), (String::new(), None));
    assert_eq!(reached(&mut bench, 1).lines().count(), 1);
    assert_eq!(bench.closing(), None);
    assert_eq!((reached(&mut bench, 2).lines().count(), bench.closing()), (1, Some(Close::Drain)));
}

#[test]
fn a_server_that_ends_waits_for_the_disk_and_then_closes() {
    for fails in [false, true] {
        let mut bench = bench();
        bench.receive(b"IAMAT a +1-1 7\n");
        bench.shut_down();
        assert_eq!((bench.sent(), bench.closing()), (String::new(), None));
        let sent = if fails { failed(&mut bench) } else { reached(&mut bench, 1) };
        assert_eq!(sent.starts_with("? IAMAT a"), fails, "{sent}");
        assert_eq!(bench.closing(), Some(Close::Drain));
    }
}

#[test]
fn a_client_that_is_gone_leaves_the_list() {
    let mut bench = bench();
    bench.receive(iamats(0..3).as_bytes());
    reached(&mut bench, 1);
    bench.lose();
    assert!(bench.server.durability.waiting.is_empty());
}

#[test]
fn a_client_with_many_replies_that_wait_is_not_read_from() {
    let mut bench = bench();
    bench.receive(iamats(0..200).as_bytes());
    assert!(!bench.reading_is_paused(), "more than the WHATSATs that may wait");
    bench.receive(iamats(200..5000).as_bytes());
    assert!(bench.reading_is_paused() && bench.input_left() > 0);
    let stored = bench.server.store.sequence();
    assert!((500..2000).contains(&stored), "{stored}");
    let mut replies = 0;
    for _ in 0..20 {
        let sequence = bench.server.store.sequence();
        replies += reached(&mut bench, sequence).lines().count();
    }
    assert_eq!((replies, bench.input_left(), bench.reading_is_paused()), (5000, 0, false));
}

#[test]
fn a_silent_connection_is_not_closed_before_its_reply_was_sent() {
    let mut bench = bench();
    bench.server.limits.clients.close_after = Duration::from_millis(800);
    bench.receive(b"IAMAT a +1-1 7\n");
    for _ in 0..3 {
        bench.now = bench.now + Duration::from_millis(800);
        bench.time_out();
        assert_eq!(bench.closing(), None);
    }
    assert!(reached(&mut bench, 1).starts_with("AT Riley"));
    assert_eq!(bench.deadline(), bench.now + Duration::from_millis(800), "the reply is a sign of life");
}

#[test]
fn a_stream_waits_for_the_replies_before_it_and_not_for_the_disk() {
    let mut bench = bench();
    bench.receive(b"IAMAT a +1-1 7\nFOLLOW *\n");
    bench.follow_on();
    assert_eq!(bench.sent(), "");
    assert!(reached(&mut bench, 1).starts_with("AT Riley +0.000000000 a"));
    bench.follow_on();
    let stream = bench.sent();
    assert!(stream.ends_with("MARK 00000000000000ee 1\n"), "{stream}");
    bench.report("b", 7, crate::store::Origin::CLIENT);
    bench.follow_on();
    assert_eq!(bench.sent(), "AT Riley +0.000000000 b +1-1 7\nMARK 00000000000000ee 2\n");
}
