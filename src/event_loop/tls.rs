//! TLS, between a stream and the rest of the program, which sees bytes in plain text only.
//! All of rustls' connections are in this file.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

/// The one version of HTTP that is spoken here.
const ALPN: &[u8] = b"http/1.1";

/// A stream whose bytes are encrypted.
pub struct TlsStream<S> {
    session: Connection,
    stream: S,
}

impl<S: Read + Write> TlsStream<S> {
    /// A session over a stream.
    pub fn over(session: Connection, stream: S) -> TlsStream<S> {
        TlsStream { session, stream }
    }

    /// The side that accepted.
    pub fn server(config: Arc<ServerConfig>, stream: S) -> io::Result<TlsStream<S>> {
        let session = ServerConnection::new(config).map_err(invalid)?;
        Ok(TlsStream { session: session.into(), stream })
    }

    /// The stream below.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Reads what was decrypted. 0 is the end that the other side announced; an end that it did not
    /// announce may be an attacker's cut, and is an error.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            self.session.read_tls(&mut self.stream)?;
            let processed = self.session.process_new_packets();
            // Also after a failure: the other side should learn what was wrong.
            match self.flush() {
                Err(error) if processed.is_ok() && error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(error);
                }
                _ => {}
            }
            processed.map_err(invalid)?;
        }
    }

    /// Takes bytes to encrypt, as many as fit, and sends what it can.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ if taken == 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(taken),
        }
    }

    /// Sends what was encrypted. `WouldBlock`: not all of it.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    /// Announces that nothing more will be written.
    pub fn announce_end(&mut self) {
        self.session.send_close_notify();
    }
}

/// The session of a client that dials `name`, to be put over a stream.
pub fn client_session(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Connection> {
    ClientConnection::new(config, name).map(Connection::from).map_err(invalid)
}

/// Whose certificates a client believes, and its settings, made when they are needed.
#[derive(Debug, Default)]
pub struct Trust {
    /// A file of root certificates instead of the public web's.
    file: Option<PathBuf>,
    made: Option<(Option<Stamp>, Arc<ClientConfig>)>,
}

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
}

impl Trust {
    /// The root certificates of this file, or those of the public web.
    pub fn new(file: Option<PathBuf>) -> Trust {
        Trust { file, made: None }
    }

    /// The settings of a client. A file that has changed is read again: the local Places server
    /// makes a new root certificate each time it starts.
    pub fn client_config(&mut self) -> Result<Arc<ClientConfig>, String> {
        let stamp = self.file.as_deref().map(stamp).transpose()?;
        if let Some((made_for, config)) = &self.made
            && *made_for == stamp
        {
            return Ok(config.clone());
        }
        let roots = match &self.file {
            Some(file) => read_roots(file)?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let config = Arc::new(config);
        self.made = Some((stamp, config.clone()));
        Ok(config)
    }
}

/// The settings of a server that shows this certificate.
pub fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The implementation of cryptography, named so that no other crate's choice can change it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn stamp(file: &Path) -> Result<Stamp, String> {
    let read = || {
        let metadata = fs::metadata(file)?;
        Ok(Stamp { modified: metadata.modified()?, length: metadata.len() })
    };
    read().map_err(|error: io::Error| unreadable(file, &error))
}

fn read_roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(file, &error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(file, &error))?;
        roots.add(certificate).map_err(|error| unreadable(file, &error))?;
    }
    if roots.is_empty() {
        return Err(format!("{} holds no certificate", file.display()));
    }
    Ok(roots)
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("the root certificates in {} cannot be read: {error}", file.display())
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("herd-tls-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_file_of_roots_is_read_again_when_it_changed() {
        let file = temporary("roots");
        let mut trust = Trust::new(Some(file.clone()));
        assert!(trust.client_config().unwrap_err().contains("cannot be read"));
        fs::write(&file, "no certificate").unwrap();
        assert!(trust.client_config().unwrap_err().contains("holds no certificate"));
        let root = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
            parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
            parameters.self_signed(&key).unwrap().pem()
        };
        fs::write(&file, root("a")).unwrap();
        let first = trust.client_config().unwrap();
        assert!(Arc::ptr_eq(&first, &trust.client_config().unwrap()));
        fs::write(&file, root("a much longer name than before")).unwrap();
        assert!(!Arc::ptr_eq(&first, &trust.client_config().unwrap()));
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn the_roots_of_the_public_web() {
        assert!(Trust::new(None).client_config().is_ok());
    }
}
