//! Tests of links and clients over TLS (docs/faults.md, rows 11 to 13; docs/protocol.md, section 4).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::ask::{await_everywhere, iamat, stored_line};
use crate::authority::{Authority, Identity, client_config, server_config};
use crate::client::Client;
use crate::fake_places::{Play, nearby};
use crate::lab::{Lab, PAIR, PATIENCE, SOLO, free_port, until};
use crate::process::{Signal, herd};
use crate::tls_client::TlsClient;

const THREE: &[(&str, &[&str])] = &[("Riley", &["Jaquez", "Juzang"]), ("Jaquez", &[]), ("Juzang", &[])];

/// A herd whose links are TLS, with the keys of this authority.
fn secured(edges: &[(&str, &[&str])], authority: &Authority) -> Lab {
    let mut lab = Lab::new(edges);
    lab.config["peers"]["tls"] = json!(true);
    lab.write();
    trust(&lab, &[authority]);
    for name in lab.names() {
        put(&lab, name, &authority.sign(name));
    }
    lab
}

fn put(lab: &Lab, name: &str, identity: &Identity) {
    identity.write(&lab.folder.path("run/keys"), name);
}

fn trust(lab: &Lab, authorities: &[&Authority]) {
    let pem: String = authorities.iter().map(|authority| authority.pem()).collect();
    std::fs::create_dir_all(lab.folder.path("run/keys")).unwrap();
    std::fs::write(lab.folder.path("run/keys/herd-ca.pem"), pem).unwrap();
}

fn hello(name: &str) -> String {
    format!("HELLO herd/1 laboratory {name} 0123456789abcdef\nAT {name} +0.000000000 forged +1+1 5\nMARK 1\n")
}

/// Says HELLO to Riley, and a statement after it. The reply; empty: the handshake failed.
fn say_hello(lab: &Lab, name: &str, config: Arc<ClientConfig>) -> String {
    match TlsClient::connect(lab.port("Riley"), "Riley", config) {
        Ok(mut client) => client.send(&hello(name)).everything(),
        Err(_) => String::new(),
    }
}

fn assert_nothing_learned(lab: &Lab) {
    assert_eq!(stored_line(lab, "Riley", "forged"), None);
}

/// Only a certificate of the herd's authority with the name of a neighbour may say HELLO, and only with that name.
#[test]
fn row_11_links_without_the_certificate_of_the_neighbour() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut lab = secured(THREE, &authority);
    lab.start("Riley");
    let shown = |identity: &Identity| client_config(&[&authority], Some(identity));
    for (name, config, reason) in [
        ("Jaquez", client_config(&[&authority], None), "no certificate was shown"),
        ("Jaquez", shown(&authority.sign("Juzang")), "the certificate is that of Juzang"),
        ("Juzang", shown(&authority.sign("Jaquez")), "the certificate is that of Jaquez"),
        ("Jaquez", shown(&authority.sign("Riley")), "the certificate is that of Riley"),
        ("Stranger", shown(&authority.sign("Stranger")), "no neighbour of this server has that name"),
    ] {
        assert_eq!(say_hello(&lab, name, config), format!("REFUSED {reason}\n"));
        lab.await_log("Riley", reason);
    }
    for (identity, reason) in [
        (other.sign("Jaquez"), "its certificate is of no authority in herd-ca.pem"),
        (authority.sign_expired("Jaquez"), "its certificate has expired"),
        (Identity::self_signed("Jaquez"), "its certificate is of no authority in herd-ca.pem"),
    ] {
        assert_eq!(say_hello(&lab, "Jaquez", shown(&identity)), "", "refused at the handshake");
        lab.await_log("Riley", reason);
    }
    let reply = lab.connect("Riley").send(&hello("Jaquez")).everything();
    assert!(reply.starts_with("REFUSED links of this herd are TLS"), "{reply}");
    assert_nothing_learned(&lab);
    let mut jaquez =
        TlsClient::connect(lab.port("Riley"), "Riley", shown(&authority.sign("Jaquez"))).unwrap();
    assert!(jaquez.ask(hello("Jaquez").trim_end()).starts_with("WELCOME Riley "));
    assert_eq!(jaquez.line(), "ACK 1");
}

/// The name is compared with the certificate of a resumed session, too.
#[test]
fn row_11_resumed_session_of_another_name() {
    let authority = Authority::new();
    let mut lab = secured(THREE, &authority);
    lab.start("Riley");
    let config = client_config(&[&authority], Some(&authority.sign("Jaquez")));
    let connect = |name: &str| {
        let mut client = TlsClient::connect(lab.port("Riley"), "Riley", config.clone()).unwrap();
        let reply = client.ask(hello(name).trim_end());
        (client.is_resumed(), reply)
    };
    let (is_resumed, reply) = connect("Jaquez");
    assert!(!is_resumed && reply.starts_with("WELCOME "), "{reply}");
    let (is_resumed, reply) = connect("Juzang");
    assert!(is_resumed && reply == "REFUSED the certificate is that of Jaquez", "{is_resumed} {reply}");
    let (is_resumed, reply) = connect("Jaquez");
    assert!(is_resumed && reply.starts_with("WELCOME "), "{is_resumed} {reply}");
}

/// The bytes of a link are worth nothing on another connection.
#[test]
fn row_11_replayed_tls_handshake() {
    let authority = Authority::new();
    let mut lab = secured(PAIR, &authority);
    lab.start("Riley");
    let config = client_config(&[&authority], Some(&authority.sign("Jaquez")));
    let mut jaquez = TlsClient::connect(lab.port("Riley"), "Riley", config).unwrap();
    assert!(jaquez.ask("HELLO herd/1 laboratory Jaquez 0123456789abcdef").starts_with("WELCOME "));
    jaquez.send("AT Jaquez +0.000000000 forged +1+1 5\nMARK 1\n");
    let recorded = jaquez.sent().to_vec();
    drop(jaquez);
    let known = stored_line(&lab, "Riley", "forged");
    let mut thief = lab.connect("Riley");
    thief.try_send(&recorded);
    let answer = thief.every_byte();
    assert!(!answer.windows(7).any(|part| part == b"WELCOME"));
    lab.await_log("Riley", "The TLS handshake of (127.0.0.1, ");
    assert_eq!(stored_line(&lab, "Riley", "forged"), known);
}

/// A dialled neighbour whose certificate is not that of the neighbour, or that speaks no TLS, is sent nothing. The
/// reason is in the log.
#[test]
fn row_11_dialled_neighbour_with_a_wrong_certificate() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut lab = secured(PAIR, &authority);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lab.port("Jaquez"))).unwrap();
    lab.start("Riley");
    iamat(&lab, "Riley", "secret");
    for (identity, reason) in [
        (other.sign("Jaquez"), "its certificate is of no authority in herd-ca.pem"),
        (authority.sign("Juzang"), "its certificate has another name"),
        (authority.sign_expired("Jaquez"), "its certificate has expired"),
        (Identity::self_signed("Jaquez"), "its certificate is of no authority in herd-ca.pem"),
    ] {
        let session = ServerConnection::new(server_config(&identity)).unwrap();
        let mut stream = StreamOwned::new(session, listener.accept().unwrap().0);
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received);
        assert_eq!(received, b"");
        lab.await_log("Riley", &format!("Connection to server Jaquez could not be made: {reason}"));
    }
    let mut stream = listener.accept().unwrap().0;
    stream.write_all(b"WELCOME Jaquez 0123456789abcdef 0\n").unwrap();
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received);
    assert_eq!(received.first(), Some(&0x16));
    assert!(!received.windows(5).any(|part| part == b"HELLO" || part == b"MARK "));
    lab.await_log("Riley", "could not be made: it does not speak TLS");
}

/// No location passes between servers in plain text, and a restarted neighbour is in the flood again.
#[test]
fn row_11_links_are_encrypted() {
    let authority = Authority::new();
    let mut lab = secured(PAIR, &authority);
    lab.start_all();
    lab.await_log("Riley", "New connection to server Jaquez was made, over TLS");
    lab.await_log("Riley", "New connection from server Jaquez was made, over TLS");
    let first = iamat(&lab, "Riley", "first");
    await_everywhere(&lab, &["Jaquez"], "first", &first);
    lab.kill("Jaquez");
    lab.start("Jaquez");
    await_everywhere(&lab, &["Jaquez"], "first", &first);
    let second = iamat(&lab, "Jaquez", "second");
    await_everywhere(&lab, &["Riley"], "second", &second);
}

/// A certificate alone makes no peer: without HELLO the connection is a client's. Half a handshake is nothing.
#[test]
fn row_12_forged_at_line_over_tls() {
    let authority = Authority::new();
    let mut lab = secured(PAIR, &authority);
    lab.start("Riley");
    let forged = "AT Jaquez +0.000000000 forged +1+1 5";
    let config = client_config(&[&authority], Some(&authority.sign("Jaquez")));
    for config in [config, client_config(&[&authority], None)] {
        let mut client = TlsClient::connect(lab.port("Riley"), "Riley", config).unwrap();
        assert_eq!(client.ask(forged), format!("? {forged}"));
        let late = "HELLO herd/1 laboratory Jaquez 0123456789abcdef";
        assert_eq!(client.ask(late), format!("? {late}"), "not the first line");
    }
    let mut half = lab.connect("Riley");
    half.send_bytes(&client_hello(&authority)[..100]).try_send(hello("Jaquez").as_bytes());
    assert!(!half.every_byte().windows(7).any(|part| part == b"WELCOME"));
    assert_nothing_learned(&lab);
}

/// A malformed line of an authenticated neighbour ends its link, and changes nothing.
#[test]
fn row_13_malformed_line_over_tls() {
    let authority = Authority::new();
    let mut lab = secured(PAIR, &authority);
    lab.start("Riley");
    let config = client_config(&[&authority], Some(&authority.sign("Jaquez")));
    for line in ["GOSSIP 5", "AT Jaquez +0.0 forged +1+1 5", "\u{fffd}\u{0}"] {
        let mut jaquez = TlsClient::connect(lab.port("Riley"), "Riley", config.clone()).unwrap();
        assert!(jaquez.ask("HELLO herd/1 laboratory Jaquez 0123456789abcdef").starts_with("WELCOME "));
        jaquez.send(&format!("{line}\nAT Jaquez +0.000000000 forged +1+1 5\nMARK 7\n"));
        assert!(!jaquez.everything().contains("ACK 7"), "{line}");
    }
    lab.await_log("Riley", "Connection from server Jaquez is ended: 'GOSSIP 5' was not understood");
    assert_nothing_learned(&lab);
}

/// The first bytes of a TLS client.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let config = client_config(&[authority], None);
    let mut session = rustls::ClientConnection::new(config, "Riley".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

/// A handshake that hangs is ended after 2 s from its first byte; a silent connection may wait.
#[test]
fn row_11_handshake_that_hangs() {
    let authority = Authority::new();
    let mut lab = secured(SOLO, &authority);
    lab.start("Solo");
    let (mut silent, mut half, mut slow) = (lab.connect("Solo"), lab.connect("Solo"), lab.connect("Solo"));
    let hello = client_hello(&authority);
    half.send_bytes(&hello[..60]);
    for byte in &hello {
        if !slow.try_send(&[*byte]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(half.is_closed() && slow.is_closed());
    assert_eq!(silent.ask("PING"), "? PING");
    lab.await_log("Solo", "failed: the TLS handshake took too long");
}

/// Half-done handshakes take no place from others, and are gone after a while.
#[test]
fn row_11_half_done_handshakes_by_the_hundred() {
    let count = 300;
    let authority = Authority::new();
    let mut lab = secured(PAIR, &authority);
    lab.start_all();
    lab.await_links("Riley", "Jaquez");
    let memory = lab.process("Riley").status_number("VmRSS");
    let hello = client_hello(&authority);
    let crowd: Vec<Client> = (0..count)
        .map(|number| {
            let mut client = lab.connect("Riley");
            client.try_send(&hello[..1 + number % (hello.len() - 1)]);
            client
        })
        .collect();
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    let mut client =
        TlsClient::connect(lab.port("Riley"), "Riley", client_config(&[&authority], None)).unwrap();
    assert_eq!(client.ask("PING"), "? PING");
    let more = lab.process("Riley").status_number("VmRSS").saturating_sub(memory);
    // 64 sessions, and a plain connection for each of the others as long as it is there.
    assert!(more < 4096 + 2 * count as u64, "{more} KiB more");
    crowd.into_iter().for_each(|mut client| {
        client.every_byte();
    });
}

/// Clients may use TLS on the same port, and need no certificate.
#[test]
fn clients_over_tls_are_served_like_others() {
    let authority = Authority::new();
    let mut lab = secured(PAIR, &authority);
    lab.start_all();
    let config = client_config(&[&authority], None);
    let mut client = TlsClient::connect(lab.port("Riley"), "Riley", config.clone()).unwrap();
    let line = client.ask("IAMAT kiwi +34.0-118.0 1621464827.5");
    assert!(line.starts_with("AT Riley +"), "{line}");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    lab.places.on("+34.0-118.0", Play::WhenReleased(nearby(2)));
    client.send("WHATSAT kiwi 10 5\nFOO\nhalf a line").half_close();
    lab.places.await_question("+34.0-118.0");
    lab.places.release();
    let replies = client.everything();
    assert!(replies.starts_with(&line) && replies.ends_with("\n\n? FOO\n? half a line\n"), "{replies}");
    assert!(client.was_closed, "with close_notify");
    let mut client = TlsClient::connect(lab.port("Riley"), "Riley", config).unwrap();
    let replies = client.send("FOO\nIAMAT kiwi +1+1 16214648275").truncate().everything();
    assert_eq!(replies, "? FOO\n", "a line that may be truncated is not carried out");
    assert_eq!(stored_line(&lab, "Riley", "kiwi"), Some(line));
}

/// TLS before 1.3 is refused.
#[test]
fn tls_before_1_3_is_refused() {
    let authority = Authority::new();
    let mut lab = secured(SOLO, &authority);
    lab.start("Solo");
    let mut client = lab.connect("Solo");
    // A ClientHello of TLS 1.2 with one cipher suite and no extensions.
    let hello = [
        b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03".as_slice(),
        &[7; 32],
        b"\x00\x00\x02\xc0\x2f\x01\x00",
    ];
    let answer = client.send_bytes(&hello.concat()).every_byte();
    assert_eq!((answer.first(), answer.get(5)), (Some(&0x15), Some(&2)), "a fatal alert: {answer:?}");
}

/// `openssl s_client -quiet` works as telnet does. Skipped where there is no openssl.
#[test]
fn openssl_s_client_is_served() {
    let authority = Authority::new();
    let mut lab = secured(SOLO, &authority);
    lab.start("Solo");
    let connect = format!("127.0.0.1:{}", lab.port("Solo"));
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &connect]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut openssl) = command.spawn() else {
        println!("skipped: there is no openssl");
        return;
    };
    let mut stdin = openssl.stdin.take().unwrap();
    stdin.write_all(b"FOO\n").unwrap();
    let mut reply = [0; 6];
    openssl.stdout.take().unwrap().read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"? FOO\n");
    openssl.kill().unwrap();
    openssl.wait().unwrap();
}

/// `ncat --ssl` works in a pipe: it gets all replies, and ends. Skipped where there is no ncat.
#[test]
fn ncat_over_tls_is_served() {
    let authority = Authority::new();
    let mut lab = secured(SOLO, &authority);
    lab.start("Solo");
    let mut command = Command::new("ncat");
    command.args(["--ssl", "127.0.0.1", &lab.port("Solo").to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut ncat) = command.spawn() else {
        println!("skipped: there is no ncat");
        return;
    };
    ncat.stdin.take().unwrap().write_all(b"FOO\nBAR\n").unwrap();
    let output = ncat.wait_with_output().unwrap();
    assert_eq!((output.status.success(), &*output.stdout), (true, &b"? FOO\n? BAR\n"[..]));
}

/// A client over TLS that never reads is no longer read from, and others are served.
#[test]
fn a_tls_client_that_never_reads_is_held_back() {
    let authority = Authority::new();
    let mut lab = secured(SOLO, &authority);
    // Its pages are memory, too.
    lab.config["log"] = json!({ "dir": "logs", "level": "off" });
    lab.write();
    lab.start("Solo");
    let memory = lab.process("Solo").status_number("VmRSS");
    let mut client =
        TlsClient::connect(lab.port("Solo"), "Solo", client_config(&[&authority], None)).unwrap();
    let sent = client.send_until_stuck(&"FOO\n".repeat(1000), Duration::from_millis(500), 256 << 20);
    assert!(sent > 0);
    assert_eq!(lab.connect("Solo").ask("PING"), "? PING");
    let more = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    assert!(more < 4096, "{more} KiB more");
}

/// SIGHUP takes new keys. Clients, links and sessions that are still valid stay.
#[test]
fn renewed_keys_are_taken_without_dropping_anything() {
    let authority = Authority::new();
    let mut lab = secured(PAIR, &authority);
    lab.start_all();
    lab.await_links("Riley", "Jaquez");
    let config = || client_config(&[&authority], None);
    let shown = |lab: &Lab| TlsClient::connect(lab.port("Riley"), "Riley", config()).unwrap().shown();
    let mut client = TlsClient::connect(lab.port("Riley"), "Riley", config()).unwrap();
    let mut plain = lab.connect("Riley");
    let old = shown(&lab);
    for name in ["Riley", "Jaquez"] {
        put(&lab, name, &authority.sign(name));
        lab.signal(name, Signal::HUP);
    }
    until("the new certificate is shown", || shown(&lab) != old);
    lab.await_log("Riley", "Riley has read its settings and keys again; its certificate is valid to ");
    assert_eq!((client.ask("PING").as_str(), plain.ask("PING").as_str()), ("? PING", "? PING"));
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    for name in ["Riley", "Jaquez"] {
        assert!(!lab.log(name).contains("server Riley was dropped"), "the links stay");
        assert!(!lab.log(name).contains("server Jaquez was dropped"), "the links stay");
    }
    lab.kill("Jaquez");
    lab.start("Jaquez");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    // Keys that cannot be used change nothing.
    let before = shown(&lab);
    std::fs::write(lab.folder.path("run/keys/Riley.pem"), "no certificate").unwrap();
    lab.signal("Riley", Signal::HUP);
    until("the reason is on standard error", || lab.output("Riley").contains("Riley keeps its settings: "));
    lab.await_log("Riley", "Riley keeps its settings: ");
    assert_eq!((shown(&lab), client.ask("PING").as_str()), (before, "? PING"));
}

/// Links whose authority was removed end; with both authorities, certificates of either are good.
#[test]
fn links_of_a_removed_authority_end() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut lab = secured(THREE, &old);
    trust(&lab, &[&old, &new]);
    put(&lab, "Riley", &new.sign("Riley"));
    put(&lab, "Juzang", &new.sign("Juzang"));
    lab.start_all();
    lab.await_links("Riley", "Jaquez");
    lab.await_links("Riley", "Juzang");
    trust(&lab, &[&new]);
    lab.signal("Riley", Signal::HUP);
    let reason = "is ended: its certificate is of no authority in herd-ca.pem";
    lab.await_log("Riley", &format!("Connection from server Jaquez {reason}"));
    lab.await_log("Riley", &format!("Connection to server Jaquez {reason}"));
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Juzang"], "kiwi", &line);
    assert!(!lab.log("Riley").contains("server Juzang was dropped"));
    assert_eq!(stored_line(&lab, "Jaquez", "kiwi"), None);
    put(&lab, "Jaquez", &new.sign("Jaquez"));
    lab.signal("Jaquez", Signal::HUP);
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
}

/// With a port for neighbours, links use it, HELLO is refused at the other one, and clients are not served there.
#[test]
fn neighbours_have_a_port_of_their_own() {
    let authority = Authority::new();
    let mut lab = secured(PAIR, &authority);
    let ports = [free_port(), free_port()];
    for (name, port) in ["Riley", "Jaquez"].into_iter().zip(ports) {
        lab.config["servers"][name]["peers"] = json!(format!("127.0.0.1:{port}"));
    }
    lab.write();
    lab.start_all();
    lab.await_links("Riley", "Jaquez");
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    let sent = herd().args(["send", "Riley", "FOO", "-c"]).arg(lab.file()).output().unwrap();
    assert_eq!(String::from_utf8(sent.stdout).unwrap(), "? FOO\n", "herd send finds the port of clients");
    lab.kill("Jaquez");
    let config = client_config(&[&authority], Some(&authority.sign("Jaquez")));
    assert!(
        say_hello(&lab, "Jaquez", config.clone()).starts_with("REFUSED neighbours have a port of their own")
    );
    assert!(
        lab.connect("Riley")
            .send(&hello("Jaquez"))
            .everything()
            .starts_with("REFUSED neighbours have a port")
    );
    assert_nothing_learned(&lab);
    let mut jaquez = TlsClient::connect(ports[0], "Riley", config).unwrap();
    assert!(jaquez.ask("HELLO herd/1 laboratory Jaquez 0123456789abcdef").starts_with("WELCOME Riley "));
    let mut client = Client::connect(ports[0]);
    client.send("IAMAT forged +1+1 5\n");
    assert!(client.is_closed());
    let began = Instant::now();
    assert!(Client::connect(ports[0]).is_closed(), "a silent one");
    assert!(began.elapsed() < PATIENCE);
    assert_nothing_learned(&lab);
}
