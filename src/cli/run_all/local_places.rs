//! The local Places server of a herd: one serves all herds of a user.

use super::super::Failure;
use super::super::failure::in_words;
use super::super::places::default_listen;
use crate::config::HerdFile;
use crate::service::{cannot_listen, shared_root_file, write_root};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::fs;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The state of the local Places server.
#[derive(Debug)]
pub(super) enum LocalPlaces {
    /// The herd file names another service.
    NotNeeded,
    /// This herd has to start it, or has started it. It writes its root certificate to this file.
    Own(PathBuf),
    /// It runs for another herd.
    Shared(Connection),
}

/// An idle connection to a local Places server, which ends at the latest with that server.
#[derive(Debug)]
pub(super) struct Connection(TcpStream);

impl Connection {
    /// Whether the server has closed the connection, because it ends or because the connection was idle.
    pub(super) fn has_ended(&mut self) -> bool {
        // After the handshake the server sends a few bytes of session tickets, at most.
        let mut bytes = [0; 1024];
        loop {
            match self.0.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

impl LocalPlaces {
    /// Finds the state. Fails if another program has the port of the local Places server.
    pub(super) fn find(herd: &HerdFile) -> Result<LocalPlaces, Failure> {
        let trust = herd.places_or_local().trust.filter(|_| herd.needs_local_places());
        let Some(trust) = trust else { return Ok(LocalPlaces::NotNeeded) };
        let shared = shared_root_file();
        let find = || LocalPlaces::find_at(default_listen(), &trust, shared.as_deref());
        let began = Instant::now();
        find().or_else(|failure| {
            if began.elapsed() >= HANDSHAKE_TIMEOUT {
                return Err(failure);
            }
            // A server that has just bound its port has not written its certificate yet.
            thread::sleep(CERTIFICATE_TIME);
            find()
        })
    }

    fn find_at(listen: SocketAddr, trust: &Path, shared: Option<&Path>) -> Result<LocalPlaces, Failure> {
        match TcpListener::bind(listen) {
            Ok(_) => return Ok(LocalPlaces::Own(trust.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(Failure::at_run_time(cannot_listen(PROGRAM, listen, &error))),
        }
        let began = Instant::now();
        let reason = match shake_hands(listen, trust) {
            Ok(connection) => return Ok(LocalPlaces::Shared(connection)),
            Err(reason) => reason,
        };
        // A program that does not answer is asked once.
        if let Some(shared) = shared
            && began.elapsed() < HANDSHAKE_TIMEOUT
            && let Ok(connection) = shake_hands(listen, shared)
        {
            // The servers of this herd look for the certificate beside their herd file.
            fs::read_to_string(shared).and_then(|root| write_root(trust, &root)).map_err(|error| {
                Failure::at_run_time(format!("{} cannot be written: {}", trust.display(), in_words(&error)))
            })?;
            return Ok(LocalPlaces::Shared(connection));
        }
        Err(Failure::at_run_time(format!(
            "{PROGRAM} cannot listen on {listen}: Address already in use; another program has that port, and it \
             is no local Places server of this user ({reason}): end it, or name another service in the section \
             places of the herd file"
        )))
    }
}

/// Checks by a TLS handshake that the servers of this herd will trust the certificate of the listener.
fn shake_hands(address: SocketAddr, trust: &Path) -> Result<Connection, String> {
    // Without a readable file no certificate is trusted, and the handshake shows what the listener is.
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(
        CertificateDer::pem_file_iter(trust).into_iter().flatten().map_while(Result::ok),
    );
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|reason| reason.to_string())?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|reason| reason.to_string())?;
    let mut handshake = || -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        stream.set_write_timeout(Some(HANDSHAKE_TIMEOUT))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    handshake().map(Connection).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("it does not answer a TLS handshake within {HANDSHAKE_TIMEOUT:?}")
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it closes the connection during the TLS handshake".to_owned()
        }
        _ => in_words(&error),
    })
}

const PROGRAM: &str = "the local Places server";

/// The time from binding the port to writing the certificate, on a busy machine.
const CERTIFICATE_TIME: Duration = Duration::from_millis(500);

/// A handshake on one machine takes milliseconds; another program may never answer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ServerConfig, ServerConnection};

    #[test]
    fn the_server_is_started_on_a_free_port_unless_another_service_is_named() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let trust = Path::new("run/places-ca.pem");
        let found = LocalPlaces::find_at(free, trust, None);
        assert!(matches!(&found, Ok(LocalPlaces::Own(file)) if file == trust), "{found:?}");
        let text = r#"{ "herd": "h", "servers": { "A": { "listen": "127.0.0.1:1" } }, "places": {} }"#;
        let herd = HerdFile::parse(text, Path::new("herd.json")).unwrap();
        assert!(matches!(LocalPlaces::find(&herd), Ok(LocalPlaces::NotNeeded)));
    }

    /// A folder for certificates, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("herd-places-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn why(address: SocketAddr, trust: &Path, shared: Option<&Path>) -> String {
        LocalPlaces::find_at(address, trust, shared).unwrap_err().to_string()
    }

    #[test]
    fn a_running_server_is_shared_if_its_certificate_is_known() {
        let folder = Folder::new("shared");
        let certified = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (mine, other) = (certified(), certified());
        let key = PrivatePkcs8KeyDer::from(mine.signing_key.serialize_der());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![mine.cert.der().clone()], key.into())
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (keep, kept) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let _ = tls.complete_io(&mut stream);
                let _ = keep.send(stream);
            }
        });
        let (trust, shared) = (folder.0.join("run/places-ca.pem"), folder.0.join("shared.pem"));
        fs::create_dir(folder.0.join("run")).unwrap();
        assert!(why(address, &trust, None).contains("no local Places server of this user"));
        fs::write(&trust, other.cert.pem()).unwrap();
        fs::write(&shared, other.cert.pem()).unwrap();
        let reason = why(address, &trust, Some(&shared));
        assert!(reason.contains("invalid peer certificate"), "{reason}");
        kept.try_iter().for_each(drop);
        // Another herd of this user has started it.
        fs::write(&shared, mine.cert.pem()).unwrap();
        let found = LocalPlaces::find_at(address, &trust, Some(&shared));
        assert!(matches!(found, Ok(LocalPlaces::Shared(_))), "{found:?}");
        assert_eq!(fs::read_to_string(&trust).unwrap(), mine.cert.pem());
        kept.try_iter().for_each(drop);
        // Another herd of this folder has started it.
        let Ok(LocalPlaces::Shared(mut connection)) = LocalPlaces::find_at(address, &trust, None) else {
            panic!("the certificate is known");
        };
        assert!(!connection.has_ended());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !connection.has_ended() {
            assert!(Instant::now() < deadline);
            kept.try_iter().for_each(drop);
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_stranger_on_the_port_is_named() {
        let folder = Folder::new("stranger");
        let trust = folder.0.join("places-ca.pem");
        let root = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&trust, root.cert.pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let reason = why(address, &trust, None);
        assert!(reason.contains("does not answer a TLS handshake within 2s): end it"), "{reason}");
        thread::spawn(move || listener.incoming().for_each(drop));
        let reason = why(address, &trust, None);
        assert!(reason.contains("closes the connection during the TLS handshake"), "{reason}");
    }
}
