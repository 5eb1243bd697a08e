//! The loop on a network that does what a test says. Whole herds and chance are the simulator's
//! (tests/simulation); here stands what must happen in one turn, or never.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::serving::TURN_MAX;
use super::system::{Event, Lookup, System};
use super::{Acceptor, EventLoop, PlacesSettings, READ_MAX, Settings};
use crate::clock::Moment;
use crate::config::{Herd, HostPort, Limits};
use crate::log::{Level, Log};
use crate::protocol::{Identity, Server, WaterMarks};
use crate::text::peer_line::Epoch;

const HELLO: &[u8] = b"HELLO herd/1 bruins Jaquez 0123456789abcdef\n";

#[derive(Default)]
struct Scene {
    now: Duration,
    events: Vec<Event>,
    /// What those who are about to be accepted say, first and then again and again; an error: accepting fails.
    callers: Vec<io::Result<(&'static [u8], &'static [u8])>>,
    accepts: usize,
    streams: Vec<Line>,
    dialled: Vec<SocketAddr>,
    /// Nobody can be dialled.
    is_alone: bool,
    log: Vec<u8>,
}

/// What goes over one stream.
#[derive(Default)]
struct Line {
    token: usize,
    /// Bytes that were read.
    read: usize,
    written: Vec<u8>,
    /// What is read before what is said again and again.
    input: VecDeque<u8>,
}

#[derive(Clone, Default)]
struct Stage(Rc<RefCell<Scene>>);

struct Actor {
    stage: Stage,
    number: usize,
    says: &'static [u8],
}

impl Read for Actor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = &mut self.stage.0.borrow_mut().streams[self.number];
        let length = if self.says.is_empty() || !line.input.is_empty() {
            line.input.read(buffer)?
        } else {
            buffer.iter_mut().zip(self.says.iter().cycle()).for_each(|(byte, said)| *byte = *said);
            // Whole ones.
            buffer.len() / self.says.len() * self.says.len()
        };
        line.read += length;
        // No stream ends here.
        if length > 0 { Ok(length) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl Write for Actor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stage.0.borrow_mut().streams[self.number].written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stage {
    fn actor(&self, says: &'static [u8]) -> Actor {
        let streams = &mut self.0.borrow_mut().streams;
        streams.push(Line::default());
        Actor { stage: self.clone(), number: streams.len() - 1, says }
    }

    /// Riley, alone.
    fn alone(&self) -> EventLoop<Stage> {
        self.with_neighbours(Vec::new())
    }

    /// Riley, with Jaquez at this place.
    fn beside(&self, place: &str) -> EventLoop<Stage> {
        self.with_neighbours(vec![("Jaquez".to_owned(), place.parse().unwrap())])
    }

    fn with_neighbours(&self, neighbours: Vec<(String, HostPort)>) -> EventLoop<Stage> {
        let limits = Limits::default();
        let herd = Herd::built_in();
        let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(1) };
        let log = Log::new("Riley", Level::Events);
        let server = Server::new(identity, limits.clone(), herd.peers.silence, log);
        let settings = Settings {
            connections_max: limits.max_connections,
            limits,
            silence: herd.peers.silence,
            neighbours,
            places: PlacesSettings { places: herd.places_or_local(), key: None },
            log_level: Level::Events,
        };
        EventLoop::new(self.clone(), (), Acceptor::Herd, server, settings, WaterMarks::default())
    }

    /// Somebody connects who says this again and again.
    fn call(&self, says: &'static [u8]) {
        self.call_with(b"", says);
    }

    /// Somebody connects who says one thing first.
    fn call_with(&self, first: &'static [u8], says: &'static [u8]) {
        self.0.borrow_mut().callers.push(Ok((first, says)));
        self.0.borrow_mut().events.push(Event::Accept);
    }

    /// Something comes on the first stream.
    fn say(&self, text: &[u8]) {
        let scene = &mut *self.0.borrow_mut();
        let line = &mut scene.streams[0];
        line.input.extend(text);
        scene.events.push(Event::Ready { token: line.token, readable: true, writable: false });
    }

    fn log(&self) -> String {
        String::from_utf8(self.0.borrow().log.clone()).unwrap()
    }
}

impl System for Stage {
    type Listener = ();
    type Stream = Actor;

    fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let scene = &mut *self.0.borrow_mut();
        if scene.events.is_empty() {
            scene.now += timeout.unwrap_or_default();
        }
        events.append(&mut scene.events);
        Ok(())
    }

    fn accept(&mut self, (): &mut ()) -> io::Result<(Actor, SocketAddr)> {
        let caller = {
            let scene = &mut *self.0.borrow_mut();
            scene.accepts += 1;
            scene.callers.pop().unwrap_or(Err(io::ErrorKind::WouldBlock.into()))
        };
        let (first, says) = caller?;
        let actor = self.actor(says);
        self.0.borrow_mut().streams[actor.number].input.extend(first);
        Ok((actor, "127.0.0.1:40000".parse().unwrap()))
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<Actor> {
        self.0.borrow_mut().dialled.push(address);
        if self.0.borrow().is_alone {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        Ok(self.actor(b""))
    }

    fn register(&mut self, stream: &mut Actor, token: usize) -> io::Result<()> {
        let readable = !stream.says.is_empty();
        let scene = &mut *self.0.borrow_mut();
        scene.streams[stream.number].token = token;
        scene.events.push(Event::Ready { token, readable, writable: true });
        Ok(())
    }

    fn is_connected(&mut self, _stream: &mut Actor) -> io::Result<bool> {
        Ok(false)
    }

    fn shut_down_writing(&mut self, _stream: &mut Actor) -> io::Result<()> {
        Ok(())
    }

    fn resolve(&mut self, _host: &str, _port: u16, _lookup: Lookup) {}

    fn now(&self) -> Moment {
        Moment::START + self.0.borrow().now
    }

    fn wall(&self) -> u64 {
        1_621_464_830_000_000_000 + self.0.borrow().now.as_nanos() as u64
    }

    fn random(&mut self) -> u64 {
        1
    }

    fn write_log(&mut self, lines: &[u8]) {
        self.0.borrow_mut().log.extend_from_slice(lines);
    }
}

#[test]
fn a_line_that_never_ends_is_not_put_off_for_ever() {
    let stage = Stage::default();
    let mut event_loop = stage.alone();
    stage.call(b"x");
    let timeout = Limits::default().line_timeout;
    while stage.0.borrow().now < timeout * 2 {
        event_loop.turn().unwrap();
        stage.0.borrow_mut().now += Duration::from_millis(100);
    }
    assert!(stage.log().contains("did not end within 60s"), "{}", stage.log());
}

#[test]
fn what_came_in_time_is_in_time_though_it_takes_more_than_a_turn() {
    let stage = Stage::default();
    let mut event_loop = stage.alone();
    stage.call(b"");
    event_loop.turn().unwrap();
    stage.say(b"x");
    event_loop.turn().unwrap();
    // The process is stopped, and the rest waits at the socket.
    stage.0.borrow_mut().now += Limits::default().line_timeout * 2;
    stage.say(&[&vec![b'x'; 3 * READ_MAX][..], b"\nFOO\n"].concat());
    for _ in 0..5 {
        event_loop.turn().unwrap();
    }
    let said = stage.0.borrow().streams[0].written.clone();
    assert!(said.ends_with(b"\n? FOO\n"), "{} bytes", said.len());
}

#[test]
fn a_neighbour_that_never_ceases_hears_that_this_side_lives() {
    let stage = Stage::default();
    let mut event_loop = stage.beside("127.0.0.1:1");
    let dialled = stage.0.borrow().streams.len();
    stage.call_with(HELLO, b"AT Campbell +0.100000000 kiwi +1-1 5\nMARK 9\n");
    for _ in 0..40 {
        event_loop.turn().unwrap();
        stage.0.borrow_mut().now += Duration::from_millis(100);
    }
    let said = String::from_utf8(stage.0.borrow().streams[dialled].written.clone()).unwrap();
    let acks = said.matches("ACK 9\n").count();
    assert!((20..=40).contains(&acks) && stage.log().matches("was dropped").count() == 0, "{said}");
}

#[test]
fn the_more_there_is_to_read_the_less_of_each_in_one_turn() {
    let stage = Stage::default();
    let mut event_loop = stage.alone();
    let callers = 4 * TURN_MAX / READ_MAX;
    for _ in 0..callers {
        stage.call(b"x");
    }
    // They are accepted first, a handful in each turn.
    while stage.0.borrow().streams.len() < callers {
        event_loop.turn().unwrap();
    }
    let read = || stage.0.borrow().streams.iter().map(|line| line.read).collect::<Vec<_>>();
    let mut before = read();
    for _ in 0..4 {
        event_loop.turn().unwrap();
        let now = read();
        assert!(now.iter().zip(&before).all(|(now, before)| now - before == TURN_MAX / callers));
        before = now;
    }
}

#[test]
fn accepting_pauses_once_however_many_knock() {
    let stage = Stage::default();
    let mut event_loop = stage.alone();
    event_loop.turn().unwrap();
    let before = stage.0.borrow().accepts;
    let end = stage.0.borrow().now + Duration::from_secs(10);
    while stage.0.borrow().now < end {
        // Too many open files.
        stage.0.borrow_mut().callers.push(Err(io::Error::from_raw_os_error(24)));
        stage.0.borrow_mut().events.push(Event::Accept);
        event_loop.turn().unwrap();
        stage.0.borrow_mut().now += Duration::from_millis(7);
    }
    let accepts = stage.0.borrow().accepts - before;
    assert!(accepts <= 100, "once in 100 ms");
}

#[test]
fn an_address_that_leads_nowhere_is_left_for_the_next_one() {
    let stage = Stage::default();
    let mut event_loop = stage.beside("localhost:1");
    let (first, second) = ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
    assert_eq!(stage.0.borrow().dialled, [first]);
    while stage.0.borrow().dialled.len() < 3 {
        event_loop.turn().unwrap();
    }
    assert_eq!(stage.0.borrow().dialled, [first, second, first]);
    let (attempt, silence) = (super::links::ATTEMPT_MAX, Herd::built_in().peers.silence);
    assert!(stage.0.borrow().now >= attempt + silence, "the last one has as long as a link may be silent");
}

#[test]
fn a_neighbour_that_knocks_often_is_not_dialled_ever_more_often() {
    let stage = Stage::default();
    stage.0.borrow_mut().is_alone = true;
    let mut event_loop = stage.beside("127.0.0.1:1");
    for _ in 0..50 {
        stage.call_with(HELLO, b"nothing that makes sense\n");
        event_loop.turn().unwrap();
        event_loop.turn().unwrap();
    }
    let before = stage.0.borrow().dialled.len();
    assert!(before >= 50, "each time it was known to live, so it was dialled at once: {before}");
    let end = stage.0.borrow().now + Duration::from_secs(30);
    while stage.0.borrow().now < end {
        event_loop.turn().unwrap();
    }
    let after = stage.0.borrow().dialled.len() - before;
    assert!((30..=61).contains(&after), "once or twice a second: {after}");
}

#[test]
fn a_last_reply_is_sent_though_the_time_is_up() {
    let stage = Stage::default();
    let mut event_loop = stage.alone();
    stage.call(b"");
    event_loop.turn().unwrap();
    stage.say(b"HELLO herd/1 bruins Mallory ");
    event_loop.turn().unwrap();
    // In the moment in which it must be complete.
    stage.0.borrow_mut().now += Duration::from_secs(2);
    stage.say(b"0123456789abcdef\n");
    event_loop.turn().unwrap();
    let said = stage.0.borrow().streams[0].written.clone();
    assert!(said.starts_with(b"REFUSED no neighbour"), "'{}'", said.escape_ascii());
}
