//! TLS between a socket and the rest of the program, which sees plain text only. All of rustls'
//! connections are in this file.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::protocol::TlsDial;

/// A TLS session over a socket.
pub struct TlsStream<S> {
    session: Connection,
    socket: S,
}

impl<S: Read + Write> TlsStream<S> {
    /// The side that accepted.
    pub fn server(config: Arc<ServerConfig>, socket: S) -> io::Result<TlsStream<S>> {
        let session = ServerConnection::new(config).map_err(invalid)?;
        Ok(TlsStream { session: session.into(), socket })
    }

    /// The side that dialled.
    pub fn client(dial: TlsDial, socket: S) -> io::Result<TlsStream<S>> {
        let session = ClientConnection::new(dial.config, dial.name).map_err(invalid)?;
        Ok(TlsStream { session: session.into(), socket })
    }

    /// The socket.
    pub fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Continues the handshake. `WouldBlock`: it is not complete.
    pub fn handshake(&mut self) -> io::Result<()> {
        self.send_pending()?;
        while self.session.is_handshaking() {
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.process()?;
        }
        Ok(())
    }

    /// Reads decrypted bytes. 0 is the end that the peer announced with close_notify. An end without it may
    /// be a truncation attack (RFC 8446, section 6.1) and is an error.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            self.session.read_tls(&mut self.socket)?;
            self.process()?;
        }
    }

    /// Takes bytes to encrypt, as many as fit, and sends as much as the socket takes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write(bytes)?;
        self.send_pending()?;
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Sends everything that was encrypted. `WouldBlock`: the socket did not take all of it.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Queues the alert that ends the output.
    pub fn send_close_notify(&mut self) {
        self.session.send_close_notify();
    }

    /// Processes the records that were read, and sends the responses that they caused: after a failure too,
    /// since the peer should learn the reason from the alert.
    fn process(&mut self) -> io::Result<()> {
        let processed = self.session.process_new_packets();
        let sent = self.send_pending();
        processed.map_err(invalid)?;
        sent
    }

    /// Sends as much as the socket takes.
    fn send_pending(&mut self) -> io::Result<()> {
        match self.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            done => done,
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
