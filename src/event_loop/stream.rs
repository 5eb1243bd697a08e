//! The byte stream of a connection: a plain socket, or TLS over one.

use std::io::{self, Read, Write};

use super::tls::TlsLayer;
use crate::protocol::TlsPeer;

/// A socket, with or without TLS over it.
pub(super) struct Stream<S> {
    socket: S,
    tls: Option<Box<TlsLayer>>,
}

/// The result of a read.
pub(super) struct Input {
    /// Bytes that were read; 0: the end.
    pub(super) length: usize,
    /// The socket gave less than it was asked for, and nothing of it is left: it may be empty.
    pub(super) is_short: bool,
}

impl<S> Stream<S> {
    /// A plain socket.
    pub(super) fn plain(socket: S) -> Stream<S> {
        Stream { socket, tls: None }
    }

    /// Starts TLS on a socket.
    pub(super) fn start_tls(&mut self, tls: TlsLayer) {
        self.tls = Some(Box::new(tls));
    }

    /// The socket.
    pub(super) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// What the TLS handshake has proved about the peer; `None`: there was none.
    pub(super) fn tls_peer(&self) -> Option<&TlsPeer> {
        self.tls.as_ref()?.peer()
    }

    /// Whether the end of the input may be a truncation.
    pub(super) fn was_truncated(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.was_truncated())
    }
}

impl<S: Read + Write> Stream<S> {
    /// Continues the TLS handshake, if there is one; `WouldBlock` until it is complete. `received`: bytes that
    /// were read from the socket already.
    pub(super) fn handshake(&mut self, received: &[u8], scratch: &mut [u8]) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls.handshake(&mut self.socket, received, scratch),
        }
    }

    /// Reads once. `scratch`: room for encrypted input.
    pub(super) fn read(&mut self, buffer: &mut [u8], scratch: &mut [u8]) -> io::Result<Input> {
        match &mut self.tls {
            None => {
                let length = self.socket.read(buffer)?;
                Ok(Input { length, is_short: length < buffer.len() })
            }
            Some(tls) => tls.read(&mut self.socket, buffer, scratch),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write(bytes),
            Some(tls) => tls.write(&mut self.socket, bytes),
        }
    }

    /// Sends what TLS has encrypted and the socket has not taken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls.flush(&mut self.socket),
        }
    }

    /// Queues the close_notify alert of TLS.
    pub(super) fn send_close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
    }
}
