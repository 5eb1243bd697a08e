//! Tests that the Places key stays secret: it is sent to Places and written nowhere else.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use herd::places::dialect::Dialect;
use serde_json::{Value, json};

use crate::ask::{TIME, UCLA, await_everywhere, iamat};
use crate::fake_places::{Play, Then, in_every_dialect, nearby, response};
use crate::lab::{Lab, PAIR, free_port, until};
use crate::process::{Process, Signal, herd};

/// The key of every server that a test starts. It is not a real key.
pub const KEY: &str = "S3cret key/of+the&1aboratory";
/// Another key, which can be sent in a header field, in the variable of this name.
pub const KEY_WITHOUT_SPACES: &str = "S3cret-key/of+the&1aboratory";
/// The key as it is sent.
const PERCENT_ENCODED: &str = "S3cret%20key%2Fof%2Bthe%261aboratory";
/// The start and the end of the key, which are the same in every encoding.
const PARTS: [&str; 2] = ["S3cret", "1aboratory"];

/// Panics when `bytes` contain the start or the end of the key.
pub fn assert_secret(what: &str, bytes: &[u8]) {
    for part in PARTS {
        let at = memchr::memmem::find(bytes, part.as_bytes());
        assert!(
            at.is_none(),
            "the key is in {what}, at byte {at:?}: {}",
            String::from_utf8_lossy(&bytes[at.unwrap_or(0).saturating_sub(200)..][..300.min(bytes.len())])
        );
    }
}

/// Panics when a file in `folder` contains a part of the key: logs, standard error, certificates.
/// [`crate::lab::Lab`] calls it at the end of every test.
pub fn assert_secret_in(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            assert_secret_in(&entry.path());
        // No FIFO and no link to a device.
        } else if kind.is_file() {
            // A server that is shutting down may remove the file.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            assert_secret(&entry.path().display().to_string(), &bytes);
        }
    }
}

/// The replies to an IAMAT at `location` and to a WHATSAT of that client.
fn near(lab: &Lab, location: &str) -> String {
    let mut client = lab.connect("Riley");
    client.send(&format!("IAMAT near{location} {location} {TIME}\nWHATSAT near{location} 10 20\n"));
    client.half_close().everything()
}

/// The key is sent with each question, though not to a service that takes none, and is in no reply, log or error
/// message. Places answers, refuses, redirects, truncates answers, sends bytes that are not HTTP, and repeats the
/// question in every part of an answer. It does not answer in time, hangs during shutdown, cannot be reached, has an
/// unknown host name, does not speak TLS, and its root certificate cannot be parsed.
#[test]
fn the_key_is_in_no_reply_log_or_error() {
    provoke_every_error(Dialect::GoogleLegacy, "PLACES_API_KEY", KEY, PERCENT_ENCODED);
}

/// The same with the key in a header field.
#[test]
fn the_key_in_a_header_field_is_in_no_reply_log_or_error() {
    provoke_every_error(Dialect::Google, "KEY_WITHOUT_SPACES", KEY_WITHOUT_SPACES, KEY_WITHOUT_SPACES);
}

/// The same with a service that takes no key.
#[test]
fn the_key_is_not_sent_to_a_service_without_keys() {
    provoke_every_error(Dialect::Photon, "PLACES_API_KEY", KEY, PERCENT_ENCODED);
}

fn provoke_every_error(dialect: Dialect, key_env: &str, key: &str, sent: &str) {
    let mut lab = Lab::new(PAIR);
    let with_dialect = |mut places: Value| {
        (places["api"], places["key_env"]) = (json!(dialect.name()), json!(key_env));
        places
    };
    lab.config["places"] = with_dialect(lab.config["places"].take());
    lab.config["places"]["timeout_ms"] = json!(TIMEOUT_MS);
    lab.places.on("+9+9", Play::Answer(in_every_dialect(1)));
    lab.write();
    lab.start_all();
    let mut texts = Vec::new();
    for (number, (play, words)) in plays(dialect, key, sent).into_iter().enumerate() {
        let location = format!("+1+{number}");
        lab.places.on(&location, play);
        let replies = near(&lab, &location);
        assert!(replies.contains(words), "{location}: {replies}");
        texts.push(replies);
    }
    match dialect {
        Dialect::GoogleLegacy => assert!(lab.places.was_sent(&format!("&key={sent} HTTP/1.1\r\n"))),
        Dialect::Google => assert!(lab.places.was_sent(&format!("\r\nX-Goog-Api-Key: {sent}\r\n"))),
        Dialect::Photon => assert!(!PARTS.iter().any(|part| lab.places.was_sent(part))),
    }
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);

    let reachable = lab.config["places"].clone();
    let elsewhere = [
        (json!({ "url": format!("http://127.0.0.1:{}", free_port()) }), "no connection can be made"),
        (json!({ "url": lab.places.url().replace("http:", "https:") }), "UNKNOWN_ERROR"),
        (json!({ "url": "https://places.invalid", "timeout_ms": TIMEOUT_MS }), "UNKNOWN_ERROR"),
    ];
    for (number, (places, words)) in elsewhere.into_iter().enumerate() {
        lab.config["places"] = with_dialect(places);
        lab.write();
        lab.signal("Riley", Signal::HUP);
        let location = format!("+2+{number}");
        // Until the signal is handled, the previous Places answers.
        until(&format!("the reply is: {words}"), || {
            texts.push(near(&lab, &location));
            texts.last().is_some_and(|replies| replies.contains(words))
        });
    }
    let trust = lab.folder.path("trust.pem");
    fs::write(&trust, "nothing that is PEM").unwrap();
    lab.config["places"] = with_dialect(json!({ "url": "https://127.0.0.1:1", "trust": trust }));
    lab.write();
    lab.signal("Riley", Signal::HUP);
    until("Riley reports the error", || lab.output("Riley").contains("holds no certificate"));
    // A mistake in the herd file: the key instead of the name of its variable.
    lab.config["places"] = json!({ "api": dialect.name(), "url": lab.places.url(), "key_env": KEY });
    lab.write();
    lab.signal("Riley", Signal::HUP);
    until("Riley reports the error", || lab.output("Riley").contains("places.key_env"));
    texts.push(output_of(&lab, "check"));
    lab.config["places"] = reachable;
    lab.write();
    lab.signal("Riley", Signal::HUP);
    texts.push(output_of(&lab, "check"));

    // Long, for the question that is pending during shutdown.
    lab.config["places"]["timeout_ms"] = json!(60_000);
    lab.write();
    lab.signal("Riley", Signal::HUP);
    until("Places is asked again", || near(&lab, "+9+9").contains("\"OK\""));
    lab.places.on(UCLA, Play::WhenReleased(nearby(1)));
    let mut waiting = lab.connect("Riley");
    waiting.send("WHATSAT kiwi 10 1\n");
    lab.places.await_question(UCLA);
    texts.push(lab.process("Riley").command_line());
    lab.signal("Riley", Signal::TERM);
    lab.process("Riley").wait();
    texts.push(waiting.everything());

    for text in &texts {
        assert_secret("a reply", text.as_bytes());
    }
    for server in lab.names() {
        assert!(lab.log(server).contains("received '"), "{server} logs every message");
        assert_secret("a log", lab.log(server).as_bytes());
        assert_secret("the output of a server", lab.output(server).as_bytes());
    }
    assert!(lab.log("Riley").contains("UNKNOWN_ERROR"), "answers are in the log");
    assert_secret_in(&lab.folder.path("."));
}

/// Behaviours of Places, each with a text that the reply must contain. `sent`: the key as it is sent.
fn plays(dialect: Dialect, key: &str, sent: &str) -> Vec<(Play, &'static str)> {
    let raw = |text: String| Play::Raw(text.into_bytes(), Then::Close);
    let target = format!("/maps/api/place/nearbysearch/json?location=1,1&key={sent}");
    let length = "Content-Length: 0\r\n\r\n";
    let echo =
        |key: &str| json!({ "results": [], "status": "REQUEST_DENIED", "error_message": key }).to_string();
    let denied = match dialect {
        Dialect::GoogleLegacy => Play::Answer("{\"results\":[],\"status\":\"REQUEST_DENIED\"}".to_owned()),
        _ => {
            // Photon was not sent the key.
            let known = if dialect == Dialect::Google { key } else { "unknown" };
            let words = format!("The key {known} is not valid.");
            let body = json!({ "error": { "code": 403, "message": words }, "message": words }).to_string();
            let whole = response(&body).replace("200 OK", &format!("403 {key}"));
            Play::Raw(whole.into_bytes(), Then::Close)
        }
    };
    vec![
        (Play::Answer(in_every_dialect(3)), "\"OK\""),
        (denied, "REQUEST_DENIED"),
        (raw(format!("HTTP/1.1 301 Moved\r\nLocation: https://x{target}\r\n{length}")), "301"),
        (raw(format!("HTTP/1.1 403 No such key: {key}\r\n{length}")), "403"),
        (raw(format!("HTTP/1.1 414 {sent}\r\n{length}")), "414"),
        (raw(format!("HTTP/1.1 200 OK\r\n{target}\r\n\r\n")), "UNKNOWN_ERROR"),
        (raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {sent}\r\n\r\n")), "UNKNOWN_ERROR"),
        (raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {key}\r\n\r\n")), "UNKNOWN_ERROR"),
        (raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n")), "UNKNOWN_ERROR"),
        (raw(format!("GET {target}\r\n\r\n")), "UNKNOWN_ERROR"),
        (raw(response(&format!("<html>{target}</html>"))), "UNKNOWN_ERROR"),
        (raw(response(&format!("{{\"results\":{key}"))), "UNKNOWN_ERROR"),
        (raw(response(&echo(key))), "UNKNOWN_ERROR"),
        (raw(response(&echo(&target))), "UNKNOWN_ERROR"),
        (Play::Drop, "closed without an answer"),
        (Play::Raw(b"HTTP/1.1 200 O".to_vec(), Then::Reset), "UNKNOWN_ERROR"),
        (Play::Trickle(nearby(9)), "no answer within"),
    ]
}

/// The standard output and standard error of a command on the herd file.
fn output_of(lab: &Lab, command: &str) -> String {
    let file = lab.folder.path("output-of-a-command");
    let output = fs::File::create(&file).unwrap();
    let mut process: Command = herd();
    process.arg(command).arg("-c").arg(lab.file()).env("PLACES_API_KEY", KEY);
    process.env("KEY_WITHOUT_SPACES", KEY_WITHOUT_SPACES).stdin(Stdio::null());
    process.stdout(output.try_clone().unwrap()).stderr(output);
    Process::start(&mut process, &lab.folder.name()).wait();
    let text = fs::read_to_string(file).unwrap();
    assert!(!text.is_empty());
    text
}

/// Long enough for every answer, short enough to wait for.
const TIMEOUT_MS: u32 = 1000;
