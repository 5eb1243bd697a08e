//! A TCP proxy that injects network faults: latency, low bandwidth, packet loss, closed and reset
//! connections, and corrupted bytes. It does not parse what it forwards.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::lab::free_port;

/// A direction of forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the dialler to the dialled side.
    ToDialled,
    /// From the dialled side to the dialler.
    ToDialler,
}

/// The way bytes are forwarded in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    #[default]
    Free,
    /// Nothing is forwarded and no connection is closed, as on a network that loses every packet. Bytes are
    /// delayed, not lost, because TCP would retransmit them.
    Blackhole,
    /// Each read is forwarded after this latency.
    Delayed(Duration),
    /// This many bytes are forwarded each second.
    Throttled(u32),
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
    /// By direction: whether the next read is corrupted.
    corrupting: [bool; 2],
    /// Whether new connections are closed at once.
    refusing: bool,
    /// Whether the proxy is being dropped.
    ending: bool,
    pairs: Vec<Arc<Pair>>,
    /// The number of accepted connections.
    accepted: usize,
    /// By direction: the number of forwarded bytes.
    passed: [u64; 2],
}

/// An accepted connection, and the connection to the target.
struct Pair {
    dialler: TcpStream,
    dialled: TcpStream,
    /// Whether the threads of the pair must end.
    over: AtomicBool,
    /// Whether nothing is forwarded any more, for ever.
    stranded: AtomicBool,
}

impl FaultProxy {
    /// Starts a proxy to this port of 127.0.0.1.
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

    /// The port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the flow of one direction, for current and new connections.
    pub fn set(&self, direction: Direction, flow: Flow) {
        self.shared.state().flows[direction as usize] = flow;
        self.shared.changed.notify_all();
    }

    pub fn set_both(&self, flow: Flow) {
        [Direction::ToDialled, Direction::ToDialler]
            .into_iter()
            .for_each(|direction| self.set(direction, flow));
    }

    /// Closes all connections, and new ones until [`FaultProxy::mend`].
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

    /// Forwards new connections again.
    pub fn mend(&self) {
        self.shared.state().refusing = false;
    }

    /// Resets all connections, on both sides.
    pub fn reset(&self) {
        for pair in self.shared.state().pairs.drain(..) {
            for stream in [&pair.dialler, &pair.dialled] {
                SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
                // Wakes the thread that reads from it. The last thread to drop the stream closes and thereby
                // resets it.
                let _ = stream.shutdown(Shutdown::Read);
            }
            pair.over.store(true, Ordering::SeqCst);
        }
        self.shared.changed.notify_all();
    }

    /// Blackholes all current connections for ever. New connections are forwarded.
    pub fn strand(&self) {
        for pair in &self.shared.state().pairs {
            pair.stranded.store(true, Ordering::SeqCst);
        }
    }

    /// Closes all current connections on the dialler's side only. The dialled side does not see it.
    pub fn strand_dialled(&self) {
        self.strand();
        for pair in &self.shared.state().pairs {
            let _ = pair.dialler.shutdown(Shutdown::Both);
        }
    }

    /// Flips a bit in the first byte of the next read.
    pub fn corrupt(&self, direction: Direction) {
        self.shared.state().corrupting[direction as usize] = true;
    }

    /// The number of forwarded bytes.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.state().passed[direction as usize]
    }

    /// The number of accepted connections.
    pub fn accepted(&self) -> usize {
        self.shared.state().accepted
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.cut();
        self.shared.state().ending = true;
        self.shared.changed.notify_all();
        // Wakes the accepting thread.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forwards a new connection to the target.
    fn join(self: Arc<Self>, dialler: TcpStream) {
        // A lost SYN does not reach the target, so it is dialled only after the blackhole.
        let is_blackholed = |state: &mut State| {
            state.flows[Direction::ToDialled as usize] == Flow::Blackhole && !state.ending
        };
        let state =
            self.changed.wait_while(self.state(), is_blackholed).unwrap_or_else(PoisonError::into_inner);
        drop(state);
        let Some(received) = received_while_waiting(&dialler) else { return };
        let Ok(dialled) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target)) else { return };
        for stream in [&dialler, &dialled] {
            stream.set_nodelay(true).unwrap();
            // A blocked write must notice that the pair is over.
            stream.set_write_timeout(Some(POLL_INTERVAL)).unwrap();
        }
        let (over, stranded) = (AtomicBool::new(false), AtomicBool::new(false));
        let pair = Arc::new(Pair { dialler, dialled, over, stranded });
        let mut state = self.state();
        if state.refusing || state.ending {
            return;
        }
        state.pairs.push(Arc::clone(&pair));
        drop(state);
        let (shared, of_thread) = (Arc::clone(&self), Arc::clone(&pair));
        let back = thread::spawn(move || shared.pump(&of_thread, Direction::ToDialler));
        if self.forward(&pair, Direction::ToDialled, &received) {
            self.pump(&pair, Direction::ToDialled);
        }
        back.join().unwrap();
        // A stranded pair stays open until the proxy is dropped, so that no side sees an end.
        if !pair.stranded.load(Ordering::SeqCst) {
            self.state().pairs.retain(|other| !Arc::ptr_eq(other, &pair));
        }
    }

    /// Forwards one direction of a pair until it ends.
    fn pump(&self, pair: &Pair, direction: Direction) {
        let (mut source, sink) = match direction {
            Direction::ToDialled => (&pair.dialler, &pair.dialled),
            Direction::ToDialler => (&pair.dialled, &pair.dialler),
        };
        let mut buffer = [0; 64 * 1024];
        loop {
            let length = source.read(&mut buffer);
            // A FIN is delayed by a blackhole like bytes are.
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
                // The sink is closed: ends the source, too.
                let _ = source.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// Waits while the direction is blackholed. False: the pair is over.
    fn may_pass(&self, pair: &Pair, direction: Direction) -> bool {
        let mut state = self.state();
        while state.flows[direction as usize] == Flow::Blackhole || pair.stranded.load(Ordering::SeqCst) {
            if pair.over.load(Ordering::SeqCst) {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !pair.over.load(Ordering::SeqCst)
    }

    /// Writes bytes as the flow of the direction allows. False: the pair is over, or the write failed.
    fn forward(&self, pair: &Pair, direction: Direction, mut bytes: &[u8]) -> bool {
        let mut sink = if direction == Direction::ToDialled { &pair.dialled } else { &pair.dialler };
        if let Flow::Delayed(delay) = self.state().flows[direction as usize] {
            thread::sleep(delay);
        }
        while !bytes.is_empty() {
            if !self.may_pass(pair, direction) {
                return false;
            }
            let mut piece = bytes.len();
            if let Flow::Throttled(bytes_per_second) = self.state().flows[direction as usize] {
                piece = piece.min((bytes_per_second / POLLS_PER_SECOND).max(1) as usize);
                thread::sleep(POLL_INTERVAL);
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

/// Reads what the dialler has sent so far. `None`: it has closed the connection.
fn received_while_waiting(mut dialler: &TcpStream) -> Option<Vec<u8>> {
    let mut received = Vec::new();
    dialler.set_nonblocking(true).unwrap();
    let end = dialler.read_to_end(&mut received);
    dialler.set_nonblocking(false).unwrap();
    end.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock).then_some(received)
}

/// The interval at which a blocked write checks whether its pair is over, and at which a throttled flow
/// writes.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const POLLS_PER_SECOND: u32 = 20;
