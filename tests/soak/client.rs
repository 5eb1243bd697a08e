//! A blocking client connection with timeouts.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Receives the next line, without its LF.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end_matches('\n').to_owned()),
        }
    }

    /// Receives the reply to a WHATSAT. Returns its AT line, or `None` for an unknown client.
    pub fn whatsat_reply(&mut self) -> io::Result<Option<String>> {
        let first = self.line()?;
        if first.starts_with("? ") {
            return Ok(None);
        }
        while !self.line()?.is_empty() {}
        Ok(Some(first))
    }
}

/// The wall time, in nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    since.as_nanos() as u64
}

pub fn time_text(nanoseconds: u64) -> String {
    format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

/// The time of an AT line, in nanoseconds since 1970.
pub fn time_of(line: &str) -> Option<u64> {
    let (seconds, fraction) = line.rsplit_once(' ')?.1.split_once('.')?;
    format!("{seconds}{fraction}").parse().ok()
}

/// The timeout of connecting, reading and writing. The clients of a stopped server go to another one.
const PATIENCE: Duration = Duration::from_secs(2);
