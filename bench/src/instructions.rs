//! IAMATs of known clients, through the server's own code and nothing else: no socket, no clock, no
//! file. `bench/instructions.sh` runs it within valgrind, with N and with 2 N of them, and takes the
//! difference, so that what happens once does not count.
//!
//!     instructions COUNT [LINES_IN_A_TURN]

#![forbid(unsafe_code)]

#[allow(dead_code)]
#[path = "load/dialect.rs"]
mod dialect;

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dialect::{Dialect, Messages};
use herd::clock::Moment;
use herd::config::HerdFile;
use herd::conversation::{Client, Context, Identity, Server};
use herd::log::{Level, Log};
use herd::protocol::{ConnectionId, Protocol, Transport, WaterMarks};
use herd::text::peer_line::Epoch;

fn main() {
    let number = |place: usize| std::env::args().nth(place).and_then(|word| word.parse::<usize>().ok());
    let Some(count) = number(1).filter(|&count| count <= COUNT_MAX) else {
        eprintln!("usage: instructions COUNT [LINES_IN_A_TURN], at most {COUNT_MAX}");
        std::process::exit(2);
    };
    let lines_in_a_turn = number(2).unwrap_or(1).max(1);
    // Always the same number of messages, however many of them are carried out: making them must
    // not be part of the difference.
    let mut messages = Messages::new(Dialect::Herd, CLIENTS);
    let turns: Vec<Vec<u8>> = (0..(CLIENTS as usize + COUNT_MAX).div_ceil(lines_in_a_turn))
        .map(|_| {
            let mut turn = Vec::new();
            (0..lines_in_a_turn).for_each(|_| messages.statement(&mut turn));
            turn
        })
        .collect();
    let mut house = House::new();
    let known = (CLIENTS as usize).div_ceil(lines_in_a_turn);
    for turn in turns.iter().take(known + count / lines_in_a_turn) {
        house.turn(turn);
    }
    // The replies are looked at, so that nothing can be left out.
    assert_eq!(house.server.store.len(), CLIENTS as usize);
    println!("{} bytes of replies, {} bytes of log", house.sent, house.logged);
}

/// The surroundings of a client in the loop.
struct House {
    server: Server,
    client: Client,
    transport: Transport,
    wall: u64,
    sent: usize,
    logged: usize,
}

impl House {
    fn new() -> House {
        let herd = HerdFile::built_in();
        let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(1) };
        let log = Log::new("Riley", Level::Traffic);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        House {
            server: Server::new(identity, herd.limits, herd.peers.silence, log),
            client: Client::unidentified(),
            transport: Transport::new(WaterMarks::default()),
            wall: since_1970.as_nanos() as u64,
            sent: 0,
            logged: 0,
        }
    }

    /// One turn of the loop with the input of one connection.
    fn turn(&mut self, input: &[u8]) {
        self.wall += 10_000;
        self.server.log.set_time(self.wall);
        let mut context = Context {
            id: ConnectionId { slot: 0, generation: 0 },
            address: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            tls: None,
            now: Moment::START + Duration::from_secs(100),
            wall: self.wall,
            transport: &mut self.transport,
            shared: &mut self.server,
        };
        let used = self.client.data_received(&mut context, input);
        assert_eq!(used, input.len());
        let sent = black_box(self.transport.unsent()).len();
        self.transport.note_sent(sent);
        self.sent += sent;
        self.logged += black_box(self.server.log.lines()).len();
        self.server.log.clear();
    }
}

/// Clients that are known before anything is counted.
const CLIENTS: u32 = 1000;
/// Messages that are made.
const COUNT_MAX: usize = 100_000;
