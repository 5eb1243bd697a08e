//! Sessions of rustls, as the event loop wants them.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::protocol::{TlsPeer, TlsSession, TlsSettings};

/// The accepting side.
#[derive(Clone, Debug)]
pub struct Server(pub Arc<ServerConfig>);

/// The dialling side: the settings, and the name that the peer's certificate must have.
#[derive(Clone, Debug)]
pub struct Client(pub Arc<ClientConfig>, pub ServerName<'static>);

impl TlsSettings for Server {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        let session = ServerConnection::new(self.0.clone()).map_err(invalid)?;
        Ok(Box::new(Session(session.into())))
    }
}

impl TlsSettings for Client {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        let session = ClientConnection::new(self.0.clone(), self.1.clone()).map_err(invalid)?;
        Ok(Box::new(Session(session.into())))
    }
}

struct Session(Connection);

impl TlsSession for Session {
    fn receive(&mut self, input: &mut &[u8]) -> io::Result<()> {
        self.0.read_tls(input)?;
        self.0.process_new_packets().map(drop).map_err(invalid)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.reader().read(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.writer().write(bytes)
    }

    fn has_output(&self) -> bool {
        self.0.wants_write()
    }

    fn send(&mut self, mut socket: &mut dyn Write) -> io::Result<usize> {
        self.0.write_tls(&mut socket)
    }

    fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn close(&mut self) {
        self.0.send_close_notify();
    }

    fn peer(&self) -> io::Result<TlsPeer> {
        Ok(TlsPeer::default())
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
