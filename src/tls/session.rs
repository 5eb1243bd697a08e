//! Sessions of rustls, as the event loop wants them.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection};

use super::words::in_words;
use crate::keys::Certificate;
use crate::protocol::{TlsPeer, TlsSession, TlsSettings};

/// The accepting side.
#[derive(Clone, Debug)]
pub struct Server {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// The dialling side.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// The name that the peer's certificate must have.
    name: ServerName<'static>,
    verifier: Option<Arc<dyn ServerCertVerifier>>,
}

impl Server {
    /// A server that asks for no certificate.
    pub fn new(config: Arc<ServerConfig>) -> Server {
        Server { config, verifier: None }
    }

    /// A server of links: `verifier` is that of its settings.
    pub(super) fn of_links(config: Arc<ServerConfig>, verifier: Arc<dyn ClientCertVerifier>) -> Server {
        Server { config, verifier: Some(verifier) }
    }
}

impl Client {
    /// A client of a server whose certificate must have this name.
    pub fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Client {
        Client { config, name, verifier: None }
    }

    /// The dialling side of a link: `verifier` is that of its settings.
    pub(super) fn of_links(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Client {
        Client { config, name, verifier: Some(verifier) }
    }
}

impl TlsSettings for Server {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        let connection = ServerConnection::new(self.config.clone()).map_err(io::Error::other)?.into();
        let check = self.verifier.clone().map(Check::Client);
        Ok(Box::new(Session { connection, check }))
    }
}

impl TlsSettings for Client {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        let connection = ClientConnection::new(self.config.clone(), self.name.clone());
        let connection = connection.map_err(io::Error::other)?.into();
        let check = self.verifier.clone().map(|verifier| Check::Server(verifier, self.name.clone()));
        Ok(Box::new(Session { connection, check }))
    }
}

/// A session of rustls.
struct Session {
    connection: Connection,
    /// `None`: the session is not that of a link, and the certificate of its peer is not looked at.
    check: Option<Check>,
}

/// The check of the certificate of a link's peer.
enum Check {
    Client(Arc<dyn ClientCertVerifier>),
    Server(Arc<dyn ServerCertVerifier>, ServerName<'static>),
}

impl Check {
    fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let Some((leaf, intermediates)) = chain.split_first() else { return Ok(()) };
        let now = UnixTime::now();
        match self {
            Check::Client(verifier) => verifier.verify_client_cert(leaf, intermediates, now).map(drop),
            Check::Server(verifier, name) => {
                verifier.verify_server_cert(leaf, intermediates, name, &[], now).map(drop)
            }
        }
    }
}

impl Session {
    fn failed(&self, error: rustls::Error) -> io::Error {
        match self.check {
            Some(_) => io::Error::new(io::ErrorKind::InvalidData, in_words(&error)),
            None => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl TlsSession for Session {
    fn receive(&mut self, input: &mut &[u8]) -> io::Result<()> {
        self.connection.read_tls(input)?;
        self.connection.process_new_packets().map(drop).map_err(|error| self.failed(error))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.connection.reader().read(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.writer().write(bytes)
    }

    fn has_output(&self) -> bool {
        self.connection.wants_write()
    }

    fn send(&mut self, mut socket: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(&mut socket)
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn close(&mut self) {
        self.connection.send_close_notify();
    }

    fn peer(&self) -> io::Result<TlsPeer> {
        let (Some(check), Some(chain)) = (&self.check, self.connection.peer_certificates()) else {
            return Ok(TlsPeer::default());
        };
        // rustls takes the certificate of a resumed session over from the first one, and does not check it again.
        if self.connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            check.verify(chain).map_err(|error| self.failed(error))?;
        }
        let names = chain.first().and_then(Certificate::read).map(|certificate| certificate.names().to_vec());
        Ok(TlsPeer {
            names: names.unwrap_or_default(),
            certificates: chain.iter().map(|certificate| certificate.to_vec()).collect(),
        })
    }
}
