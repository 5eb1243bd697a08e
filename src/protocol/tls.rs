//! TLS as the event loop and the application see it: sessions without sockets, and who the peer is. Which
//! library does the cryptography is decided elsewhere; any other implementation of these traits runs on the
//! same loop.

use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

/// One side of a TLS session: a state machine without a socket. Bytes of the peer go in, bytes for the peer
/// come out, plain text on the other side.
pub trait TlsSession {
    /// Takes bytes that the peer has sent from the front of `input`. An empty `input`: the peer's output has
    /// ended. The error says why the session cannot continue; the output may then contain an alert.
    fn receive(&mut self, input: &mut &[u8]) -> io::Result<()>;

    /// Reads plain text. `WouldBlock`: there is none. 0: the end that the peer has announced. `UnexpectedEof`:
    /// an end without announcement, which may be a truncation (RFC 8446, section 6.1).
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Takes plain text to send, as much as there is room for. Returns its length.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether there are bytes for the peer.
    fn has_output(&self) -> bool;

    /// Writes bytes for the peer once. Returns their number.
    fn send(&mut self, socket: &mut dyn Write) -> io::Result<usize>;

    /// Whether the handshake is not complete.
    fn is_handshaking(&self) -> bool;

    /// Queues the announcement of the end of the output (close_notify).
    fn close(&mut self);

    /// What the handshake has proved about the peer, once it is complete. The error: a resumed session whose
    /// certificate is no longer valid.
    fn peer(&self) -> io::Result<TlsPeer>;
}

/// The settings of TLS on one side of connections: makes their sessions.
pub trait TlsSettings {
    /// A session for a new connection.
    fn session(&self) -> io::Result<Box<dyn TlsSession>>;
}

/// The keys of a party that both accepts and dials, each side with a certificate.
pub trait TlsKeys {
    /// The settings for connections that are accepted. A certificate is asked for, and not required.
    fn accepting(&self) -> Rc<dyn TlsSettings>;

    /// The settings for connections to the peer of this name, whose certificate must have it.
    fn dialling(&self, name: &str) -> Rc<dyn TlsSettings>;

    /// Whether the certificate of a connection would be accepted now. The error says why not.
    fn verify(&self, peer: &TlsPeer) -> io::Result<()>;
}

/// What a TLS handshake has proved about the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPeer {
    /// The DNS names in the verified certificate; none if the peer has shown no certificate.
    pub names: Vec<String>,
    /// The verified certificate and its chain, in the form of the implementation (DER).
    pub certificates: Vec<Vec<u8>>,
}

impl TlsPeer {
    /// Whether the verified certificate has exactly this name. As in DNS, upper and lower case are the same
    /// (RFC 4343); a wildcard is no name.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// TLS on the connections of a listener.
#[derive(Clone)]
pub struct TlsListener {
    /// Makes the sessions.
    pub settings: Rc<dyn TlsSettings>,
    /// The time limit of a handshake: from its first byte if `with_plain_text`, otherwise from the start of the
    /// connection.
    pub handshake_max: Duration,
    /// The first byte of a connection decides: 0x16 begins TLS, any other plain text. `false`: all
    /// connections are TLS.
    pub with_plain_text: bool,
}

/// TLS on a connection that is dialled.
#[derive(Clone)]
pub struct TlsDial {
    /// Makes the session, which knows the name that the peer must have.
    pub settings: Rc<dyn TlsSettings>,
    /// The time limit of the handshake.
    pub handshake_max: Duration,
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TlsListener { handshake_max, with_plain_text, .. } = self;
        write!(f, "TLS within {handshake_max:?}, with plain text: {with_plain_text}")
    }
}

impl fmt::Debug for TlsDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS within {:?}", self.handshake_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_the_certificate_s_and_no_wildcard() {
        let names = vec!["Riley".to_owned(), "*.example".to_owned()];
        let peer = TlsPeer { names, certificates: Vec::new() };
        assert!(peer.has_name("Riley") && peer.has_name("riley"));
        assert!(!peer.has_name("Rile") && !peer.has_name("a.example") && !TlsPeer::default().has_name(""));
    }
}
