//! Sessions of rustls, as the event loop wants them.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::words::in_words;
use crate::keys::Certificate;
use crate::protocol::{TlsPeer, TlsSession, TlsSettings};

/// The accepting side.
#[derive(Clone, Debug)]
pub struct Server {
    config: Arc<ServerConfig>,
    is_link: bool,
}

/// The dialling side.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// The name that the peer's certificate must have.
    name: ServerName<'static>,
    is_link: bool,
}

impl Server {
    /// A server that asks for no certificate.
    pub fn new(config: Arc<ServerConfig>) -> Server {
        Server { config, is_link: false }
    }

    /// A server of links, whose settings ask for a certificate.
    pub(super) fn of_links(config: Arc<ServerConfig>) -> Server {
        Server { config, is_link: true }
    }
}

impl Client {
    /// A client of a server whose certificate must have this name.
    pub fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Client {
        Client { config, name, is_link: false }
    }

    /// The dialling side of a link.
    pub(super) fn of_links(config: Arc<ClientConfig>, name: ServerName<'static>) -> Client {
        Client { config, name, is_link: true }
    }
}

impl TlsSettings for Server {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        let connection = ServerConnection::new(self.config.clone()).map_err(io::Error::other)?.into();
        Ok(Box::new(Session { connection, is_link: self.is_link }))
    }
}

impl TlsSettings for Client {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        let connection = ClientConnection::new(self.config.clone(), self.name.clone());
        let connection = connection.map_err(io::Error::other)?.into();
        Ok(Box::new(Session { connection, is_link: self.is_link }))
    }
}

/// A session of rustls.
struct Session {
    connection: Connection,
    /// The certificate of the peer is looked at, and errors are worded for the operator of a herd.
    is_link: bool,
}

impl Session {
    fn failed(&self, error: rustls::Error) -> io::Error {
        if self.is_link {
            io::Error::new(io::ErrorKind::InvalidData, in_words(&error))
        } else {
            io::Error::new(io::ErrorKind::InvalidData, error)
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

    fn peer(&self) -> TlsPeer {
        let chain = self.connection.peer_certificates().filter(|_| self.is_link).unwrap_or_default();
        let names = chain.first().and_then(Certificate::read).map(|certificate| certificate.names().to_vec());
        TlsPeer {
            names: names.unwrap_or_default(),
            certificates: chain.iter().map(|certificate| certificate.to_vec()).collect(),
        }
    }
}
