//! Messages of apps as they were sent, and phones in a conversation.

use std::fs;
use std::path::Path;

use super::*;
use crate::access::{Digest, Entry, Scope, Tokens};
use crate::conversation::Conversation;
use crate::conversation::testing::Bench;
use crate::http::server::read_request_head;
use crate::store::Origin;

/// What is made of the request of a golden file: the answer, and each point.
fn read(request: &str) -> Vec<String> {
    let (head, body) = request.split_once("\n\n").unwrap();
    let head = head.replace('\n', "\r\n") + "\r\n\r\n";
    let (head, _) = read_request_head(head.as_bytes()).unwrap().unwrap();
    let (path, query) = head.path_and_query();
    let app = App::of(path, head.method, query).unwrap();
    assert!(app.methods().contains(head.method));
    let in_words = |response: &Response| {
        let body = str::from_utf8(&response.body).unwrap().trim_end();
        format!("{} {} {body}", response.status.0, response.content_type)
    };
    let parts = match Parts::of(app, head.fields.get("Content-Type"), body.as_bytes()) {
        Ok(parts) => parts,
        Err(refusal) => return vec![in_words(&refusal)],
    };
    let sender = sender_of(&head, path, &Grant::everything());
    let points = (0..parts.len()).map(|number| {
        let point = parts.read(app, number, &sender);
        let id = point.id.map_or("no ID".to_owned(), |id| String::from_utf8(id).unwrap());
        match point.position {
            Ok(position) => {
                format!("{id} {} {}", position.location, position.time.as_deref().unwrap_or("now"))
            }
            Err(why) => format!("{id}: {why:?}"),
        }
    });
    std::iter::once(in_words(&app.answer(head.fields.get("User-Agent")))).chain(points).collect()
}

#[test]
fn each_app_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conversation/web/phones/golden");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let (request, expected) = text.split_once("\n=====\n").unwrap();
        assert_eq!(read(request), expected.lines().collect::<Vec<_>>(), "{}", file.display());
        files += 1;
    }
    assert_eq!(files, 22);
}

#[test]
fn a_path_belongs_to_an_app() {
    let app = |path: &str| App::of(path, "POST", "");
    for path in ["/owntracks", "/owntracks/", "/pub", "/owntracks/a/b", "/owntracks/a/b/", "/owntracks/a"] {
        assert_eq!(app(path), Some(App::OwnTracks), "{path}");
    }
    for path in ["/", "/osmand", "/traccar/", "/gpslogger"] {
        assert_eq!(app(path), Some(App::Parameters), "{path}");
    }
    assert_eq!(
        (app("/overland/"), App::of("/", "GET", "id=x")),
        (Some(App::Overland), Some(App::Parameters))
    );
    for path in ["", "//", "/v1", "/owntrack", "/osmand//", "/osmand/x", "/overland/x"] {
        assert_eq!(app(path), None, "{path}");
    }
    assert_eq!((App::of("/", "GET", ""), App::of("/", "HEAD", "")), (None, None), "the map");
}

/// A server with a token `secret` of this name and these scopes.
fn bench_with_token(name: &str, scopes: &[&str]) -> Bench {
    let mut bench = bench();
    let scopes: Vec<Scope> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    let entry = Entry { name: name.to_owned(), digest: Digest::of(b"secret"), scopes };
    bench.server.access.replace(Some(Tokens::of(&[entry])));
    bench
}

fn bench() -> Bench {
    Bench::new(Conversation::Web(Box::default()))
}

/// The status and the body of the answer, and the number of turns that it took.
fn ask(bench: &mut Bench, method: &str, target: &str, fields: &str, body: &str) -> (String, String, usize) {
    if bench.closing().is_some() {
        // A request whose body is not read ends its connection.
        let mut next = Bench::new(Conversation::Web(Box::default()));
        std::mem::swap(&mut next.server, &mut bench.server);
        *bench = next;
    }
    let length = body.len();
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{fields}\r\n");
    bench.receive((head + body).as_bytes());
    let turns = bench.list_on();
    let sent = bench.sent();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.trim_end().to_owned(), turns)
}

fn stored(bench: &Bench, id: &str) -> Option<String> {
    let line = bench.server.store.get(id.as_bytes())?;
    let fields: Vec<&str> = str::from_utf8(line).unwrap().split_whitespace().collect();
    Some(fields[4..].join(" "))
}

fn point(id: &str, time: u32) -> String {
    format!(
        r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[2.5,1.5]}},"properties":{{"timestamp":{time},"device_id":"{id}"}}}}"#
    )
}

fn batch(points: &[String]) -> String {
    format!(r#"{{"locations":[{}]}}"#, points.join(","))
}

#[test]
fn a_point_is_an_iamat() {
    let mut bench = bench();
    let target = "/osmand?id=ada&lat=52.20030&lon=-0.1218&timestamp=1621464827481";
    assert_eq!(ask(&mut bench, "GET", target, "", ""), ("200".into(), String::new(), 0));
    assert_eq!(stored(&bench, "ada").as_deref(), Some("+52.20030-0.1218 1621464827.481"));
    ask(&mut bench, "GET", "/osmand?id=now&lat=1&lon=2", "", "");
    assert_eq!(stored(&bench, "now").as_deref(), Some("+1+2 1621464830.000000000"));
    // Late, and twice.
    for _ in 0..2 {
        ask(&mut bench, "GET", "/osmand?id=ada&lat=1&lon=1&timestamp=1621464827", "", "");
    }
    assert_eq!(stored(&bench, "ada").as_deref(), Some("+52.20030-0.1218 1621464827.481"));
    // More than limits.max_future_s ahead.
    assert_eq!(ask(&mut bench, "GET", "/osmand?id=far&lat=1&lon=1&timestamp=1721464827", "", "").0, "200");
    assert_eq!(ask(&mut bench, "HEAD", "/osmand?id=head&lat=1&lon=1", "", "").0, "200");
    assert_eq!(ask(&mut bench, "GET", "/osmand?id=bad&lat=91&lon=1", "", "").0, "200");
    assert_eq!(ask(&mut bench, "GET", "/osmand?id=beat", "", "").0, "200");
    assert_eq!(ask(&mut bench, "POST", "/owntracks", "", "{").0, "200");
    assert!(["far", "head", "bad", "beat"].iter().all(|id| stored(&bench, id).is_none()));
    let phones = bench.server.web.phones;
    let expected =
        PhoneCounts { stored: 2, older: 2, other_messages: 1, heartbeats: 1, bad_locations: 1, bad_times: 1 };
    assert_eq!(phones, expected);
}

#[test]
fn the_log_has_lines_and_no_bodies() {
    let mut bench = bench();
    let body = r#"{"_type":"configuration","password":"hush"}"#;
    ask(&mut bench, "POST", "/owntracks", "", body);
    ask(&mut bench, "POST", "/wrong/owntracks", "", body);
    ask(
        &mut bench,
        "POST",
        "/t/key/owntracks/Ada/x",
        "",
        r#"{"_type":"location","lat":1,"lon":2,"tst":5,"x":"hush"}"#,
    );
    let log = bench.log();
    assert!(!log.contains("hush") && !log.contains("key"), "{log}");
    assert!(log.contains("'AT Riley +1621464825.000000000 ada/x +1+2 5'"), "{log}");
}

#[test]
fn a_large_batch_is_stored_in_portions() {
    let mut bench = bench();
    let points: Vec<String> =
        (0..300).map(|n| point(&format!("p{}", n % 50), 1_621_464_000 + n * 617 % 300)).collect();
    let (status, body, turns) = ask(&mut bench, "POST", "/overland", "", &batch(&points));
    assert_eq!((&*status, &*body), ("200", "{\"result\":\"ok\"}"));
    assert!(turns > 20, "{turns} turns");
    for client in 0..50 {
        let newest = (0..6).map(|k| (client + 50 * k) * 617 % 300).max().unwrap();
        let expected = format!("+1.5+2.5 {}", 1_621_464_000 + newest);
        assert_eq!(stored(&bench, &format!("p{client}")), Some(expected), "p{client}");
    }
    assert_eq!(bench.server.web.body_bytes, 0);
}

#[test]
fn requests_after_a_batch_are_answered_after_it() {
    let mut bench = bench();
    let points: Vec<String> = (0..100).map(|n| point(&format!("p{n}"), 1_621_464_000)).collect();
    let body = batch(&points);
    let head =
        format!("POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    bench.receive((head + &body + "GET /v1/clients/p99 HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    assert!(bench.reading_is_paused() && bench.server.web.body_bytes > 0);
    bench.list_on();
    let sent = bench.sent();
    let (first, second) = (sent.find("{\"result\":\"ok\"}").unwrap(), sent.find("{\"id\":\"p99\"").unwrap());
    assert!(first < second, "{sent}");
}

#[test]
fn a_connection_that_is_lost_gives_back_its_batch() {
    let mut bench = bench();
    let points: Vec<String> = (0..100).map(|n| point(&format!("p{n}"), 1_621_464_000)).collect();
    let body = batch(&points);
    let head =
        format!("POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    bench.receive((head + &body).as_bytes());
    assert!(bench.server.web.body_bytes > 0);
    bench.lose();
    assert_eq!(bench.server.web.body_bytes, 0);
}

#[test]
fn nothing_of_a_batch_with_another_client_is_stored() {
    let mut bench = bench_with_token("ada", &["report:ada*"]);
    let mut points: Vec<String> = (0..100).map(|n| point(&format!("ada{n}"), 1_621_464_000)).collect();
    points.push(point("bob", 1_621_464_000));
    let bearer = "Authorization: Bearer secret\r\n";
    let (status, body, turns) = ask(&mut bench, "POST", "/overland", bearer, &batch(&points));
    assert_eq!(status, "403", "{body}");
    assert!(turns > 1 && bench.server.store.is_empty());
    points.pop();
    assert_eq!(ask(&mut bench, "POST", "/t/secret/overland", "", &batch(&points)).0, "200");
    assert_eq!(bench.server.store.len(), 100);
    assert_eq!(ask(&mut bench, "POST", "/overland", "", &batch(&points)).0, "401");
    let nameless = batch(&[point("", 1_621_464_000)]);
    assert_eq!(ask(&mut bench, "POST", "/overland", bearer, &nameless).0, "200");
    assert_eq!(stored(&bench, "ada").as_deref(), Some("+1.5+2.5 1621464000"), "the name of the token");
}

#[test]
fn a_request_without_an_id_is_refused() {
    let mut bench = bench();
    for (method, target, body) in [
        ("GET", "/osmand?lat=1&lon=2", ""),
        ("GET", "/traccar", ""),
        ("POST", "/", ""),
        ("POST", "/", "[]"),
        ("POST", "/", "{"),
        ("POST", "/", "[{},5]"),
        ("POST", "/gpslogger", "hello"),
        (
            "POST",
            "/overland",
            r#"{"locations":[{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]}}]}"#,
        ),
        ("POST", "/overland", "{}"),
    ] {
        let (status, text, _) = ask(&mut bench, method, target, "", body);
        assert!(
            status == "400" && text.starts_with("{\"error\":"),
            "{method} {target} {body}: {status} {text}"
        );
    }
    for (target, body) in
        [("/overland", r#"{"locations":[]}"#), ("/?id=x", "[]"), ("/?id=x", "{"), ("/owntracks", "")]
    {
        assert_eq!(ask(&mut bench, "POST", target, "", body).0, "200", "{target} {body}");
    }
    assert!(bench.server.store.is_empty());
}

#[test]
fn a_full_store_is_for_later_except_with_owntracks() {
    let mut bench = bench();
    bench.server.store.set_records_max(1);
    bench.report("kiwi", 5, Origin::CLIENT);
    let (status, _, _) = ask(&mut bench, "POST", "/?id=ada&lat=1&lon=2", "", "");
    assert_eq!(status, "503");
    let location = r#"{"_type":"location","tid":"aa","lat":1,"lon":2,"tst":5}"#;
    assert_eq!(ask(&mut bench, "POST", "/owntracks", "", location).0, "200");
    assert_eq!(ask(&mut bench, "POST", "/?id=kiwi&lat=1&lon=2", "", "").0, "200");
}

#[test]
fn a_coded_body_is_refused() {
    let mut bench = bench();
    for (coding, status) in [("gzip", "415"), ("identity, br", "415"), ("identity", "200"), ("", "200")] {
        let field = format!("Content-Encoding: {coding}\r\n");
        assert_eq!(ask(&mut bench, "POST", "/owntracks", &field, "").0, status, "{coding}");
    }
}

#[test]
fn friends_are_those_that_the_token_may_read() {
    let mut bench = bench_with_token("me", &["report:me*", "read:fam/*", "read:me*"]);
    let report = |bench: &mut Bench, id: &str, location: &str, time: &str| {
        let line = format!("AT Riley +0.000000000 {id} {location} {time}\n");
        let statement = crate::text::record::Statement::parse(line.trim_end().as_bytes()).unwrap();
        bench.server.store.report(&statement, line.as_bytes(), Origin::CLIENT);
    };
    for (id, location, time) in [
        ("fam/old", "+52.20-000.1", "1795834812.9"),
        ("fam/new", "+1-1", "5"),
        ("stranger", "+1-1", "5"),
        ("fam/nowhere", "+0.0-0", "5"),
        ("fam/1970", "+1-1", "0.5"),
        ("me/phone", "+1-1", "5"),
    ] {
        report(&mut bench, id, location, time);
    }
    let location = r#"{"_type":"location","topic":"o/me/phone","lat":1.5,"lon":2,"tst":1621464827}"#;
    let friends = |bench: &mut Bench| ask(bench, "POST", "/t/secret/owntracks", "", location).1;
    let name = |text: &str, id: &str| {
        let list: serde_json::Value = serde_json::from_str(text).unwrap();
        let friend =
            list.as_array().unwrap().iter().find(|friend| friend["topic"] == format!("owntracks/{id}"));
        friend.unwrap_or_else(|| panic!("{id}: {text}"))["tid"].as_str().unwrap().to_owned()
    };
    let found = friends(&mut bench);
    let (new, old) = (name(&found, "fam/new"), name(&found, "fam/old"));
    let expected = format!(
        r#"[{{"_type":"location","tid":"{new}","lat":1,"lon":-1,"tst":5,"topic":"owntracks/fam/new"}},{{"_type":"location","tid":"{old}","lat":52.20,"lon":-0.1,"tst":1795834812,"topic":"owntracks/fam/old"}}]"#
    );
    assert_eq!(found, expected);
    // Names differ and stay, also among many.
    for number in 0..60 {
        report(&mut bench, &format!("fam/{number}"), "+1-1", "5");
    }
    let found = friends(&mut bench);
    let list: Vec<serde_json::Value> = serde_json::from_str(&found).unwrap();
    let mut names: Vec<&str> = list.iter().map(|friend| friend["tid"].as_str().unwrap()).collect();
    assert_eq!((names.len(), list[0]["topic"].as_str()), (50, Some("owntracks/fam/59")));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 50);
    let mut blind = bench_with_token("me", &["report:me*"]);
    report(&mut blind, "fam/new", "+1-1", "5");
    assert_eq!(friends(&mut blind), "[]");
}

#[test]
fn a_grant_is_looked_up_for_each_request() {
    let mut bench = bench_with_token("ada", &["report:ada*"]);
    let target = "/t/secret/osmand?id=ada&lat=1&lon=2";
    assert_eq!(ask(&mut bench, "GET", target, "", "").0, "200");
    bench.server.access.replace(Some(Tokens::default()));
    assert_eq!(ask(&mut bench, "GET", target, "", "").0, "401");
}
