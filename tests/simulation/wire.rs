//! The connection of a client: plain text, TLS, or bytes that are neither.

use std::io::{self, Write};

use herd::protocol::TlsSession;

use crate::connection::Side;
use crate::tls::Session;
use crate::world::{World, would_block};

pub enum Wire {
    Plain,
    Tls(Box<Session>),
    /// The bytes are no lines for a server, and its answers no replies.
    Raw,
}

/// The socket below a session.
struct Socket<'a>(&'a mut World, usize);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(self.1, Side::Dialler, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire {
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Wire::Tls(session) if session.is_handshaking())
    }

    /// Whether the server has ended its output without announcing it.
    pub fn lacks_close_notify(&self) -> bool {
        matches!(self, Wire::Tls(session) if !session.peer_has_closed())
    }

    /// Whether the session has sealed output that the socket has not taken.
    pub fn has_unsent(&self) -> bool {
        matches!(self, Wire::Tls(session) if session.has_output())
    }

    /// Continues the handshake as far as possible.
    pub fn shake_hands(&mut self, world: &mut World, connection: usize) -> io::Result<()> {
        while self.is_handshaking() {
            match self.flush(world, connection).and_then(|()| self.receive(world, connection, INPUT_MAX)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                result => result.map(drop)?,
            }
        }
        match self.flush(world, connection) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads from the socket into the session. Returns the number of bytes, 0 at the end.
    fn receive(&mut self, world: &mut World, connection: usize, most: usize) -> io::Result<usize> {
        let Wire::Tls(session) = self else { return Ok(0) };
        let mut buffer = [0; INPUT_MAX];
        let length = world.read(connection, Side::Dialler, &mut buffer[..most.min(INPUT_MAX)])?;
        let mut input = &buffer[..length];
        loop {
            session.receive(&mut input)?;
            if input.is_empty() {
                return Ok(length);
            }
        }
    }

    /// Reads plain text; 0: the end, announced or not.
    pub fn read(&mut self, world: &mut World, connection: usize, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Wire::Tls(session) = self else { return world.read(connection, Side::Dialler, buffer) };
            match session.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            self.receive(world, connection, buffer.len())?;
        }
    }

    /// Takes bytes to send. Returns their number.
    pub fn write(&mut self, world: &mut World, connection: usize, bytes: &[u8]) -> io::Result<usize> {
        self.flush(world, connection)?;
        let Wire::Tls(session) = self else { return world.write(connection, Side::Dialler, bytes) };
        if session.is_handshaking() {
            return Err(would_block());
        }
        let length = session.write(bytes)?;
        match self.flush(world, connection) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(length),
        }
    }

    /// Sends everything that the session has sealed.
    pub fn flush(&mut self, world: &mut World, connection: usize) -> io::Result<()> {
        let Wire::Tls(session) = self else { return Ok(()) };
        while session.has_output() {
            session.send(&mut Socket(world, connection))?;
        }
        Ok(())
    }

    /// Announces the end of the output.
    pub fn close(&mut self) {
        if let Wire::Tls(session) = self {
            session.close();
        }
    }
}

/// Bytes of one read.
const INPUT_MAX: usize = 512;
