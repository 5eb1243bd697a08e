//! The load of workload (d): a connection for each message, like the graders of the course. A visit connects,
//! sends, half-closes and reads to the end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockAddr, Socket, Type};

use super::dialect::{Dialect, Messages};
use super::{Measured, histogram};
use crate::process::{cpu_of, cpu_of_this_process};

struct Visit {
    stream: TcpStream,
    begun: Instant,
    sent: bool,
    first: Option<u8>,
}

/// Measures visits for `time`, `concurrency` of them at a time. `server` is the process ID of the server.
pub fn measure(
    address: SocketAddr,
    dialect: Dialect,
    server: u32,
    concurrency: usize,
    time: Duration,
) -> io::Result<Measured> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut messages = Messages::new(dialect, 1000);
    let mut visits = Vec::new();
    let mut count = 0;
    let mut visit = |poll: &Poll, number: usize| {
        count += 1;
        begin(poll, Token(number), address, count)
    };
    for number in 0..concurrency {
        visits.push(visit(&poll, number)?);
    }
    let (mut latency, mut replies, mut wrong) = (histogram(), 0, 0);
    let (server_before, own_before) = (cpu_of(server), cpu_of_this_process());
    let begin = Instant::now();
    let mut buffer = vec![0; 64 * 1024];
    while begin.elapsed() < time {
        match poll.poll(&mut events, Some(Duration::from_millis(50))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            let number = event.token().0;
            let each = &mut visits[number];
            if !each.sent && event.is_writable() {
                let mut message = Vec::new();
                messages.statement(&mut message);
                each.stream.write_all(&message)?;
                each.stream.shutdown(Shutdown::Write)?;
                each.sent = true;
            }
            if ended(each, &mut buffer)? {
                latency.saturating_record(each.begun.elapsed().as_nanos() as u64);
                replies += 1;
                wrong += u64::from(each.first != Some(dialect.reply_begins_with()));
                visits[number] = visit(&poll, number)?;
            }
        }
    }
    Ok(Measured {
        latency,
        replies,
        wrong,
        elapsed: begin.elapsed(),
        server_cpu: cpu_of(server).saturating_sub(server_before),
        own_cpu: cpu_of_this_process().saturating_sub(own_before),
        log: None,
    })
}

fn begin(poll: &Poll, token: Token, address: SocketAddr, count: u32) -> io::Result<Visit> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // The side that closes first keeps the port in TIME_WAIT for a minute. One address has 28,000 ports,
    // fewer than the visits of a second, so visits come from many loopback addresses.
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 1, (count % SOURCES) as u8 + 1), 0));
    socket.bind(&SockAddr::from(from))?;
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.raw_os_error() != Some(EINPROGRESS) => return Err(error),
        _ => {}
    }
    let begun = Instant::now();
    let mut stream = TcpStream::from_std(socket.into());
    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(Visit { stream, begun, sent: false, first: None })
}

/// Reads the reply. Whether the server has closed the connection.
fn ended(visit: &mut Visit, buffer: &mut [u8]) -> io::Result<bool> {
    loop {
        match visit.stream.read(buffer) {
            Ok(0) => return Ok(true),
            Ok(_) => visit.first = visit.first.or(Some(buffer[0])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The number of loopback addresses of visits.
const SOURCES: u32 = 200;
/// The error of a non-blocking connect in progress on Linux.
const EINPROGRESS: i32 = 115;
