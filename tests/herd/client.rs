//! A blocking test client, which sends and receives raw bytes.

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

    /// Connects with a small receive buffer, in bytes, so that unread replies fill the server's output and
    /// not the system's buffers.
    pub fn connect_narrow(port: u16, bytes: usize) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Before connecting, because the handshake announces the window.
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
        Client { stream: socket.into(), received: Vec::new() }
    }

    /// The local address.
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

    /// Sends a byte of urgent data.
    pub fn send_urgent(&mut self, byte: u8) -> &mut Client {
        assert_eq!(SockRef::from(&self.stream).send_out_of_band(&[byte]).unwrap(), 1);
        self
    }

    /// Sends bytes. False: the server has closed the connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends `bytes` again and again until no write succeeds for `timeout`. Returns the number of bytes sent,
    /// and panics when it reaches `at_most`.
    pub fn send_until_stuck(&mut self, bytes: &[u8], timeout: Duration, at_most: usize) -> usize {
        let mut sent = 0;
        self.stream.set_write_timeout(Some(timeout)).unwrap();
        loop {
            assert!(sent < at_most, "{sent} bytes were accepted");
            // Continues after a partial write, so that lines stay whole.
            match self.stream.write(&bytes[sent % bytes.len()..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
                Err(error) => panic!("{error} after {sent} bytes"),
            }
        }
    }

    /// Sends as many of `bytes` as possible without blocking.
    pub fn send_without_blocking(&mut self, bytes: &[u8]) {
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

    /// Closes the connection by a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Half-closes the connection.
    pub fn half_close(&mut self) -> &mut Client {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Receives the next line, without its LF.
    pub fn line(&mut self) -> String {
        let end = self.find(b"\n");
        self.take(end, 1)
    }

    /// Receives `count` lines and returns the last one.
    pub fn last_of_lines(&mut self, count: usize) -> String {
        let mut seen = 0;
        let mut searched = 0;
        loop {
            // Fast, because there may be hundreds of thousands of lines.
            for at in memchr::memchr_iter(b'\n', &self.received[searched..]) {
                seen += 1;
                if seen == count {
                    let end = searched + at;
                    let start = memchr::memrchr(b'\n', &self.received[..end]).map_or(0, |before| before + 1);
                    self.received.drain(..start);
                    return self.take(end - start, 1);
                }
            }
            // Keeps only the start of the next line.
            let kept = memchr::memrchr(b'\n', &self.received).map_or(0, |end| end + 1);
            self.received.drain(..kept);
            searched = self.received.len();
            assert!(self.receive(), "closed after {seen} lines");
        }
    }

    /// Sends a line and receives the next line.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n")).line()
    }

    /// Receives the reply to a WHATSAT: the AT line without LF, and the JSON.
    pub fn whats_at(&mut self) -> (String, Value) {
        let line = self.line();
        assert!(line.starts_with("AT "), "{line}");
        let end = self.find(b"\n\n");
        let text = self.take(end, 2);
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (line, json)
    }

    /// Receives everything until the server closes, as text.
    pub fn everything(&mut self) -> String {
        String::from_utf8(self.every_byte()).unwrap()
    }

    /// Receives everything until the server closes.
    pub fn every_byte(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.received)
    }

    /// Waits for input. Whether the server closes the connection, in order or by a reset, before it sends
    /// anything.
    pub fn is_closed(&mut self) -> bool {
        let open = self.receive();
        !open && self.received.is_empty()
    }

    /// Waits for input. Whether the server sends anything before it closes.
    pub fn is_answered(&mut self) -> bool {
        self.receive()
    }

    /// Whether the connection is open and nothing was received. Does not wait.
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

    /// Receives bytes. False: the server has closed the connection.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(length) => {
                    self.received.extend_from_slice(&bytes[..length]);
                    return true;
                }
                // A read with a timeout is not restarted by the system.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.received)),
            }
        }
    }
}
