//! Questions to the local Places server.

use std::rc::Rc;

use herd::clock::Moment;
use herd::conversation::PlacesServer;
use herd::http::client::ResponseCollector;
use herd::http::server::read_bodiless_request;
use herd::places::answer::Answer;
use herd::places::dialect::{google, google_legacy, photon};
use herd::places::gazetteer::{Gazetteer, LocalPlaces};
use herd::protocol::{Close, ConnectionId, Context, Protocol, Transport, WaterMarks};
use serde_json::Value;

use super::conversation;
use super::pieces::Pieces;

/// Any beginning of a request is read as the whole, a query has an answer in one shape, and the Places
/// server responds the same to any pieces. The first byte chooses pieces, the rest is what the client
/// sends, or a query.
pub fn request(data: &[u8]) {
    let [options, stream @ ..] = data else { return };
    beginnings(stream);
    GAZETTEER.with(|gazetteer| {
        query(gazetteer, &String::from_utf8_lossy(stream));
        let get =
            |path: &str| [b"GET ", path.as_bytes(), b"?", stream, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nX-Goog-FieldMask: *\r\nContent-Length: {}\r\n\r\n",
            google::PATH,
            stream.len()
        );
        let post = [head.as_bytes(), stream].concat();
        for stream in [stream, &get(google_legacy::PATH), &get(photon::PATH), &post] {
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

fn query(gazetteer: &LocalPlaces, query: &str) {
    let text = gazetteer.google_legacy(query);
    let value: Value = serde_json::from_str(&text).expect("it is JSON");
    let results = value["results"].as_array().expect("it has results");
    assert!(results.len() <= 20 && !text.contains("\n\n"));
    let expected = if results.is_empty() { &["ZERO_RESULTS", "INVALID_REQUEST"][..] } else { &["OK"] };
    assert!(expected.contains(&value["status"].as_str().expect("it has a status")));
    assert_eq!(value.get("error_message").is_some(), value["status"] == "INVALID_REQUEST");
    assert!(Answer::parse(text.into_bytes()).is_ok());
}

fn serve(gazetteer: &Rc<LocalPlaces>, stream: &[u8], options: u8) {
    let (_, water_marks) = conversation::settings(options);
    let [whole, bytes, random] =
        Pieces::all(options).map(|pieces| respond(gazetteer, stream, pieces, water_marks));
    assert_eq!(whole, bytes);
    assert_eq!(whole, random);
    // The reader does not know which responses have no body, because they answer HEAD.
    if stream.windows(4).any(|window| window == b"HEAD") {
        return;
    }
    let (mut reader, mut rest) = (ResponseCollector::new(whole.0.len()), &whole.0[..]);
    while !rest.is_empty() {
        rest = &rest[reader.data_received(rest).expect("it is HTTP")..];
        assert!(reader.finish().is_some(), "whole responses only");
    }
}

/// The output of the server, and how it ends the connection.
fn respond(
    gazetteer: &Rc<LocalPlaces>,
    stream: &[u8],
    pieces: Pieces,
    water_marks: WaterMarks,
) -> (Vec<u8>, Option<Close>) {
    let (mut server, mut transport) = (PlacesServer::new(Rc::clone(gazetteer)), Transport::new(water_marks));
    let (mut input, mut written) = (Vec::new(), Vec::new());
    let mut call = |transport: &mut Transport,
                    call: &mut dyn FnMut(&mut PlacesServer, &mut Context<'_, ()>)| {
        let id = ConnectionId { slot: 1, generation: 1 };
        let address = ([127, 0, 0, 1], 40_000).into();
        let context =
            &mut Context { id, address, tls: None, now: Moment::START, wall: 0, transport, shared: &mut () };
        call(&mut server, context);
    };
    for piece in pieces.of(stream) {
        input.extend_from_slice(piece);
        loop {
            let mut used = 0;
            if transport.close_requested().is_none() {
                call(&mut transport, &mut |server, context| used = server.data_received(context, &input));
            }
            input.drain(..used);
            written.extend_from_slice(transport.unsent());
            transport.note_sent(transport.pending());
            if !transport.reading_is_paused() {
                break;
            }
            call(&mut transport, &mut |server, context| server.resume_writing(context));
        }
    }
    (written, transport.close_requested())
}

thread_local! {
    static GAZETTEER: Rc<LocalPlaces> =
        Rc::new(LocalPlaces::Embedded(Gazetteer::embedded().expect("the embedded places are whole")));
}

/// Each is read from its front, which would take the square of a long one.
const BEGINNINGS_MAX: usize = 300;
