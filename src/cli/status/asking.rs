//! Asks one server over HTTP.

use crate::cli::Failure;
use crate::cli::failure::in_words;
use crate::config::{HerdFile, Host, HostPort, ServerSection};
use crate::http::client::{Response, ResponseCollector, write_request};
use crate::tls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a server has said.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// It has no address of HTTP, and was not asked.
    NotAsked,
    /// It has not answered, for this reason.
    Down { address: HostPort, reason: String },
    /// It has answered.
    Up {
        address: HostPort,
        /// Why it is not ready, one reason each; none: it is ready.
        reasons: Vec<String>,
        /// The page `/v1/herd`, or why there is none.
        herd: Result<Value, String>,
    },
}

impl Said {
    /// The thread that asked has failed.
    pub(super) fn panicked() -> Said {
        let address = SocketAddr::from(([0, 0, 0, 0], 0)).into();
        Said::Down { address, reason: "the question to it has failed in this program".to_owned() }
    }
}

/// How servers are asked.
pub(super) struct Asker {
    token: Option<String>,
    needs_token: bool,
    /// `None`: plain text.
    tls: Option<Arc<ClientConfig>>,
}

impl Asker {
    /// The asker of the servers of a herd.
    pub(super) fn new(herd: &HerdFile, token: Option<String>) -> Result<Asker, Failure> {
        let tls = herd.http.certificate.as_ref().map(|files| {
            // On another machine than that of the servers the file may be missing.
            let known = fs::read(&files.chain).ok().and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
            tls::client_that_knows(known)
        });
        let tls = tls.transpose().map_err(Failure::at_run_time)?;
        Ok(Asker { token, needs_token: herd.http.tokens.is_some(), tls })
    }

    /// Asks a server. Takes at most some seconds.
    pub(super) fn ask(&self, server: &ServerSection) -> Said {
        let Some(address) = address_of(server) else { return Said::NotAsked };
        match self.get(&address, "/readyz", None) {
            Err(reason) => Said::Down { address, reason },
            Ok(ready) => match reasons(&ready) {
                Err(reason) => Said::Down { address, reason },
                Ok(reasons) => {
                    let herd = self.herd(&address, server);
                    Said::Up { address, reasons, herd }
                }
            },
        }
    }

    /// The page of the herd.
    fn herd(&self, address: &HostPort, server: &ServerSection) -> Result<Value, String> {
        let token = self.token.as_deref();
        if token.is_some() && self.tls.is_none() && !is_on_this_machine(address) {
            return Err(format!(
                "no token is sent to {address}, which is off this machine and has no TLS; run herd status on its host"
            ));
        }
        let response = self.get(address, "/v1/herd", token)?;
        match response.status {
            200 => {}
            401 if token.is_none() || !self.needs_token => {
                return Err(
                    "it wants a token: give one that may operate with --token or HERD_TOKEN".to_owned()
                );
            }
            401 => {
                return Err("it does not know the token; herd token --list shows which there are".to_owned());
            }
            403 => {
                return Err(
                    "the token may not operate; herd token NAME --may operate makes one that may".to_owned()
                );
            }
            status => return Err(format!("it has answered /v1/herd with status {status}")),
        }
        let page: Value = serde_json::from_slice(&response.body)
            .map_err(|error| format!("/v1/herd is no JSON: {error}; is it a herd of this version?"))?;
        match page["name"].as_str() {
            Some(name) if name == server.name => Ok(page),
            Some(name) => Err(format!(
                "the server {name} answers there; is servers.{}.http the same in both herd files?",
                server.name
            )),
            None => Err("/v1/herd has no name; is it a server of a herd?".to_owned()),
        }
    }

    fn get(&self, address: &HostPort, target: &str, token: Option<&str>) -> Result<Response, String> {
        let until = Instant::now() + TIME_MAX;
        let failed = |error: io::Error| in_words(&error);
        let stream = connect(address).map_err(failed)?;
        let host = address.to_string();
        let bearer = token.map(|token| format!("Bearer {token}"));
        let field = bearer.as_deref().map(|bearer| ("Authorization", bearer));
        let fields: Vec<(&str, &str)> = field.into_iter().chain([("Connection", "close")]).collect();
        let mut request = Vec::new();
        write_request(&mut request, "GET", &host, target, &fields, b"");
        match &self.tls {
            None => exchange(stream, &request, until),
            Some(config) => {
                let name = match &address.host {
                    Host::Address(address) => ServerName::from(*address),
                    Host::Name(name) => {
                        ServerName::try_from(name.clone()).map_err(|error| error.to_string())?
                    }
                };
                let session =
                    ClientConnection::new(config.clone(), name).map_err(|error| error.to_string())?;
                exchange(StreamOwned::new(session, stream), &request, until)
            }
        }
    }
}

/// The address at which a server answers HTTP. One that listens on all addresses is asked where its neighbours dial it.
fn address_of(server: &ServerSection) -> Option<HostPort> {
    let http = server.http?;
    if http.ip().is_unspecified() {
        return Some(HostPort { host: server.address.host.clone(), port: http.port() });
    }
    Some(http.into())
}

/// The reasons of `/readyz`. The error says that it is no such page.
fn reasons(response: &Response) -> Result<Vec<String>, String> {
    let lines = String::from_utf8_lossy(&response.body);
    match response.status {
        200 => Ok(Vec::new()),
        503 => Ok(lines.lines().take(REASONS_MAX).map(str::to_owned).collect()),
        421 => Err("it takes no requests for that address; is it behind a proxy?".to_owned()),
        status => {
            Err(format!("it has answered /readyz with status {status}; does another program listen there?"))
        }
    }
}

/// Whether an address is one of this machine: a socket can be bound to it.
fn is_on_this_machine(address: &HostPort) -> bool {
    let is_own = |address: SocketAddr| UdpSocket::bind((address.ip(), 0)).is_ok();
    resolve(address).is_ok_and(|addresses| !addresses.is_empty() && addresses.into_iter().all(is_own))
}

fn resolve(address: &HostPort) -> io::Result<Vec<SocketAddr>> {
    match &address.host {
        Host::Address(host) => Ok(vec![(*host, address.port).into()]),
        Host::Name(name) => Ok((name.as_str(), address.port).to_socket_addrs()?.collect()),
    }
}

fn connect(address: &HostPort) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in resolve(address)? {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(stream) => {
                // An answer that trickles in is limited by the time of the whole.
                stream.set_read_timeout(Some(SILENCE_MAX))?;
                stream.set_write_timeout(Some(SILENCE_MAX))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Sends a request and reads the response.
fn exchange(mut stream: impl Read + Write, request: &[u8], until: Instant) -> Result<Response, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("it has not answered for {} s", SILENCE_MAX.as_secs())
        }
        _ => in_words(&error),
    };
    stream.write_all(request).and_then(|()| stream.flush()).map_err(failed)?;
    let mut collector = ResponseCollector::new(BODY_MAX);
    let (mut pending, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if Instant::now() >= until {
            return Err(format!("its answer was not complete after {} s", TIME_MAX.as_secs()));
        }
        let length = match stream.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed)?,
        };
        let result = if length == 0 {
            collector.eof_received()
        } else {
            pending.extend_from_slice(&buffer[..length]);
            collector.data_received(&pending).map(|used| drop(pending.drain(..used)))
        };
        result.map_err(|error| format!("it speaks no HTTP as a herd does: {error}"))?;
        if let Some(response) = collector.finish() {
            return Ok(response);
        }
    }
}

/// A server on another continent accepts within a fraction of it.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a server may be silent: its loop turns much faster.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// The time of one question, so that a server that trickles does not hold up the others.
const TIME_MAX: Duration = Duration::from_secs(6);
/// Bytes of a page: the herd with 128 neighbours has some 40 KiB.
const BODY_MAX: usize = 1024 * 1024;
/// Reasons that are shown.
const REASONS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn server(http: &str) -> ServerSection {
        let text = format!(
            r#"{{ "herd": "h", "servers": {{ "Solo": {{ "listen": "127.0.0.1:1", "http": "{http}" }} }} }}"#
        );
        let mut herd = HerdFile::parse(&text, std::path::Path::new("herd.json")).unwrap();
        herd.servers.remove(0)
    }

    /// A server that answers each connection with the next of these texts.
    fn answering(texts: &[&'static str]) -> ServerSection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, texts) = (listener.local_addr().unwrap(), texts.to_vec());
        thread::spawn(move || {
            for text in texts {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(text.as_bytes());
            }
        });
        server(&address.to_string())
    }

    fn asker(token: Option<&str>) -> Asker {
        Asker { token: token.map(str::to_owned), needs_token: token.is_some(), tls: None }
    }

    const READY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n";

    #[test]
    fn a_server_that_answers_is_up() {
        let herd = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"name\":\"Solo\"}";
        let Said::Up { reasons, herd, .. } = asker(None).ask(&answering(&[READY, herd])) else { panic!() };
        assert_eq!((reasons.len(), herd.unwrap()["name"].as_str()), (0, Some("Solo")));
        let not_ready = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\na\nb\n";
        let other = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"name\":\"Other\"}";
        let Said::Up { reasons, herd, .. } = asker(None).ask(&answering(&[not_ready, other])) else {
            panic!()
        };
        assert_eq!(reasons, ["a", "b"]);
        assert!(herd.unwrap_err().starts_with("the server Other answers there"));
    }

    #[test]
    fn a_token_that_is_missing_or_not_enough_is_explained() {
        let status = |token, answer| {
            let Said::Up { herd, .. } = asker(token).ask(&answering(answer)) else { panic!() };
            herd.unwrap_err()
        };
        const NO_TOKEN: &[&str] = &[READY, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"];
        const NOT_ENOUGH: &[&str] = &[READY, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"];
        assert!(status(None, NO_TOKEN).contains("--token or HERD_TOKEN"));
        assert!(status(Some("x"), NO_TOKEN).starts_with("it does not know the token"));
        assert!(status(Some("x"), NOT_ENOUGH).contains("--may operate"));
    }

    #[test]
    fn what_is_no_server_of_a_herd_is_down() {
        let down = |answer| {
            let Said::Down { reason, .. } = asker(None).ask(&answering(answer)) else { panic!() };
            reason
        };
        assert!(down(&["SSH-2.0-x\r\n"]).starts_with("it speaks no HTTP"));
        assert!(down(&["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]).contains("status 404"));
        let Said::Down { reason, .. } = asker(None).ask(&server("127.0.0.1:9")) else { panic!() };
        assert_eq!(reason, "Connection refused");
    }

    #[test]
    fn a_server_on_all_addresses_is_asked_where_neighbours_dial_it() {
        let text = r#"{ "herd": "h", "http": { "tokens": "t.json", "behind_proxy": true }, "servers": { "Solo":
            { "listen": "127.0.0.1:1", "address": "riley.example:1", "http": "0.0.0.0:80" } } }"#;
        let herd = HerdFile::parse(text, std::path::Path::new("herd.json")).unwrap();
        assert_eq!(address_of(&herd.servers[0]).unwrap().to_string(), "riley.example:80");
    }

    #[test]
    fn no_token_is_sent_off_this_machine_as_plain_text() {
        let far = HostPort::from(SocketAddr::from(([192, 0, 2, 1], 80)));
        assert!(
            !is_on_this_machine(&far) && is_on_this_machine(&SocketAddr::from(([127, 0, 0, 1], 80)).into())
        );
        let refused = asker(Some("secret")).herd(&far, &server("127.0.0.1:9")).unwrap_err();
        assert!(refused.starts_with("no token is sent to 192.0.2.1:80"), "{refused}");
    }
}
