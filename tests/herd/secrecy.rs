//! The key of Places, which nobody may read but Places.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::ask::{TIME, UCLA, everyone, iamat};
use crate::fake_places::{Play, Then, nearby, response};
use crate::lab::{Lab, PAIR, free_port, until};
use crate::process::{Process, Signal, herd};

/// The key of every server that a test starts. It opens nothing.
pub const KEY: &str = "S3cret key/of+the&1aboratory";
/// How it goes over the wire.
const PERCENT_ENCODED: &str = "S3cret%20key%2Fof%2Bthe%261aboratory";
/// Its beginning and its end stay as they are, however it is encoded or cut.
const PARTS: [&str; 2] = ["S3cret", "1aboratory"];

/// Checks that neither the key nor half of it stands in what somebody can read.
pub fn assert_secret(what: &str, bytes: &[u8]) {
    for part in PARTS {
        let at = memchr::memmem::find(bytes, part.as_bytes());
        assert!(
            at.is_none(),
            "the key stands in {what}, at byte {at:?}: {}",
            String::from_utf8_lossy(&bytes[at.unwrap_or(0).saturating_sub(200)..][..300.min(bytes.len())])
        );
    }
}

/// The same for every file that servers left in a folder: logs, what they said on standard error, keys.
/// So each test of this folder looks for the key, whatever else it is about.
pub fn assert_secret_in(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            assert_secret_in(&entry.path());
        // Neither a FIFO nor a link to a device.
        } else if kind.is_file() {
            // A server that still ends may take it away.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            assert_secret(&entry.path().display().to_string(), &bytes);
        }
    }
}

/// What a client is told is near a location.
fn near(lab: &Lab, location: &str) -> String {
    let mut client = lab.connect("Riley");
    client.send(&format!("IAMAT near{location} {location} {TIME}\nWHATSAT near{location} 10 20\n"));
    client.half_close().everything()
}

/// Places answers, refuses, redirects, breaks off, says things that are no HTTP and repeats what it was
/// asked, in every place where an answer has words. Then it hangs until the time is up, hangs at the
/// end of the server, is not there, is not found, speaks no TLS, and its certificates cannot be read.
/// The key was sent with each question, and stands in no reply, log or error.
#[test]
fn the_key_stands_in_no_reply_log_or_error() {
    let mut lab = Lab::new(PAIR);
    lab.config["places"]["timeout_ms"] = json!(TIMEOUT_MS);
    lab.write();
    lab.start_all();
    let mut said = Vec::new();
    for (number, (play, words)) in plays().into_iter().enumerate() {
        let location = format!("+1+{number}");
        lab.places.on(&location, play);
        let replies = near(&lab, &location);
        assert!(replies.contains(words), "{location}: {replies}");
        said.push(replies);
    }
    assert!(lab.places.was_sent(&format!("&key={PERCENT_ENCODED} HTTP/1.1\r\n")), "the key was sent");
    let line = iamat(&lab, "Riley", "kiwi");
    everyone(&lab, &["Jaquez"], "kiwi", &line);

    let reachable = lab.config["places"].clone();
    let trust = lab.folder.path("trust.pem");
    fs::write(&trust, "nothing that is PEM").unwrap();
    let elsewhere = [
        (json!({ "url": format!("http://127.0.0.1:{}", free_port()) }), "no connection can be made"),
        (json!({ "url": lab.places.url().replace("http:", "https:") }), "UNKNOWN_ERROR"),
        (json!({ "url": "https://127.0.0.1:1", "trust": trust }), "UNKNOWN_ERROR"),
        (json!({ "url": "https://places.invalid", "timeout_ms": TIMEOUT_MS }), "UNKNOWN_ERROR"),
    ];
    for (number, (places, words)) in elsewhere.into_iter().enumerate() {
        lab.config["places"] = places;
        lab.write();
        lab.signal("Riley", Signal::HUP);
        let location = format!("+2+{number}");
        // The signal is not seen at once: until then the former Places answers.
        until(&format!("the reply is: {words}"), || {
            said.push(near(&lab, &location));
            said.last().is_some_and(|replies| replies.contains(words))
        });
    }
    // Somebody wrote the key where its variable's name belongs.
    lab.config["places"] = json!({ "url": lab.places.url(), "key_env": KEY });
    lab.write();
    lab.signal("Riley", Signal::HUP);
    until("Riley says what is wrong", || lab.output("Riley").contains("places.key_env"));
    said.push(output_of(&lab, "check"));
    lab.config["places"] = reachable;
    lab.write();
    lab.signal("Riley", Signal::HUP);
    said.push(output_of(&lab, "check"));

    // The time of a question that hangs at the end of the server.
    lab.config["places"]["timeout_ms"] = json!(60_000);
    lab.write();
    lab.signal("Riley", Signal::HUP);
    until("Places is asked again", || near(&lab, "+9+9").contains("\"OK\""));
    lab.places.on(UCLA, Play::WhenReleased(nearby(1)));
    let mut waiting = lab.connect("Riley");
    waiting.send("WHATSAT kiwi 10 1\n");
    lab.places.await_question(UCLA);
    lab.signal("Riley", Signal::TERM);
    lab.process("Riley").wait();
    said.push(waiting.everything());

    for replies in &said {
        assert_secret("a reply", replies.as_bytes());
    }
    for server in lab.names() {
        assert!(lab.log(server).contains("received '"), "{server} logs every message");
        assert_secret("a log", lab.log(server).as_bytes());
        assert_secret("what a server said", lab.output(server).as_bytes());
    }
    assert!(lab.log("Riley").contains("UNKNOWN_ERROR"), "answers stand in the log");
    assert_secret_in(&lab.folder.path("."));
}

/// What Places does with a question, and words of the reply that is right then.
fn plays() -> Vec<(Play, &'static str)> {
    let raw = |text: String| Play::Raw(text.into_bytes(), Then::Close);
    let target = format!("/maps/api/place/nearbysearch/json?location=1,1&key={PERCENT_ENCODED}");
    let length = "Content-Length: 0\r\n\r\n";
    let echo =
        |key: &str| json!({ "results": [], "status": "REQUEST_DENIED", "error_message": key }).to_string();
    vec![
        (Play::Answer(nearby(3)), "\"OK\""),
        (Play::Answer("{\"results\":[],\"status\":\"REQUEST_DENIED\"}".to_owned()), "REQUEST_DENIED"),
        (raw(format!("HTTP/1.1 301 Moved\r\nLocation: https://x{target}\r\n{length}")), "301"),
        (raw(format!("HTTP/1.1 403 No such key: {KEY}\r\n{length}")), "403"),
        (raw(format!("HTTP/1.1 414 {PERCENT_ENCODED}\r\n{length}")), "414"),
        (raw(format!("HTTP/1.1 200 OK\r\n{target}\r\n\r\n")), "UNKNOWN_ERROR"),
        (raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {PERCENT_ENCODED}\r\n\r\n")), "UNKNOWN_ERROR"),
        (raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {KEY}\r\n\r\n")), "UNKNOWN_ERROR"),
        (raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n")), "UNKNOWN_ERROR"),
        (raw(format!("GET {target}\r\n\r\n")), "UNKNOWN_ERROR"),
        (raw(response(&format!("<html>{target}</html>"))), "UNKNOWN_ERROR"),
        (raw(response(&format!("{{\"results\":{KEY}"))), "UNKNOWN_ERROR"),
        (raw(response(&echo(KEY))), "UNKNOWN_ERROR"),
        (raw(response(&echo(&target))), "UNKNOWN_ERROR"),
        (Play::Drop, "closed without an answer"),
        (Play::Raw(b"HTTP/1.1 200 O".to_vec(), Then::Reset), "UNKNOWN_ERROR"),
        (Play::Trickle(nearby(9)), "no answer within"),
    ]
}

/// What a command says of the herd file, on both outputs.
fn output_of(lab: &Lab, command: &str) -> String {
    let file = lab.folder.path("output-of-a-command");
    let output = fs::File::create(&file).unwrap();
    let mut process: Command = herd();
    process.arg(command).arg("-c").arg(lab.file()).env("PLACES_API_KEY", KEY).stdin(Stdio::null());
    process.stdout(output.try_clone().unwrap()).stderr(output);
    Process::start(&mut process, &lab.folder.name()).wait();
    let said = fs::read_to_string(file).unwrap();
    assert!(!said.is_empty());
    said
}

/// Long enough for every answer that comes, short enough to wait for those that do not.
const TIMEOUT_MS: u32 = 1000;
