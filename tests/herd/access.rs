//! Tokens and TLS of the HTTP interface (docs/protocol.md, section 8, Access).

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use serde_json::json;

use crate::authority::{Authority, client_config};
use crate::lab::{Lab, PATIENCE, SOLO, free_port, is_listening, until};
use crate::process::{Signal, herd};
use crate::tls_client::TlsClient;

/// A server with HTTP and these keys of the section `http`, which does not run yet.
fn lab(http: serde_json::Value) -> Lab {
    let mut lab = Lab::new(SOLO);
    lab.config["servers"]["Solo"]["http"] = json!(format!("127.0.0.1:{}", free_port()));
    lab.config["http"] = http;
    lab.write();
    lab
}

fn start(lab: &mut Lab) {
    lab.start("Solo");
    until("HTTP is served", || is_listening(port(lab)));
}

fn port(lab: &Lab) -> u16 {
    let address = lab.config["servers"]["Solo"]["http"].as_str().unwrap();
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Makes a token of this name with these scopes.
fn token(lab: &Lab, name: &str, scopes: &[&str]) -> String {
    let may = scopes.iter().flat_map(|scope| ["--may", *scope]);
    let made = herd().args(["token", name, "-c"]).arg(lab.file()).args(may).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim_end().to_owned()
}

fn request(method: &str, target: &str, token: Option<&str>, body: &str) -> String {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: herd.example\r\nContent-Length: {length}\r\n{bearer}\r\n{body}"
    )
}

/// The status and the body of the answer to a request on a connection of its own.
fn ask(lab: &Lab, method: &str, target: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port(lab))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request(method, target, token, body).as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {target}: {answer}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn get(lab: &Lab, target: &str, token: &str) -> u16 {
    ask(lab, "GET", target, Some(token), "").0
}

const LOCATION: &str = r#"{"location":"+34.0-118.0"}"#;

#[test]
fn each_request_needs_a_token_that_permits_it() {
    let mut lab = lab(json!({ "tokens": "tokens.json" }));
    let ada = token(&lab, "ada", &[]);
    let bob = token(&lab, "bob", &["report:bob/*", "forget:bob/*"]);
    let operator = token(&lab, "operator", &["operate"]);
    start(&mut lab);
    for target in
        ["/", "/v1/clients", "/v1/herd", "/metrics", "/v1/changes", "/no/such/path", "/osmand?id=ada"]
    {
        for wrong in [None, Some("wrong"), Some(&ada[1..])] {
            assert_eq!(ask(&lab, "GET", target, wrong, "").0, 401, "{target}");
        }
    }
    assert_eq!(ask(&lab, "GET", "/livez", None, "").0, 200);
    let put = |id: &str, token: &str| ask(&lab, "PUT", &format!("/v1/clients/{id}"), Some(token), LOCATION).0;
    assert_eq!((put("ada1", &ada), put("bob%2F1", &ada), put("ada1", &operator)), (200, 403, 403));
    assert_eq!((put("bob%2F1", &bob), put("bob", &bob)), (200, 403));
    assert_eq!((get(&lab, "/v1/clients/ada1", &ada), get(&lab, "/v1/clients/bob%2F1", &bob)), (200, 403));
    assert_eq!(get(&lab, "/v1/clients/stranger", &ada), 403, "not even whether it exists");
    assert_eq!((get(&lab, "/metrics", &operator), get(&lab, "/metrics", &ada)), (200, 403));
    assert_eq!(get(&lab, "/v1/clients/ada1/places?km=1&limit=1", &ada), 403);
    let delete = |id: &str, token: &str| ask(&lab, "DELETE", &format!("/v1/clients/{id}"), Some(token), "").0;
    assert_eq!((delete("ada1", &ada), delete("bob%2F1", &bob)), (403, 200));
}

#[test]
fn lists_searches_and_events_have_what_the_token_may_read() {
    let mut lab = lab(json!({ "tokens": "tokens.json" }));
    let (all, ada) = (token(&lab, "all", &["report:*", "read:*"]), token(&lab, "ada", &["read:ada*"]));
    start(&mut lab);
    for (id, location) in [("ada1", "+1-1"), ("bob1", "+1.001-1"), ("bob2", "+1.002-1"), ("ada2", "+1.003-1")]
    {
        let body = format!(r#"{{"location":"{location}"}}"#);
        assert_eq!(ask(&lab, "PUT", &format!("/v1/clients/{id}"), Some(&all), &body).0, 200);
    }
    for (target, with_bob) in [
        ("/v1/clients", true),
        ("/v1/clients?prefix=bob", true),
        ("/v1/changes", true),
        ("/v1/near?latitude=1&longitude=-1&km=10&limit=3", true),
        ("/v1/near?id=ada1&km=10&limit=1", true),
    ] {
        assert_eq!(ask(&lab, "GET", target, Some(&all), "").1.contains("bob"), with_bob, "{target}");
        let (status, body) = ask(&lab, "GET", target, Some(&ada), "");
        assert!(status == 200 && !body.contains("bob"), "{target}: {body}");
        assert_eq!(body.contains("ada2"), !target.contains("prefix=bob"), "{target}: {body}");
    }
    assert_eq!(get(&lab, "/v1/near?id=bob1&km=10", &ada), 403);
    assert_eq!(get(&lab, "/v1/changes?id=bob1", &ada), 403);
}

/// Section 8: SIGHUP reads the tokens again; a file that cannot be used changes nothing, and the reason is in the log and
/// on standard error. No token is in any file.
#[test]
fn tokens_are_read_again() {
    let mut lab = lab(json!({ "tokens": "tokens.json" }));
    let ada = token(&lab, "ada", &["read:*"]);
    start(&mut lab);
    assert_eq!(get(&lab, "/v1/clients", &ada), 200);
    let bob = token(&lab, "bob", &["read:*"]);
    assert_eq!(get(&lab, "/v1/clients", &bob), 401);
    lab.signal("Solo", Signal::HUP);
    until("the new token is known", || get(&lab, "/v1/clients", &bob) == 200);
    assert_eq!(get(&lab, "/v1/clients", &ada), 200);

    let file = lab.folder.path("tokens.json");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, "{").unwrap();
    lab.signal("Solo", Signal::HUP);
    let reason = "Solo keeps its settings: http.tokens: ";
    until("the reason is on standard error", || lab.output("Solo").contains(reason));
    until("the reason is in the log", || lab.log("Solo").contains(reason));
    assert_eq!((get(&lab, "/v1/clients", &ada), get(&lab, "/v1/clients", &bob)), (200, 200));

    fs::write(&file, good).unwrap();
    assert!(herd().args(["token", "ada", "--remove", "-c"]).arg(lab.file()).status().unwrap().success());
    lab.signal("Solo", Signal::HUP);
    until("the old token is refused", || get(&lab, "/v1/clients", &ada) == 401);
    assert_eq!(get(&lab, &format!("/t/{bob}/v1/clients"), ""), 200);
    assert_eq!(get(&lab, &format!("/t/{ada}/v1/clients"), ""), 401);
    for name in ["tokens.json", "herd.json"] {
        let text = fs::read_to_string(lab.folder.path(name)).unwrap();
        assert!(!text.contains(&ada) && !text.contains(&bob), "{name}");
    }
    let said = lab.log("Solo") + &lab.output("Solo");
    assert!(!said.contains(&ada) && !said.contains(&bob), "{said}");
}

/// Section 8: the certificate is read again on SIGHUP, connections stay, and there is no plain text on the port.
#[test]
fn a_certificate_is_read_again_and_connections_stay() {
    let mut lab = lab(json!({ "certificate": "web/web.pem", "key": "web/web.key" }));
    let (first, second) = (Authority::new(), Authority::new());
    let keys = lab.folder.path("web");
    first.sign("localhost").write(&keys, "web");
    start(&mut lab);
    let connect = |authority: &Authority| {
        TlsClient::connect(port(&lab), "localhost", client_config(&[authority], None))
    };
    let mut kept = connect(&first).unwrap();
    assert_eq!(status(&mut kept), "200");

    let mut plain = TcpStream::connect((Ipv4Addr::LOCALHOST, port(&lab))).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(HEALTH.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The server may end the connection in any way.
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200"), "{answer:?}");

    second.sign("localhost").write(&keys, "web");
    lab.signal("Solo", Signal::HUP);
    let connect = |authority: &Authority| {
        TlsClient::connect(port(&lab), "localhost", client_config(&[authority], None))
    };
    until("the new certificate is shown", || connect(&second).is_ok());
    assert!(connect(&first).is_err());
    assert_eq!(status(&mut kept), "200", "on the connection from before");

    fs::remove_file(keys.join("web.pem")).unwrap();
    lab.signal("Solo", Signal::HUP);
    until("the reason is in the log", || lab.log("Solo").contains("keeps its settings: http.certificate: "));
    let connect = TlsClient::connect(port(&lab), "localhost", client_config(&[&second], None));
    assert_eq!(status(&mut connect.unwrap()), "200");
}

const HEALTH: &str = "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The status of an answer without a body.
fn status(client: &mut TlsClient) -> String {
    let first = client.send(HEALTH).line();
    while client.line() != "\r" {}
    first.split(' ').nth(1).unwrap().to_owned()
}
