//! The byte stream of a connection: a plain socket, or TLS over one.

use std::io::{self, Read, Write};

use super::tls::TlsStream;

/// A plain socket, or TLS over one.
pub(super) enum Stream<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl<S: Read + Write> Stream<S> {
    /// The socket.
    pub(super) fn socket(&mut self) -> &mut S {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(tls) => tls.socket(),
        }
    }

    /// Continues the TLS handshake, if there is one; `WouldBlock` until it is complete.
    pub(super) fn handshake(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => tls.handshake(),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    /// Whether a read goes straight to the socket, so that a short one says something about it.
    pub(super) fn reads_the_socket(&self) -> bool {
        matches!(self, Stream::Plain(_))
    }

    /// Sends what TLS has encrypted and the socket has not taken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => tls.flush(),
        }
    }

    /// Queues the close_notify alert of TLS.
    pub(super) fn send_close_notify(&mut self) {
        if let Stream::Tls(tls) = self {
            tls.send_close_notify();
        }
    }
}
