//! A client: raw bytes to a server and back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use crate::lab::PATIENCE;

pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, received: Vec::new() }
    }

    /// The same, for one that reads little or nothing: the system keeps only so many bytes for it.
    pub fn connect_narrow(port: u16, bytes: usize) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Before it connects: afterwards the other side has been told of more.
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
        Client { stream: socket.into(), received: Vec::new() }
    }

    /// This side's address.
    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub fn send(&mut self, text: &str) -> &mut Client {
        self.send_bytes(text.as_bytes())
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> &mut Client {
        self.stream.write_all(bytes).unwrap();
        self
    }

    /// Sends a byte that TCP calls urgent.
    pub fn send_urgent(&mut self, byte: u8) -> &mut Client {
        assert_eq!(SockRef::from(&self.stream).send_out_of_band(&[byte]).unwrap(), 1);
        self
    }

    /// Whether they could be sent: not if the other side has ended the connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends until the other side has not taken anything for a while, which it must do before it has
    /// taken so many bytes. Gives how many it took.
    pub fn send_until_stuck(&mut self, bytes: &[u8], while_long: Duration, at_most: usize) -> usize {
        let mut sent = 0;
        self.stream.set_write_timeout(Some(while_long)).unwrap();
        loop {
            assert!(sent < at_most, "{sent} bytes were taken");
            // From where the last piece ended, so that lines stay whole.
            match self.stream.write(&bytes[sent % bytes.len()..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
                Err(error) => panic!("{error} after {sent} bytes"),
            }
        }
    }

    /// Sends as much as the other side takes without a pause, at most all.
    pub fn send_what_is_taken(&mut self, bytes: &[u8]) {
        let mut sent = 0;
        self.stream.set_nonblocking(true).unwrap();
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error} after {sent} bytes"),
            }
        }
        self.stream.set_nonblocking(false).unwrap();
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
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

    /// The last of so many lines, of which nothing else is wanted.
    pub fn last_of_lines(&mut self, count: usize) -> String {
        let mut seen = 0;
        let mut searched = 0;
        loop {
            // One search for each piece: there may be hundreds of thousands of lines.
            for at in memchr::memchr_iter(b'\n', &self.received[searched..]) {
                seen += 1;
                if seen == count {
                    let end = searched + at;
                    let start = memchr::memrchr(b'\n', &self.received[..end]).map_or(0, |before| before + 1);
                    self.received.drain(..start);
                    return self.take(end - start, 1);
                }
            }
            // Of what was searched only the beginning of the next line may be needed.
            let kept = memchr::memrchr(b'\n', &self.received).map_or(0, |end| end + 1);
            self.received.drain(..kept);
            searched = self.received.len();
            assert!(self.receive(), "closed after {seen} lines");
        }
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
        String::from_utf8(self.every_byte()).unwrap()
    }

    /// The same, for what is not UTF-8.
    pub fn every_byte(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.received)
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
