//! A blocking test client that speaks TLS.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::lab::PATIENCE;

pub struct TlsClient {
    stream: StreamOwned<ClientConnection, Recorder>,
    received: Vec<u8>,
    /// The server has ended with close_notify.
    pub was_closed: bool,
}

/// A socket that keeps the bytes that were sent.
pub struct Recorder {
    pub socket: TcpStream,
    pub sent: Vec<u8>,
}

impl Read for Recorder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.socket.write(bytes)?;
        self.sent.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl TlsClient {
    /// Connects to the server of this name and completes the handshake, as far as the client can tell: the server
    /// may still refuse its certificate.
    pub fn connect(port: u16, name: &str, config: Arc<ClientConfig>) -> io::Result<TlsClient> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, Recorder { socket, sent: Vec::new() });
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(TlsClient { stream, received: Vec::new(), was_closed: false })
    }

    pub fn send(&mut self, text: &str) -> &mut TlsClient {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
        self
    }

    /// Sends `text` again and again until no write succeeds for `timeout`. Returns the number of bytes sent, and
    /// panics when it reaches `at_most`.
    pub fn send_until_stuck(&mut self, text: &str, timeout: Duration, at_most: usize) -> usize {
        let mut sent = 0;
        self.stream.sock.socket.set_write_timeout(Some(timeout)).unwrap();
        while sent < at_most {
            match self.stream.write(text.as_bytes()) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
                Err(error) => panic!("{error} after {sent} bytes"),
            }
        }
        panic!("{sent} bytes were accepted");
    }

    /// Receives the next line, without its LF.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                let rest = self.received.split_off(end + 1);
                let line = std::mem::replace(&mut self.received, rest);
                return String::from_utf8(line[..end].to_vec()).unwrap();
            }
            assert!(self.receive(), "closed after {:?}", String::from_utf8_lossy(&self.received));
        }
    }

    /// Sends a line and receives the next line.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n")).line()
    }

    /// Receives everything until the server ends, in whatever way.
    pub fn everything(&mut self) -> String {
        while self.receive() {}
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }

    /// Half-closes the connection by close_notify.
    pub fn half_close(&mut self) -> &mut TlsClient {
        self.stream.conn.send_close_notify();
        self.stream.flush().unwrap();
        self
    }

    /// Half-closes the socket without close_notify.
    pub fn truncate(&mut self) -> &mut TlsClient {
        self.stream.sock.socket.shutdown(std::net::Shutdown::Write).unwrap();
        self
    }

    /// The certificate of the server.
    pub fn shown(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The bytes that were sent so far, as they passed on the wire.
    pub fn sent(&self) -> &[u8] {
        &self.stream.sock.sent
    }

    /// Receives bytes. False: the connection has ended.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => {
                self.was_closed = true;
                false
            }
            Ok(length) => {
                self.received.extend_from_slice(&bytes[..length]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing in {PATIENCE:?}"),
            Err(_) => false,
        }
    }
}
