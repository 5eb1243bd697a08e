use super::*;
use crate::conversation::Client;
use crate::conversation::Conversation;
use crate::conversation::testing::Bench;
use crate::protocol::{Close, ConnectionId};
use std::time::Duration;

fn client(slot: u32) -> Handle<Conversation> {
    Handle::new(ConnectionId { slot, generation: 1 })
}

/// A client of a server whose replies wait for the disk.
fn bench() -> Bench {
    let mut bench = Bench::new(Conversation::Client(Client::unidentified()));
    bench.server.durability.let_replies_wait();
    bench.wall = 7_000_000_000;
    bench
}

/// What is sent when the disk has the changes up to this one.
fn reached(bench: &mut Bench, sequence: u64) -> String {
    bench.disk_reaches(sequence, false);
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
    assert_eq!(durability.next_conversation(), None);
    durability.reached(2);
    assert!(!durability.must_wait(2) && durability.must_wait(3));
    assert_eq!((durability.next_conversation(), durability.next_conversation()), (Some(client(2)), None));
    durability.failed();
    assert!(durability.refuses());
    assert_eq!(durability.next_conversation(), Some(client(1)), "its reply is a refusal");
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
        named += std::iter::from_fn(|| durability.next_conversation()).count();
        turns += 1;
        if !durability.turn_ended() {
            break;
        }
    }
    assert_eq!((named, turns), (10, 3));
}

#[test]
fn replies_keep_their_order_whether_the_disk_or_places_is_first() {
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
    let near = "0.000 AT Riley +0.000000003 b +1-1 7\n\n";
    assert_eq!(reached(&mut bench, 3), format!("GONE Riley +0.000000000 a 7.000000004\n{near}? BAR\n"));
    bench.receive(b"IAMAT c +1-1 7\nWHATSAT c 10 1\nBAR\n");
    // Places may be ahead of the disk.
    bench.answer_questions(r#"{"results":[]}"#);
    assert_eq!(bench.sent(), "");
    assert_eq!(reached(&mut bench, 4), "GONE Riley +0.000000000 b 7.000000007\n? FOO\n");
    let c = "AT Riley +0.000000000 c +1-1 7\n";
    assert_eq!(reached(&mut bench, 5), format!("{c}{c}{{\"results\":[]}}\n\n? BAR\n"));
}

#[test]
fn a_statement_that_loses_waits_for_the_one_that_is_stored() {
    let mut bench = bench();
    // Of another client, or of a neighbour.
    bench.report("a", 7, crate::store::Origin::CLIENT);
    bench.receive(b"IAMAT a +2-2 6\n");
    assert_eq!((bench.sent(), bench.server.store.sequence()), (String::new(), 1));
    assert_eq!(reached(&mut bench, 1), "AT Riley +1.000000000 a +2-2 6\n");
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
fn without_always_a_disk_that_fails_refuses_nothing() {
    let mut bench = Bench::new(Conversation::Client(Client::unidentified()));
    bench.server.durability.failed();
    bench.receive(b"IAMAT a +1-1 7\nFORGET a\n");
    let sent = bench.sent();
    assert!(sent.starts_with("AT Riley") && sent.contains("\nGONE Riley"), "{sent}");
}

#[test]
fn a_server_that_ends_waits_for_the_disk_and_then_closes() {
    for fails in [false, true] {
        let mut bench = bench();
        bench.receive(b"IAMAT a +1-1 7\n");
        bench.shut_down();
        assert_eq!((bench.sent(), bench.closing()), (String::new(), None));
        bench.disk_reaches(u64::from(!fails), fails);
        let sent = bench.sent();
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

#[test]
fn a_reply_is_logged_when_it_is_decided() {
    let mut bench = bench();
    bench.receive(b"IAMAT a +1-1 7\n IAMAT  b +1-1 7\r\nIAMAT c +1-1 7\n");
    assert!(!bench.log().contains("sent to client"));
    bench.disk_reaches(1, false);
    assert!(bench.log().ends_with("sent to client 'AT Riley +0.000000000 a +1-1 7'\n"));
    bench.disk_reaches(2, true);
    bench.receive(b"FORGET a\n");
    let log = bench.log();
    assert_eq!(log.matches("sent to client").count(), 4);
    assert!(log.contains("sent to client 'AT Riley +0.000000001 b +1-1 7'"));
    assert!(log.contains("sent to client '? IAMAT c +1-1 7'"));
    for refused in ["IAMAT c +1-1 7", "FORGET a"] {
        let event = format!("'{refused}' from (127.0.0.1, 40000) is refused: store.sync: the disk fails");
        assert!(log.contains(&event), "{log}");
    }
}

#[test]
fn replies_that_wait_for_the_disk_are_no_pending_questions() {
    let mut bench = bench();
    bench.receive(iamats(0..200).as_bytes());
    assert_eq!((bench.reading_is_paused(), bench.server.store.len()), (false, 200));
    // Many lines with other replies between take no more room than their bytes.
    bench.receive("FOO\nIAMAT a +1-1 7\n".repeat(200).as_bytes());
    assert_eq!((bench.reading_is_paused(), bench.input_left()), (false, 0));
    bench.receive("FOO\nIAMAT a +1-1 7\n".repeat(2000).as_bytes());
    assert!(bench.reading_is_paused() && bench.input_left() > 0);
}

#[test]
fn a_connection_whose_reply_waits_for_the_disk_is_not_closed_as_silent() {
    let mut bench = bench();
    let time = Duration::from_millis(800);
    bench.server.limits.clients.close_after = time;
    bench.receive(b"IAMAT a +1-1 7\n");
    for _ in 0..3 {
        bench.now = bench.now + time;
        bench.time_out();
        assert_eq!(bench.closing(), None);
    }
    assert!(reached(&mut bench, 1).starts_with("AT Riley"));
    bench.now = bench.now + (time - Duration::from_millis(1));
    bench.time_out();
    assert_eq!(bench.closing(), None, "its time counts from the reply");
    bench.now = bench.now + time;
    bench.time_out();
    assert!(bench.closing().is_some());
}
