//! A proxy between one who dials and one who is dialled. It does to their connections what bad networks
//! do: it delays, trickles, stops forwarding without a word, cuts, resets, corrupts.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::lab::free_port;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who dials to who is dialled.
    Forth,
    /// The other way.
    Back,
}

/// How bytes are forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    #[default]
    Free,
    /// Not at all, and nobody is told: like a network that loses every packet, until it is better and
    /// what was lost is sent again.
    Held,
    /// Each piece later by so much.
    Delayed(Duration),
    /// So many bytes a second.
    Trickling(u32),
}

pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    flows: [Flow; 2],
    /// Directions whose next piece is to be corrupted.
    corrupting: [bool; 2],
    /// Newcomers are closed at once.
    refusing: bool,
    ending: bool,
    pairs: Vec<Arc<Pair>>,
    accepted: usize,
    passed: [u64; 2],
}

/// A connection and the one that continues it.
struct Pair {
    dialler: TcpStream,
    dialled: TcpStream,
    /// Its threads shall end and close it.
    over: AtomicBool,
    /// Nothing is forwarded any more.
    stuck: AtomicBool,
}

impl FaultProxy {
    /// A proxy to this port of 127.0.0.1.
    pub fn to(target: u16) -> FaultProxy {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let shared = Arc::new(Shared { target, state: Mutex::default(), changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut state = of_thread.state();
                if state.ending {
                    return;
                }
                let Ok(stream) = stream else { continue };
                state.accepted += 1;
                if !state.refusing {
                    let shared = Arc::clone(&of_thread);
                    thread::spawn(move || shared.join(stream));
                }
            }
        });
        FaultProxy { port, shared }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Forwards so from now on, in one direction.
    pub fn set(&self, direction: Direction, flow: Flow) {
        self.shared.state().flows[direction as usize] = flow;
        self.shared.changed.notify_all();
    }

    pub fn set_both(&self, flow: Flow) {
        [Direction::Forth, Direction::Back].into_iter().for_each(|direction| self.set(direction, flow));
    }

    /// Ends all connections in order, and newcomers at once, until [`FaultProxy::mend`].
    pub fn cut(&self) {
        let mut state = self.shared.state();
        state.refusing = true;
        for pair in state.pairs.drain(..) {
            let _ = pair.dialler.shutdown(Shutdown::Both);
            let _ = pair.dialled.shutdown(Shutdown::Both);
            pair.over.store(true, Ordering::SeqCst);
        }
        self.shared.changed.notify_all();
    }

    /// Lets newcomers in again.
    pub fn mend(&self) {
        self.shared.state().refusing = false;
    }

    /// Ends all connections by a reset, in both directions.
    pub fn reset(&self) {
        for pair in self.shared.state().pairs.drain(..) {
            for stream in [&pair.dialler, &pair.dialled] {
                SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
                // Wakes the thread that reads it. It is closed, and thereby reset, by the last of them.
                let _ = stream.shutdown(Shutdown::Read);
            }
            pair.over.store(true, Ordering::SeqCst);
        }
        self.shared.changed.notify_all();
    }

    /// Forwards nothing more between those that are connected now, without telling them. Newcomers get through.
    pub fn strand(&self) {
        for pair in &self.shared.state().pairs {
            pair.stuck.store(true, Ordering::SeqCst);
        }
    }

    /// Ends the connections of those who dialled. Those who were dialled are not told.
    pub fn strand_dialled(&self) {
        self.strand();
        for pair in &self.shared.state().pairs {
            let _ = pair.dialler.shutdown(Shutdown::Both);
        }
    }

    /// Flips a bit in the first byte of the next piece.
    pub fn corrupt(&self, direction: Direction) {
        self.shared.state().corrupting[direction as usize] = true;
    }

    /// Bytes that were forwarded.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.state().passed[direction as usize]
    }

    /// Connections that were accepted.
    pub fn accepted(&self) -> usize {
        self.shared.state().accepted
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.cut();
        self.shared.state().ending = true;
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Continues a connection to the target.
    fn join(self: Arc<Self>, dialler: TcpStream) {
        // Of a connection that is lost on its way the target hears nothing.
        let is_held =
            |state: &mut State| state.flows[Direction::Forth as usize] == Flow::Held && !state.ending;
        let state = self.changed.wait_while(self.state(), is_held).unwrap_or_else(PoisonError::into_inner);
        drop(state);
        let Some(said) = said_while_waiting(&dialler) else { return };
        let Ok(dialled) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target)) else { return };
        for stream in [&dialler, &dialled] {
            stream.set_nodelay(true).unwrap();
            // So that a thread that cannot write sees that its connection is over.
            stream.set_write_timeout(Some(GLANCE)).unwrap();
        }
        let (over, stuck) = (AtomicBool::new(false), AtomicBool::new(false));
        let pair = Arc::new(Pair { dialler, dialled, over, stuck });
        let mut state = self.state();
        if state.refusing || state.ending {
            return;
        }
        state.pairs.push(Arc::clone(&pair));
        drop(state);
        let (shared, of_thread) = (Arc::clone(&self), Arc::clone(&pair));
        let back = thread::spawn(move || shared.pump(&of_thread, Direction::Back));
        if self.forward(&pair, Direction::Forth, &said) {
            self.pump(&pair, Direction::Forth);
        }
        back.join().unwrap();
        // One that is stranded stays open until the proxy ends: its other end must not be told.
        if !pair.stuck.load(Ordering::SeqCst) {
            self.state().pairs.retain(|other| !Arc::ptr_eq(other, &pair));
        }
    }

    /// Forwards one direction of a connection until it ends.
    fn pump(&self, pair: &Pair, direction: Direction) {
        let (mut source, sink) = match direction {
            Direction::Forth => (&pair.dialler, &pair.dialled),
            Direction::Back => (&pair.dialled, &pair.dialler),
        };
        let mut buffer = [0; 64 * 1024];
        loop {
            let length = source.read(&mut buffer);
            // An end comes through no sooner than bytes do.
            if !self.may_pass(pair, direction) {
                return;
            }
            let Ok(length @ 1..) = length else {
                let _ = sink.shutdown(Shutdown::Write);
                return;
            };
            if std::mem::take(&mut self.state().corrupting[direction as usize]) {
                buffer[0] ^= 1;
            }
            if !self.forward(pair, direction, &buffer[..length]) {
                // Who does not take it shall get no more of it.
                let _ = source.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// Waits while nothing may pass. Whether the connection goes on.
    fn may_pass(&self, pair: &Pair, direction: Direction) -> bool {
        let mut state = self.state();
        while state.flows[direction as usize] == Flow::Held || pair.stuck.load(Ordering::SeqCst) {
            if pair.over.load(Ordering::SeqCst) {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !pair.over.load(Ordering::SeqCst)
    }

    fn forward(&self, pair: &Pair, direction: Direction, mut bytes: &[u8]) -> bool {
        let mut sink = if direction == Direction::Forth { &pair.dialled } else { &pair.dialler };
        if let Flow::Delayed(delay) = self.state().flows[direction as usize] {
            thread::sleep(delay);
        }
        while !bytes.is_empty() {
            if !self.may_pass(pair, direction) {
                return false;
            }
            let mut piece = bytes.len();
            if let Flow::Trickling(bytes_per_second) = self.state().flows[direction as usize] {
                piece = piece.min((bytes_per_second / GLANCES_PER_SECOND).max(1) as usize);
                thread::sleep(GLANCE);
            }
            match sink.write(&bytes[..piece]) {
                Ok(written) => {
                    bytes = &bytes[written..];
                    self.state().passed[direction as usize] += written as u64;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(_) => return false,
            }
        }
        true
    }
}

/// What somebody said who had to wait, or nothing if he has hung up meanwhile.
fn said_while_waiting(mut dialler: &TcpStream) -> Option<Vec<u8>> {
    let mut said = Vec::new();
    dialler.set_nonblocking(true).unwrap();
    let end = dialler.read_to_end(&mut said);
    dialler.set_nonblocking(false).unwrap();
    end.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock).then_some(said)
}

/// How often a thread that waits for others looks whether its connection is over.
const GLANCE: Duration = Duration::from_millis(50);
const GLANCES_PER_SECOND: u32 = 20;
