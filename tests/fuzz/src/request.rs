//! Questions to the local Places server.

use std::rc::Rc;

use herd::config::Limits;
use herd::http::client::ResponseCollector;
use herd::http::server::read_bodiless_request;
use herd::places::answer::Answer;
use herd::places::gazetteer::Gazetteer;
use herd::places::google_legacy::PATH;
use herd::protocol::{Conversation, PlacesServer};
use serde_json::Value;

use super::conversation::{self, Harness};
use super::pieces::Pieces;

/// Any beginning of a request is read as the whole, a query has an answer in one shape, and the Places
/// server responds the same to any pieces. The first byte chooses pieces, the rest is what the client
/// sends, or a query.
pub fn request(data: &[u8]) {
    let [options, stream @ ..] = data else { return };
    beginnings(stream);
    GAZETTEER.with(|gazetteer| {
        query(gazetteer, &String::from_utf8_lossy(stream));
        let asked = [b"GET ", PATH.as_bytes(), b"?", stream, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        for stream in [stream, &asked] {
            serve(gazetteer, stream, *options);
        }
    });
}

fn beginnings(stream: &[u8]) {
    let whole = read_bodiless_request(stream);
    if let Ok(Some((head, used))) = &whole {
        assert!((1..=stream.len()).contains(used));
        assert!(head.target.bytes().all(|byte| byte > b' '), "{head:?}");
        assert_eq!(read_bodiless_request(&stream[..*used]), whole);
    }
    for length in 0..stream.len().min(BEGINNINGS_MAX) {
        match read_bodiless_request(&stream[..length]) {
            Ok(None) => {}
            decided => assert_eq!(decided, whole, "after {length} bytes"),
        }
    }
}

fn query(gazetteer: &Gazetteer, query: &str) {
    let text = gazetteer.answer(query);
    let value: Value = serde_json::from_str(&text).expect("it is JSON");
    let results = value["results"].as_array().expect("it has results");
    assert!(results.len() <= 20 && !text.contains("\n\n"));
    let expected = if results.is_empty() { &["ZERO_RESULTS", "INVALID_REQUEST"][..] } else { &["OK"] };
    assert!(expected.contains(&value["status"].as_str().expect("it has a status")));
    assert_eq!(value.get("error_message").is_some(), value["status"] == "INVALID_REQUEST");
    assert!(Answer::parse(text.into_bytes()).is_ok());
}

fn serve(gazetteer: &Rc<Gazetteer>, stream: &[u8], options: u8) {
    let (_, water_marks) = conversation::settings(options);
    let [whole, bytes, random] = Pieces::all(options).map(|pieces| {
        let server = conversation::server(Limits::default());
        let conversation = Conversation::PlacesServer(PlacesServer::new(Rc::clone(gazetteer)));
        let mut stand = Harness::new(server, conversation, water_marks, pieces.seed());
        stand.receive(stream, pieces);
        stand.settle();
        (stand.written(), stand.ending())
    });
    assert_eq!(whole, bytes);
    assert_eq!(whole, random);
    let (mut reader, mut rest) = (ResponseCollector::new(whole.0.len()), &whole.0[..]);
    while !rest.is_empty() {
        rest = &rest[reader.data_received(rest).expect("it is HTTP")..];
        assert!(reader.finish().is_some(), "whole responses only");
    }
}

thread_local! {
    static GAZETTEER: Rc<Gazetteer> = Rc::new(Gazetteer::embedded().expect("the embedded places are whole"));
}

/// Each is read from its front, which would take the square of a long one.
const BEGINNINGS_MAX: usize = 300;
