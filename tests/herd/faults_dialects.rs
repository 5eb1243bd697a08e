//! Tests of Places services that speak the other dialects and fail (docs/faults.md, rows 24 to 32).

use serde_json::json;

use crate::ask::TIME;
use crate::fake_places::{Play, Then, in_every_dialect, response};
use crate::faults_places::{fails, near, with_timeout};
use crate::lab::{Lab, until};
use crate::secrecy::{KEY_WITHOUT_SPACES, assert_secret};

/// The dialects besides `google-legacy`, which `faults_places` tests.
const OTHERS: [&str; 2] = ["google", "photon"];

/// Starts a server that asks in this dialect.
fn asking(api: &str, milliseconds: u32) -> Lab {
    let lab = with_timeout(milliseconds, |lab| {
        lab.config["places"]["api"] = json!(api);
        lab.config["places"]["key_env"] = json!("KEY_WITHOUT_SPACES");
        lab.places.on("+9+9", Play::Answer(in_every_dialect(2)));
    });
    let answer = near(&lab, "+9+9");
    assert_eq!(answer["results"].as_array().unwrap().len(), 2, "{answer}");
    lab
}

#[test]
fn row_24_other_dialects_have_the_same_deadline() {
    for api in OTHERS {
        let lab = asking(api, 300);
        lab.places.on("+1+1", Play::WhenReleased(in_every_dialect(1)));
        fails(&lab, "+1+1", "no answer within 300ms");
        lab.places.on("+1+2", Play::Trickle(in_every_dialect(9)));
        fails(&lab, "+1+2", "no answer within 300ms");
    }
}

#[test]
fn row_25_other_dialects_have_the_same_bounds() {
    for api in OTHERS {
        let lab = asking(api, 20_000);
        let ok = "HTTP/1.1 200 OK\r\n";
        let raw = |text: String| Play::Raw(text.into_bytes(), Then::Keep);
        let endless = |head: String, piece: &str| Play::Endless(head.into_bytes(), piece.as_bytes().to_vec());
        for (number, (play, words)) in [
            (raw(format!("{ok}Content-Length: 10485760\r\n\r\n")), "larger than 4 MiB"),
            (endless(format!("{ok}Transfer-Encoding: chunked\r\n\r\n"), "xyz\r\n"), "size of a chunk"),
            (endless(ok.to_owned(), &format!("X-Filler: {}\r\n", "y".repeat(1000))), "larger than 16 KiB"),
            (endless(String::new(), "HTTP/1.1 100 Continue\r\n\r\n"), "interim"),
        ]
        .into_iter()
        .enumerate()
        {
            let location = format!("+1+{number}");
            lab.places.on(&location, play);
            let connections = lab.places.connections();
            fails(&lab, &location, words);
            assert_eq!(near(&lab, "+9+9")["status"], "OK");
            assert!(lab.places.connections() > connections, "{location}: the connection was reused");
        }
    }
}

#[test]
fn row_27_truncated_answers_of_other_dialects() {
    for api in OTHERS {
        let lab = asking(api, 20_000);
        let whole = response(&in_every_dialect(3));
        let short = whole.as_bytes()[..whole.len() - 1].to_vec();
        for then in [Then::Close, Then::Reset] {
            let location = format!("+1+{}", then as usize);
            lab.places.on(&location, Play::Raw(short.clone(), then));
            fails(&lab, &location, "");
            assert_eq!(lab.places.asked(&location), 1, "it was asked again");
        }
    }
}

#[test]
fn row_28_redirections_of_other_dialects() {
    for api in OTHERS {
        let lab = asking(api, 20_000);
        let elsewhere = format!("{}/reverse?lat=5&lon=5", lab.places.url());
        let answer = format!("HTTP/1.1 307 Moved\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n");
        lab.places.on("+1+1", Play::Raw(answer.into_bytes(), Then::Keep));
        fails(&lab, "+1+1", "HTTP status 307: it is elsewhere, and redirects are not followed");
        assert_eq!(lab.places.asked("+5+5"), 0);
    }
}

/// Every failure has its status, a message without the key, and is not given again.
#[test]
fn row_29_error_answers_of_other_dialects() {
    for api in OTHERS {
        let lab = asking(api, 20_000);
        // Photon gets no key, so that it has none to repeat.
        let key = if api == "google" { KEY_WITHOUT_SPACES } else { "unknown" };
        let error = |code: u16, reason: &str| {
            let message = format!("The key {key} is bad.");
            json!({ "error": { "code": code, "message": message, "details": [{ "reason": reason }] } })
                .to_string()
        };
        for (http, body, status) in [
            (400, error(400, "API_KEY_INVALID"), "REQUEST_DENIED"),
            (400, error(400, ""), "INVALID_REQUEST"),
            (403, error(403, ""), "REQUEST_DENIED"),
            (429, error(429, ""), "OVER_QUERY_LIMIT"),
            (503, error(503, ""), "UNKNOWN_ERROR"),
            (200, error(429, ""), "OVER_QUERY_LIMIT"),
            (404, "<html></html>".to_owned(), "UNKNOWN_ERROR"),
            (200, "<html></html>".to_owned(), "UNKNOWN_ERROR"),
            (200, "[]".to_owned(), "UNKNOWN_ERROR"),
            (200, format!("{{\"places\":{0},\"features\":{0}}}", "[".repeat(100_000)), "UNKNOWN_ERROR"),
            (200, format!("{{\"places\":[],\"features\":[],\"x\":\"{key}\"}}"), "UNKNOWN_ERROR"),
        ] {
            let length = body.len();
            let answer = format!("HTTP/1.1 {http} X\r\nContent-Length: {length}\r\n\r\n{body}");
            lab.places.on("+1+1", Play::Raw(answer.into_bytes(), Then::Keep));
            let json = near(&lab, "+1+1");
            assert_secret("the answer", json.to_string().as_bytes());
            if !(api == "photon" && body.contains("\"x\"")) {
                assert_eq!(
                    (&json["status"], &json["results"]),
                    (&json!(status), &json!([])),
                    "{http} {body:.80}"
                );
            }
        }
        assert_eq!(lab.places.was_sent(KEY_WITHOUT_SPACES), api == "google");
        lab.places.on("+1+1", Play::Answer(in_every_dialect(1)));
        assert_eq!(near(&lab, "+1+1")["results"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn row_30_kept_connection_that_closes_in_other_dialects() {
    for api in OTHERS {
        let lab = asking(api, 20_000);
        lab.places.on("+1+1", Play::DropKept(in_every_dialect(1)));
        for round in 1..=3 {
            assert_eq!(near(&lab, "+9+9")["status"], "OK");
            assert_eq!(near(&lab, "+1+1")["status"], "OK");
            assert_eq!(lab.places.asked("+1+1"), 2 * round);
        }
    }
}

/// The second question comes from the cache. A question beyond the budget is refused.
#[test]
fn row_31_asked_little_in_other_dialects() {
    let lab = with_timeout(20_000, |lab| {
        let url = lab.places.url();
        lab.config["places"] = json!({ "api": "photon", "url": url, "cache_s": 3600, "max_per_minute": 2 });
        lab.places.on("+9+9", Play::Answer(in_every_dialect(2)));
    });
    for _ in 0..3 {
        assert_eq!(near(&lab, "+9+9")["status"], "OK");
    }
    assert_eq!(lab.places.asked("+9+9"), 1);
    lab.places.on("+1+1", Play::Answer(in_every_dialect(1)));
    assert_eq!(near(&lab, "+1+1")["status"], "OK");
    assert_eq!(near(&lab, "+1+2")["status"], "OVER_QUERY_LIMIT");
    assert_eq!(near(&lab, "+9+9")["status"], "OK", "the cache costs nothing");
}

/// Places asks to be asked again.
#[test]
fn row_31_retry_after() {
    let lab = asking("google", 20_000);
    lab.places.on("+1+1", Play::BusyOnce(in_every_dialect(1)));
    assert_eq!(near(&lab, "+1+1")["status"], "OK");
    assert_eq!(lab.places.asked("+1+1"), 2);
    let mut client = lab.connect("Solo");
    client.ask(&format!("IAMAT kiwi +1+2 {TIME}"));
    lab.places.on(
        "+1+2",
        Play::Raw(b"HTTP/1.1 429 Slow\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n".to_vec(), Then::Keep),
    );
    client.send("WHATSAT kiwi 10 1\n");
    assert_eq!(client.whats_at().1["status"], "OVER_QUERY_LIMIT");
    until("it was asked once", || lab.places.asked("+1+2") == 1);
}
