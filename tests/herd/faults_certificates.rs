//! Tests of Places services with invalid certificates or incomplete TLS (docs/faults.md, rows 26, 27).

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use herd::places::trust::server_config;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::fake_places::{nearby, response};
use crate::faults_places::{fails, near, with_timeout};
use crate::lab::{Lab, free_port};

/// Creates a certificate authority.
pub fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// Creates a certificate, signed by `authority`, or self-signed without one.
pub fn certificate(
    authority: Option<&CertifiedIssuer<'static, KeyPair>>,
    name: &str,
    is_expired: bool,
) -> Arc<ServerConfig> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if is_expired {
        (parameters.not_before, parameters.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match authority {
        Some(authority) => parameters.signed_by(&key, authority),
        None => parameters.self_signed(&key),
    };
    let der = certificate.unwrap().der().clone();
    server_config(vec![der], PrivateKeyDer::Pkcs8(key.serialize_der().into())).unwrap()
}

/// Starts a Places server with this certificate. It closes each connection after its answer, without
/// close_notify. With `without_length` only the end of the connection marks the end of the answer.
pub fn places(config: Arc<ServerConfig>, without_length: bool) -> u16 {
    let body = nearby(1);
    let unframed = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    let answer = if without_length { unframed } else { response(&body) };
    on_connection(move |stream| {
        let session = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        let mut question = [0; 4096];
        // Fails when the client rejects the certificate.
        if stream.read(&mut question).is_ok() {
            let _ = stream.write_all(answer.as_bytes());
        }
    })
}

/// Calls `serve` for each connection, until the test ends. Returns the port.
fn on_connection(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

/// A herd with a Places server on this port, which trusts this authority.
fn asking(port: u16, trusted: &CertifiedIssuer<'static, KeyPair>) -> Lab {
    with_timeout(10_000, |lab| {
        fs::write(lab.folder.path("trusted.pem"), trusted.pem()).unwrap();
        lab.config["places"]["url"] = json!(format!("https://localhost:{port}"));
        lab.config["places"]["trust"] = json!("trusted.pem");
    })
}

/// An invalid certificate is rejected, and the message gives the reason without the key. The same server with
/// a valid certificate is accepted.
#[test]
fn row_26_invalid_certificates() {
    let (ours, others) = (authority(), authority());
    for (config, words) in [
        (certificate(Some(&ours), "elsewhere.example", false), "not valid for name"),
        (certificate(Some(&ours), "localhost", true), "expired"),
        (certificate(None, "localhost", false), "certificate"),
        (certificate(Some(&others), "localhost", false), "certificate"),
    ] {
        let lab = asking(places(config, false), &ours);
        fails(&lab, "+1+1", words);
        assert!(!lab.log("Solo").contains("key="));
    }
    let lab = asking(places(certificate(Some(&ours), "localhost", false), false), &ours);
    let mut client = lab.connect("Solo");
    client.send("IAMAT kiwi +1+1 5\n").line();
    client.send("WHATSAT kiwi 10 1\n");
    assert_eq!(client.whats_at().1["status"], "OK");
}

/// A Places server that only supports an insecure version of TLS, or no TLS, is rejected.
#[test]
fn row_26_old_versions_of_tls() {
    let ours = authority();
    for answer in [
        // A fatal alert: protocol_version, in TLS 1.0.
        b"\x15\x03\x01\x00\x02\x02\x46".to_vec(),
        // A ServerHello of TLS 1.0 that chooses RSA with AES.
        [b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01".as_slice(), &[7; 32], b"\x00\x00\x2f\x00"].concat(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ] {
        let port = on_connection(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answer);
        });
        fails(&asking(port, &ours), "+1+1", "");
    }
}

/// An answer without a length must end with a TLS close_notify. Without it the answer may be truncated by an
/// attacker, so it is rejected.
#[test]
fn row_27_tls_answer_without_close_notify() {
    let ours = authority();
    let lab = asking(places(certificate(Some(&ours), "localhost", false), true), &ours);
    fails(&lab, "+1+1", "");
}

/// A connection that is made again resumes the TLS session of an earlier one.
#[test]
fn a_further_connection_to_places_resumes_the_tls_session() {
    let ours = authority();
    let config = certificate(Some(&ours), "localhost", false);
    let (sender, kinds) = channel();
    let port = on_connection(move |stream| {
        let session = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(response(&nearby(1)).as_bytes());
        sender.send(stream.conn.handshake_kind()).unwrap();
    });
    let lab = asking(port, &ours);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        assert_eq!(near(&lab, "+1+1")["status"], "OK");
        assert_eq!(kinds.recv().unwrap(), Some(expected));
    }
}
