//! The conversation with a client of HTTP.

use super::receiving::{BODIES_OF_ALL_MAX, BODY_MAX};
use super::*;
use crate::conversation::testing::Bench;
use crate::http::client::{ResponseEvent, ResponseReader};
use crate::protocol::Close;
use crate::store::Origin;
use crate::text::follow::{Follow, Whom};
use serde_json::Value;

const KIWI: &str = r#"{"latitude":34.0680,"longitude":-118.445127,"time":1621464827.50}"#;

fn bench() -> Bench {
    Bench::new(Conversation::Web(Box::default()))
}

fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn get(target: &str) -> String {
    request("GET", target, "")
}

fn put(target: &str, body: &str) -> String {
    request("PUT", target, &format!("Content-Length: {}\r\n", body.len())) + body
}

/// A response: its head and its body.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }

    fn ids(&self) -> Vec<String> {
        let clients = self.json()["clients"].as_array().cloned().unwrap_or_default();
        clients.iter().map(|client| client["id"].as_str().unwrap().to_owned()).collect()
    }

    fn has(&self, field: &str) -> bool {
        self.head.contains(&format!("\r\n{field}\r\n"))
    }
}

/// The whole responses in an output.
fn responses(output: &str) -> Vec<Got> {
    let (mut found, mut rest) = (Vec::new(), output.as_bytes());
    while !rest.is_empty() {
        let (mut reader, mut got) =
            (ResponseReader::new(), Got { status: 0, head: String::new(), body: String::new() });
        loop {
            let (used, event) = reader.data_received(rest).expect("a response");
            match event {
                Some(ResponseEvent::Head(head)) => {
                    got.status = head.status;
                    got.head = String::from_utf8(rest[..used].to_vec()).unwrap();
                }
                Some(ResponseEvent::Body(part)) => got.body += str::from_utf8(part).unwrap(),
                Some(ResponseEvent::End) | None => {
                    rest = &rest[used..];
                    break;
                }
            }
            rest = &rest[used..];
        }
        assert!(reader.is_complete(), "{output}");
        found.push(got);
    }
    found
}

/// The only response to what is received.
fn ask(bench: &mut Bench, request: &str) -> Got {
    bench.receive(request.as_bytes());
    bench.list_on();
    let mut found = responses(&bench.sent());
    assert_eq!(found.len(), 1, "{request}: {found:?}");
    found.remove(0)
}

fn one(request: &str) -> Got {
    ask(&mut bench(), request)
}

#[test]
fn a_put_is_answered_as_a_get_of_the_same_statement() {
    let mut bench = bench();
    let stored = ask(&mut bench, &put("/v1/clients/kiwi", KIWI));
    assert_eq!(stored.status, 200, "{stored:?}");
    assert_eq!(
        stored.body,
        "{\"id\":\"kiwi\",\"latitude\":34.0680,\"longitude\":-118.445127,\"time\":\"1621464827.50\",\"server\":\"Riley\",\
         \"skew\":\"+2.500000000\",\"line\":\"AT Riley +2.500000000 kiwi +34.0680-118.445127 1621464827.50\",\"stored\":true}\n"
    );
    let read = ask(&mut bench, &get("/v1/clients/kiwi"));
    assert_eq!(read.body, stored.body.replace(",\"stored\":true", ""));
    for field in [
        "Content-Type: application/json",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
        "Date: Wed, 19 May 2021 22:53:50 GMT",
        "Connection: keep-alive",
    ] {
        assert!(read.has(field), "{field} in {}", read.head);
    }
    let older = ask(&mut bench, &put("/v1/clients/kiwi", r#"{"location":"+1-1","time":"1"}"#));
    assert_eq!((older.json()["stored"].clone(), older.json()["time"].clone()), (false.into(), "1".into()));
    assert_eq!(ask(&mut bench, &get("/v1/clients/kiwi")).body, read.body, "it was not stored");
    let now = ask(&mut bench, &put("/v1/clients/fig", r#"{"latitude":0,"longitude":0}"#)).json();
    assert_eq!(
        (now["time"].as_str(), now["skew"].as_str()),
        (Some("1621464830.000000000"), Some("+0.000000000"))
    );
}

#[test]
fn statements_of_one_read_are_a_nanosecond_apart() {
    let mut bench = bench();
    let body = r#"{"latitude":0,"longitude":0}"#;
    bench.receive((put("/v1/clients/a", body) + &put("/v1/clients/b", body)).as_bytes());
    let times: Vec<Value> = responses(&bench.sent()).iter().map(|got| got.json()["time"].clone()).collect();
    assert_eq!(times, ["1621464830.000000000", "1621464830.000000001"]);
}

#[test]
fn a_wrong_put_changes_nothing() {
    let mut bench = bench();
    let far = (bench.wall / 1_000_000_000 + 90_000).to_string();
    for (body, words) in [
        ("{", "the body: expected a JSON object"),
        (r#"{"latitude":90.000001,"longitude":0}"#, "latitude: expected degrees from -90 to 90"),
        (r#"{"latitude":0,"longitude":-180.5}"#, "longitude: expected degrees from -180 to 180"),
        (r#"{"location":"34-118"}"#, "location: expected a form like +34.0689-118.4451"),
        (r#"{"location":"+34-118/"}"#, "location: "),
        (r#"{"location":"+34-118","time":"yesterday"}"#, "time: expected POSIX seconds"),
        (r#"{"location":"+34-118","time":-1}"#, "time: "),
        (r#"{"location":"+34-118","time":1.0000000001}"#, "time: "),
        (&format!(r#"{{"location":"+34-118","time":{far}}}"#), "time: limits.max_future_s: 25 hours ahead"),
    ] {
        let got = ask(&mut bench, &put("/v1/clients/kiwi", body));
        assert_eq!(got.status, 400);
        assert!(got.error().contains(words), "{body}: {}", got.error());
    }
    let long = "x".repeat(bench.server.limits.max_line);
    let got = ask(&mut bench, &put(&format!("/v1/clients/{long}"), KIWI));
    assert!((got.status, got.error().contains("at most 8192 bytes")) == (400, true), "{got:?}");
    let room = bench.server.limits.max_line - "IAMAT  +34.0680-118.445127 1621464827.50".len();
    assert!(bench.server.store.is_empty());
    assert_eq!(ask(&mut bench, &put(&format!("/v1/clients/{}", "x".repeat(room)), KIWI)).status, 200);
    assert_eq!(ask(&mut bench, &put(&format!("/v1/clients/{}", "x".repeat(room + 1)), KIWI)).status, 400);
    bench.server.store.set_records_max(1);
    // A second later, so that the refusal is logged.
    bench.now = bench.now + Duration::from_secs(1);
    let full = ask(&mut bench, &put("/v1/clients/new", KIWI));
    assert_eq!((full.status, full.has("Retry-After: 1")), (503, true));
    assert!(full.error().contains("limits.max_clients"));
    assert!(
        bench.log().contains(
            "'PUT /v1/clients/new' from (127.0.0.1, 40000) is refused with 503: limits.max_clients"
        )
    );
}

#[test]
fn a_delete_is_a_forget() {
    let mut bench = bench();
    assert_eq!(ask(&mut bench, &request("DELETE", "/v1/clients/kiwi", "")).status, 404);
    ask(&mut bench, &put("/v1/clients/kiwi", KIWI));
    let gone = ask(&mut bench, &request("DELETE", "/v1/clients/kiwi", ""));
    assert_eq!(
        gone.body,
        "{\"id\":\"kiwi\",\"line\":\"GONE Riley +0.000000000 kiwi 1621464830.000000000\"}\n"
    );
    for method in ["GET", "DELETE"] {
        let got = ask(&mut bench, &request(method, "/v1/clients/kiwi", ""));
        assert_eq!((got.status, got.error()), (404, "this client is unknown".to_owned()));
    }
    assert_eq!(ask(&mut bench, &put("/v1/clients/kiwi", KIWI)).json()["stored"], false);
}

#[test]
fn any_field_is_an_id_in_a_path() {
    let mut bench = bench();
    for (segment, id) in [
        ("a%2Fb", "a/b"),
        ("100%25", "100%"),
        ("%2e%2E", ".."),
        ("..", ".."),
        ("caf%C3%A9", "caf\u{e9}"),
        ("what%3F%23&=+;", "what?#&=+;"),
        ("%00%1b", "\0\u{1b}"),
        ("clients", "clients"),
    ] {
        let got = ask(&mut bench, &put(&format!("/v1/clients/{segment}"), KIWI));
        assert_eq!(got.json()["id"], id, "{segment}");
        assert_eq!(ask(&mut bench, &get(&format!("/v1/clients/{segment}"))).json()["id"], id);
    }
    let got = ask(&mut bench, &put("/v1/clients/%ff", KIWI)).json();
    assert_eq!((got["id"].as_str(), got["path"].as_str()), (Some("\u{fffd}"), Some("%FF")));
    for segment in ["a%20b", "%09", "%0a", "%zz", "%", "%4"] {
        assert_eq!(ask(&mut bench, &get(&format!("/v1/clients/{segment}"))).status, 400, "{segment}");
    }
}

#[test]
fn other_paths_and_methods_are_refused() {
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/clients",
        "/v1/client/x",
        "/v1/clients/",
        "/v1/clients//",
        "/v1/clients/x/y",
        "/v1/clients/x/places/z",
        "/v1/clients/x/",
        "/v1/clients//places",
        "//v1/clients",
        "/V1/clients",
        "*",
        "/t",
        "/t/x",
        "http://localhost",
    ] {
        assert_eq!(one(&get(path)).status, 404, "{path}");
    }
    for (path, allowed) in [
        ("/v1/clients/x", "GET, HEAD, PUT, DELETE"),
        ("/v1/clients", "GET, HEAD"),
        ("/v1/near?km=x", "GET, HEAD"),
        ("/v1/clients/x/places", "GET, HEAD"),
        ("/v1/changes", "GET, HEAD"),
    ] {
        for method in ["POST", "PATCH", "OPTIONS", "BREW", "get"] {
            let got = one(&request(method, path, "Content-Length: 0\r\n"));
            assert_eq!(
                (got.status, got.has(&format!("Allow: {allowed}"))),
                (405, true),
                "{method} {path}: {got:?}"
            );
            assert!(got.has("Connection: keep-alive"));
        }
    }
}

#[test]
fn a_list_goes_on_from_number_to_number() {
    let mut bench = bench();
    (0..7).for_each(|n| bench.report(&format!("a{n}"), 1, Origin::CLIENT));
    bench.report("b", 1, Origin::CLIENT);
    bench.report("a2", 2, Origin::CLIENT);
    ask(&mut bench, &request("DELETE", "/v1/clients/a5", ""));
    let order = ["a0", "a1", "a3", "a4", "a6", "a2"];
    let whole = ask(&mut bench, &get("/v1/clients?prefix=a"));
    assert_eq!(whole.ids(), order);
    assert_eq!(whole.json()["next"], Value::Null);
    assert_eq!(
        (whole.json()["epoch"].as_str(), whole.json()["sequence"].as_u64()),
        (Some("00000000000000ee"), Some(10))
    );
    for limit in 1..8 {
        let (mut since, mut found) = (0, Vec::new());
        loop {
            let page = ask(&mut bench, &get(&format!("/v1/clients?prefix=a&limit={limit}&since={since}")));
            assert!(page.ids().len() <= limit);
            found.extend(page.ids());
            match page.json()["next"].as_u64() {
                Some(next) => since = next,
                None => break,
            }
        }
        assert_eq!(found, order, "{limit}");
    }
    assert_eq!(ask(&mut bench, &get("/v1/clients?since=8")).ids(), ["a2"]);
    for since in [9, 10, 11, u64::MAX] {
        let page = ask(&mut bench, &get(&format!("/v1/clients?since={since}")));
        assert_eq!((page.ids().len(), page.json()["next"].clone()), (0, Value::Null), "{since}");
    }
    for query in
        ["limit=0", "limit=10001", "limit=x", "since=-1", "prefix=a%20b", "format=x", "limit=1&limit=2"]
    {
        let got = ask(&mut bench, &get(&format!("/v1/clients?{query}")));
        assert_eq!(got.status, 400);
        assert!(got.error().starts_with(query.split('=').next().unwrap()), "{query}: {}", got.error());
    }
    assert_eq!((bench.server.store.cursors(), bench.server.web.lists), (0, 0));
}

#[test]
fn a_long_list_is_written_in_many_turns_while_clients_move() {
    let mut bench = bench();
    (0..500).for_each(|n| bench.report(&format!("c{n}"), 1, Origin::CLIENT));
    bench.receive(get("/v1/clients?limit=10000").as_bytes());
    bench.receive(get("/v1/clients/c0").as_bytes());
    let mut output = bench.sent();
    let (mut turns, mut moved) = (0, 0);
    while bench.server.web.lists > 0 {
        while let Some(connection) = bench.server.web.next_due() {
            assert_eq!(connection, bench.id);
            bench.deliver(Handle::call(Conversation::list_on));
        }
        bench.server.web.turn_ended();
        if moved < 20 {
            bench.report(&format!("c{}", moved * 25), 2, Origin::CLIENT);
            moved += 1;
        }
        output += &bench.sent();
        turns += 1;
    }
    output += &bench.sent();
    assert!(turns > 50, "{turns}");
    let found = responses(&output);
    assert_eq!((found.len(), found[1].status), (2, 200), "the next response follows");
    let clients = found[0].json()["clients"].as_array().unwrap().clone();
    let mut newest: Vec<(String, String)> = clients
        .iter()
        .map(|client| {
            (client["id"].as_str().unwrap().to_owned(), client["time"].as_str().unwrap().to_owned())
        })
        .collect();
    newest.reverse();
    newest.sort_by(|one, other| one.0.cmp(&other.0));
    newest.dedup_by(|later, first| later.0 == first.0);
    assert_eq!(newest.len(), 500, "no client is left out");
    assert_eq!(newest.iter().filter(|(_, time)| time == "2").count(), moved);
}

#[test]
fn a_list_waits_for_a_client_that_reads_slowly() {
    let mut bench = bench().with_marks(1000, 100);
    (0..100).for_each(|n| bench.report(&format!("c{n}"), 1, Origin::CLIENT));
    bench.receive(get("/v1/clients").as_bytes());
    let turns = bench.list_on();
    assert!(turns <= 2 && bench.pending() < 1000 + 16 * 200, "{turns} turns, {} bytes", bench.pending());
    assert_eq!((bench.server.store.cursors(), bench.reading_is_paused()), (1, true));
    let mut output = String::new();
    while bench.server.web.lists > 0 {
        output += &bench.sent();
        bench.list_on();
    }
    output += &bench.sent();
    assert_eq!(responses(&output)[0].ids().len(), 100);
    assert_eq!(bench.server.store.cursors(), 0);

    // One that reads nothing at all gives its place to others.
    bench.receive(get("/v1/clients").as_bytes());
    bench.list_on();
    bench.now = bench.now + STALLED;
    bench.time_out();
    assert_eq!(bench.closing(), Some(Close::Abort));
    bench.lose();
    assert_eq!((bench.server.store.cursors(), bench.server.web.lists), (0, 0));
}

const STALLED: Duration = Duration::from_secs(60);

#[test]
fn http_1_0_gets_a_list_until_the_end_of_the_connection() {
    let mut bench = bench();
    bench.report("a", 1, Origin::CLIENT);
    bench.receive(b"GET /v1/clients HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let output = bench.sent();
    let (head, body) = output.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("Transfer-Encoding") && head.contains("Connection: close"), "{head}");
    let value: Value = serde_json::from_str(body).unwrap();
    assert_eq!((value["clients"][0]["id"].as_str(), bench.closing()), (Some("a"), Some(Close::Drain)));
}

#[test]
fn clients_are_found_near_a_client_or_a_location() {
    let mut bench = bench();
    for (id, location) in [("a", "+10+10"), ("b", "+10.01+10"), ("c", "+10+10"), ("d", "+50+50")] {
        let body = format!(r#"{{"location":"{location}","time":1}}"#);
        ask(&mut bench, &put(&format!("/v1/clients/{id}"), &body));
    }
    let near = ask(&mut bench, &get("/v1/near?id=a&km=5&limit=10"));
    assert_eq!(near.ids(), ["c", "b"]);
    assert_eq!(near.json()["clients"][1]["km"].to_string(), "1.112");
    let here = ask(&mut bench, &get("/v1/near?latitude=10&longitude=10.0&km=0"));
    assert_eq!(here.ids(), ["a", "c"]);
    assert_eq!(ask(&mut bench, &get("/v1/near?id=a&km=5&limit=0")).ids().len(), 0);
    let geo = ask(
        &mut bench,
        &request("GET", "/v1/near?id=a&km=5&limit=1", "Accept: a/b, application/GEO+json;q=1\r\n"),
    );
    assert!(geo.has("Content-Type: application/geo+json"));
    assert_eq!(geo.json()["features"][0]["geometry"]["coordinates"].to_string(), "[10,10]");
    assert_eq!(ask(&mut bench, &get("/v1/near?id=x&km=5")).status, 404);
    for (query, word) in [
        ("", "id: expected id, or latitude and longitude, got none"),
        ("id=a&latitude=1&longitude=1&km=1", "id: expected either"),
        ("id=a", "km: "),
        ("id=a&km=20101", "km: "),
        ("id=a&km=1&limit=1001", "limit: "),
        ("latitude=1&km=1", "longitude: "),
        ("latitude=91&longitude=1&km=1", "latitude: "),
    ] {
        let got = ask(&mut bench, &get(&format!("/v1/near?{query}")));
        assert!(got.status == 400 && got.error().starts_with(word), "{query}: {got:?}");
    }
}

#[test]
fn a_search_that_takes_many_turns_holds_back_later_requests() {
    let mut bench = bench();
    for n in 0..2000 {
        bench.report(&format!("c{n}"), 1, Origin::CLIENT);
    }
    bench.receive(
        (get("/v1/near?latitude=1&longitude=-1&km=1&limit=1000") + &get("/v1/clients/c7")).as_bytes(),
    );
    assert_eq!((bench.sent(), bench.reading_is_paused()), (String::new(), true));
    let mut turns = 0;
    while bench.search() {
        turns += 1;
    }
    // There is room for the second response when the first one was sent.
    let found = responses(&(bench.sent() + &bench.sent()));
    assert!(turns > 1 && found.len() == 2, "{turns} turns");
    assert_eq!((found[0].ids().len(), found[1].json()["id"].as_str()), (1000, Some("c7")));
    // One whose client goes leaves nothing.
    bench.receive(get("/v1/near?latitude=1&longitude=-1&km=1").as_bytes());
    assert_eq!(bench.server.store.searches(), 1);
    bench.lose();
    assert_eq!(bench.server.store.searches(), 0);
}

#[test]
fn places_are_asked_as_by_a_whatsat() {
    let mut bench = bench();
    ask(&mut bench, &put("/v1/clients/kiwi", KIWI));
    for (query, word) in [
        ("km=51&limit=4", "km"),
        ("km=10&limit=21", "limit"),
        ("km=-1", "km"),
        ("limit=1", "km"),
        ("km=1&limit=1.5", "limit"),
    ] {
        let got = ask(&mut bench, &get(&format!("/v1/clients/kiwi/places?{query}")));
        assert!(got.status == 400 && got.error().starts_with(word), "{query}: {got:?}");
    }
    assert_eq!(ask(&mut bench, &get("/v1/clients/fig/places?km=1")).status, 404);
    bench.receive((get("/v1/clients/kiwi/places?km=10&limit=2") + &get("/v1/clients/kiwi")).as_bytes());
    assert_eq!((bench.sent(), bench.reading_is_paused()), (String::new(), true));
    bench.eof();
    bench.answer_questions(r#"{"results":[1,2,3],"status":"OK"}"#);
    let found = responses(&bench.sent());
    assert_eq!(found.len(), 2, "what was received before the half-close is answered");
    assert_eq!(found[0].body, "{\"results\":[1,2],\"status\":\"OK\"}\n");
    assert_eq!(bench.closing(), Some(Close::Drain));
}

#[test]
fn a_question_whose_client_is_gone_is_withdrawn() {
    let mut bench = bench();
    ask(&mut bench, &put("/v1/clients/kiwi", KIWI));
    bench.receive(get("/v1/clients/kiwi/places?km=10").as_bytes());
    bench.lose();
    bench.answer_questions("{\"results\":[]}");
    assert_eq!(bench.sent(), "");
}

#[test]
fn responses_to_statements_wait_for_the_disk() {
    let mut bench = bench();
    bench.server.durability.let_replies_wait();
    bench.receive(
        (put("/v1/clients/a", KIWI) + &put("/v1/clients/b", KIWI) + &get("/v1/clients/a")).as_bytes(),
    );
    bench.disk_reaches(0, false);
    assert_eq!(bench.sent(), "");
    bench.disk_reaches(1, false);
    assert_eq!(responses(&bench.sent()).len(), 1);
    bench.disk_reaches(2, false);
    let found = responses(&bench.sent());
    assert_eq!((found.len(), found[0].json()["id"].as_str()), (2, Some("b")));
    bench.receive(request("DELETE", "/v1/clients/a", "").as_bytes());
    assert_eq!(bench.sent(), "");
    bench.disk_reaches(2, true);
    let failed = responses(&bench.sent());
    assert_eq!(failed[0].status, 503);
    assert!(failed[0].error().contains("store.sync: the disk fails"));
    assert_eq!(ask(&mut bench, &put("/v1/clients/c", KIWI)).status, 503);
    assert!(bench.server.store.get(b"c").is_none());
    bench.server.durability.works_again();
    bench.receive(put("/v1/clients/c", KIWI).as_bytes());
    bench.lose();
    bench.server.durability.reached(100);
    assert_eq!(bench.server.durability.next_conversation(), None, "it is gone");
}

/// The events of an output, without the head.
fn events(output: &str) -> Vec<String> {
    let text = output
        .split_once("\r\n\r\n")
        .map_or(output, |(head, text)| if head.starts_with("HTTP") { text } else { output });
    text.split("\n\n").filter(|event| !event.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_stream_has_all_and_then_each_change() {
    let mut bench = bench();
    bench.report("a1", 1, Origin::CLIENT);
    bench.report("b1", 1, Origin::CLIENT);
    bench.receive(request("GET", "/v1/changes?prefix=a", "Accept: text/event-stream\r\n").as_bytes());
    bench.follow_on();
    let output = bench.sent();
    for field in [
        "Content-Type: text/event-stream",
        "Cache-Control: no-store, no-transform",
        "X-Accel-Buffering: no",
        "Connection: close",
    ] {
        assert!(output.contains(&format!("\r\n{field}\r\n")), "{field} in {output}");
    }
    let found = events(&output);
    assert_eq!((found.len(), &*found[0]), (3, "retry: 1000"), "{found:?}");
    assert!(found[1].starts_with("event: at\ndata: {\"id\":\"a1\","), "{found:?}");
    assert_eq!(
        found[2],
        "id: 00000000000000ee-2\nevent: mark\ndata: {\"epoch\":\"00000000000000ee\",\"sequence\":2}"
    );
    bench.report("b1", 2, Origin::CLIENT);
    bench.report("a2", 2, Origin::CLIENT);
    bench.follow_on();
    let found = events(&bench.sent());
    assert!(
        found.len() == 2 && found[0].contains("\"a2\"") && found[1].starts_with("id: 00000000000000ee-4\n"),
        "{found:?}"
    );
    // The end of the stream, after all that there is.
    bench.report("a3", 2, Origin::CLIENT);
    bench.eof();
    bench.follow_on();
    let found = events(&bench.sent());
    assert!(found.len() == 2 && found[0].contains("\"a3\""), "{found:?}");
    assert_eq!((bench.closing(), bench.server.followers.len()), (Some(Close::Drain), 0));
    bench.lose();
}

#[test]
fn a_stream_is_resumed_from_the_id_of_its_last_mark() {
    let stream = |target: &str, fields: &str| {
        let mut bench = bench();
        (0..4).for_each(|n| bench.report(&format!("a{n}"), 1, Origin::CLIENT));
        bench.report("a1", 2, Origin::CLIENT);
        bench.receive(request("GET", target, fields).as_bytes());
        bench.follow_on();
        events(&bench.sent()).iter().filter(|event| event.starts_with("event: at")).count()
    };
    assert_eq!(stream("/v1/changes", ""), 4);
    for id in ["00000000000000ee-4", "00000000000000EE-004"] {
        assert_eq!(stream("/v1/changes", &format!("Last-Event-ID: {id}\r\n")), 1, "{id}");
        assert_eq!(stream(&format!("/v1/changes?prefix=a&from={id}"), ""), 1, "{id}");
    }
    assert_eq!(stream("/v1/changes?from=00000000000000ee-0", "Last-Event-ID: 00000000000000ee-5\r\n"), 0);
    for other in ["0123456789abcdef-4", "00000000000000ee-6", "x-4"] {
        assert_eq!(stream("/v1/changes", &format!("Last-Event-ID: {other}\r\n")), 4, "{other}");
        assert_eq!(stream(&format!("/v1/changes?from={other}"), ""), 4, "{other}");
    }
    assert_eq!(stream("/v1/changes", "Last-Event-ID: 7\r\n"), 4, "no ID of this program");
    assert_eq!(
        stream("/v1/changes?latitude=1&longitude=-1&km=1", "Last-Event-ID: 00000000000000ee-5\r\n"),
        4
    );
}

#[test]
fn a_stream_of_an_area_says_who_has_left() {
    let mut bench = bench();
    let at = |bench: &mut Bench, id: &str, location: &str, time: u32| {
        let line = format!("AT Riley +0.000000000 {id} {location} {time}\n");
        let statement = crate::text::record::Statement::parse(line.trim_end().as_bytes()).unwrap();
        bench.server.followers.report(&mut bench.server.store, &statement, line.as_bytes(), Origin::CLIENT);
    };
    at(&mut bench, "in", "+10+10", 1);
    at(&mut bench, "out", "+20+20", 1);
    bench.receive(get("/v1/changes?latitude=10&longitude=10&km=50").as_bytes());
    bench.follow_on();
    assert_eq!(events(&bench.sent()).len(), 3);
    at(&mut bench, "in", "+11+10", 2);
    bench.follow_on();
    assert_eq!(events(&bench.sent())[0], "event: left\ndata: {\"id\":\"in\"}");
}

#[test]
fn wrong_streams_are_refused() {
    for (query, word) in [
        ("id=a&prefix=b", "id: expected only one"),
        ("id=", "id: "),
        ("prefix=a%20b", "prefix: "),
        ("latitude=0&longitude=0&km=x", "km: "),
        ("latitude=0&longitude=0", "km: "),
        ("latitude=99&longitude=0&km=1", "latitude: "),
        ("from=x", "from: "),
        ("from=00000000000000ee-x", "from: "),
        ("latitude=0&longitude=0&km=1&from=00000000000000ee-1", "from: "),
    ] {
        let got = one(&get(&format!("/v1/changes?{query}")));
        assert!(got.status == 400 && got.error().starts_with(word), "{query}: {got:?}");
    }
    let mut bench = bench();
    bench.server.limits.max_followers = 0;
    let got = ask(&mut bench, &get("/v1/changes"));
    assert_eq!((got.status, got.has("Retry-After: 1")), (503, true));
    assert!(got.error().contains("limits.max_followers"));
    // A browser would make no further attempt.
    bench.server.is_ending = true;
    bench.server.followers.close();
    bench.receive(get("/v1/changes").as_bytes());
    bench.follow_on();
    assert!(bench.sent().starts_with("HTTP/1.1 200 ") && bench.closing() == Some(Close::Drain));
}

#[test]
fn a_comment_keeps_a_silent_stream_alive() {
    let mut bench = bench();
    bench.receive(get("/v1/changes?id=kiwi").as_bytes());
    bench.follow_on();
    bench.sent();
    for _ in 0..3 {
        assert_eq!(bench.deadline(), bench.now + Duration::from_secs(15));
        bench.report("other", 1, Origin::CLIENT);
        bench.now = bench.deadline();
        bench.time_out();
        let output = bench.sent();
        assert!(output.starts_with(":\nid: 00000000000000ee-1\nevent: mark\n"), "{output}");
    }
    // Without room the pending output is the sign of life.
    let mut bench = bench.with_marks(0, 0);
    bench.report("kiwi", 5, Origin::CLIENT);
    bench.follow_on();
    let pending = bench.pending();
    bench.now = bench.deadline();
    bench.time_out();
    assert_eq!(bench.pending(), pending);
}

#[test]
fn a_slow_reader_of_a_stream_is_sent_the_newest_only() {
    let mut bench = bench().with_marks(300, 100);
    bench.receive(get("/v1/changes").as_bytes());
    bench.follow_on();
    for time in 1..50 {
        (0..20).for_each(|n| bench.report(&format!("c{n}"), time, Origin::CLIENT));
        bench.follow_on();
        assert!(bench.pending() < 2000, "{}", bench.pending());
    }
    let mut output = String::new();
    for _ in 0..100 {
        output += &bench.sent();
        bench.follow_on();
    }
    let found = events(&output);
    let newest = |n: u32| found.iter().rposition(|event| event.contains(&format!("\"c{n}\"")));
    assert!(found.len() < 100, "{}", found.len());
    assert!((0..20).all(|n| newest(n).is_some_and(|at| found[at].contains("\"time\":\"49\""))));
}

#[test]
fn the_place_of_a_stream_is_free_when_its_client_is_gone() {
    let mut bench = bench();
    bench.server.limits.max_followers = 1;
    bench.receive(get("/v1/changes").as_bytes());
    assert_eq!(bench.server.followers.len(), 1);
    bench.lose();
    assert_eq!((bench.server.followers.len(), bench.server.store.cursors()), (0, 0));
    // What follows on the same server.
    let whom = Whom::Prefix(b"");
    bench.server.followers.add(bench.id, &Follow { whom, from: None });
}

#[test]
fn head_has_the_head_of_a_get_and_no_body() {
    let mut bench = bench();
    ask(&mut bench, &put("/v1/clients/kiwi", KIWI));
    for target in [
        "/v1/clients/kiwi",
        "/v1/clients/x",
        "/v1/clients",
        "/v1/near?id=kiwi&km=1",
        "/x",
        "/v1/clients?limit=x",
    ] {
        bench.receive(get(target).as_bytes());
        let whole = bench.sent();
        bench.receive(request("HEAD", target, "").as_bytes());
        let head = bench.sent();
        assert!(head.ends_with("\r\n\r\n") && whole.starts_with(&head), "{target}: {head}");
    }
    assert_eq!((bench.server.web.lists, bench.server.store.cursors()), (0, 0));
    bench.receive(request("HEAD", "/v1/changes", "").as_bytes());
    assert!(bench.sent().ends_with("\r\n\r\n") && bench.closing() == Some(Close::Drain));
    assert_eq!(bench.server.followers.len(), 0);
}

#[test]
fn a_connection_persists_as_the_client_says() {
    for (head, persists) in [
        ("GET /x HTTP/1.1\r\nHost: localhost\r\n", true),
        ("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", false),
        ("GET /x HTTP/1.0\r\n", false),
        ("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n", true),
    ] {
        let mut bench = bench();
        let got = ask(&mut bench, &format!("{head}\r\n"));
        let connection = if persists { "keep-alive" } else { "close" };
        assert!(got.has(&format!("Connection: {connection}")), "{head}: {got:?}");
        assert_eq!(bench.closing().is_none(), persists, "{head}");
        bench.receive(get("/x").as_bytes());
        assert_eq!(bench.sent().is_empty(), !persists, "{head}");
    }
}

#[test]
fn requests_are_the_same_in_any_pieces() {
    let body = r#"{"location":"+1.5-1.5","time":5}"#;
    let chunked = request("PUT", "/v1/clients/b", "Transfer-Encoding: chunked\r\n")
        + &format!("{:x};a=b\r\n{body}\r\n0\r\nTrailer: x\r\n\r\n", body.len());
    let stream = get("/v1/clients/a") + &chunked + &get("/v1/clients/b") + &get("/v1/clients") + &get("/x");
    let whole = {
        let mut bench = bench();
        bench.receive(stream.as_bytes());
        bench.sent()
    };
    assert_eq!(responses(&whole).iter().map(|got| got.status).collect::<Vec<_>>(), [404, 200, 200, 200, 404]);
    for size in [1, 2, 3, 7, 50] {
        let mut bench = bench();
        for piece in stream.as_bytes().chunks(size) {
            bench.receive(piece);
        }
        assert_eq!(bench.sent(), whole, "{size}");
        assert_eq!(bench.server.web.body_bytes, 0);
    }
}

#[test]
fn the_client_is_asked_for_its_body_once() {
    let mut bench = bench();
    let fields = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", KIWI.len());
    let head = request("PUT", "/v1/clients/kiwi", &fields);
    bench.receive(head.as_bytes());
    assert_eq!(bench.sent(), "HTTP/1.1 100 Continue\r\n\r\n");
    let got = ask(&mut bench, KIWI);
    assert_eq!(got.status, 200);
    // The body is there already, or will not be read.
    assert_eq!(ask(&mut bench, &(head.clone() + KIWI)).status, 200);
    let refused = ask(&mut bench, &request("PUT", "/v1/near", &fields));
    assert_eq!((refused.status, refused.has("Connection: close")), (405, true));
    assert_eq!(one(&request("PUT", "/v1/clients/a", "Expect: x\r\nContent-Length: 0\r\n")).status, 417);
}

#[test]
fn a_body_has_at_most_a_mebibyte() {
    let mut bench = bench();
    let padded = KIWI.to_owned() + &" ".repeat(BODY_MAX - KIWI.len());
    assert_eq!(ask(&mut bench, &put("/v1/clients/kiwi", &padded)).status, 200);
    let announced = request("PUT", "/v1/clients/kiwi", &format!("Content-Length: {}\r\n", BODY_MAX + 1));
    let mut other = bench_of(&announced);
    assert_eq!((responses(&other.sent())[0].status, other.closing()), (413, Some(Close::Drain)));
    let mut chunks = bench_of(&request("PUT", "/v1/clients/kiwi", "Transfer-Encoding: chunked\r\n"));
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(65_536));
    for _ in 0..16 {
        chunks.receive(chunk.as_bytes());
    }
    assert_eq!((chunks.sent(), chunks.server.web.body_bytes), (String::new(), BODY_MAX));
    chunks.receive(b"1\r\n");
    assert_eq!((responses(&chunks.sent())[0].status, chunks.closing()), (413, Some(Close::Drain)));
    assert_eq!(chunks.server.web.body_bytes, 0);
}

fn bench_of(request: &str) -> Bench {
    let mut bench = bench();
    bench.receive(request.as_bytes());
    bench
}

#[test]
fn the_bodies_of_all_connections_are_bounded() {
    let mut bench = bench();
    bench.server.web.body_bytes = BODIES_OF_ALL_MAX;
    bench.receive((request("PUT", "/v1/clients/kiwi", "Content-Length: 9\r\n") + "{").as_bytes());
    assert_eq!((responses(&bench.sent())[0].status, bench.closing()), (503, Some(Close::Drain)));
    assert_eq!(bench.server.web.body_bytes, BODIES_OF_ALL_MAX);
    let mut gone = bench_of(&(request("PUT", "/v1/clients/kiwi", "Content-Length: 9\r\n") + "{"));
    assert_eq!(gone.server.web.body_bytes, 1);
    gone.lose();
    assert_eq!(gone.server.web.body_bytes, 0);
}

#[test]
fn what_is_no_request_ends_the_connection() {
    for (input, status) in [
        ("IAMAT kiwi +34-118 1\n", 400),
        ("\u{16}\u{3}\u{1}", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        ("PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        ("GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (
            "PUT /x HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 1\r\n\r\nx",
            403,
        ),
    ] {
        let mut bench = bench();
        bench.receive((input.to_owned() + &put("/v1/clients/kiwi", KIWI)).as_bytes());
        let found = responses(&bench.sent());
        let goes_on = status == 421;
        assert_eq!((found[0].status, found.len()), (status, if goes_on { 2 } else { 1 }), "{input:?}");
        assert_eq!(
            (bench.closing().is_some(), bench.server.store.len()),
            (!goes_on, usize::from(goes_on)),
            "{input:?}"
        );
    }
    let many = format!("GET /x HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(17_000));
    assert_eq!(one(&many).status, 431);
}

#[test]
fn a_request_must_be_complete_within_ten_seconds() {
    for begun in [
        "GET /x HTTP/1.1\r\nHost: local",
        "PUT /v1/clients/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{",
    ] {
        let mut bench = bench();
        let start = bench.now;
        bench.receive(begun.as_bytes());
        bench.now = start + Duration::from_secs(5);
        bench.receive(b" ");
        assert_eq!(bench.deadline(), start + REQUEST_MAX, "another byte puts nothing off");
        bench.now = bench.deadline();
        bench.time_out();
        let got = responses(&bench.sent());
        assert_eq!((got[0].status, bench.closing()), (408, Some(Close::Drain)), "{begun}");
        assert_eq!(bench.server.web.body_bytes, 0);
    }
    // Without a request the connection is closed later, and without a response.
    let mut bench = bench();
    ask(&mut bench, &get("/x"));
    assert_eq!(bench.deadline(), bench.now + IDLE_MAX);
    bench.now = bench.deadline();
    bench.time_out();
    assert_eq!((bench.sent(), bench.closing()), (String::new(), Some(Close::Drain)));
}

#[test]
fn the_time_that_is_not_read_does_not_count() {
    let mut bench = bench().with_marks(0, 0);
    bench.receive((get("/x") + "GET /").as_bytes());
    assert_eq!((bench.reading_is_paused(), bench.deadline()), (true, Moment::NEVER));
    bench.now = bench.now + Duration::from_secs(100);
    bench.sent();
    assert_eq!(bench.deadline(), bench.now + REQUEST_MAX);
}

#[test]
fn pipelined_requests_wait_for_room() {
    let mut bench = bench().with_marks(100, 10);
    bench.receive(get("/x").repeat(10).as_bytes());
    let mut found = 0;
    while bench.pending() > 0 {
        assert!(bench.pending() < 100 + 400, "{}", bench.pending());
        found += responses(&bench.sent()).len();
    }
    assert_eq!((found, bench.input_left()), (10, 0));
}

#[test]
fn a_request_that_is_cut_off_is_refused() {
    for begun in ["GET /x", "PUT /v1/clients/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"] {
        let mut bench = bench_of(begun);
        bench.eof();
        assert_eq!((responses(&bench.sent())[0].status, bench.closing()), (400, Some(Close::Drain)));
        assert_eq!(bench.server.web.body_bytes, 0);
    }
    let mut bench = bench();
    bench.eof();
    assert_eq!((bench.sent(), bench.closing()), (String::new(), Some(Close::Drain)));
}

#[test]
fn unread_answers_of_all_connections_are_bounded() {
    let mut bench = bench();
    for n in 0..100 {
        bench.report(&format!("c{n}"), 1, Origin::CLIENT);
    }
    bench.server.unread_answer_bytes = usize::MAX / 2;
    let mut bench = bench.with_marks(0, 0);
    bench.receive(get("/x").as_bytes());
    let of_all = bench.server.unread_answer_bytes;
    assert_eq!(of_all, usize::MAX / 2 + bench.pending(), "an output without room is unread");
    bench.sent();
    assert_eq!(bench.server.unread_answer_bytes, usize::MAX / 2);
    let mut bench = bench.with_marks(1 << 20, 0);
    for n in 100..1000 {
        bench.report(&format!("c{n}"), 1, Origin::CLIENT);
    }
    bench.receive(get("/v1/near?latitude=1&longitude=-1&km=1&limit=1000").as_bytes());
    while bench.search() {}
    let got = responses(&bench.sent());
    assert_eq!((got[0].status, got[0].has("Retry-After: 1")), (503, true));
    assert_eq!(ask(&mut bench, &get("/v1/clients/c1")).status, 200, "small ones are still given");
}

#[test]
fn a_shutdown_lets_responses_leave_and_ends_streams() {
    let mut bench = bench();
    ask(&mut bench, &put("/v1/clients/kiwi", KIWI));
    bench.receive((get("/v1/clients/kiwi/places?km=1") + &get("/v1/clients/kiwi")).as_bytes());
    bench.server.is_ending = true;
    bench.answer_questions("{\"results\":[]}");
    let found = responses(&bench.sent());
    assert!(found[0].has("Connection: keep-alive") && found[1].has("Connection: close"), "{found:?}");
    assert_eq!(bench.closing(), Some(Close::Drain));

    let mut bench = bench_of("");
    ask(&mut bench, &put("/v1/clients/kiwi", KIWI));
    bench.receive(get("/v1/clients/kiwi/places?km=1").as_bytes());
    bench.shut_down();
    assert_eq!(bench.closing(), None, "a response is pending");
    bench.answer_questions("{\"results\":[]}");
    assert!(responses(&bench.sent())[0].has("Connection: close") && bench.closing() == Some(Close::Drain));

    let mut bench = bench_of(&get("/v1/changes"));
    bench.follow_on();
    bench.sent();
    bench.server.followers.close();
    bench.follow_on();
    assert_eq!((events(&bench.sent()).len(), bench.closing()), (1, Some(Close::Drain)));

    let mut bench = bench_of("");
    bench.shut_down();
    assert_eq!((bench.sent(), bench.closing()), (String::new(), Some(Close::Drain)));
}

#[test]
fn the_log_has_requests_and_responses_and_no_token() {
    let mut bench = bench();
    let fields = "Authorization: Bearer SECRET\r\nCookie: SECRET\r\nReferer: http://localhost/t/SECRET\r\n";
    ask(&mut bench, &put("/v1/clients/kiwi", KIWI));
    ask(&mut bench, &request("GET", "/v1/clients/kiwi?x=1", fields));
    ask(&mut bench, &request("GET", "/t/SECRET/x", fields));
    ask(&mut bench, &request("GET", "http://localhost/t/SECRET", fields));
    ask(&mut bench, &get("/v1/clients"));
    bench.receive(b"GET /t/SECRET HTTP/1.1\r\n\r\n");
    let log = bench.log();
    for line in [
        "New connection from (127.0.0.1, 40000) was made, for HTTP\n",
        &format!("Riley received 'PUT /v1/clients/kiwi {KIWI}' from (127.0.0.1, 40000)\n"),
        "Riley sent to client '200 {\"id\":\"kiwi\",",
        "Riley received 'GET /v1/clients/kiwi?x=1' from (127.0.0.1, 40000)\n",
        "Riley received 'GET /t/***/x' from (127.0.0.1, 40000)\n",
        "Riley sent to client '404 {\"error\":\"there is nothing at this path\"}'\n",
        "'GET /t/***' from (127.0.0.1, 40000) is refused with 404: there is nothing at this path\n",
        "Riley sent to client '200 (1 clients)'\n",
        "'A request' from (127.0.0.1, 40000) is refused with 400: the request is malformed",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
    assert!(!log.contains("SECRET"), "{log}");
}

/// The conversations of lines must not become larger for those of HTTP.
#[test]
fn a_conversation_of_lines_is_no_larger() {
    assert!(size_of::<Conversation>() <= size_of::<crate::conversation::Client>() + 8);
}
