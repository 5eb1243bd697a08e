//! Unit tests of the desk, which call it with times of their own.

use proptest::prelude::*;

use super::*;
use crate::places::dialect::Dialect;

type TestDesk = Desk<u32, u32>;
type TestStep = Step<u32, u32>;

fn ms(ms: u64) -> Moment {
    Moment::START + Duration::from_millis(ms)
}

fn bounds() -> Bounds {
    Bounds {
        timeout: Duration::from_secs(5),
        connections: 64,
        waiting: 1000,
        per_minute: 0,
        cache: Duration::ZERO,
    }
}

fn desk_with(change: impl FnOnce(&mut Bounds)) -> TestDesk {
    let mut bounds = bounds();
    change(&mut bounds);
    Desk::new(bounds, Service::default())
}

fn desk() -> TestDesk {
    desk_with(|_| {})
}

/// The question number `n`, which differs from all others.
fn question(n: u32) -> Question {
    Question::new(b"+1", b"-1", (n + 1).to_string().as_bytes())
}

/// Waiter `n` asks question number `n`.
fn ask(desk: &mut TestDesk, at: u64, n: u32) -> QuestionId {
    desk.ask(ms(at), question(n), n);
    QuestionId(desk.last)
}

fn steps(desk: &mut TestDesk, at: u64) -> Vec<TestStep> {
    let is_action = |step: &TestStep| !matches!(step, Step::WakeAt(_));
    std::iter::from_fn(|| desk.next_step(ms(at))).filter(is_action).collect()
}

/// The waiters that get an answer now, each with its `status` and message.
fn answers(desk: &mut TestDesk, at: u64) -> Vec<(u32, String)> {
    let answer = |step| match step {
        Step::Answer(waiter, answer) => Some((waiter, status(&answer))),
        _ => None,
    };
    steps(desk, at).into_iter().filter_map(answer).collect()
}

fn status(answer: &Answer) -> String {
    let value: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
    let message = value["error_message"].as_str().map(|message| format!(": {message}")).unwrap_or_default();
    format!("{}{message}", value["status"].as_str().unwrap_or("none"))
}

fn response(status: u16, body: &str, retry_after: Option<u64>) -> Outcome {
    let retry_after = retry_after.map(Duration::from_secs);
    Outcome::Response(Response { status, body: body.into(), keep_alive: true, retry_after })
}

fn ok() -> Outcome {
    response(200, r#"{"results":[1,2,3],"status":"OK"}"#, None)
}

fn broken(nothing_received: bool) -> Outcome {
    Outcome::Broken { nothing_received, reason: "it broke".into() }
}

/// A question is asked and put on a new connection with this number.
fn put(desk: &mut TestDesk, at: u64, n: u32, connection: u32) -> QuestionId {
    let id = ask(desk, at, n);
    assert_eq!(steps(desk, at), [Step::Connect(id)]);
    desk.connecting(id, connection);
    assert!(desk.connected(ms(at), connection).is_some());
    id
}

/// A question was answered on this connection, which is idle.
fn idle(desk: &mut TestDesk, at: u64, connection: u32) {
    put(desk, at, 900 + connection, connection);
    desk.answered(ms(at), connection, ok(), true);
    assert_eq!(answers(desk, at), [(900 + connection, "OK".to_owned())]);
}

fn asks(step: Option<&TestStep>, connection: u32) -> bool {
    matches!(step, Some(Step::Ask(own, _)) if *own == connection)
}

#[test]
fn an_idle_connection_is_reused() {
    let mut desk = desk();
    idle(&mut desk, 0, 7);
    ask(&mut desk, 0, 1);
    assert!(asks(steps(&mut desk, 0).first(), 7));
    desk.answered(ms(0), 7, ok(), false);
    assert_eq!(answers(&mut desk, 0).len(), 1);
    let third = ask(&mut desk, 0, 2);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(third)], "it was not reusable");
}

#[test]
fn the_request_is_that_of_the_question() {
    let mut desk = desk();
    let id = ask(&mut desk, 0, 6);
    let expected = Service::default().request(&question(6));
    assert_eq!(desk.request(id), Some(&expected));
    steps(&mut desk, 0);
    desk.connecting(id, 1);
    assert_eq!(desk.connected(ms(0), 1), Some(expected));
}

#[test]
fn a_reused_connection_that_ends_without_a_byte_is_replaced_once() {
    let mut desk = desk();
    put(&mut desk, 0, 0, 7);
    put(&mut desk, 0, 1, 8);
    desk.answered(ms(0), 7, ok(), true);
    desk.answered(ms(0), 8, ok(), true);
    steps(&mut desk, 0);
    let id = ask(&mut desk, 0, 2);
    assert!(asks(steps(&mut desk, 0).first(), 8), "the one that was used last");
    desk.answered(ms(0), 8, broken(true), false);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(id)], "not on another idle connection");
    desk.connecting(id, 9);
    desk.connected(ms(0), 9);
    desk.answered(ms(0), 9, broken(true), false);
    let answers = answers(&mut desk, 0);
    assert!(answers[0].0 == 2 && answers[0].1.ends_with("it broke"), "{answers:?}");
}

#[test]
fn a_question_whose_connection_is_gone_is_asked_on_a_new_one() {
    let mut desk = desk();
    idle(&mut desk, 0, 7);
    let id = ask(&mut desk, 0, 1);
    assert!(asks(steps(&mut desk, 0).first(), 7));
    desk.connection_lost(ms(0), 7);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(id)]);
}

#[test]
fn an_answer_that_breaks_off_is_not_asked_again() {
    let mut desk = desk();
    idle(&mut desk, 0, 7);
    ask(&mut desk, 0, 1);
    steps(&mut desk, 0);
    desk.answered(ms(0), 7, broken(false), false);
    assert_eq!(answers(&mut desk, 0).len(), 1);
}

#[test]
fn a_question_whose_connection_is_being_made_takes_an_idle_one() {
    let mut desk = desk();
    put(&mut desk, 0, 1, 7);
    let second = ask(&mut desk, 0, 2);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(second)]);
    desk.connecting(second, 8);
    desk.answered(ms(0), 7, ok(), true);
    let all = steps(&mut desk, 0);
    assert!(matches!(all[..], [Step::Answer(1, _), Step::Ask(7, _), Step::Abort(8)]), "{all:?}");
    desk.connection_lost(ms(0), 8);
    let third = ask(&mut desk, 0, 3);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(third)]);
    desk.answered(ms(0), 7, ok(), true);
    let all = steps(&mut desk, 0);
    assert!(
        matches!(all[..], [Step::Answer(2, _), Step::Ask(7, _)]),
        "its connection was only asked for: {all:?}"
    );
    desk.connecting(third, 9);
    assert_eq!(steps(&mut desk, 0), [Step::Abort(9)]);
    desk.not_connected(ms(0), third, "no matter");
    assert_eq!((steps(&mut desk, 0).len(), desk.pending()), (0, 1));
    // The idle connection fails: the question gets a new one, and no idle one a second time.
    put(&mut desk, 0, 4, 10);
    desk.answered(ms(0), 7, broken(true), false);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(third)]);
    desk.answered(ms(0), 10, ok(), true);
    assert_eq!(answers(&mut desk, 0).len(), 1);
}

#[test]
fn an_unmade_connection_is_for_the_next_question_that_waits() {
    let mut desk = desk_with(|bounds| bounds.connections = 2);
    put(&mut desk, 0, 1, 7);
    let second = ask(&mut desk, 0, 2);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(second)]);
    desk.connecting(second, 8);
    ask(&mut desk, 0, 3);
    desk.answered(ms(0), 7, ok(), true);
    let all = steps(&mut desk, 0);
    assert!(matches!(all[..], [Step::Answer(1, _), Step::Ask(7, _)]), "{all:?}");
    let expected = Service::default().request(&question(3));
    assert_eq!(desk.connected(ms(0), 8), Some(expected), "no third connection is made");
    // A connection that is made when nothing needs it is idle.
    let mut desk = desk_with(|bounds| bounds.connections = 2);
    put(&mut desk, 0, 1, 7);
    let second = ask(&mut desk, 0, 2);
    steps(&mut desk, 0);
    desk.connecting(second, 8);
    desk.answered(ms(0), 7, ok(), true);
    assert_eq!(desk.connected(ms(0), 8), None);
    steps(&mut desk, 0);
    ask(&mut desk, 0, 3);
    assert!(asks(steps(&mut desk, 0).first(), 8));
}

#[test]
fn a_question_on_a_new_connection_stays_there() {
    let mut desk = desk();
    put(&mut desk, 0, 1, 7);
    put(&mut desk, 0, 2, 8);
    assert!(desk.awaits_new_connection());
    desk.answered(ms(0), 7, ok(), true);
    assert_eq!((answers(&mut desk, 0).len(), desk.awaits_new_connection()), (1, true));
    desk.answered(ms(0), 8, ok(), true);
    assert!(!desk.awaits_new_connection());
}

#[test]
fn another_service_gets_the_waiting_questions_and_no_old_connection() {
    let mut desk = desk_with(|bounds| bounds.connections = 2);
    put(&mut desk, 0, 1, 7);
    put(&mut desk, 0, 2, 8);
    let waiting = ask(&mut desk, 0, 3);
    desk.answered(ms(0), 7, ok(), true);
    assert!(matches!(steps(&mut desk, 0)[..], [Step::Answer(1, _), Step::Ask(7, _)]));
    let fourth = ask(&mut desk, 0, 4);
    let other = Service { host: "other".into(), key: Some("a key".into()), ..Service::default() };
    desk.change_service(other.clone());
    let is_addressed = |desk: &TestDesk, id, host: &str| {
        String::from_utf8_lossy(desk.request(id).unwrap().bytes()).contains(&format!("Host: {host}\r\n"))
    };
    assert!(is_addressed(&desk, waiting, "localhost") && is_addressed(&desk, fourth, "other"));
    // The same question as one that the old service has: the new one is asked.
    desk.ask(ms(0), question(2), 12);
    assert_eq!(desk.pending(), 4);
    desk.answered(ms(0), 8, ok(), true);
    assert!(matches!(steps(&mut desk, 0)[..], [Step::Answer(2, _), Step::Connect(id)] if id == fourth));
    desk.answered(ms(0), 7, broken(true), false);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(waiting)]);
    assert!(is_addressed(&desk, waiting, "other"), "it is put again, to the new service");
    // Without a key nothing that waits is asked.
    let keyless = Service { key_env: Some("KEY".into()), ..Service::default() };
    desk.change_service(keyless);
    let denied = answers(&mut desk, 0);
    assert_eq!(denied.len(), 3, "{denied:?}");
    assert!(denied.iter().all(|(_, status)| status.starts_with("REQUEST_DENIED")), "{denied:?}");
}

#[test]
fn equal_questions_in_flight_share_one_request_and_one_deadline() {
    for is_in_flight in [false, true] {
        let mut desk = desk();
        let id = ask(&mut desk, 0, 1);
        if is_in_flight {
            steps(&mut desk, 0);
            desk.connecting(id, 7);
            desk.connected(ms(0), 7);
        }
        for waiter in 20..23 {
            desk.ask(ms(2000), question(1), waiter);
        }
        assert_eq!(desk.pending(), 1);
        desk.withdraw(&21);
        desk.wake(ms(4999));
        assert!(answers(&mut desk, 4999).is_empty());
        desk.wake(ms(5000));
        let waiters: Vec<u32> = answers(&mut desk, 5000).into_iter().map(|(waiter, _)| waiter).collect();
        assert_eq!(waiters, [1, 20, 22], "with the first one, in order");
        // After the answer the question is a new one.
        ask(&mut desk, 5000, 1);
        assert_eq!(desk.pending(), 1);
    }
}

#[test]
fn all_waiters_get_the_same_answer() {
    let mut desk = desk();
    put(&mut desk, 0, 1, 7);
    desk.ask(ms(0), question(1), 2);
    desk.answered(ms(0), 7, ok(), true);
    let all = steps(&mut desk, 0);
    let [Step::Answer(1, one), Step::Answer(2, other)] = &all[..] else { panic!("{all:?}") };
    assert!(Rc::ptr_eq(one, other));
}

#[test]
fn a_question_without_waiters_is_given_up() {
    let mut desk = desk();
    put(&mut desk, 0, 1, 7);
    desk.ask(ms(0), question(1), 2);
    desk.withdraw(&1);
    assert_eq!(steps(&mut desk, 0), [], "one waits");
    desk.withdraw(&2);
    desk.withdraw(&2);
    assert_eq!(steps(&mut desk, 0), [Step::Abort(7)]);
    desk.answered(ms(0), 7, ok(), false);
    assert_eq!((steps(&mut desk, 0).len(), desk.pending()), (0, 0));
    let second = ask(&mut desk, 0, 3);
    steps(&mut desk, 0);
    desk.withdraw(&3);
    desk.connecting(second, 8);
    assert_eq!(steps(&mut desk, 0), [Step::Abort(8)], "a connection without a question");
    assert_eq!(
        (desk.in_flight.len(), desk.waiting.len(), desk.shared.len(), desk.waiters.len()),
        (0, 0, 0, 0)
    );
}

/// Withdrawn waiters leave nothing behind, however long the question takes.
#[test]
fn a_withdrawn_waiter_takes_no_memory() {
    let mut desk = desk();
    let id = put(&mut desk, 0, 1, 7);
    for waiter in 100..1100 {
        desk.ask(ms(0), question(1), waiter);
        desk.withdraw(&waiter);
    }
    assert_eq!((desk.questions[&id].waiters.len(), desk.waiters.len()), (1, 1));
}

#[test]
fn a_desk_that_closes_answers_all() {
    let mut desk = desk();
    for n in 0..3 {
        put(&mut desk, 0, n, n + 7);
    }
    ask(&mut desk, 0, 3);
    desk.close();
    let all = steps(&mut desk, 0);
    assert_eq!(all.iter().filter(|step| matches!(step, Step::Abort(7..=9))).count(), 3);
    ask(&mut desk, 0, 4);
    let late = answers(&mut desk, 0);
    assert!(late[0].1.ends_with("the server is ending"), "{late:?}");
    assert_eq!((desk.pending(), all.len()), (0, 7));
}

#[test]
fn questions_in_flight_are_bounded_and_the_others_wait_in_order() {
    let mut desk = desk_with(|bounds| (bounds.connections, bounds.waiting) = (2, 3));
    put(&mut desk, 0, 0, 7);
    put(&mut desk, 0, 1, 8);
    for n in 2..5 {
        ask(&mut desk, 0, n);
    }
    assert!(steps(&mut desk, 0).is_empty());
    ask(&mut desk, 0, 5);
    let refused = answers(&mut desk, 0);
    assert!(refused[0].0 == 5 && refused[0].1.starts_with("OVER_QUERY_LIMIT: "), "{refused:?}");
    desk.ask(ms(0), question(4), 6);
    assert!(answers(&mut desk, 0).is_empty(), "the same question does not wait by itself");
    desk.withdraw(&2);
    desk.answered(ms(0), 7, ok(), true);
    assert!(matches!(steps(&mut desk, 0)[..], [Step::Answer(0, _), Step::Ask(7, _)]));
    assert_eq!(desk.request(QuestionId(4)), Some(&Service::default().request(&question(3))));
    assert_eq!(desk.questions[&QuestionId(4)].connection(), Some(7), "the oldest that waits");
    // Nothing may wait.
    let mut desk = desk_with(|bounds| (bounds.connections, bounds.waiting) = (1, 0));
    put(&mut desk, 0, 0, 7);
    ask(&mut desk, 0, 1);
    assert_eq!(answers(&mut desk, 0).len(), 1);
}

#[test]
fn idle_connections_count_among_the_connections() {
    let mut desk = desk_with(|bounds| bounds.connections = 2);
    put(&mut desk, 0, 1, 7);
    put(&mut desk, 0, 2, 8);
    desk.answered(ms(0), 7, ok(), true);
    desk.answered(ms(0), 8, ok(), true);
    steps(&mut desk, 0);
    let id = ask(&mut desk, 0, 3);
    assert!(asks(steps(&mut desk, 0).first(), 8));
    ask(&mut desk, 0, 4);
    assert!(asks(steps(&mut desk, 0).first(), 7));
    desk.answered(ms(0), 7, ok(), true);
    steps(&mut desk, 0);
    desk.answered(ms(0), 8, broken(true), false);
    assert_eq!(steps(&mut desk, 0), [Step::Connect(id)], "one idle and one new");
    desk.set_bounds(Bounds { connections: 1, ..bounds() });
    assert_eq!(steps(&mut desk, 0), []);
    desk.connecting(id, 9);
    desk.connected(ms(0), 9);
    desk.answered(ms(0), 9, ok(), true);
    steps(&mut desk, 0);
    desk.set_bounds(Bounds { connections: 1, ..bounds() });
    assert_eq!(steps(&mut desk, 0), [Step::Abort(7)]);
}

#[test]
fn each_question_has_its_own_time_and_all_share_one_alarm() {
    let mut desk = desk();
    ask(&mut desk, 0, 1);
    ask(&mut desk, 2500, 2);
    desk.set_bounds(Bounds { timeout: Duration::from_secs(1), ..bounds() });
    ask(&mut desk, 2500, 3);
    let (mut alarms, mut given_up, mut now) = (Vec::new(), Vec::new(), ms(2500));
    for _ in 0..10 {
        while let Some(step) = desk.next_step(now) {
            match step {
                Step::WakeAt(at) => alarms.push(at),
                Step::Answer(waiter, answer) => given_up.push((waiter, now, status(&answer))),
                Step::Connect(_) => {}
                step => panic!("{step:?}"),
            }
        }
        let Some(next) = alarms.iter().copied().filter(|&at| at > now).min() else { break };
        now = next;
        desk.wake(now);
    }
    let message = |s| format!("UNKNOWN_ERROR: Places at http://localhost: no answer within {s}s");
    let expected = [(3, ms(3500), message(1)), (1, ms(5000), message(5)), (2, ms(7500), message(5))];
    assert_eq!(given_up, expected);
    assert_eq!((desk.deadlines.len(), desk.wake_at), (0, Moment::NEVER));
    assert!(alarms.len() <= 4, "{alarms:?}");
}

#[test]
fn a_radius_of_0_and_a_missing_key_come_before_everything_else() {
    let key_env = Some("KEY".to_owned());
    let service = Service { dialect: Dialect::Google, key_env, ..Service::default() };
    let mut desk: TestDesk = Desk::new(bounds(), service);
    desk.ask(ms(0), Question::new(b"+1", b"+1", b"0"), 1);
    desk.ask(ms(0), question(1), 2);
    let all = answers(&mut desk, 0);
    assert!(all[0].1.starts_with("INVALID_REQUEST") && all[1].1.starts_with("REQUEST_DENIED"), "{all:?}");
    assert_eq!(desk.pending(), 0);
}

#[test]
fn at_most_so_many_requests_are_sent_in_any_minute() {
    let mut desk = desk_with(|bounds| bounds.per_minute = 3);
    for n in 0..3 {
        put(&mut desk, u64::from(n) * 1000, n, n + 7);
    }
    ask(&mut desk, 2000, 3);
    let refused = answers(&mut desk, 2000);
    assert!(refused[0].1.starts_with("OVER_QUERY_LIMIT"), "{refused:?}");
    desk.ask(ms(2000), question(2), 20);
    assert!(answers(&mut desk, 2000).is_empty(), "a shared question is not sent");
    for (n, at) in [(4, 59_999), (5, 60_000), (6, 60_999), (7, 61_000)] {
        ask(&mut desk, at, n);
        let is_put = steps(&mut desk, at).iter().any(|step| matches!(step, Step::Connect(_)));
        assert_eq!(is_put, at % 1000 == 0, "{at} ms");
        if is_put {
            let id = QuestionId(desk.last);
            desk.connecting(id, n + 20);
            desk.connected(ms(at), n + 20);
        }
    }
}

#[test]
fn a_request_counts_when_it_is_sent_and_each_time() {
    // Accepted at 0 s, sent at 4 s: the minute begins at 4 s.
    let mut desk = desk_with(|bounds| bounds.per_minute = 1);
    let id = ask(&mut desk, 0, 1);
    steps(&mut desk, 0);
    ask(&mut desk, 1000, 2);
    assert_eq!(answers(&mut desk, 1000).len(), 1, "it is reserved");
    desk.connecting(id, 7);
    desk.connected(ms(4000), 7);
    desk.answered(ms(4000), 7, ok(), true);
    steps(&mut desk, 4000);
    ask(&mut desk, 63_999, 3);
    assert_eq!(answers(&mut desk, 63_999).len(), 1);
    ask(&mut desk, 64_000, 4);
    assert!(asks(steps(&mut desk, 64_000).first(), 7));
    // Repetitions count too: without room the failure is the answer.
    desk.answered(ms(64_000), 7, broken(true), false);
    let refused = answers(&mut desk, 64_000);
    assert!(refused[0].1.starts_with("OVER_QUERY_LIMIT"), "{refused:?}");
    put(&mut desk, 124_000, 5, 8);
    desk.answered(ms(124_000), 8, response(503, "", Some(1)), true);
    let refused = answers(&mut desk, 124_000);
    assert!(refused[0].1.contains("HTTP status 503"), "{refused:?}");
    // What is never sent does not count.
    let mut desk = desk_with(|bounds| bounds.per_minute = 1);
    ask(&mut desk, 0, 1);
    desk.withdraw(&1);
    ask(&mut desk, 0, 2);
    assert_eq!(steps(&mut desk, 0).len(), 1);
}

#[test]
fn a_good_answer_is_given_again_for_a_while() {
    let mut desk = desk_with(|bounds| (bounds.cache, bounds.per_minute) = (Duration::from_secs(2), 1));
    put(&mut desk, 0, 1, 7);
    desk.answered(ms(500), 7, ok(), true);
    assert_eq!(answers(&mut desk, 500).len(), 1);
    for at in [500, 2499] {
        ask(&mut desk, at, 1);
        assert_eq!(answers(&mut desk, at), [(1, "OK".to_owned())], "{at} ms");
    }
    ask(&mut desk, 2500, 1);
    assert!(answers(&mut desk, 2500)[0].1.starts_with("OVER_QUERY_LIMIT"), "it is asked again");
    for outcome in [
        response(200, r#"{"results":[],"status":"UNKNOWN_ERROR"}"#, None),
        response(200, r#"{"results":[]}"#, None),
        response(404, "", None),
        broken(false),
    ] {
        let mut desk = desk_with(|bounds| bounds.cache = Duration::from_secs(2));
        put(&mut desk, 0, 1, 7);
        desk.answered(ms(0), 7, outcome, false);
        steps(&mut desk, 0);
        ask(&mut desk, 0, 1);
        assert!(matches!(steps(&mut desk, 0)[..], [Step::Connect(_)]), "a failure is not given again");
    }
}

#[test]
fn a_thousand_answers_are_kept_and_the_oldest_go_first() {
    let mut cache = Cache::default();
    let (service, day) = (Service::default(), Duration::from_secs(86_400));
    let answer = Rc::new(Answer::of_results(&[], &[]));
    let request = |n| service.request(&question(n));
    for n in 0..1005 {
        cache.insert(ms(n.into()), day, &request(n), &answer);
        cache.insert(ms(n.into()), day, &request(n), &answer);
    }
    let is_kept = |cache: &mut Cache, n| cache.get(ms(2000), day, &request(n)).is_some();
    assert!(!is_kept(&mut cache, 4) && is_kept(&mut cache, 5) && is_kept(&mut cache, 1004));
    // So are their bytes.
    let large = Rc::new(Answer::of_results(&["x".repeat(40 << 20)], &[]));
    cache.insert(ms(2000), day, &request(2000), &large);
    assert!(!is_kept(&mut cache, 5) && is_kept(&mut cache, 6));
    cache.insert(ms(2000), day, &request(2001), &large);
    assert!(!is_kept(&mut cache, 2000) && is_kept(&mut cache, 2001) && !is_kept(&mut cache, 1004));
    assert!(cache.get(ms(86_402_000), day, &request(2001)).is_none());
    cache.insert(ms(0), Duration::ZERO, &request(1), &answer);
    assert!(!is_kept(&mut cache, 1));
}

#[test]
fn a_question_is_put_once_more_when_the_service_asks_for_it() {
    for status in [429, 503] {
        let mut desk = desk_with(|bounds| (bounds.connections, bounds.waiting) = (1, 0));
        put(&mut desk, 0, 1, 7);
        desk.answered(ms(1000), 7, response(status, "", Some(2)), true);
        assert_eq!(desk.next_step(ms(1000)), Some(Step::WakeAt(ms(3000))));
        ask(&mut desk, 2000, 2);
        assert_eq!(answers(&mut desk, 2000).len(), 1, "it keeps its place");
        desk.wake(ms(2999));
        assert_eq!(steps(&mut desk, 2999), []);
        desk.wake(ms(3000));
        assert!(asks(steps(&mut desk, 3000).first(), 7), "on the connection that was kept");
        desk.answered(ms(3000), 7, response(status, "", Some(0)), true);
        let once = answers(&mut desk, 3000);
        assert!(once[0].1.contains(&format!("HTTP status {status}")), "{once:?}");
    }
}

#[test]
fn a_repetition_goes_to_the_present_service() {
    for changes_first in [true, false] {
        let mut desk = desk();
        let id = put(&mut desk, 0, 1, 7);
        let other = Service { host: "other".into(), ..Service::default() };
        if changes_first {
            desk.change_service(other.clone());
        }
        desk.answered(ms(0), 7, response(503, "", Some(1)), true);
        if !changes_first {
            desk.change_service(other.clone());
        }
        steps(&mut desk, 0);
        desk.wake(ms(1000));
        assert_eq!(steps(&mut desk, 1000), [Step::Connect(id)], "not on the old connection");
        desk.connecting(id, 8);
        assert_eq!(desk.connected(ms(1000), 8), Some(other.request(&question(1))));
    }
}

#[test]
fn a_repetition_after_the_deadline_is_answered_at_once() {
    for (status, after, is_repeated) in [
        (429, 4, true),
        (429, 5, false),
        (503, u64::MAX, false),
        (400, 0, false),
        (403, 0, false),
        (500, 0, false),
    ] {
        let mut desk = desk();
        put(&mut desk, 0, 1, 7);
        desk.answered(ms(0), 7, response(status, "", Some(after)), false);
        assert_eq!(answers(&mut desk, 0).is_empty(), is_repeated, "{status} {after}");
        if is_repeated {
            desk.wake(ms(after * 1000));
            assert!(matches!(steps(&mut desk, after * 1000)[..], [Step::Connect(_)]));
            desk.wake(ms(5000));
            assert_eq!(answers(&mut desk, 5000).len(), 1, "its time is that of the question");
        }
    }
}

/// A failure for the breaker, of each kind in turn.
fn fail(desk: &mut TestDesk, at: u64, n: u32) {
    let id = ask(desk, at, n);
    assert_eq!(steps(desk, at), [Step::Connect(id)], "at {at} ms");
    match n % 3 {
        0 => desk.not_connected(ms(at), id, "no way"),
        1 => {
            desk.connecting(id, n);
            desk.answered(ms(at), n, Outcome::NotConnected("no TLS".into()), false);
        }
        _ => {
            desk.connecting(id, n);
            desk.connected(ms(at), n);
            desk.answered(ms(at), n, response(500, "", None), false);
        }
    }
    assert_eq!(answers(desk, at).len(), 1);
}

fn is_open(desk: &mut TestDesk, at: u64) -> bool {
    ask(desk, at, 800);
    let all = steps(desk, at);
    desk.withdraw(&800);
    steps(desk, at);
    matches!(all[..], [Step::Answer(..)])
}

#[test]
fn the_breaker_opens_after_five_failures_in_a_row() {
    let mut desk = desk();
    for n in 0..5 {
        assert!(!is_open(&mut desk, 0), "after {n}");
        fail(&mut desk, 0, n);
    }
    for (at, open) in [(0, true), (999, true), (1000, false)] {
        assert_eq!(is_open(&mut desk, at), open, "{at} ms");
    }
}

#[test]
fn every_other_end_of_a_question_sets_the_count_to_0() {
    for outcome in [ok(), response(404, "", None), response(429, "", None), broken(true), broken(false)] {
        let mut desk = desk();
        (0..4).for_each(|n| fail(&mut desk, 0, n));
        put(&mut desk, 0, 50, 50);
        desk.answered(ms(0), 50, outcome, false);
        assert_eq!(answers(&mut desk, 0).len(), 1);
        (0..4).for_each(|n| fail(&mut desk, 0, n));
        assert!(!is_open(&mut desk, 0));
    }
}

#[test]
fn a_question_whose_time_runs_out_in_flight_is_a_failure() {
    let mut desk = desk_with(|bounds| bounds.connections = 5);
    for n in 0..7 {
        ask(&mut desk, 0, n);
    }
    assert_eq!(steps(&mut desk, 0).len(), 5);
    desk.wake(ms(5000));
    let all = answers(&mut desk, 5000);
    assert_eq!(all.len(), 7);
    assert!(all[4].1.ends_with("no answer within 5s"), "{all:?}");
    let last = all[4].1.split_once(": ").unwrap().1;
    assert!(
        all[5..].iter().all(|(_, status)| status.contains(last) && status.contains("no question is put")),
        "{all:?}"
    );
    // Those that waited did not fail.
    let mut desk = desk_with(|bounds| bounds.connections = 1);
    (0..7).for_each(|n| _ = ask(&mut desk, 0, n));
    steps(&mut desk, 0);
    desk.wake(ms(5000));
    assert_eq!(answers(&mut desk, 5000).len(), 7);
    assert!(!is_open(&mut desk, 5000));
}

#[test]
fn an_open_breaker_answers_what_waits_and_keeps_what_is_in_flight() {
    let mut desk = desk_with(|bounds| bounds.connections = 3);
    let (first, second) = (put(&mut desk, 0, 30, 30), put(&mut desk, 0, 31, 31));
    desk.answered(ms(0), 31, response(429, "", Some(1)), true);
    (0..4).for_each(|n| {
        let id = ask(&mut desk, 0, n);
        let is_put = steps(&mut desk, 0);
        assert!(matches!(is_put[..], [Step::Ask(31, _)]) || is_put == [Step::Connect(id)], "{is_put:?}");
        desk.connecting(id, n);
        desk.connected(ms(0), n);
        desk.answered(ms(0), desk.questions[&id].connection().unwrap(), response(500, "", None), true);
        steps(&mut desk, 0);
    });
    let last = ask(&mut desk, 0, 4);
    steps(&mut desk, 0);
    ask(&mut desk, 0, 40);
    desk.answered(ms(0), desk.questions[&last].connection().unwrap(), response(502, "", None), true);
    let all = answers(&mut desk, 0);
    let waiters: Vec<u32> = all.iter().map(|(waiter, _)| *waiter).collect();
    assert_eq!(waiters, [4, 40, 31], "{all:?}");
    assert!(all[1].1.contains("HTTP status 502"), "{all:?}");
    assert_eq!(desk.questions.keys().copied().collect::<Vec<_>>(), [first], "not {second:?}");
    // The same question as one in flight is not refused.
    desk.ask(ms(0), question(30), 41);
    assert!(answers(&mut desk, 0).is_empty());
    desk.answered(ms(10), 30, ok(), true);
    assert_eq!(answers(&mut desk, 10).len(), 2);
    assert!(!is_open(&mut desk, 10), "an answer closes it");
}

#[test]
fn one_question_tries_whether_the_service_works_again() {
    let mut desk = desk();
    (0..5).for_each(|n| fail(&mut desk, 0, n));
    let (mut at, mut pause) = (0, 1000);
    for n in 10..17 {
        at += pause;
        assert!(is_open(&mut desk, at - 1));
        let id = ask(&mut desk, at, n);
        assert_eq!(steps(&mut desk, at), [Step::Connect(id)]);
        assert!(is_open(&mut desk, at + 1), "it is put alone");
        desk.not_connected(ms(at + 2), id, "no way");
        at += 2;
        assert_eq!(answers(&mut desk, at).len(), 1);
        pause = (2 * pause).min(30_000);
    }
    assert_eq!(pause, 30_000);
    at += pause;
    put(&mut desk, at, 20, 20);
    desk.answered(ms(at), 20, response(404, "", None), true);
    assert_eq!(answers(&mut desk, at).len(), 1);
    assert!(!is_open(&mut desk, at), "any other end closes it");
    let idle = desk.idle.pop();
    (0..5).for_each(|n| fail(&mut desk, at, n));
    desk.idle.extend(idle);
    assert!(is_open(&mut desk, at + 999));
    assert!(!is_open(&mut desk, at + 1000), "the next time begins with 1 s");
}

#[test]
fn a_trial_that_is_given_up_leaves_the_next_one() {
    let mut desk = desk();
    (0..5).for_each(|n| fail(&mut desk, 0, n));
    ask(&mut desk, 1000, 10);
    steps(&mut desk, 1000);
    assert!(is_open(&mut desk, 1000));
    desk.withdraw(&10);
    steps(&mut desk, 1000);
    assert!(!is_open(&mut desk, 1000));
}

#[test]
fn the_cache_answers_while_the_breaker_is_open() {
    let mut desk = desk_with(|bounds| bounds.cache = Duration::from_secs(60));
    put(&mut desk, 0, 50, 50);
    desk.answered(ms(0), 50, ok(), false);
    steps(&mut desk, 0);
    (0..5).for_each(|n| fail(&mut desk, 0, n));
    assert!(is_open(&mut desk, 0));
    ask(&mut desk, 0, 50);
    assert_eq!(answers(&mut desk, 0), [(50, "OK".to_owned())]);
}

proptest! {
    /// Whatever happens: the bounds hold, each waiter gets one answer, and nothing is left in the end.
    #[test]
    fn every_waiter_gets_one_answer(
        events in prop::collection::vec((0..10_u8, 0..8_u32, 0..3000_u64), 1..200),
        (connections, waiting, per_minute, cache) in (1..4_usize, 0..4_usize, 0..6_usize, 0..3_u64),
    ) {
        let cache = Duration::from_secs(cache);
        let mut desk: TestDesk = Desk::new(
            Bounds { timeout: Duration::from_secs(5), connections, waiting, per_minute, cache },
            Service::default(),
        );
        let (mut now, mut waiter, mut next_connection) = (0, 0, 0);
        let (mut waiters, mut alarms) = (BTreeSet::new(), BTreeSet::new());
        // Connections: whether each is made; and when requests were sent.
        let (mut open, mut sent) = (BTreeMap::<u32, bool>::new(), Vec::new());
        let mut is_busy = BTreeSet::new();
        // The steps after a wake-up are carried out before anything else happens.
        let events = events.into_iter().flat_map(|(event, n, pause)| [(9, n, pause), (event, n, 0)]);
        for (event, n, pause) in events.chain([(9, 0, 6000), (9, 0, 6000)]) {
            now += pause;
            while let Some(at) = alarms.first().copied().filter(|&at| at <= ms(now)) {
                alarms.remove(&at);
                desk.wake(ms(now));
            }
            let picked = open.keys().copied().nth(n as usize % open.len().max(1));
            match event {
                0..=3 => {
                    waiter += 1;
                    waiters.insert(waiter);
                    desk.ask(ms(now), question(n), waiter);
                }
                4 => if let Some(&gone) = waiters.first() {
                    waiters.remove(&gone);
                    desk.withdraw(&gone);
                },
                5..=8 => if let Some(connection) = picked {
                    let is_made = open[&connection];
                    if !is_made && event < 8 {
                        open.insert(connection, true);
                        if desk.connected(ms(now), connection).is_some() {
                            sent.push(ms(now));
                            is_busy.insert(connection);
                        }
                    } else {
                        let (outcome, reusable) = match event {
                            5 => (ok(), true),
                            6 => (response(503, "", Some(u64::from(n))), n % 2 == 0),
                            7 => (broken(n % 2 == 0), false),
                            _ => (Outcome::NotConnected("no way".into()), false),
                        };
                        let was_busy = is_busy.remove(&connection);
                        if was_busy || !is_made {
                            desk.answered(ms(now), connection, outcome, reusable && is_made);
                        }
                        if !(was_busy && reusable) {
                            open.remove(&connection);
                            desk.connection_lost(ms(now), connection);
                        }
                    }
                },
                _ => {}
            }
            while let Some(step) = desk.next_step(ms(now)) {
                match step {
                    Step::Connect(id) if n == 7 => desk.not_connected(ms(now), id, "no way"),
                    Step::Connect(id) => {
                        next_connection += 1;
                        open.insert(next_connection, false);
                        desk.connecting(id, next_connection);
                    }
                    Step::Ask(connection, _) => {
                        prop_assert_eq!(open.get(&connection), Some(&true), "an idle connection");
                        prop_assert!(is_busy.insert(connection), "one request at a time");
                        sent.push(ms(now));
                    }
                    Step::Answer(waiter, _) => prop_assert!(waiters.remove(&waiter), "one answer for {waiter}"),
                    Step::Abort(connection) => {
                        open.remove(&connection);
                        is_busy.remove(&connection);
                        desk.connection_lost(ms(now), connection);
                    }
                    Step::WakeAt(at) => drop(alarms.insert(at)),
                }
            }
            prop_assert!(is_busy.len() <= connections && open.len() <= connections, "{open:?}");
            prop_assert!(desk.pending() <= connections + waiting);
            if per_minute > 0 {
                let crowded = sent.windows(per_minute + 1).any(|all| all[per_minute] - all[0] < Duration::from_secs(60));
                prop_assert!(!crowded, "{sent:?}");
            }
        }
        prop_assert!(waiters.is_empty(), "{waiters:?}");
        prop_assert_eq!((desk.pending(), desk.shared.len(), desk.waiters.len()), (0, 0, 0));
        prop_assert_eq!((desk.waiting.len(), desk.in_flight.len(), desk.repetitions.len()), (0, 0, 0));
        prop_assert!(desk.minute.has_room(ms(now + 60_000), 1), "nothing is reserved");
    }
}

#[test]
fn what_became_of_questions_is_counted() {
    let mut desk = desk_with(|bounds| (bounds.cache, bounds.waiting) = (Duration::from_secs(60), 0));
    put(&mut desk, 0, 1, 7);
    desk.ask(ms(0), question(1), 100);
    desk.answered(ms(250), 7, ok(), false);
    steps(&mut desk, 250);
    desk.ask(ms(300), question(1), 101);
    steps(&mut desk, 300);
    put(&mut desk, 1000, 2, 8);
    desk.answered(ms(1100), 8, broken(false), false);
    steps(&mut desk, 1100);
    put(&mut desk, 2000, 3, 9);
    desk.answered(ms(2001), 9, response(500, "", None), false);
    steps(&mut desk, 2001);
    let unmade = ask(&mut desk, 3000, 4);
    assert!(steps(&mut desk, 3000).contains(&Step::Connect(unmade)));
    desk.not_connected(ms(3500), unmade, "no");
    steps(&mut desk, 3500);
    put(&mut desk, 4000, 5, 10);
    desk.wake(ms(9000));
    steps(&mut desk, 9000);
    put(&mut desk, 9000, 6, 11);
    desk.withdraw(&6);
    steps(&mut desk, 9000);
    put(&mut desk, 10_000, 7, 12);
    desk.close();
    ask(&mut desk, 10_000, 8);
    let known = desk.statistics();
    let received = Reception::ALL.map(|(value, name)| (name, known.received(value)));
    let received: Vec<_> = received.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(received, [("accepted", 7), ("shared", 1), ("cached", 1), ("ending", 1)]);
    let ended = End::ALL.map(|(value, name)| (name, known.ended(value)));
    let ended: Vec<_> = ended.into_iter().filter(|(_, count)| *count > 0).collect();
    let expected = [
        ("answered", 1),
        ("error", 1),
        ("not_connected", 1),
        ("broken", 1),
        ("timed_out", 1),
        ("withdrawn", 1),
        ("ending", 1),
    ];
    assert_eq!(ended, expected);
    // 250 ms, 100 ms, 1 ms, 500 ms and 5 s.
    assert_eq!(known.latencies.sum_ns(), 5_851_000_000);
    assert_eq!(known.latencies.cumulative().last(), Some(5));
}

#[test]
fn refused_questions_are_counted_by_their_bound() {
    let mut desk = desk_with(|bounds| (bounds.per_minute, bounds.connections, bounds.waiting) = (2, 1, 0));
    put(&mut desk, 0, 1, 7);
    ask(&mut desk, 0, 2);
    desk.answered(ms(1), 7, ok(), true);
    steps(&mut desk, 1);
    let received = |desk: &TestDesk, reception| desk.statistics().received(reception);
    assert_eq!(received(&desk, Reception::TooMany), 1);
    ask(&mut desk, 2, 3);
    assert!(asks(steps(&mut desk, 2).last(), 7));
    desk.answered(ms(3), 7, ok(), true);
    steps(&mut desk, 3);
    ask(&mut desk, 4, 4);
    assert_eq!((received(&desk, Reception::PerMinute), received(&desk, Reception::Accepted)), (1, 2));
    assert!(!desk.is_breaker_open());
    let mut desk = self::desk();
    for n in 0..breaker::FAILURES_MAX {
        put(&mut desk, 0, n, n);
        desk.answered(ms(0), n, response(500, "", None), false);
        steps(&mut desk, 0);
    }
    ask(&mut desk, 0, 99);
    assert_eq!((received(&desk, Reception::BreakerOpen), desk.is_breaker_open()), (1, true));
}
