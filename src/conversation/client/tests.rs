use super::*;
use crate::conversation::Conversation;
use crate::conversation::testing::Bench;
use crate::protocol::{Close, Lost};
use proptest::prelude::*;

const KIWI: &str = "IAMAT kiwi +34.068930-118.445127 1621464827.959498503\n";

fn client() -> Bench {
    Bench::new(Conversation::Client(Client::unidentified()))
}

fn answer_all(bench: &mut Bench, json: &str) {
    bench.answer_questions(json);
}

#[test]
fn iamat_is_answered_and_stored() {
    let mut bench = client();
    bench.wall = 1_621_464_828_222_871_889;
    bench.receive(KIWI.as_bytes());
    let line = "AT Riley +0.263373386 kiwi +34.068930-118.445127 1621464827.959498503\n";
    assert_eq!(bench.sent(), line);
    assert_eq!(bench.server.store.get(b"kiwi"), Some(line.as_bytes()));
}

#[test]
fn lines_read_together_are_a_nanosecond_apart() {
    let mut bench = client();
    bench.wall = 7_000_000_000;
    bench.receive(b"IAMAT a +1-1 7\nFOO\nIAMAT b +1-1 7\n\nIAMAT c +1-1 7\n");
    assert_eq!(
        bench.sent(),
        "AT Riley +0.000000000 a +1-1 7\n? FOO\nAT Riley +0.000000002 b +1-1 7\nAT Riley +0.000000004 c +1-1 7\n"
    );
}

#[test]
fn a_losing_iamat_is_answered_with_its_own_data() {
    let mut bench = client();
    bench.wall = 7_000_000_000;
    bench.receive(b"IAMAT a +1-1 7\nIAMAT a +2-2 6\n");
    assert_eq!(bench.sent(), "AT Riley +0.000000000 a +1-1 7\nAT Riley +1.000000001 a +2-2 6\n");
    assert_eq!(bench.server.store.get(b"a").unwrap(), b"AT Riley +0.000000000 a +1-1 7\n");
    assert_eq!(bench.server.store.sequence(), 1);
}

#[test]
fn times_too_far_in_the_future_are_invalid() {
    let mut bench = client();
    bench.wall = 1_000_000_000;
    bench.receive(b"IAMAT a +1-1 86401\nIAMAT b +1-1 86401.000000002\n");
    assert_eq!(bench.sent(), "AT Riley -86400.000000000 a +1-1 86401\n? IAMAT b +1-1 86401.000000002\n");
    bench.server.limits.max_future_s = 0;
    bench.receive(b"IAMAT b +1-1 999999999999999999\n");
    assert!(bench.sent().starts_with("AT "));
}

#[test]
fn new_clients_of_a_full_store_are_invalid() {
    let mut bench = client();
    bench.server.store.set_records_max(1);
    bench.receive(b"IAMAT a +1-1 5\nIAMAT b +1-1 5\n");
    assert_eq!(bench.sent().lines().last(), Some("? IAMAT b +1-1 5"));
}

#[test]
fn invalid_commands_are_echoed_without_surrounding_white_space() {
    let mut bench = client();
    bench.receive(b" \t FOO \xff\0 bar\r\n\r\n \x0b\nAT Riley +0.000000000 a +1-1 5\nWHATSAT unknown 1 1\n");
    assert_eq!(
        bench.sent_bytes(),
        b"? FOO \xff\0 bar\n? AT Riley +0.000000000 a +1-1 5\n? WHATSAT unknown 1 1\n"
    );
}

#[test]
fn whatsat_asks_places_and_delays_later_replies() {
    let mut bench = client();
    bench.receive(KIWI.as_bytes());
    let line = bench.sent();
    bench.receive(b"WHATSAT kiwi 1.5 1\nFOO\nIAMAT b +1-1 5\n");
    assert_eq!(bench.sent(), "");
    assert!(bench.server.store.get(b"b").is_some(), "a command after a slow one takes effect at once");
    // The location is the one stored when the WHATSAT arrived.
    bench.receive(b"IAMAT kiwi +1-1 1721464827\n");
    answer_all(&mut bench, " {\"results\":[1,2]\n\n} ");
    let sent = bench.sent();
    assert!(sent.starts_with(&format!("{line}{{\"results\":[1]\n}}\n\n? FOO\nAT Riley ")), "{sent}");
}

#[test]
fn after_a_half_close_all_commands_are_answered() {
    let mut bench = client();
    bench.receive(KIWI.as_bytes());
    bench.sent();
    bench.receive(b"WHATSAT kiwi 1 1\nFOO");
    bench.eof();
    assert_eq!((bench.sent(), bench.closing()), (String::new(), None));
    answer_all(&mut bench, "{\"results\":[]}");
    assert!(bench.sent().ends_with("{\"results\":[]}\n\n? FOO\n"));
    assert_eq!(bench.closing(), Some(Close::Drain));
}

#[test]
fn over_long_lines_are_truncated() {
    for split in [true, false] {
        let mut bench = client();
        bench.server.limits.max_line = 64;
        let line = [&b"x".repeat(65)[..], b" y\n"].concat();
        if split {
            bench.receive(&line[..65]);
            bench.receive(&line[65..66]);
            bench.receive(&line[66..]);
        } else {
            bench.receive(&line);
        }
        bench.receive(&[&b"z".repeat(64)[..], b"\n"].concat());
        assert_eq!(bench.sent(), format!("? {}\n? {}\n", "x".repeat(64), "z".repeat(64)));
    }
}

#[test]
fn an_over_long_line_takes_no_memory() {
    let mut bench = client();
    for _ in 0..100 {
        bench.receive(&[b'x'; 1000]);
    }
    assert_eq!(bench.input_left(), 0);
    bench.receive(b"\nFOO\n");
    assert_eq!(bench.sent(), format!("? {}\n? FOO\n", "x".repeat(8192)));
}

#[test]
fn http_requests_end_the_connection() {
    for (length, version) in [1, 60, 70, 5000].into_iter().flat_map(|n| [(n, " HTTP/1.1"), (n, "")]) {
        let mut bench = client();
        bench.server.limits.max_line = 64;
        let path = "x".repeat(length);
        let text = format!("FOO\nGET /{path}{version}\r\nHost: x\r\n\r\nIAMAT a +1-1 5\n");
        text.as_bytes().chunks(50).for_each(|chunk| bench.receive(chunk));
        let copy: String = format!("GET /{path}{version}").chars().take(64).collect();
        assert_eq!(bench.sent(), format!("? FOO\n? {copy}\n"));
        assert_eq!(bench.closing(), Some(Close::Drain));
        assert!(bench.server.store.is_empty());
    }
}

const PUTTY: &[u8] = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03";
const NO_PUTTY: &[u8] = b"\xff\xfe\x1f\xff\xfe\x20\xff\xfe\x18\xff\xfc\x01\xff\xfe\x03\xff\xfc\x03";

/// The output of a new client for this input and the end of it, however it is split.
fn replies_to(input: &[u8]) -> Vec<u8> {
    let of_pieces = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut bench = client();
        bench.server.limits.max_line = 64;
        pieces.for_each(|piece| bench.receive(piece));
        bench.eof();
        assert_eq!(bench.closing(), Some(Close::Drain));
        bench.sent_bytes()
    };
    let whole = of_pieces(&mut [input].into_iter());
    assert_eq!(of_pieces(&mut input.chunks(1)), whole, "{}", input.escape_ascii());
    for cut in 1..input.len() {
        let (first, second) = input.split_at(cut);
        assert_eq!(of_pieces(&mut [first, second].into_iter()), whole, "{}", input.escape_ascii());
    }
    whole
}

#[test]
fn telnet_options_are_refused_and_other_commands_dropped() {
    assert_eq!(
        replies_to(&[PUTTY, b"FOO\r\n", PUTTY, b"\r\nBAR"].concat()),
        [NO_PUTTY, b"? FOO\n", NO_PUTTY, b"? BAR\n"].concat()
    );
    // Ctrl-C in telnet.
    assert_eq!(replies_to(b"\xff\xf4\xff\xfd\x06FOO\r\n"), b"\xff\xfc\x06? FOO\n");
    assert_eq!(replies_to(b"\xff\xfc\x01\xff\xfe\x03\xff\xffFOO\n"), b"? FOO\n");
    assert_eq!(replies_to(b"\xff\nFOO\n"), b"? FOO\n", "an IAC before LF alone");
    assert_eq!(replies_to(b"FOO\xff\xfd\x03\n \xff\xfd\x03\n"), b"? FOO\xff\xfd\x03\n? \xff\xfd\x03\n");
}

#[test]
fn a_subnegotiation_is_no_line() {
    let size = b"\xff\xfa\x1f\0\n\nIAMAT a +1-1 5\n\xff\xf0";
    assert_eq!(
        replies_to(&[size, &b"FOO\n"[..], size, b"\xff\xfd\nBAR\n"].concat()),
        b"? FOO\n\xff\xfc\n? BAR\n"
    );
    let long = [b"\xff\xfa\x18", &b"x".repeat(200)[..], b"\xff\xf0FOO\n"].concat();
    assert_eq!(replies_to(&long), b"? FOO\n", "its content is not a line that is too long");
}

#[test]
fn a_telnet_command_that_does_not_end_is_no_line() {
    for rest in [&b"\xff"[..], b"\xff\xfd", b"\xff\xfaxyz", b"\xff\xfaxyz\n\xff"] {
        assert_eq!(replies_to(&[b"FOO\n", rest].concat()), b"? FOO\n");
    }
}

#[test]
fn a_subnegotiation_must_end_in_time() {
    let mut bench = client();
    let start = bench.now;
    bench.receive(b"\xff\xfa\x1fabc\n");
    assert_eq!(bench.deadline(), start + Duration::from_secs(60));
    bench.now = start + Duration::from_secs(50);
    bench.receive(&[b'x'; 20_000]);
    assert_eq!((bench.deadline(), bench.input_left()), (start + Duration::from_secs(60), 0));
    bench.receive(b"\xff\xf0");
    assert_eq!(bench.deadline(), Moment::NEVER);
    bench.receive(b"\xff\xfax");
    bench.now = bench.deadline();
    bench.time_out();
    assert_eq!(bench.closing(), Some(Close::Drain));
}

#[test]
fn sixty_four_options_are_refused() {
    let input: Vec<u8> = (0..100).flat_map(|option| [0xff, 0xfd, option]).chain(*b"FOO\n").collect();
    let output: Vec<u8> = (0..64).flat_map(|option| [0xff, 0xfc, option]).chain(*b"? FOO\n").collect();
    assert_eq!(replies_to(&input), output);
}

#[test]
fn cr_nul_ends_a_line_after_a_telnet_command() {
    assert_eq!(replies_to(b"FOO\r\0BAR\n\xff\xfe\x01X\r\0Y\r\n"), b"? FOO\r\0BAR\n? X\n? Y\n");
    assert_eq!(replies_to(b"\xff\xf1FOO\r\0\r\0A\0B\r\0BAZ\nX\r\0"), b"? FOO\n? A\0B\n? BAZ\n? X\n");
    assert_eq!(replies_to(b"\xff\xfd\r\0X\n"), b"\xff\xfc\r? \0X\n", "the CR is the option");
    let long = b"x".repeat(100);
    let copy = [b"? ", &long[..64], b"\n? FOO\n"].concat();
    assert_eq!(replies_to(&[b"\xff\xf1", &long[..], b"\r\0FOO\r\0"].concat()), copy);
    assert_eq!(replies_to(&[b"\xff\xf1", &long[..64], b"\r\0FOO\r\0"].concat()), copy);
}

#[test]
fn telnet_answers_keep_the_order_of_the_input() {
    let mut bench = client();
    bench.receive(KIWI.as_bytes());
    let line = bench.sent();
    bench.receive(b"WHATSAT kiwi 1 1\n\xff\xfd\x06FOO\n\xff\xfb\x06");
    assert_eq!(bench.sent(), "");
    answer_all(&mut bench, "{\"results\":[]}");
    let reply = format!("{line}{{\"results\":[]}}\n\n");
    assert_eq!(bench.sent_bytes(), [reply.as_bytes(), b"\xff\xfc\x06? FOO\n\xff\xfe\x06"].concat());
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_start_only() {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    assert_eq!(
        replies_to(&[MARK, b"FOO\n", MARK, b"BAR\n"].concat()),
        [b"? FOO\n? ", MARK, b"BAR\n"].concat()
    );
    assert_eq!(replies_to(&[MARK, MARK, b"FOO\n"].concat()), [b"? ", MARK, b"FOO\n"].concat());
    assert_eq!(replies_to(&[b" ", MARK, b"FOO\n"].concat()), [b"? ", MARK, b"FOO\n"].concat());
    assert_eq!(replies_to(&[MARK, b"\r\n", MARK].concat()), [b"? ", MARK, b"\n"].concat());
    assert_eq!(replies_to(b"\xef\xbbFOO\n"), b"? \xef\xbbFOO\n");
    assert_eq!(replies_to(b"\xef\xbb"), b"? \xef\xbb\n");
    assert_eq!(replies_to(&[MARK, b"\xff\xfd\x01FOO"].concat()), b"\xff\xfc\x01? FOO\n");
}

#[test]
fn a_line_must_end_in_time() {
    let mut bench = client();
    assert_eq!(bench.deadline(), Moment::NEVER);
    let start = bench.now;
    bench.receive(b"FO");
    assert_eq!(bench.deadline(), start + Duration::from_secs(60));
    bench.now = start + Duration::from_secs(50);
    bench.receive(b"O");
    assert_eq!(bench.deadline(), start + Duration::from_secs(60), "a further byte does not help");
    bench.receive(b"\nB");
    assert_eq!(bench.deadline(), bench.now + Duration::from_secs(60));
    bench.receive(b"\n");
    assert_eq!(bench.deadline(), Moment::NEVER);
    bench.receive(b"x");
    bench.now = bench.deadline();
    bench.time_out();
    assert_eq!((bench.sent().as_str(), bench.closing()), ("? FOO\n? B\n", Some(Close::Drain)));
}

/// A client of a server with these settings, in milliseconds.
fn client_with(end_line_after: u64, close_after: u64) -> Bench {
    let mut bench = client();
    bench.server.limits.clients = ClientsSection {
        end_line_after: Duration::from_millis(end_line_after),
        close_after: Duration::from_millis(close_after),
    };
    bench
}

/// Lets time pass up to the deadline of the client, in milliseconds. The look at output that was just written does
/// not count.
fn wait_for_deadline(bench: &mut Bench) -> u128 {
    let passed = wait(bench);
    if passed == FIRST_LOOK_MS { wait(bench) } else { passed }
}

const FIRST_LOOK_MS: u128 = 5;

fn wait(bench: &mut Bench) -> u128 {
    let passed = bench.deadline() - bench.now;
    bench.now = bench.deadline();
    bench.wall += passed.as_nanos() as u64;
    bench.time_out();
    passed.as_millis()
}

#[test]
fn a_whole_command_without_lf_is_carried_out_after_a_silence() {
    let mut bench = client_with(150, 0);
    bench.wall = 7_000_000_000;
    bench.receive(b"FOO\nIAMAT a +1-1 ");
    bench.sent();
    assert_eq!(wait_for_deadline(&mut bench), 150);
    assert_eq!((bench.sent().as_str(), bench.input_left()), ("", 13), "it is no whole command");
    assert_eq!(bench.deadline(), bench.now + Duration::from_millis(59_850));
    bench.receive(b"7");
    let last_byte = bench.wall;
    assert_eq!(wait_for_deadline(&mut bench), 150);
    let skew = last_byte - 7_000_000_000;
    assert_eq!(bench.sent(), format!("AT Riley +0.{skew:09} a +1-1 7\n"), "the time of its last byte");
    assert_eq!((bench.input_left(), bench.deadline()), (0, Moment::NEVER));
    bench.receive(b".5\r\nWHATSAT a 1 1");
    assert_eq!(bench.sent(), "? .5\n", "what follows is a line of its own");
    wait_for_deadline(&mut bench);
    answer_all(&mut bench, "{\"results\":[]}");
    assert!(bench.sent().ends_with("{\"results\":[]}\n\n"));
}

#[test]
fn an_invalid_command_waits_for_its_lf() {
    for part in ["FOO", "IAMAT a +1-1", "IAMAT a +1-1 99999999999", "WHATSAT a 1 1", "GET / HTTP/1.1", " "] {
        let mut bench = client_with(150, 0);
        bench.receive(part.as_bytes());
        wait_for_deadline(&mut bench);
        assert_eq!((bench.sent().as_str(), bench.input_left()), ("", part.len()), "{part}");
        bench.receive(b"x\n");
        assert_eq!(bench.sent(), format!("? {}x\n", part.trim_start()));
    }
    let mut full = client_with(150, 0);
    full.server.store.set_records_max(0);
    full.receive(b"IAMAT a +1-1 5");
    wait_for_deadline(&mut full);
    assert_eq!(full.sent(), "");
}

#[test]
fn each_byte_postpones_the_end_of_a_line_and_of_the_connection() {
    let mut bench = client_with(200, 300);
    bench.receive(b"IAMAT a +1-1 1");
    bench.now = bench.now + Duration::from_millis(150);
    bench.receive(b"2");
    assert_eq!(wait_for_deadline(&mut bench), 200);
    assert!(bench.sent().ends_with(" 12\n"));
    assert_eq!(wait_for_deadline(&mut bench), 300, "from the reply on");
    assert_eq!(bench.closing(), Some(Close::Drain));
}

#[test]
fn a_silent_connection_is_closed_once_all_replies_are_sent() {
    let mut bench = client_with(0, 800);
    bench.receive(b"FOO\n");
    // The output cannot be sent.
    assert_eq!((wait_for_deadline(&mut bench), wait_for_deadline(&mut bench)), (100, 100));
    assert_eq!((bench.sent().as_str(), bench.closing()), ("? FOO\n", None));
    assert_eq!((wait_for_deadline(&mut bench), bench.closing()), (100, None), "it may just have been sent");
    assert_eq!(wait_for_deadline(&mut bench), 800);
    assert_eq!(bench.closing(), Some(Close::Drain));
    assert!(bench.log().contains("is closed: silent for 800ms (clients.close_after_ms)"));
}

#[test]
fn a_client_that_reads_late_is_not_closed_early() {
    let mut bench = client_with(0, 800);
    bench.receive(b"FOO\n");
    for _ in 0..6 {
        wait_for_deadline(&mut bench);
    }
    let read_at = bench.now;
    assert_eq!(bench.sent(), "? FOO\n");
    while bench.closing().is_none() {
        wait_for_deadline(&mut bench);
    }
    let silence = (bench.now - read_at).as_millis();
    assert!((800..=900).contains(&silence), "{silence}");
}

#[test]
fn a_connection_with_a_pending_reply_is_not_closed() {
    let mut bench = client_with(0, 800);
    bench.receive(KIWI.as_bytes());
    bench.receive(b"WHATSAT kiwi 1 1\n");
    bench.sent();
    assert_eq!(bench.deadline(), Moment::NEVER);
    bench.now = bench.now + Duration::from_secs(4);
    answer_all(&mut bench, "{\"results\":[]}");
    bench.sent();
    assert_eq!((wait_for_deadline(&mut bench), bench.closing()), (800, Some(Close::Drain)));
}

#[test]
fn a_connection_that_never_sends_is_closed_too() {
    let mut server = client_with(0, 800).into_server();
    let mut bench = client();
    std::mem::swap(&mut bench.server, &mut server);
    bench.connect();
    assert_eq!((wait_for_deadline(&mut bench), bench.closing()), (800, Some(Close::Drain)));
}

#[test]
fn a_slow_reader_is_not_read_from() {
    let mut bench = client().with_marks(100, 10);
    bench.receive(&b"FOO\n".repeat(1000));
    assert!(bench.pending() < 120 && bench.reading_is_paused());
    assert_eq!(bench.deadline(), Moment::NEVER);
    let mut replies = 0;
    while replies < 1000 {
        replies += bench.sent().lines().count();
    }
    assert_eq!((replies, bench.input_left()), (1000, 0));
}

#[test]
fn an_over_long_line_is_timed_after_a_pause_too() {
    let mut bench = client().with_marks(100, 10);
    bench.server.limits.max_line = 64;
    bench.receive(&[b'x'; 200]);
    bench.receive(b"\n");
    bench.receive(&[b'x'; 200]);
    assert!(bench.reading_is_paused() && bench.deadline() == Moment::NEVER);
    bench.sent();
    assert!(!bench.reading_is_paused());
    let until = bench.now + bench.server.limits.line_timeout;
    assert_eq!(bench.deadline(), until);
    bench.now = bench.now + Duration::from_secs(10);
    bench.receive(b"x");
    assert_eq!(bench.deadline(), until);
}

#[test]
fn a_client_with_many_pending_questions_is_not_read_from() {
    let mut bench = client();
    bench.receive(KIWI.as_bytes());
    bench.sent();
    bench.receive(&b"WHATSAT kiwi 1 1\n".repeat(100));
    assert!(bench.reading_is_paused() && bench.input_left() > 0);
    for _ in 0..2 {
        answer_all(&mut bench, "{\"results\":[]}");
    }
    assert_eq!(bench.sent().lines().count(), 300);
    assert!(!bench.reading_is_paused());
}

#[test]
fn an_over_long_line_is_judged_alike_however_it_is_split() {
    let hello = "HELLO herd/1 bruins Jaquez 0123456789abcdef\n";
    for (gap, answer) in [(52, "WELCOME Riley"), (53, "?    ")] {
        let line = format!("{:gap$}{hello}", "");
        let (mut whole, mut bytes) = (client(), client());
        (whole.server.limits.max_line, bytes.server.limits.max_line) = (64, 64);
        whole.receive(line.as_bytes());
        line.bytes().for_each(|byte| bytes.receive(&[byte]));
        for mut bench in [whole, bytes] {
            let sent = bench.sent();
            assert!(sent.starts_with(answer), "after {gap} spaces: {sent}");
        }
    }
}

#[test]
fn hello_as_the_first_line_makes_a_peer() {
    let mut bench = client();
    bench.receive(b"\r\n HELLO herd/1 ");
    assert!(matches!(bench.conversation, Conversation::InboundPeer(_)));
    let mut bench = client();
    bench.receive(b"FOO\nHELLO herd/1 bruins Jaquez 0123456789abcdef\n");
    assert_eq!(bench.sent(), "? FOO\n? HELLO herd/1 bruins Jaquez 0123456789abcdef\n");
    let mut bench = client();
    bench.receive(b"HELLO there\n");
    assert_eq!(bench.sent(), "? HELLO there\n");
}

#[test]
fn on_a_full_server_only_a_neighbour_may_stay() {
    let mut bench = Bench::new(Conversation::Client(Client::peers_only()));
    bench.receive(b"IAMAT a +1-1 5\nHELLO herd/1 bruins Jaquez 0123456789abcdef\n");
    assert_eq!((bench.sent().as_str(), bench.closing()), ("", Some(Close::Abort)));
    let reason =
        "Connection from (127.0.0.1, 40000) is closed: the server is full (limits.max_connections)\n";
    assert!(bench.log().contains(reason), "{}", bench.log());
    let mut bench = Bench::new(Conversation::Client(Client::peers_only()));
    assert_eq!(bench.deadline(), bench.now + PEER_GRACE);
    bench.receive(b"HELLO herd/1 bruins Jaquez 0123456789abcdef\n");
    assert!(bench.sent().starts_with("WELCOME "));
}

#[test]
fn a_lost_client_withdraws_its_questions() {
    let mut bench = client();
    bench.receive(KIWI.as_bytes());
    bench.receive(b"WHATSAT kiwi 1 1\n");
    assert_eq!(bench.server.desk.pending(), 1);
    bench.lose();
    assert_eq!(bench.server.desk.pending(), 0);
}

proptest! {
    /// The replies are the same however the input is split and however slowly the client reads.
    #[test]
    fn replies_do_not_depend_on_how_the_input_is_split(
        lines in proptest::collection::vec("(IAMAT [ab] [+]1-1 [1-9][0-9]{0,2}|FOO|WHATSAT [ab] 1 1| *|x{50,90})\r?\n", 0..20),
        cuts in proptest::collection::vec(1..40usize, 1..60),
        last in "[a-z]{0,5}",
    ) {
        let text = lines.concat() + &last;
        let converse = |pieces: &[usize], water_marks: (u32, u32)| {
            let mut bench = client().with_marks(water_marks.0, water_marks.1);
            bench.server.limits.max_line = 60;
            let (mut rest, mut sent) = (text.as_bytes(), String::new());
            for &piece in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                // A constant clock, so that the skews do not depend on the split.
                bench.wall = 1000;
                bench.receive(&rest[..piece.min(rest.len())]);
                rest = &rest[piece.min(rest.len())..];
                answer_all(&mut bench, "{\"results\":[]}");
                sent += &bench.sent();
            }
            bench.eof();
            for _ in 0..100 {
                answer_all(&mut bench, "{\"results\":[]}");
                sent += &bench.sent();
            }
            assert_eq!(bench.closing(), Some(Close::Drain));
            // The times of lines read together differ by nanoseconds.
            sent.lines().map(|line| line.split(' ').enumerate().filter(|(i, _)| !line.starts_with("AT ") || *i != 2)
                .map(|(_, word)| word).collect::<Vec<_>>().join(" ") + "\n").collect::<String>()
        };
        prop_assert_eq!(converse(&cuts, (30, 5)), converse(&[10_000], (100_000, 10)));
    }
}

/// The events of the log that are about refused or losing commands, without their time.
fn reasons(bench: &Bench) -> Vec<String> {
    let log = bench.log();
    let lines = log.lines().filter(|line| line.contains(" is refused: ") || line.contains("not stored"));
    lines.map(|line| line.splitn(3, ' ').last().unwrap().to_owned()).collect()
}

#[test]
fn each_refusal_is_an_event_with_its_reason() {
    let mut bench = client();
    bench.wall = 1_000_000_000;
    bench.server.limits.max_line = 64;
    bench.receive(b"IAMAT a +1+1 8035202\nWHATSAT b 1 1\n\xffFOO\n");
    bench.receive(&[b'x'; 65]);
    let from = "from (127.0.0.1, 40000) is refused";
    assert_eq!(
        reasons(&bench),
        [
            format!(
                "'IAMAT a +1+1 8035202' {from}: limits.max_future_s: 93 days ahead of this server's clock"
            ),
            format!("'WHATSAT b 1 1' {from}: unknown client"),
            format!("'OO' {from}: unknown command"),
            format!("'{}' {from}: limits.max_line: the line has more than 64 bytes", "x".repeat(64)),
        ]
    );
    let mut in_milliseconds = client();
    in_milliseconds.receive(b"IAMAT a +1+1 1621464827959\n");
    assert!(reasons(&in_milliseconds)[0].ends_with("(is the time in milliseconds?)"));
    let mut full = client();
    full.server.store.set_records_max(1);
    full.receive(b"IAMAT a +1-1 5\nIAMAT b +1-1 5\n");
    assert_eq!(
        reasons(&full),
        [format!("'IAMAT b +1-1 5' {from}: limits.max_clients: the store is full with 1 clients")]
    );
}

#[test]
fn refusals_in_the_log_are_limited_and_counted() {
    let mut bench = client();
    bench.receive(&b"FOO\n".repeat(100));
    bench.now = bench.now + Duration::from_secs(1);
    bench.receive(b"BAR\n");
    assert_eq!((reasons(&bench).len(), bench.server.refusals.all()), (11, 101));
    assert!(bench.log().contains("90 refusals before this one were not logged"));
}

#[test]
fn an_older_statement_is_logged_once_an_hour() {
    let mut bench = client();
    bench.receive(
        b"IAMAT p +1+1 1621464827\nIAMAT p +2+2 1002178427\nIAMAT p +3+3 5\nIAMAT p +1+1 1621464827\n",
    );
    let reason = "An IAMAT of 'p' from (127.0.0.1, 40000) is answered, but not stored: its time is 7167 days \
                  before that of the stored statement";
    assert_eq!(reasons(&bench), [reason]);
    bench.now = bench.now + Duration::from_secs(3600);
    bench.receive(b"IAMAT p +2+2 1002178427\n");
    assert_eq!(reasons(&bench), [reason, reason]);
}

#[test]
fn forget_is_answered_with_a_gone_and_the_client_is_unknown() {
    let mut bench = client();
    bench.wall = 7_500_000_000;
    bench.receive(b"IAMAT a +1-1 7\nFORGET a\nFORGET a\nWHATSAT a 1 1\nFORGET b\nFORGET\nFORGET a b\n");
    let gone = "GONE Riley +0.000000000 a 7.500000001\n";
    let refused = "? FORGET a\n? WHATSAT a 1 1\n? FORGET b\n? FORGET\n? FORGET a b\n";
    assert_eq!(bench.sent(), format!("AT Riley +0.500000000 a +1-1 7\n{gone}{refused}"));
    assert_eq!(
        (bench.server.store.get(b"a"), bench.server.store.newest(b"a")),
        (None, Some(gone.as_bytes()))
    );
    assert_eq!(bench.server.store.sequence(), 2);
    assert!(bench.log().contains(&format!("sent to client '{}'", gone.trim_end())));
    let operands = "FORGET takes a client: 1 operand, got";
    let expected = ["unknown client", "unknown client", "unknown client", operands, operands];
    for (reason, words) in reasons(&bench).iter().zip(expected) {
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn only_an_iamat_with_a_greater_time_brings_a_forgotten_client_back() {
    let mut bench = client();
    bench.wall = 7_500_000_000;
    bench.receive(b"IAMAT a +1-1 7\nFORGET a\nIAMAT a +2-2 7.500000001\nIAMAT a +2-2 7\nWHATSAT a 1 1\n");
    let replies = bench.sent();
    assert!(replies.ends_with("AT Riley +0.500000003 a +2-2 7\n? WHATSAT a 1 1\n"), "{replies}");
    let lost = "An IAMAT of 'a' from (127.0.0.1, 40000) is answered, but not stored: its time is not after that of \
                the FORGET of that client";
    assert_eq!(reasons(&bench)[0], lost);
    bench.receive(b"IAMAT a +3-3 7.500000002\n");
    assert_eq!(bench.sent().as_bytes(), bench.server.store.get(b"a").unwrap());
}

#[test]
fn a_gone_has_the_time_of_a_statement_of_the_future_that_it_replaces() {
    let mut bench = client();
    bench.wall = 7_500_000_000;
    bench.receive(b"IAMAT a +1-1 0010.5\nFORGET a\nIAMAT a +1-1 10.5\n");
    assert!(bench.sent().contains("\nGONE Riley -2.999999999 a 10.500000000\n"));
    assert_eq!(bench.server.store.len(), 0, "at equal times a GONE wins");
}

#[test]
fn an_expired_client_is_unknown() {
    let mut bench = client();
    bench.server.set_limits(Limits { expire_s: 10, ..bench.server.limits.clone() });
    bench.wall = 100_000_000_000;
    bench.receive(b"IAMAT a +1-1 99\n");
    bench.sent();
    bench.wall += 10_000_000_000;
    bench.receive(b"WHATSAT a 1 1\n");
    bench.answer_questions("{\"results\":[]}");
    assert!(bench.sent().starts_with("AT Riley +1.000000000 a +1-1 99\n"));
    bench.wall += 1;
    bench.receive(b"WHATSAT a 1 1\nFORGET a\nIAMAT a +2-2 5\n");
    assert_eq!(bench.sent(), "? WHATSAT a 1 1\n? FORGET a\nAT Riley +105.000000003 a +2-2 5\n");
    assert!(bench.server.store.get(b"a").is_some(), "an older IAMAT after the newer one has expired");
}

#[test]
fn a_whole_forget_without_lf_is_carried_out_after_a_silence() {
    let mut bench = client_with(150, 0);
    bench.receive(b"IAMAT a +1-1 5\nFORGET a");
    bench.sent();
    wait_for_deadline(&mut bench);
    assert!(bench.sent().starts_with("GONE Riley "));
    bench.receive(b"\nFORGET a");
    wait_for_deadline(&mut bench);
    assert_eq!(bench.sent(), "", "the client is unknown now");
}

#[test]
fn the_port_of_neighbours_serves_no_client() {
    let neighbour = || Bench::new(Conversation::Client(Client::on_port_of_neighbours())).with_keys();
    let mut bench = neighbour();
    assert_eq!(bench.deadline(), bench.now + Duration::from_secs(2));
    bench.time_out();
    assert_eq!(bench.closing(), Some(Close::Abort), "a silent one");
    let mut bench = neighbour();
    bench.receive(b"IAMAT kiwi +1-1 5\n");
    assert_eq!((bench.sent().as_str(), bench.closing()), ("", Some(Close::Abort)));
    assert!(
        bench.log().contains("is closed: it showed no certificate of a neighbour, or"),
        "{}",
        bench.log()
    );
    for name in [None, Some("Zoe")] {
        let mut bench = neighbour();
        bench.secure(name);
        assert_eq!(bench.closing(), Some(Close::Abort), "without waiting for a line");
        assert!(
            bench.log().contains("is closed: it showed no certificate of a neighbour, or"),
            "{}",
            bench.log()
        );
    }
    let mut bench = neighbour();
    bench.now = bench.now + Duration::from_secs(3);
    bench.secure(Some("Jaquez"));
    assert_eq!(bench.deadline(), bench.now + Duration::from_secs(2), "after the handshake");
    bench.receive(b"HELLO herd/1 bruins Jaquez 0123456789abcdef\n");
    assert!(bench.sent().starts_with("WELCOME "));
}

#[test]
fn a_neighbour_that_sends_no_hello_after_the_handshake_is_closed() {
    let mut bench = client().with_keys();
    bench.secure(Some("Jaquez"));
    assert_eq!(bench.deadline(), bench.now + Duration::from_secs(2));
    bench.now = bench.deadline();
    bench.time_out();
    assert_eq!(bench.closing(), Some(Close::Abort));
    assert!(bench.log().contains("sent no HELLO within 2s"), "{}", bench.log());
    // A client may be silent, with or without a certificate of its own.
    for name in [None, Some("Zoe")] {
        let mut bench = client().with_keys();
        bench.secure(name);
        assert_eq!(bench.deadline(), Moment::NEVER);
    }
}

#[test]
fn failed_handshakes_are_logged_and_do_not_fill_the_log() {
    let mut bench = client();
    for _ in 0..100 {
        let error = std::io::Error::other("it has shown no certificate");
        bench.lose_because(Lost::NotSecured(error));
    }
    let log = bench.log();
    assert_eq!(log.matches("failed: it has shown no certificate").count(), 10);
    assert_eq!(bench.server.handshakes_failed.all(), 100);
}

#[test]
fn a_client_that_sends_too_many_lines_is_read_from_more_slowly() {
    let mut bench = client();
    bench.server.limits.max_lines_per_second = 10;
    bench.address = "192.0.2.7:40000".parse().unwrap();
    bench.connect();
    bench.receive(&b"FOO\n".repeat(25));
    bench.eof();
    assert_eq!(bench.sent(), "? FOO\n".repeat(10));
    assert!(bench.reading_is_paused());
    let mut sent = 10;
    for _ in 0..15 {
        let deadline = bench.deadline();
        assert_eq!(deadline - bench.now, Duration::from_millis(100));
        bench.now = deadline;
        bench.time_out();
        sent += bench.sent().lines().count();
    }
    sent += bench.sent().lines().count();
    // Nothing was refused, and the half-close came after the last line.
    assert_eq!((sent, bench.input_left(), bench.closing()), (25, 0, Some(Close::Drain)));
}

#[test]
fn a_client_on_this_machine_may_send_as_many_lines_as_it_likes() {
    let mut bench = client();
    bench.server.limits.max_lines_per_second = 10;
    bench.connect();
    bench.receive(&b"FOO\n".repeat(100));
    assert_eq!(bench.sent(), "? FOO\n".repeat(100));
    bench.address = "[::ffff:127.0.0.1]:40000".parse().unwrap();
    bench.connect();
    bench.receive(&b"FOO\n".repeat(100));
    assert_eq!(bench.sent(), "? FOO\n".repeat(100));
}

#[test]
fn an_answer_of_places_gives_a_paced_client_no_line_more() {
    let mut bench = client();
    bench.server.limits.max_lines_per_second = 2;
    bench.address = "192.0.2.7:40000".parse().unwrap();
    bench.connect();
    bench.receive(KIWI.as_bytes());
    bench.receive(b"WHATSAT kiwi 1 1\nFOO\n");
    bench.sent();
    assert!(bench.reading_is_paused() && bench.input_left() == 4);
    answer_all(&mut bench, "{\"results\":[]}");
    assert!(bench.sent().starts_with("AT ") && bench.reading_is_paused() && bench.input_left() == 4);
    bench.now = bench.deadline();
    bench.time_out();
    assert_eq!(bench.sent() + &bench.sent(), "? FOO\n");
}

#[test]
fn a_paced_client_that_does_not_read_is_not_looked_at() {
    let mut bench = client().with_marks(10, 5);
    bench.server.limits.max_lines_per_second = 2;
    bench.address = "192.0.2.7:40000".parse().unwrap();
    bench.connect();
    bench.receive(&b"FOO\n".repeat(4));
    assert!(bench.reading_is_paused() && bench.pending() > 10);
    bench.now = bench.now + Duration::from_secs(5);
    bench.time_out();
    assert!(bench.reading_is_paused() && bench.deadline() == Moment::NEVER);
    let mut replies = 0;
    while bench.pending() > 0 {
        replies += bench.sent().lines().count();
    }
    assert!((2..=4).contains(&replies) && bench.input_left() <= 8);
}

#[test]
fn the_hello_of_a_neighbour_is_not_paced() {
    let mut bench = client();
    bench.server.limits.max_lines_per_second = 1;
    bench.connect();
    bench.receive(b"\nHELLO herd/1 bruins Jaquez 0123456789abcdef\n");
    assert!(bench.sent().starts_with("WELCOME Riley "));
}

/// A server with as many clients at one spot, whose IDs have this length.
fn crowd(clients: usize, id_length: usize) -> Bench {
    let mut bench = client();
    for number in 0..clients {
        bench.receive(format!("IAMAT {number:0id_length$} +1-1 1\n").as_bytes());
        bench.sent();
    }
    bench.search();
    bench
}

#[test]
fn near_is_answered_with_the_nearest_clients() {
    let mut bench = client();
    bench.wall = 1_000_000_000;
    bench.receive(b"IAMAT a +1-1 1\nIAMAT b +1.01-1 1\nIAMAT c +1.0-1.0 1\nIAMAT d +50+50 1\n");
    bench.sent();
    bench.receive(b"NEAR a 100 9\nNEAR +1-1 0 9\nNEAR a 100 1\nNEAR x 1 1\nNEAR d 1 1\nNEAR a 1 1 1\n");
    assert_eq!(
        bench.sent(),
        "0.000 AT Riley +0.000000002 c +1.0-1.0 1\n1.112 AT Riley +0.000000001 b +1.01-1 1\n\n\
         0.000 AT Riley +0.000000000 a +1-1 1\n0.000 AT Riley +0.000000002 c +1.0-1.0 1\n\n\
         0.000 AT Riley +0.000000002 c +1.0-1.0 1\n\n\
         ? NEAR x 1 1\n\n? NEAR a 1 1 1\n"
    );
    assert!(
        bench.log().contains("sent to client '0.000 AT Riley +0.000000002 c +1.0-1.0 1\\x0a'"),
        "{}",
        bench.log()
    );
    assert!(bench.log().contains("'NEAR x 1 1' from (127.0.0.1, 40000) is refused: unknown client"));
    bench.receive(b"FORGET a\nNEAR a 1 1\nNEAR +1-1 1 9\n");
    assert!(bench.sent().ends_with("\n? NEAR a 1 1\n0.000 AT Riley +0.000000002 c +1.0-1.0 1\n\n"));
    assert_eq!(bench.server.store.searches(), 0);
}

#[test]
fn a_search_among_a_crowd_goes_on_in_later_turns() {
    let mut bench = crowd(1000, 3);
    bench.receive(b"NEAR +1-1 0 2\nIAMAT 000 +2-2 9\nFOO\n");
    assert_eq!(bench.sent(), "", "replies keep their order");
    let mut turns = 0;
    while bench.search() {
        turns += 1;
        assert!(turns < 20);
    }
    assert!(turns > 3, "{turns}");
    let sent = bench.sent();
    let lines: Vec<&str> = sent.lines().collect();
    assert!(lines[0].starts_with("0.000 AT ") && lines[0].ends_with(" 000 +1-1 1"), "as it was: {sent}");
    assert!(lines[1].ends_with(" 001 +1-1 1") && lines[2].is_empty());
    assert!(lines[3].ends_with(" 000 +2-2 9") && lines[4] == "? FOO");
    assert_eq!(bench.server.store.get(b"000").map(|line| line.ends_with(b" +2-2 9\n")), Some(true));
}

#[test]
fn nothing_is_carried_out_before_a_search_that_has_not_begun() {
    let mut bench = crowd(1000, 3);
    bench.receive(b"NEAR +1-1 0 1\nNEAR +1-1 0 1000\nIAMAT 000 +2-2 9\n");
    assert!(bench.reading_is_paused(), "one search of a client runs at a time");
    assert!(bench.server.store.get(b"000").unwrap().ends_with(b" +1-1 1\n"));
    while bench.search() {}
    assert!(!bench.reading_is_paused());
    let sent = bench.sent();
    assert_eq!(sent.lines().count(), 1 + 1 + 1000 + 1 + 1);
    assert!(sent.lines().nth(2).unwrap().ends_with(" 000 +1-1 1") && sent.ends_with(" 000 +2-2 9\n"));
}

#[test]
fn a_turn_has_a_bounded_number_of_steps_for_searches() {
    let mut bench = crowd(30, 3);
    let questions = "NEAR +1-1 0 1\n".repeat(200);
    bench.receive(questions.as_bytes());
    let answered = bench.sent().matches("\n\n").count();
    assert!((1..100).contains(&answered), "{answered}");
    assert!(bench.server.searches.are_exhausted() && bench.reading_is_paused());
    let mut all = answered;
    while bench.search() || bench.input_left() > 0 {
        let sent = bench.sent().matches("\n\n").count();
        assert!(sent < 100, "{sent} in a turn");
        all += sent;
    }
    assert_eq!(all + bench.sent().matches("\n\n").count(), 200);
}

#[test]
fn a_search_ends_with_its_client() {
    let mut bench = crowd(1000, 3);
    bench.receive(b"NEAR +1-1 0 1\nNEAR +1-1 0 1\n");
    assert_eq!(bench.server.store.searches(), 1);
    bench.lose();
    assert_eq!(bench.server.store.searches(), 0);
    assert!(!bench.server.searches.begin_turn());
}

#[test]
fn a_last_near_is_answered_after_a_half_close() {
    let mut bench = crowd(1000, 3);
    bench.receive(b"NEAR +1-1 0 1\nNEAR +1-1 0 ");
    bench.receive(b"2");
    bench.eof();
    assert_eq!(bench.closing(), None);
    while bench.search() {}
    assert_eq!((bench.sent().lines().count(), bench.closing()), (2 + 3, Some(Close::Drain)));
}

#[test]
fn replies_to_near_that_are_not_read_are_bounded() {
    let mut bench = crowd(100, 1000);
    let near = |bench: &mut Bench, bound: usize| {
        bench.receive(format!("NEAR +1-1 0 {bound}\n").as_bytes());
        while bench.search() {}
    };
    bench.server.unread_answer_bytes = usize::MAX / 2;
    near(&mut bench, 20);
    assert_eq!(bench.sent().lines().count(), 20 + 1, "small replies are given");
    near(&mut bench, 100);
    assert_eq!(bench.sent(), "? NEAR +1-1 0 100\n");
    assert!(bench.log().contains("too many bytes of earlier answers were not read"));
    bench.server.unread_answer_bytes = 0;
    near(&mut bench, 100);
    assert!(bench.pending() > 100_000);
    assert_eq!(bench.server.unread_answer_bytes, bench.pending(), "the output is unread");
    bench.lose();
    assert_eq!(bench.server.unread_answer_bytes, 0);
}

/// A client of a server whose replies wait for the disk.
fn client_of_a_disk() -> Bench {
    let mut bench = client();
    bench.wall = 7_000_000_000;
    bench.server.durability.let_replies_wait();
    bench
}

#[test]
fn a_reply_to_a_statement_waits_for_the_disk() {
    let mut bench = client_of_a_disk();
    bench.receive(b"IAMAT a +1-1 5\nIAMAT b +1-1 5\n");
    assert_eq!(bench.sent(), "");
    assert_eq!(bench.server.store.len(), 2, "neighbours and followers do not wait");
    bench.disk_reaches(1, false);
    assert_eq!(bench.sent(), "AT Riley +2.000000000 a +1-1 5\n");
    bench.receive(b"IAMAT c +1-1 5\n");
    bench.disk_reaches(3, false);
    assert_eq!(bench.sent(), "AT Riley +2.000000001 b +1-1 5\nAT Riley +2.000000000 c +1-1 5\n");
    bench.receive(b"IAMAT c +2-2 4\n");
    assert_eq!(bench.sent(), "AT Riley +3.000000000 c +2-2 4\n", "what it lost against is on the disk");
}

#[test]
fn replies_after_one_that_waits_for_the_disk_keep_their_order() {
    let mut bench = client_of_a_disk();
    bench.receive(b"FOO\nIAMAT a +1-1 5\nBAR\nWHATSAT a 1 1\nFORGET a\nBAZ\n");
    answer_all(&mut bench, "{}");
    assert_eq!(bench.sent(), "? FOO\n");
    bench.disk_reaches(1, false);
    let sent = bench.sent();
    assert!(
        sent.starts_with("AT Riley +2.000000001 a +1-1 5\n? BAR\nAT Riley +2.000000001 a +1-1 5\n{"),
        "{sent}"
    );
    assert!(!sent.contains("GONE") && !sent.contains("BAZ"), "{sent}");
    bench.disk_reaches(2, false);
    assert_eq!(bench.sent(), "GONE Riley +0.000000000 a 7.000000004\n? BAZ\n");
}

#[test]
fn a_disk_that_fails_refuses_statements() {
    let mut bench = client_of_a_disk();
    bench.receive(b"IAMAT a +1-1 5\nIAMAT  b +1-1 5 \r\nFORGET a\n");
    bench.disk_reaches(1, true);
    assert_eq!(bench.sent(), "AT Riley +2.000000000 a +1-1 5\n? IAMAT  b +1-1 5\n? FORGET a\n");
    bench.receive(b"IAMAT c +1-1 5\nFORGET b\nNEAR b 10 5\n");
    let sent = bench.sent();
    assert!(sent.starts_with("? IAMAT c +1-1 5\n? FORGET b\n"), "{sent}");
    assert_eq!(bench.server.store.newest(b"c"), None, "nothing is stored");
    bench.server.durability.works_again();
    bench.receive(b"IAMAT c +1-1 5\n");
    bench.disk_reaches(4, false);
    assert_eq!(bench.sent(), "AT Riley +2.000000000 c +1-1 5\n");
}

#[test]
fn a_client_that_waits_for_the_disk_is_not_read_from_for_ever() {
    let mut bench = client_of_a_disk();
    let lines: String = (0..10_000).map(|number| format!("IAMAT {number} +1-1 5\n")).collect();
    bench.receive(lines.as_bytes());
    let stored = bench.server.store.len();
    assert!(bench.input_left() > 0 && stored < 2_000, "{stored} replies wait");
    bench.disk_reaches(stored as u64, false);
    assert_eq!(bench.sent().lines().count(), stored);
    assert!(bench.server.store.len() > stored, "it is read from again");
}

#[test]
fn a_half_closed_client_gets_the_replies_that_wait_for_the_disk() {
    let mut bench = client_of_a_disk();
    bench.receive(b"IAMAT a +1-1 5\nIAMAT b +1-1 5");
    bench.eof();
    assert_eq!((bench.sent(), bench.closing()), (String::new(), None));
    bench.disk_reaches(2, false);
    assert_eq!((bench.sent().lines().count(), bench.closing()), (2, Some(Close::Drain)));
}
