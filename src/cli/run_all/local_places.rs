//! The local Places server of a herd: one serves all herds of a folder.

use super::super::Failure;
use super::super::failure::in_words;
use super::super::places::default_listen;
use crate::config::HerdFile;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The state of the local Places server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LocalPlaces {
    /// The herd file names another service.
    NotNeeded,
    /// It has to be started, and will write its root certificate to this file.
    Stopped(PathBuf),
    /// It runs already, for example for another herd of the same folder.
    Running,
}

impl LocalPlaces {
    /// Finds the state. Fails if another program has the port of the local Places server.
    pub(super) fn find(herd: &HerdFile) -> Result<LocalPlaces, Failure> {
        match herd.places_or_local().trust {
            Some(trust) if herd.needs_local_places() => LocalPlaces::find_at(default_listen(), trust),
            _ => Ok(LocalPlaces::NotNeeded),
        }
    }

    fn find_at(listen: SocketAddr, trust: PathBuf) -> Result<LocalPlaces, Failure> {
        match TcpListener::bind(listen) {
            Ok(_) => return Ok(LocalPlaces::Stopped(trust)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(Failure::at_run_time(format!(
                    "the local Places server cannot listen on {listen}: {}; name another service in the \
                     section places of the herd file",
                    in_words(&error)
                )));
            }
        }
        match shake_hands(listen, &trust) {
            Ok(()) => Ok(LocalPlaces::Running),
            Err(reason) => Err(Failure::at_run_time(format!(
                "the local Places server cannot listen on {listen}: another program has that port, and its \
                 certificate does not match {} ({reason}); end it (a herd of another folder?), or name \
                 another service in the section places of the herd file",
                trust.display()
            ))),
        }
    }
}

/// Checks by a TLS handshake that the servers of this herd will trust the certificate of the listener.
fn shake_hands(address: SocketAddr, trust: &Path) -> Result<(), String> {
    let unusable = |reason: &dyn std::fmt::Display| format!("{}: {reason}", trust.display());
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(trust).map_err(|reason| unusable(&reason))? {
        roots.add(root.map_err(|reason| unusable(&reason))?).map_err(|reason| unusable(&reason))?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|reason| reason.to_string())?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|reason| reason.to_string())?;
    let mut handshake = || -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        stream.set_write_timeout(Some(HANDSHAKE_TIMEOUT))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(())
    };
    handshake().map_err(|error| in_words(&error))
}

/// A handshake on one machine takes milliseconds; another program may never answer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ServerConfig, ServerConnection};
    use std::{fs, thread};

    #[test]
    fn the_server_is_started_on_a_free_port_unless_another_service_is_named() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let trust = PathBuf::from("run/places-ca.pem");
        assert_eq!(LocalPlaces::find_at(free, trust.clone()), Ok(LocalPlaces::Stopped(trust)));
        let text = r#"{ "herd": "h", "servers": { "A": { "listen": "127.0.0.1:1" } }, "places": {} }"#;
        let herd = HerdFile::parse(text, Path::new("herd.json")).unwrap();
        assert_eq!(LocalPlaces::find(&herd), Ok(LocalPlaces::NotNeeded));
    }

    #[test]
    fn a_running_server_is_shared_if_its_certificate_matches() {
        let folder = std::env::temp_dir().join(format!("herd-places-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
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
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let _ = tls.complete_io(&mut stream.unwrap());
            }
        });
        let trust = folder.join("places-ca.pem");
        let find = || LocalPlaces::find_at(address, trust.clone());
        let why = || find().unwrap_err().to_string();
        assert!(
            why().contains("another program has that port, and its certificate does not match"),
            "{}",
            why()
        );
        fs::write(&trust, other.cert.pem()).unwrap();
        assert!(why().contains("invalid peer certificate"), "{}", why());
        fs::write(&trust, mine.cert.pem()).unwrap();
        assert_eq!(find(), Ok(LocalPlaces::Running));
        fs::remove_dir_all(&folder).unwrap();
    }
}
