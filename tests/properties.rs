//! Property tests: the bodies of the fuzz targets in `tests/fuzz`, on bytes from proptest and on every file
//! of their corpora. Unlike libFuzzer they need no nightly compiler.

#[path = "fuzz/src/lib.rs"]
mod bodies;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

#[test]
fn no_file_of_the_corpora_violates_a_property() {
    for (target, body) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let mut files = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&data))) {
                eprintln!("failed with {}", path.display());
                resume_unwind(panic);
            }
            files += 1;
        }
        assert!(files > 0, "{} is empty", folder.display());
    }
}

/// The body of a fuzz target. It panics when a property is violated.
type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 8] = [
    ("client_stream", bodies::client_stream),
    ("herd_file", bodies::herd_file),
    ("http_response", bodies::http_response),
    ("line", bodies::line),
    ("peer_stream", bodies::peer_stream),
    ("places_answer", bodies::places_answer),
    ("request", bodies::request),
    ("web_stream", bodies::web_stream),
];

/// Bytes made of `words`, spaces, numbers and random bytes.
fn text_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        16 => select(words).prop_map(|word| word.as_bytes().to_vec()),
        4 => Just(b" ".to_vec()),
        1 => "[0-9]{1,20}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..4),
        1 => vec(select(TELNET), 1..6),
        1 => (1..300usize).prop_map(|length| vec![b'x'; length]),
    ];
    vec(part, 0..40).prop_map(|parts| parts.concat())
}

/// Bytes of [`text_of`] after this number of random option bytes.
fn stream_of(options: usize, words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), options), text_of(words)).prop_map(|(options, text)| [options, text].concat())
}

/// Bytes of telnet commands, and what they stand beside.
const TELNET: &[u8] = b"\xff\xff\xff\xf0\xf4\xfa\xfb\xfd\xfe\n\r\0";
const CLIENT: &[&str] = &[
    "\n",
    "\n",
    "\n",
    "IAMAT a +1-1 5\n",
    "IAMAT b +34.068930-118.445127 1621464827.959498503\n",
    "IAMAT a -90+180.0 6\r\n",
    "IAMAT c +1-1 999999999999999999\n",
    "IAMAT d +1-1 1621551230.5\n",
    "WHATSAT a 10 2\n",
    "WHATSAT b 0.5 0\n",
    "WHATSAT c 50 20\n",
    "FORGET a\n",
    "FORGET b\n",
    "FORGET c\n",
    "FORGET ",
    "FOLLOW *\n",
    "FOLLOW a\n",
    "FOLLOW a*\n\n",
    "FOLLOW +1-1 10\n",
    "FOLLOW * FROM 0123456789abcdef 1\n",
    "FOLLOW b FROM 00000000000000ee 1\n",
    "FOLLOW ",
    "IAMAT a +1-1 1621464831\n",
    "IAMAT ",
    "WHATSAT ",
    "HELLO herd/1 bruins Jaquez 0123456789abcdef\n",
    "HELLO ",
    "herd/",
    " HTTP/1.1\r\n",
    "AT Riley +0.000000000 a +1-1 5\n",
    "\t",
    "\x0b",
    "? ",
    "MARK 3\n",
    "\u{feff}",
    "\r\0",
    "GET ",
    "OPTIONS",
];
const PEER: &[&str] = &[
    "\n",
    "MARK 7\n",
    "MARK 18446744073709551615 more\n",
    "MARK ",
    "ACK 0\n",
    "ACK 5 more\r\n",
    "REFUSED no\n",
    "WELCOME Jaquez 0123456789abcdef 0\n",
    "WELCOME Jaquez ffffffffffffffff 3\n",
    "WELCOME Jaquez ",
    "AT Campbell +0.100000000 a +1-1 5\n",
    "AT Riley -0.500000000 a +1-1 6\n",
    "AT Riley +0.000000000 b +1-1 5\n",
    "AT ",
    "GONE Campbell +0.100000000 a 5.000000000\n",
    "GONE Riley -1.500000000 a 1621464829.500000000\n",
    "GONE Riley +1621464829.500000000 a 5.500000000\n",
    "AT Riley +1621464829.500000000 a +1-1 5\n",
    "AT Riley +0.500000000 a +1-1 1621464829\n",
    "GONE ",
];
const LINE: &[&str] = &[
    "PATCH",
    "IAMAT",
    "WHATSAT",
    "FORGET",
    "FOLLOW",
    "FROM",
    "*",
    "AT",
    "HELLO",
    "WELCOME",
    "ACK",
    "MARK",
    "REFUSED",
    "herd/1",
    " ",
    " ",
    "+90-180.00",
    "-0.5+7",
    "+0.000000000",
    "-1.500000000",
    "5",
    "20",
    "50.0",
    "1621464827.959498503",
    "kiwi",
    "0123456789abcdef",
    "\n",
    "HTTP/1.0",
    ".",
    "+",
    "-",
    "\t",
    "AT Riley +1.000000000 a +1-1 5",
    "AT Riley +1.000000000 a +1-1 5.0",
    "GONE",
    "5.000000000",
    "GONE Riley +1.000000000 a 5.000000000",
    "GONE Riley +0.500000000 a 5.000000000",
];
const RESPONSE: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 404 No\r\n",
    "HTTP/1.1 100 Go on\r\n\r\n",
    "HTTP/1.1 204 \n",
    "\r\n",
    "\r\n",
    "\n",
    "Content-Length: 5\r\n",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "a;x=y\r\n0123456789\r\n",
    "hello",
    "A: b\r\n",
    "ffffffffffffffff\r\n",
];
const ANSWER: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\n\n",
    " ",
    "\"results\"",
    "\"results\":[",
    "{\"results\":[1, 2,\n\n3],\"status\":\"OK\"}",
    "\"r\\u0065sults\"",
    "\"\\ud800\"",
    "null",
    "1.50e9",
    "\"status\"",
    "\"a\":1,",
    "\u{e9}",
    "{\"a\":[]}",
];
const HERD: &[&str] = &[
    "{\"herd\":\"h\",\"servers\":{",
    "\"A\":{\"listen\":\"127.0.0.1:1\",\"talks_to\":[\"B\"]},",
    "\"B\":{\"listen\":\"[::1]:2\",\"address\":\"localhost:3\"}",
    "}",
    "}}",
    ",",
    ",\"places\":{}",
    ",\"places\":{\"url\":\"http://localhost/x\"",
    ",\"limits\":{\"max_line\":64}",
    ",\"log\":{\"level\":\"off\",\"dir\":\"x\"}",
    ",\"peers\":{\"silence_ms\":100}",
    "\"timeout_ms\":10",
    "\"trust\":\"a\"",
    "\"",
    ":",
    "[",
    "]",
    "null",
    "\u{2028}",
    "\u{1b}",
    "\\n",
];
const WEB: &[&str] = &[
    "GET /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/clients/b HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n",
    "GET /v1/clients/%61 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /v1/clients HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/clients?prefix=a&limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HEAD /v1/clients?since=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/clients/a/places?km=1&limit=2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "DELETE /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "DELETE /v1/clients/b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 28\r\n\r\n{\"location\":\"+1-1\",\"time\":5}",
    "PUT /v1/clients/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 31\r\n\r\n{\"latitude\":1.50,\"longitude\":-0}",
    "PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    "1f\r\n{\"latitude\":1.50,\"longitude\":-0}\r\n",
    "5;a=b\r\n{\"loc\r\n",
    "0\r\n\r\n",
    "0\r\nA: b\r\n\r\n",
    "PUT /v1/clients/c HTTP/1.1\r\n",
    "GET /v1/changes HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HEAD /v1/changes?prefix=b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET http://localhost/v1/clients/b?x HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /t/secret/v1/clients/b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET ",
    "/v1/clients/",
    "%20",
    "?",
    "&km=1",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    "Host: localhost\r\n",
    "Host: localhost\r\n",
    "Host: evil.example\r\n",
    "Origin: http://localhost\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 1048577\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "{\"location\":\"+1-1\",\"time\":\"1621464829\"}",
    "IAMAT a +1-1 5\n",
];
const REQUEST: &[&str] = &[
    "GET ",
    "/maps/api/place/nearbysearch/json",
    "?",
    "location=34.06893,-118.445127",
    "&radius=10000",
    "&radius=0",
    "&rankby=distance",
    "&type=airport",
    "&name=santa",
    "&keyword=LAX",
    "location=-90,180",
    "&",
    "=",
    "%2C",
    "%",
    "+",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "Host: a\r\n",
    "\r\n",
    "\r\n\r\n",
    "Connection: close\r\n",
    "Content-Length: 0\r\n",
    "\n",
    "GET /maps/api/place/nearbysearch/json?location=51.5,-0.1&radius=500 HTTP/1.1\r\nHost: a\r\n\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_parsers_of_lines_agree_with_the_grammar(data in text_of(LINE)) {
        bodies::line(&data);
    }

    #[test]
    fn client_streams_agree_with_the_model(data in stream_of(2, CLIENT)) {
        bodies::client_stream(&data);
    }

    #[test]
    fn web_streams_agree_with_the_model(data in stream_of(2, WEB)) {
        bodies::web_stream(&data);
    }

    #[test]
    fn peer_streams_agree_with_the_model(data in stream_of(2, PEER)) {
        bodies::peer_stream(&data);
    }

    #[test]
    fn http_responses_do_not_depend_on_how_they_are_split(data in stream_of(1, RESPONSE)) {
        bodies::http_response(&data);
    }

    #[test]
    fn cut_answers_of_places_are_json(data in stream_of(1, ANSWER)) {
        bodies::places_answer(&data);
    }

    #[test]
    fn herd_files_are_valid_or_have_a_reported_mistake(data in text_of(HERD)) {
        bodies::herd_file(&data);
    }
}

proptest! {
    // Fewer cases: each searches the embedded places nine times, which is slow without optimization.
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_do_not_depend_on_how_they_are_split(data in stream_of(1, REQUEST)) {
        bodies::request(&data);
    }
}
