use std::time::Duration;

use super::*;
use crate::config::ClientsSection;
use crate::conversation::Conversation;
use crate::conversation::testing::Bench;
use crate::protocol::Close;
use crate::store::Origin;

const A5: &str = "AT Riley +0.000000000 a +1-1 5\n";

fn client() -> Bench {
    let mut bench = Bench::new(Conversation::Client(Client::unidentified()));
    bench.report("a", 5, Origin::CLIENT);
    bench
}

fn mark(number: u32) -> String {
    format!("MARK 00000000000000ee {number}\n")
}

/// Serves, and returns what was sent.
fn served(bench: &mut Bench) -> String {
    bench.follow_on();
    bench.sent()
}

fn follow(bench: &mut Bench, line: &str) -> String {
    bench.receive(line.as_bytes());
    served(bench)
}

#[test]
fn a_snapshot_and_a_mark_come_first_then_changes() {
    let mut bench = client();
    assert_eq!(follow(&mut bench, "FOLLOW a\n"), format!("{A5}{}", mark(1)));
    bench.report("b", 6, Origin::CLIENT);
    assert_eq!(served(&mut bench), "");
    bench.report("a", 7, Origin(1));
    assert_eq!(served(&mut bench), format!("AT Riley +0.000000000 a +1-1 7\n{}", mark(3)));
}

#[test]
fn the_next_line_ends_the_stream_and_is_answered_after_it() {
    let mut bench = client();
    assert_eq!(follow(&mut bench, "FOLLOW a*\n\nFOO\n"), format!("{A5}{}\n? FOO\n", mark(1)));
    assert!(bench.server.followers.is_empty());
    follow(&mut bench, "FOLLOW a\n");
    bench.receive(b"FO");
    assert_eq!(served(&mut bench), "", "it has not ended");
    assert_eq!(follow(&mut bench, "O\nIAMAT a +1-1 9\n").lines().collect::<Vec<_>>().len(), 4);
    let sent = follow(&mut bench, "FOLLOW a\nFOLLOW b\n");
    assert!(sent.ends_with(&format!(" a +1-1 9\n{0}\n{0}", mark(2))), "{sent}");
}

#[test]
fn an_over_long_line_ends_the_stream_before_its_own_end() {
    let mut bench = client();
    follow(&mut bench, "FOLLOW a\n");
    bench.receive(&[b'x'; 8200]);
    let sent = served(&mut bench);
    assert!(sent.starts_with(&format!("{}\n? xxx", mark(1))), "{sent}");
}

#[test]
fn a_half_close_does_not_end_the_stream() {
    let mut bench = client();
    follow(&mut bench, "FOLLOW a\n");
    bench.eof();
    assert_eq!((served(&mut bench), bench.closing()), (String::new(), None));
    bench.report("a", 7, Origin::CLIENT);
    assert!(served(&mut bench).starts_with("AT "));
    bench.now = bench.deadline();
    bench.time_out();
    assert_eq!((bench.sent(), bench.closing()), (mark(2), None));
    assert!(bench.deadline() > bench.now);
}

#[test]
fn a_last_line_without_lf_ends_the_stream() {
    let mut bench = client();
    follow(&mut bench, "FOLLOW a\n");
    bench.receive(b"FOO");
    bench.eof();
    assert_eq!(served(&mut bench), format!("{}\n? FOO\n", mark(1)));
    assert_eq!(bench.closing(), Some(Close::Drain));
    let mut bench = client();
    bench.receive(b"FOLLOW a");
    bench.eof();
    assert_eq!((served(&mut bench), bench.closing()), (format!("{A5}{}", mark(1)), None));
}

#[test]
fn a_stream_after_a_slow_reply_waits_for_it() {
    let mut bench = client();
    bench.receive(b"WHATSAT a 1 1\nFOLLOW a\n");
    assert_eq!(served(&mut bench), "");
    bench.report("a", 7, Origin::CLIENT);
    bench.answer_questions(r#"{"results":[]}"#);
    assert_eq!(
        served(&mut bench),
        format!("{A5}{{\"results\":[]}}\n\nAT Riley +0.000000000 a +1-1 7\n{}", mark(2))
    );
    bench.receive(b"\nWHATSAT a 1 1\nFOLLOW a\n\nFOO\n");
    assert_eq!(served(&mut bench), format!("{}\n", mark(2)));
    bench.answer_questions(r#"{"results":[]}"#);
    assert!(served(&mut bench).ends_with(&format!("a +1-1 7\n{}\n? FOO\n", mark(2))));
}

#[test]
fn answers_to_telnet_commands_wait_for_the_end_of_the_stream() {
    let mut bench = client();
    follow(&mut bench, "FOLLOW a\n");
    bench.receive(b"\xff\xfd\x01");
    assert_eq!(served(&mut bench), "");
    bench.receive(b"\xff\xfd\x02FOO\r\0");
    bench.follow_on();
    assert_eq!(bench.sent_bytes(), [mark(1).as_bytes(), b"\n\xff\xfc\x01\xff\xfc\x02? FOO\n"].concat());
}

#[test]
fn one_follower_too_many_is_invalid() {
    let mut bench = client();
    bench.server.limits.max_followers = 0;
    assert_eq!(follow(&mut bench, "FOLLOW a\nFOO\n"), "? FOLLOW a\n? FOO\n");
    assert!(bench.log().contains("limits.max_followers: 0 connections follow already"));
    bench.server.limits.max_followers = 1;
    follow(&mut bench, "FOLLOW a\n");
    assert_eq!(follow(&mut bench, "FOLLOW b\n"), format!("{0}\n{0}", mark(1)), "its own place is free again");
}

#[test]
fn a_lost_connection_leaves_no_follower() {
    for line in ["FOLLOW a\n", "FOLLOW *\n", "WHATSAT a 1 1\nFOLLOW *\n"] {
        let mut bench = client();
        follow(&mut bench, line);
        bench.lose();
        assert!(bench.server.followers.is_empty() && bench.server.store.cursors() == 0, "{line}");
    }
}

#[test]
fn a_mark_is_sent_every_fifteen_seconds() {
    let mut bench = client();
    follow(&mut bench, "FOLLOW nobody\n");
    for _ in 0..3 {
        assert_eq!(bench.deadline(), bench.now + Duration::from_secs(15));
        bench.now = bench.deadline();
        bench.time_out();
        assert_eq!(bench.sent(), mark(1));
    }
}

#[test]
fn a_follower_that_does_not_read_has_a_bounded_output_and_no_deadline() {
    let mut bench = client().with_marks(200, 50);
    bench.receive(b"FOLLOW *\n");
    for time in 6..100 {
        for id in ["a", "b", "c", "d", "e", "f"] {
            bench.report(id, time, Origin::CLIENT);
        }
        bench.follow_on();
        assert!(bench.pending() < 300);
    }
    assert_eq!(bench.deadline(), Moment::NEVER);
    bench.receive(b"FOO\n");
    let mut sent = String::new();
    for _ in 0..20 {
        sent += &served(&mut bench);
    }
    assert!(sent.ends_with(&format!("{}\n? FOO\n", mark(565))), "{sent}");
    assert_eq!(sent.matches(" 99\n").count(), 6, "{sent}");
}

#[test]
fn a_begun_line_of_a_follower_must_end_in_time() {
    let mut bench = client();
    follow(&mut bench, "FOLLOW a\n");
    bench.receive(b"FO");
    bench.now = bench.now + Duration::from_secs(60);
    bench.time_out();
    let sent = served(&mut bench);
    assert!(sent.ends_with(&format!("{}\n", mark(1))), "{sent}");
    assert_eq!(bench.closing(), Some(Close::Drain));
}

#[test]
fn a_follower_is_not_silent() {
    let mut bench = client();
    bench.server.limits.clients =
        ClientsSection { close_after: Duration::from_millis(50), end_line_after: Duration::from_millis(20) };
    follow(&mut bench, "FOLLOW a\n");
    for _ in 0..20 {
        bench.now = bench.deadline();
        bench.time_out();
        bench.sent();
    }
    assert_eq!(bench.closing(), None);
    // A whole command without LF ends the stream after its time.
    bench.receive(b"FOLLOW b");
    assert_eq!(served(&mut bench), "");
    bench.now = bench.deadline();
    bench.time_out();
    assert_eq!(served(&mut bench), format!("{0}\n{0}", mark(1)));
}

#[test]
fn a_shutdown_ends_streams_in_order() {
    let mut bench = client();
    follow(&mut bench, "FOLLOW a\n");
    bench.server.followers.close();
    assert_eq!(served(&mut bench), format!("{}\n", mark(1)));
    assert_eq!(follow(&mut bench, "FOLLOW a\n"), format!("{A5}{}\n", mark(1)), "a later one is a list");
    let mut bench = client();
    follow(&mut bench, "FOLLOW a\n");
    bench.shut_down();
    assert_eq!(served(&mut bench), format!("{}\n", mark(1)));
    assert_eq!(bench.closing(), Some(Close::Drain));
}

#[test]
fn the_log_has_the_beginning_and_the_end_of_a_stream() {
    let mut bench = client();
    follow(&mut bench, "FOLLOW a\n");
    bench.report("a", 7, Origin::CLIENT);
    follow(&mut bench, "\n");
    let log = bench.log();
    assert!(log.contains("'FOLLOW a' from (127.0.0.1, 40000) has begun"), "{log}");
    assert!(log.contains("'FOLLOW a' from (127.0.0.1, 40000) has ended after 2 lines"), "{log}");
    assert!(!log.contains("AT Riley"), "{log}");
}
