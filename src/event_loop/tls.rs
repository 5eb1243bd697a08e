//! TLS between a socket and the rest of the program, which sees plain text only. The session itself is the
//! application's ([`TlsSession`]).

use std::io::{self, Read, Write};

use super::stream::Input;
use crate::protocol::{TlsPeer, TlsSession};

/// A TLS session over a socket.
pub(super) struct TlsLayer {
    session: Box<dyn TlsSession>,
    side: Side,
    /// `None`: the handshake is not complete.
    peer: Option<TlsPeer>,
    was_truncated: bool,
}

/// The side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// An unannounced end is a half-close: programs that speak TLS often close the socket alone.
    Accepted,
    /// An unannounced end is an error: an answer without its end is no answer.
    Dialled,
}

impl TlsLayer {
    pub(super) fn new(session: Box<dyn TlsSession>, side: Side) -> TlsLayer {
        TlsLayer { session, side, peer: None, was_truncated: false }
    }

    pub(super) fn peer(&self) -> Option<&TlsPeer> {
        self.peer.as_ref()
    }

    pub(super) fn was_truncated(&self) -> bool {
        self.was_truncated
    }

    /// Continues the handshake. `WouldBlock`: it is not complete. `received`: bytes that were read from the
    /// socket already.
    pub(super) fn handshake(
        &mut self,
        socket: &mut (impl Read + Write),
        received: &[u8],
        scratch: &mut [u8],
    ) -> io::Result<()> {
        self.send_pending(socket)?;
        if !received.is_empty() {
            self.receive(socket, received, &mut [])?;
        }
        // A short read: a session keeps at most 16 KiB of plain text that follows the handshake.
        let length = scratch.len().min(HANDSHAKE_READ_MAX);
        while self.session.is_handshaking() {
            let length = socket.read(&mut scratch[..length])?;
            if length == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended within the handshake"));
            }
            self.receive(socket, &scratch[..length], &mut [])?;
        }
        self.peer = Some(self.session.peer()?);
        Ok(())
    }

    /// Reads decrypted bytes. 0 is the end that the peer has announced with close_notify, or on an accepted
    /// connection one without it. On a dialled one that may be a truncation attack (RFC 8446, section 6.1), and
    /// is an error.
    pub(super) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        buffer: &mut [u8],
        scratch: &mut [u8],
    ) -> io::Result<Input> {
        loop {
            match self.session.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.side == Side::Accepted => {
                    self.was_truncated = true;
                    return Ok(Input { length: 0, is_short: false });
                }
                // The session may have more.
                done => return done.map(|length| Input { length, is_short: false }),
            }
            // No more than the plain text has room for.
            let room = scratch.len().min(buffer.len());
            let received = socket.read(&mut scratch[..room])?;
            let (length, is_drained) = self.receive(socket, &scratch[..received], buffer)?;
            if length > 0 {
                return Ok(Input { length, is_short: received < room && is_drained });
            }
        }
    }

    /// Takes bytes to encrypt, as many as fit, and sends as much as the socket takes.
    pub(super) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        self.flush(socket)?;
        let taken = self.session.write(bytes)?;
        self.send_pending(socket)?;
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Sends everything that was encrypted. `WouldBlock`: the socket did not take all of it.
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.session.has_output() {
            if self.session.send(socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Queues the alert that ends the output.
    pub(super) fn close(&mut self) {
        self.session.close();
    }

    /// Gives input to the session, all of it, and reads plain text into `buffer` meanwhile, since the session
    /// keeps little of it. Returns the length of the plain text, and whether the session has no more. Sends the
    /// responses that the input caused: after a failure too, since the peer should learn the reason from the
    /// alert. An empty input is the end.
    fn receive(
        &mut self,
        socket: &mut impl Write,
        mut input: &[u8],
        buffer: &mut [u8],
    ) -> io::Result<(usize, bool)> {
        let (mut length, mut is_drained) = (0, false);
        let result = loop {
            if let Err(error) = self.session.receive(&mut input) {
                break Err(error);
            }
            while length < buffer.len() {
                match self.session.read(&mut buffer[length..]) {
                    Ok(more) if more > 0 => length += more,
                    // The next read meets an end again.
                    result => {
                        is_drained = result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
                        break;
                    }
                }
            }
            if input.is_empty() {
                break Ok((length, is_drained && length < buffer.len()));
            }
        };
        let sent = self.send_pending(socket);
        let done = result?;
        sent.map(|()| done)
    }

    /// Sends as much as the socket takes.
    fn send_pending(&mut self, socket: &mut impl Write) -> io::Result<()> {
        match self.flush(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            done => done,
        }
    }
}

/// Bytes of one read within a handshake.
const HANDSHAKE_READ_MAX: usize = 4096;
