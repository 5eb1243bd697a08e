//! HTTP as curl speaks it (docs/protocol.md, section 8). Without curl each test says so, and passes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::ask::{await_everywhere, stored_line};
use crate::lab::{Lab, PAIR, SOLO, free_port, is_listening, until};
use crate::process::Signal;

/// A lab whose servers speak HTTP; `None`: there is no curl.
fn lab(edges: &[(&str, &[&str])]) -> Option<Lab> {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("curl is missing: HTTP is not tested with it; install it with: apt-get install curl");
        return None;
    }
    let mut lab = Lab::new(edges);
    for (name, _) in edges {
        lab.config["servers"][*name]["http"] = json!(format!("127.0.0.1:{}", free_port()));
    }
    lab.write();
    lab.start_all();
    edges.iter().for_each(|(name, _)| until("HTTP is served", || is_listening(port(&lab, name))));
    Some(lab)
}

fn port(lab: &Lab, server: &str) -> u16 {
    let address = lab.config["servers"][server]["http"].as_str().unwrap();
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn url(lab: &Lab, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", port(lab, lab.names()[0]))
}

/// What curl has printed for the last request: the status, the head and the body.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs curl with these arguments and this standard input.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new("curl");
    // No configuration of the user, and no proxy of the machine.
    command.args(["-q", "-sS", "--noproxy", "*", "--max-time", "20"]).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // curl may end without reading it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn curl_with(lab: &Lab, arguments: &[&str], input: &[u8]) -> Got {
    let heads = lab.folder.path("heads");
    let output = run(&[&["-D", heads.to_str().unwrap()], arguments].concat(), input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let heads = fs::read_to_string(heads).unwrap();
    let last = heads.trim_end().rsplit("\r\n\r\n").next().unwrap().to_owned() + "\r\n";
    let status = last.split(' ').nth(1).unwrap().parse().unwrap();
    Got { status, head: last, body: output.stdout }
}

fn curl(lab: &Lab, arguments: &[&str]) -> Got {
    curl_with(lab, arguments, b"")
}

const KIWI: &str = r#"{"latitude":34.068930,"longitude":-118.445127,"time":1621464827.959498503}"#;

/// Section 8: PUT is an IAMAT, DELETE a FORGET, and both reach the neighbours.
#[test]
fn a_statement_over_http_is_one_of_the_herd() {
    let Some(lab) = lab(PAIR) else { return };
    let kiwi = url(&lab, "/v1/clients/kiwi");
    let got = curl(&lab, &["-X", "PUT", "-d", KIWI, &kiwi]);
    assert_eq!((got.status, got.json()["stored"].clone()), (200, true.into()));
    let line = got.json()["line"].as_str().unwrap().to_owned();
    assert!(
        line.starts_with("AT Riley +") && line.ends_with(" kiwi +34.068930-118.445127 1621464827.959498503")
    );
    await_everywhere(&lab, &["Riley", "Jaquez"], "kiwi", &line);
    let body = String::from_utf8(curl(&lab, &[&kiwi]).body).unwrap();
    assert!(body.contains(r#""latitude":34.068930,"longitude":-118.445127,"time":"1621464827.959498503""#));
    let gone = curl(&lab, &["-X", "DELETE", &kiwi]).json();
    assert!(gone["line"].as_str().unwrap().starts_with("GONE Riley +0.000000000 kiwi "), "{gone}");
    until("Jaquez has forgotten kiwi", || stored_line(&lab, "Jaquez", "kiwi").is_none());
    assert_eq!(curl(&lab, &["-X", "DELETE", &kiwi]).status, 404);
}

/// Section 8: the same resource, whatever a program varies in its request.
#[test]
fn whatever_curl_varies_asks_for_the_same() {
    let Some(lab) = lab(SOLO) else { return };
    let kiwi = url(&lab, "/v1/clients/kiwi");
    assert_eq!(curl(&lab, &["-X", "PUT", "-d", KIWI, &kiwi]).status, 200);
    let expected = curl(&lab, &[&kiwi]).body;
    let long = format!("X: {}", "x".repeat(12_000));
    let local = kiwi.replace("127.0.0.1", "localhost");
    let proxy = url(&lab, "/");
    for arguments in [
        &["--http1.0"][..],
        &["--http1.1"],
        // The upgrade is declined by an answer in HTTP/1.1.
        &["--http2"],
        &["--compressed"],
        &["--tr-encoding"],
        // Ranges are ignored.
        &["-r", "0-9"],
        &["-r", "-5"],
        &["-C", "0"],
        &["-z", "2030-01-01"],
        &["-H", "If-None-Match: *"],
        &["-H", "Connection: close"],
        &["-H", "Connection: keep-alive, x"],
        &["-H", &long],
        &["-H", "Accept: text/html"],
        &["-H", "Accept:"],
        &["-H", "User-Agent:"],
        &["-H", "Origin: http://evil.example"],
        &["-A", "", "-e", "http://evil.example/"],
        &["-b", "a=b"],
        &["-u", "user:password"],
        &["-X", "GET", "-d", "a body that is ignored"],
        &["-X", "GET", "-T", "-"],
        &["--request-target", "http://LOCALHOST/v1/clients/kiwi"],
        &["--request-target", "/v1/clients/%6biwi?x=y"],
        &["--no-keepalive"],
        // Reads until the end of the connection.
        &["--ignore-content-length", "--raw", "-H", "Connection: close"],
        &["-x", &proxy, "--noproxy", ""],
    ] {
        let got = curl(&lab, &[arguments, &[&kiwi]].concat());
        assert_eq!((got.status, &got.body), (200, &expected), "{arguments:?}: {got:?}");
        assert!(got.head.starts_with("HTTP/1.1 200 OK\r\n"), "{got:?}");
        assert!(!got.head.contains("Access-Control") && !got.head.contains("Content-Encoding"), "{got:?}");
    }
    assert_eq!(curl(&lab, &[&local]).body, expected, "another name of this machine");
    let head = curl(&lab, &["-I", &kiwi]);
    assert!(head.head.contains(&format!("Content-Length: {}\r\n", expected.len())), "{head:?}");
    for (arguments, status) in [
        (&["-H", "Host:"][..], 400),
        (&["-H", "Host: evil.example"], 421),
        (&["-H", "Host;"], 200),
        (&["-X", "POST", "-d", ""], 405),
        (&["-X", "OPTIONS"], 405),
        (&["-X", "PUT", "-d", KIWI, "-H", "Origin: http://evil.example"], 403),
        (&["-X", "PUT", "-d", KIWI, "-H", "Content-Length: 5", "-H", "Transfer-Encoding: chunked"], 400),
        (&["-H", "X: a\u{1}b"], 400),
        (&["--haproxy-protocol"], 400),
    ] {
        let got = curl(&lab, &[arguments, &[&kiwi]].concat());
        assert_eq!(got.status, status, "{arguments:?}: {got:?}");
    }
    // HTTP/2 without asking, which begins with `PRI * HTTP/2.0`.
    let raw = run(&["--http2-prior-knowledge", &kiwi], b"");
    assert!(!raw.status.success(), "there is no HTTP/2");
    assert_eq!(curl(&lab, &[&kiwi]).body, expected, "and the server goes on");
}

/// Section 8: an ID in a path is any field, percent-encoded.
#[test]
fn a_path_is_taken_as_it_is() {
    let Some(lab) = lab(SOLO) else { return };
    for (path, id) in
        [("..", ".."), (".", "."), ("a%2fb", "a/b"), ("%2e%2e", ".."), ("a+b", "a+b"), ("100%25", "100%")]
    {
        let kiwi = url(&lab, &format!("/v1/clients/{path}"));
        let put = curl(&lab, &["--path-as-is", "-X", "PUT", "-d", KIWI, &kiwi]);
        assert_eq!((put.status, put.json()["id"].as_str()), (200, Some(id)), "{path}: {put:?}");
        assert_eq!(curl(&lab, &["--path-as-is", &kiwi]).json()["id"], id);
        assert!(stored_line(&lab, "Solo", id).is_some(), "{id}");
    }
    // Without it, curl removes the dots itself.
    let listed = curl(&lab, &[&url(&lab, "/v1/clients/x/..")]);
    assert_eq!(listed.status, 404);
    for path in ["/v1/clients/a%20b", "/v1/clients/%zz", "/v1/clients?limit=0"] {
        assert_eq!(curl(&lab, &[&url(&lab, path)]).status, 400, "{path}");
    }
    assert_eq!(curl(&lab, &["--path-as-is", &url(&lab, "/v1/../v1/clients/a+b")]).status, 404);
}

/// Section 8: bodies with a length and in chunks, with and without `Expect`, up to 1 MiB.
#[test]
fn bodies_arrive_in_any_way() {
    let Some(lab) = lab(SOLO) else { return };
    let kiwi = url(&lab, "/v1/clients/kiwi");
    let padded = KIWI.to_owned() + &" ".repeat((1 << 20) - KIWI.len());
    let file = lab.folder.path("body");
    fs::write(&file, &padded).unwrap();
    let whole = format!("@{}", file.display());
    let upload = file.to_str().unwrap();
    for arguments in [
        &["-X", "PUT", "--data-binary", &whole][..],
        // Without a length: in chunks.
        &["-T", "-"],
        &["-T", upload],
        &["-T", upload, "-H", "Transfer-Encoding: chunked"],
        &["-T", upload, "-H", "Expect: 100-continue"],
        &["-T", upload, "-H", "Expect:"],
        &["-T", upload, "--http1.0"],
        &["-T", upload, "--limit-rate", "2M"],
    ] {
        let got = curl_with(&lab, &[arguments, &[&kiwi]].concat(), KIWI.as_bytes());
        assert_eq!((got.status, got.json()["id"].as_str()), (200, Some("kiwi")), "{arguments:?}: {got:?}");
        let is_other = curl(&lab, &["-X", "DELETE", &kiwi]).status == 200;
        assert!(is_other, "{arguments:?}");
        // A statement that is not after the FORGET.
        let again = curl(&lab, &["-X", "PUT", "-d", KIWI, &kiwi]);
        assert_eq!(again.json()["stored"], false);
        assert_eq!(
            curl(&lab, &["-X", "PUT", "-d", r#"{"latitude":1,"longitude":1}"#, &kiwi]).json()["stored"],
            true
        );
    }
    fs::write(&file, padded + " ").unwrap();
    for arguments in [
        &["-T", upload][..],
        &["-T", upload, "-H", "Transfer-Encoding: chunked"],
        &["-T", upload, "-H", "Expect:"],
    ] {
        let got = curl(&lab, &[arguments, &[&kiwi]].concat());
        assert_eq!(got.status, 413, "{arguments:?}: {got:?}");
    }
    assert_eq!(curl(&lab, &["-T", upload, "-H", "Expect: x", &kiwi]).status, 413);
    assert_eq!(curl(&lab, &["-X", "PUT", "-d", KIWI, "-H", "Expect: x", &kiwi]).status, 417);
}

/// Section 8: a connection persists, and answers leave in the order of the requests.
#[test]
fn one_connection_serves_many_requests() {
    let Some(lab) = lab(SOLO) else { return };
    let base = url(&lab, "/v1/clients/k");
    let urls: Vec<String> = (0..50).map(|n| format!("{base}{n}")).collect();
    let mut arguments = vec!["-w", "\n%{num_connects} %{http_code}\n", "-X", "PUT", "-d", KIWI];
    arguments.extend(urls.iter().map(String::as_str));
    let output = String::from_utf8(run(&arguments, b"").stdout).unwrap();
    let codes: Vec<&str> = output.lines().filter(|line| line.ends_with(" 200")).collect();
    assert_eq!(codes.len(), 50, "{output}");
    assert_eq!(codes.iter().filter(|code| code.starts_with('1')).count(), 1, "one connection");
    let list = curl(&lab, &[&url(&lab, "/v1/clients?prefix=k&limit=20")]);
    assert!(list.head.contains("Transfer-Encoding: chunked\r\n"), "{list:?}");
    assert_eq!(list.json()["clients"].as_array().unwrap().len(), 20);
    let other = curl(&lab, &["--http1.0", &url(&lab, "/v1/clients?prefix=k&limit=20")]);
    assert_eq!(other.json(), list.json(), "until the end of the connection");
    let near = curl(&lab, &["-G", "-d", "id=k1", "-d", "km=1", &url(&lab, "/v1/near")]);
    assert_eq!(near.json()["clients"].as_array().unwrap().len(), 49);
}

/// Section 8: a stream of events goes on until the server ends, which takes no longer for it.
#[test]
fn a_stream_ends_with_its_server() {
    let Some(mut lab) = lab(SOLO) else { return };
    curl(&lab, &["-X", "PUT", "-d", KIWI, &url(&lab, "/v1/clients/kiwi")]);
    let mut stream = Command::new("curl")
        .args(["-q", "-sS", "-N", "--noproxy", "*", "--max-time", "60", &url(&lab, "/v1/changes")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until_line = |start: &str| {
        let line = lines.by_ref().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("the stream ends before {start}"))
    };
    assert!(until_line("data: {\"id\":").contains("\"kiwi\""));
    until_line("event: mark");
    curl(&lab, &["-X", "PUT", "-d", r#"{"latitude":1,"longitude":1}"#, &url(&lab, "/v1/clients/fig")]);
    assert!(until_line("data: {\"id\":").contains("\"fig\""));
    curl(&lab, &["-X", "DELETE", &url(&lab, "/v1/clients/fig")]);
    until_line("event: left");
    lab.signal("Solo", Signal::TERM);
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.starts_with("event: mark")), "{rest:?}");
    assert_eq!(stream.wait().unwrap().code(), Some(0), "an end, and no error");
    assert_eq!(lab.process("Solo").wait().code(), Some(0));
}

/// Section 8: the log has requests and answers, and no token.
#[test]
fn no_token_is_in_the_log() {
    let Some(lab) = lab(SOLO) else { return };
    let secret = "SECRET-token";
    for arguments in [
        &["-H", "Authorization: Bearer SECRET-token"][..],
        &["-u", "x:SECRET-token"],
        &["-e", "http://localhost/t/SECRET-token"],
        &["-b", "t=SECRET-token"],
    ] {
        curl(&lab, &[arguments, &[&url(&lab, "/v1/clients/kiwi")]].concat());
    }
    curl(&lab, &[&url(&lab, "/t/SECRET-token/v1/clients")]);
    curl(&lab, &["--request-target", "http://localhost/t/SECRET-token?x", &url(&lab, "/")]);
    curl(&lab, &["-H", "Host:", &url(&lab, "/t/SECRET-token")]);
    lab.await_log("Solo", "received 'GET /t/***?x' from (127.0.0.1, ");
    lab.await_log("Solo", "is refused with 400: the request is malformed");
    assert!(!lab.log("Solo").contains(secret));
}
