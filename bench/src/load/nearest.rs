//! Questions for the nearest clients, while the clients move: NEAR and Redis' GEOSEARCH.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use mio::net::TcpStream as Stream;
use mio::{Events, Interest, Poll, Token};

use super::dialect::{Dialect, Messages};

/// Clients in and around towns. The same in each run.
pub struct Towns {
    towns: Vec<(f64, f64)>,
    /// The sums of the towns' shares.
    shares: Vec<f64>,
}

/// A generator of pseudo-random numbers (xorshift).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// The generator with a seed other than 0.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next fraction, from 0 to 1.
    fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from -1 to 1, mostly near 0.
    fn bell(&mut self) -> f64 {
        (0..6).map(|_| self.fraction()).sum::<f64>() / 3.0 - 1.0
    }
}

impl Towns {
    /// A thousand towns, the largest of which has an eighth of all clients. None is beyond 60 degrees, because Redis
    /// takes no latitude above 85.
    pub fn new() -> Towns {
        let mut random = Random::new(0x746f_776e_73);
        let towns = (0..TOWNS).map(|_| (random.fraction() * 120.0 - 60.0, random.fraction() * 358.0 - 179.0));
        let towns = towns.collect();
        let shares = (1..=TOWNS).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        Towns { towns, shares: shares.collect() }
    }

    /// A point in or around a town: latitude and longitude.
    pub fn point(&self, random: &mut Random) -> (f64, f64) {
        let share = random.fraction() * self.shares[TOWNS - 1];
        let town = self.towns[self.shares.partition_point(|sum| *sum < share).min(TOWNS - 1)];
        (town.0 + random.bell() * SPREAD, town.1 + random.bell() * SPREAD)
    }

    /// The home of a client.
    fn home(&self, client: u32) -> (f64, f64) {
        let mut random = Random::new(u64::from(client) * 0x9e37_79b9_7f4a_7c15 + 1);
        random.number();
        self.point(&mut random)
    }
}

impl Default for Towns {
    fn default() -> Towns {
        Towns::new()
    }
}

/// Appends the update of a client, at most about 70 m from its home.
fn update(dialect: Dialect, towns: &Towns, client: u32, random: &mut Random, output: &mut Vec<u8>) {
    let home = towns.home(client);
    let [latitude, longitude] = [home.0, home.1].map(|home| home + (random.fraction() - 0.5) * STEP);
    let name = Messages::client_name(client);
    let written = if dialect == Dialect::RedisGeoadd {
        let (latitude, longitude) = (format!("{latitude:.6}"), format!("{longitude:.6}"));
        write!(
            output,
            "*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n${}\r\n{longitude}\r\n${}\r\n{latitude}\r\n${}\r\n{name}\r\n",
            longitude.len(),
            latitude.len(),
            name.len()
        )
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanoseconds) = (now.as_secs(), now.subsec_nanos());
        writeln!(output, "IAMAT {name} {latitude:+.6}{longitude:+.6} {seconds}.{nanoseconds:09}")
    };
    // Writing to memory does not fail.
    let _ = written;
}

/// Appends a question for the ten nearest clients within so many kilometres.
fn question(dialect: Dialect, (latitude, longitude): (f64, f64), km: u32, output: &mut Vec<u8>) {
    let written = if dialect == Dialect::RedisGeoadd {
        // An inline command.
        write!(
            output,
            "GEOSEARCH herd FROMLONLAT {longitude:.6} {latitude:.6} BYRADIUS {km} km ASC COUNT {NEAREST} WITHDIST WITHCOORD\r\n"
        )
    } else {
        writeln!(output, "NEAR {latitude:+.6}{longitude:+.6} {km} {NEAREST}")
    };
    let _ = written;
}

/// Reports all clients, and waits for the replies.
pub fn report_all(address: SocketAddr, dialect: Dialect, towns: &Towns, clients: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut random = Random::new(1);
    let mut batch = Vec::new();
    for first in (0..clients).step_by(BATCH) {
        let count = (clients - first).min(BATCH as u32);
        batch.clear();
        (first..first + count).for_each(|client| update(dialect, towns, client, &mut random, &mut batch));
        exchange(&mut stream, &batch, count as usize)?;
    }
    Ok(())
}

/// Sends a batch and reads a reply of one line to each of its messages.
fn exchange(stream: &mut TcpStream, batch: &[u8], replies: usize) -> io::Result<()> {
    stream.write_all(batch)?;
    let (mut left, mut buffer) = (replies, [0; 64 * 1024]);
    while left > 0 {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(memchr::memchr_iter(b'\n', &buffer[..length]).count());
    }
    Ok(())
}

/// Updates at a rate, in a thread, until it is stopped.
pub struct Updates {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<u64>>>,
    begin: Instant,
}

impl Updates {
    /// Begins to send `rate` updates a second.
    pub fn begin(address: SocketAddr, dialect: Dialect, clients: u32, rate: u32) -> io::Result<Updates> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let begin = Instant::now();
        let thread = thread::spawn(move || {
            let (towns, mut random) = (Towns::new(), Random::new(2));
            let (mut batch, mut sent) = (Vec::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u64;
                let count = (due - sent).min(BATCH as u64);
                batch.clear();
                for _ in 0..count {
                    let client = (random.number() % u64::from(clients)) as u32;
                    update(dialect, &towns, client, &mut random, &mut batch);
                }
                exchange(&mut stream, &batch, count as usize)?;
                sent += count;
                thread::sleep(Duration::from_millis(1));
            }
            Ok(sent)
        });
        Ok(Updates { over, thread: Some(thread), begin })
    }

    /// Ends the updates. Returns how many there were in a second.
    pub fn end(mut self) -> io::Result<f64> {
        self.over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(0.0) };
        let sent = thread.join().map_err(|_| io::Error::other("the updates have failed"))??;
        Ok(sent as f64 / self.begin.elapsed().as_secs_f64())
    }
}

/// Connections that ask, each the next question when it has the answer.
pub struct Askers {
    poll: Poll,
    dialect: Dialect,
    askers: Vec<Asker>,
    towns: Towns,
    random: Random,
    km: u32,
}

struct Asker {
    stream: Stream,
    asked: Instant,
    input: Vec<u8>,
}

/// What was seen of the answers.
pub struct Answers {
    /// The latencies, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The number of answers.
    pub count: u64,
    /// The number of wrong answers.
    pub wrong: u64,
    /// The number of clients in all answers.
    pub found: u64,
}

impl Askers {
    /// Opens the connections.
    pub fn connect(address: SocketAddr, dialect: Dialect, connections: usize, km: u32) -> io::Result<Askers> {
        let poll = Poll::new()?;
        let mut askers = Vec::new();
        for number in 0..connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = Stream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            askers.push(Asker { stream, asked: Instant::now(), input: Vec::new() });
        }
        let mut askers = Askers { poll, dialect, askers, towns: Towns::new(), random: Random::new(3), km };
        (0..connections).try_for_each(|number| askers.ask(number))?;
        Ok(askers)
    }

    /// Asks for so long.
    pub fn ask_for(&mut self, time: Duration) -> io::Result<Answers> {
        let mut answers = Answers { latency: super::histogram(), count: 0, wrong: 0, found: 0 };
        let (mut events, mut buffer) = (Events::with_capacity(256), vec![0; 64 * 1024]);
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            let now = Instant::now();
            for number in events.iter().map(|event| event.token().0) {
                if !self.read(number, &mut buffer)? {
                    continue;
                }
                let asker = &mut self.askers[number];
                let latency = now.saturating_duration_since(asker.asked).as_nanos() as u64;
                answers.latency.saturating_record(latency.max(1));
                answers.count += 1;
                match found(self.dialect, &asker.input) {
                    Some(found) if found <= NEAREST => answers.found += found,
                    _ => answers.wrong += 1,
                }
                asker.input.clear();
                self.ask(number)?;
            }
        }
        Ok(answers)
    }

    /// Reads all input of a connection. Returns whether its answer is complete.
    fn read(&mut self, number: usize, buffer: &mut [u8]) -> io::Result<bool> {
        let asker = &mut self.askers[number];
        loop {
            match asker.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => asker.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(is_complete(self.dialect, &asker.input))
    }

    fn ask(&mut self, number: usize) -> io::Result<()> {
        let mut text = Vec::new();
        let point = self.towns.point(&mut self.random);
        question(self.dialect, point, self.km, &mut text);
        let asker = &mut self.askers[number];
        asker.asked = Instant::now();
        asker.stream.write_all(&text)
    }
}

/// Whether an answer is complete.
fn is_complete(dialect: Dialect, answer: &[u8]) -> bool {
    if dialect == Dialect::RedisGeoadd {
        answer.starts_with(b"-") && answer.ends_with(b"\n") || element_end(answer).is_some()
    } else {
        answer == b"\n" || answer.ends_with(b"\n\n") || answer.starts_with(b"?") && answer.ends_with(b"\n")
    }
}

/// The number of clients in a complete answer; `None`: it is wrong.
fn found(dialect: Dialect, answer: &[u8]) -> Option<u64> {
    if dialect == Dialect::RedisGeoadd {
        let end = memchr::memchr(b'\r', answer)?;
        return str::from_utf8(answer[..end].strip_prefix(b"*")?).ok()?.parse().ok();
    }
    let lines = memchr::memchr_iter(b'\n', answer).count() as u64;
    (answer == b"\n" || answer[0].is_ascii_digit()).then_some(lines - 1)
}

/// The end of the first element of a reply of Redis; `None`: it is not complete.
fn element_end(reply: &[u8]) -> Option<usize> {
    let line = memchr::memchr(b'\n', reply)?;
    let number = || str::from_utf8(&reply[1..line - 1]).ok().and_then(|text| text.parse::<usize>().ok());
    match reply[0] {
        b'*' => (0..number()?).try_fold(line + 1, |at, _| Some(at + element_end(reply.get(at..)?)?)),
        b'$' => Some(line + 1 + number()? + 2).filter(|&end| end <= reply.len()),
        _ => Some(line + 1),
    }
}

/// The number of nearest clients that are asked for.
pub const NEAREST: u64 = 10;
const TOWNS: usize = 1000;
/// Degrees around a town.
const SPREAD: f64 = 0.3;
/// Degrees of a move, to both sides: 70 m.
const STEP: f64 = 0.001_2;
/// Updates that are sent together.
const BATCH: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_redis_is_delimited() {
        let reply = b"*2\r\n*3\r\n$2\r\nc1\r\n$5\r\n0.123\r\n*2\r\n$3\r\n1.5\r\n$3\r\n2.5\r\n*3\r\n$1\r\nd\r\n$1\r\n7\r\n*2\r\n$1\r\n1\r\n$1\r\n2\r\n";
        assert_eq!(element_end(reply), Some(reply.len()));
        assert!((0..reply.len()).all(|end| element_end(&reply[..end]).is_none()));
        assert_eq!(found(Dialect::RedisGeoadd, reply), Some(2));
        assert_eq!(found(Dialect::RedisGeoadd, b"*0\r\n"), Some(0));
        assert_eq!(found(Dialect::RedisGeoadd, b"-ERR x\r\n"), None);
    }

    #[test]
    fn a_reply_of_the_herd_is_delimited() {
        let reply = b"0.001 AT a\n0.002 AT b\n\n";
        assert!((1..reply.len()).all(|end| !is_complete(Dialect::Herd, &reply[..end])));
        assert!(is_complete(Dialect::Herd, reply) && is_complete(Dialect::Herd, b"\n"));
        assert_eq!(found(Dialect::Herd, reply), Some(2));
        assert_eq!((found(Dialect::Herd, b"\n"), found(Dialect::Herd, b"? NEAR\n")), (Some(0), None));
    }
}
