//! A system in memory. It allocates nothing once its buffers have grown, so that all counted allocations are
//! those of the loop.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use herd::clock::Moment;
use herd::event_loop::system::{Event, System};
use herd::log::Sink;
use herd::protocol::{Done, Work};

/// The far end of a connection.
#[derive(Default)]
pub struct Pipe {
    token: usize,
    /// Input of the loop, which has read the first `read` bytes.
    input: Vec<u8>,
    read: usize,
    written: usize,
}

#[derive(Clone, Default)]
pub struct Stream(Rc<RefCell<Pipe>>);

impl Stream {
    /// Bytes that the loop has written since the last call.
    pub fn take_written(&self) -> usize {
        std::mem::take(&mut self.0.borrow_mut().written)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pipe = &mut *self.0.borrow_mut();
        let length = (&pipe.input[pipe.read..]).read(buffer)?;
        pipe.read += length;
        if length == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(length) }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
pub struct MemorySystem {
    /// Connections that the loop has not accepted.
    pub backlog: Vec<Stream>,
    /// Connections that the loop has dialled.
    pub dialled: Vec<Stream>,
    events: Vec<Event>,
    polls: u64,
}

impl MemorySystem {
    /// Sends bytes to the loop; none: reports that the connection is made.
    pub fn send(&mut self, stream: &Stream, bytes: &[u8]) {
        let pipe = &mut *stream.0.borrow_mut();
        pipe.input.clear();
        pipe.read = 0;
        pipe.input.extend_from_slice(bytes);
        self.events.push(Event::Ready { token: pipe.token, readable: true, writable: true });
    }
}

impl System for MemorySystem {
    type Listener = ();
    type Stream = Stream;

    fn poll(&mut self, _timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        self.polls += 1;
        events.append(&mut self.events);
        Ok(())
    }

    fn accept(&mut self, _listener: &mut ()) -> io::Result<(Stream, SocketAddr)> {
        let stream = self.backlog.pop().ok_or(ErrorKind::WouldBlock)?;
        Ok((stream, ([127, 0, 0, 1], 40_000).into()))
    }

    fn connect(&mut self, _address: SocketAddr) -> io::Result<Stream> {
        let stream = Stream::default();
        self.dialled.push(stream.clone());
        Ok(stream)
    }

    fn register(&mut self, stream: &mut Stream, token: usize) -> io::Result<()> {
        stream.0.borrow_mut().token = token;
        Ok(())
    }

    fn is_connected(&mut self, _stream: &mut Stream) -> io::Result<bool> {
        Ok(true)
    }

    fn shut_down_writing(&mut self, _stream: &mut Stream) -> io::Result<()> {
        Ok(())
    }

    /// Runs a task at once; the next poll reports it.
    fn run(&mut self, ticket: usize, work: Work) {
        let Work::Run(mut task) = work else { panic!("addresses need no {work:?}") };
        task.run();
        self.events.push(Event::Done { ticket, done: Done::Ran(task) });
    }

    fn now(&self) -> Moment {
        Moment::START + TURN * u32::try_from(self.polls).unwrap()
    }

    /// Never leaves one second: the log formats each new second once.
    fn wall(&self) -> u64 {
        1_621_464_900_000_000_000 + 1000 * self.polls
    }

    fn random(&mut self) -> u64 {
        7
    }
}

/// A sink that counts bytes of log lines.
#[derive(Default)]
pub struct CountingSink(pub usize);

impl Sink for CountingSink {
    fn write(&mut self, lost: u64, lines: &[u8], _now: Moment) -> u64 {
        assert_eq!(lost, 0);
        self.0 += lines.len();
        0
    }

    fn reopen(&mut self, _now: Moment) -> bool {
        true
    }
}

/// The time of a turn: some turns have a heartbeat.
const TURN: Duration = Duration::from_millis(1);
