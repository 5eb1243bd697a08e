//! Whether the herd needs a local Places server of its own, for one is enough for all herds of a folder.

use super::super::Failure;
use super::super::failure::in_words;
use super::super::places::default_listen;
use crate::config::Herd;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Who answers a WHATSAT of this herd.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LocalPlaces {
    /// Another service, named in the herd file.
    NotNeeded,
    /// A local server that has to be started, which will leave the root of its certificate there.
    ToStart(PathBuf),
    /// A local server that runs already, as of another herd of the same folder.
    RunsAlready,
}

impl LocalPlaces {
    /// Looks who is there. That something else has the port of the local Places server is a failure.
    pub(super) fn look(herd: &Herd) -> Result<LocalPlaces, Failure> {
        match herd.places_or_local().trust {
            Some(trust) if herd.needs_local_places() => LocalPlaces::look_at(default_listen(), trust),
            _ => Ok(LocalPlaces::NotNeeded),
        }
    }

    fn look_at(listen: SocketAddr, trust: PathBuf) -> Result<LocalPlaces, Failure> {
        match TcpListener::bind(listen) {
            Ok(_) => return Ok(LocalPlaces::ToStart(trust)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(Failure::at_run_time(format!(
                    "Places cannot listen on {listen}: {}; write a section places into the herd file to ask \
                     another service",
                    in_words(&error)
                )));
            }
        }
        match shake_hands(listen, &trust) {
            Ok(()) => Ok(LocalPlaces::RunsAlready),
            Err(why) => Err(Failure::at_run_time(format!(
                "Places cannot listen on {listen}: something else does, which does not prove itself with {} \
                 ({why}); end it (a herd of another folder?), or write a section places into the herd file",
                trust.display()
            ))),
        }
    }
}

/// Whether who listens there has a certificate that the servers of this herd will trust.
fn shake_hands(address: SocketAddr, trust: &Path) -> Result<(), String> {
    let unusable = |why: &dyn std::fmt::Display| format!("{}: {why}", trust.display());
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(trust).map_err(|why| unusable(&why))? {
        roots.add(root.map_err(|why| unusable(&why))?).map_err(|why| unusable(&why))?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|why| why.to_string())?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|why| why.to_string())?;
    let handshake = || -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        stream.set_write_timeout(Some(HANDSHAKE_TIMEOUT))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(())
    };
    let mut handshake = handshake;
    handshake().map_err(|error| in_words(&error))
}

/// A handshake on one machine takes milliseconds; what needs so long is something else.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ServerConfig, ServerConnection};
    use std::{fs, thread};

    #[test]
    fn a_free_port_wants_a_server_and_another_service_none() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let trust = PathBuf::from("run/places-ca.pem");
        assert_eq!(LocalPlaces::look_at(free, trust.clone()), Ok(LocalPlaces::ToStart(trust)));
        let text = r#"{ "herd": "h", "servers": { "A": { "listen": "127.0.0.1:1" } }, "places": {} }"#;
        let herd = Herd::parse(text, Path::new("herd.json")).unwrap();
        assert_eq!(LocalPlaces::look(&herd), Ok(LocalPlaces::NotNeeded));
    }

    #[test]
    fn a_server_that_runs_is_shared_if_it_is_the_one_of_this_folder() {
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
        let look = || LocalPlaces::look_at(address, trust.clone());
        let why = || look().unwrap_err().to_string();
        assert!(why().contains("something else does, which does not prove itself"), "{}", why());
        fs::write(&trust, other.cert.pem()).unwrap();
        assert!(why().contains("invalid peer certificate"), "{}", why());
        fs::write(&trust, mine.cert.pem()).unwrap();
        assert_eq!(look(), Ok(LocalPlaces::RunsAlready));
        fs::remove_dir_all(&folder).unwrap();
    }
}
