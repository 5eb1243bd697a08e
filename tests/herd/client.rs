//! A client: raw bytes to a server and back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::lab::PATIENCE;

pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, received: Vec::new() }
    }

    /// This side's address.
    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub fn send(&mut self, text: &str) -> &mut Client {
        self.stream.write_all(text.as_bytes()).unwrap();
        self
    }

    /// No more commands follow, but the replies are still wanted.
    pub fn half_close(&mut self) -> &mut Client {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// The next line, without its LF.
    pub fn line(&mut self) -> String {
        let end = self.find(b"\n");
        self.take(end, 1)
    }

    /// Sends a line and gives the next one that comes.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n")).line()
    }

    /// The next reply to a WHATSAT: its AT line without LF, and its JSON text.
    pub fn whats_at(&mut self) -> (String, Value) {
        let line = self.line();
        assert!(line.starts_with("AT "), "{line}");
        let end = self.find(b"\n\n");
        let text = self.take(end, 2);
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (line, json)
    }

    /// Everything until the server closes.
    pub fn everything(&mut self) -> String {
        while self.receive() {}
        self.take(self.received.len(), 0)
    }

    /// Whether the server closes the connection without another word. It may do so by a reset: what
    /// was sent to it and not read is lost.
    pub fn is_closed(&mut self) -> bool {
        let open = self.receive();
        !open && self.received.is_empty()
    }

    /// Whether anything comes before the server closes.
    pub fn is_answered(&mut self) -> bool {
        self.receive()
    }

    /// Whether nothing has come yet and the connection is open. Does not wait.
    pub fn is_quiet(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let result = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        self.received.is_empty() && result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    fn find(&mut self, end: &[u8]) -> usize {
        loop {
            if let Some(at) = self.received.windows(end.len()).position(|bytes| bytes == end) {
                return at;
            }
            assert!(self.receive(), "closed after {:?}", String::from_utf8_lossy(&self.received));
        }
    }

    fn take(&mut self, length: usize, separator: usize) -> String {
        let rest = self.received.split_off(length + separator);
        let mut taken = std::mem::replace(&mut self.received, rest);
        taken.truncate(length);
        String::from_utf8(taken).unwrap()
    }

    /// Whether the connection was open and something came.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(length) => {
                self.received.extend_from_slice(&bytes[..length]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.received)),
        }
    }
}
