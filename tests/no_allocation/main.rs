//! An IAMAT of a known client allocates no memory: neither in text, store, conversations and log, nor in the
//! whole turn of the loop that floods it.

mod memory_system;
mod whole_turn;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use herd::clock::Moment;
use herd::config::Limits;
use herd::conversation::{Client, Context, Conversation, Identity, InboundPeer, OutboundPeer, Server};
use herd::log::{Level, Log};
use herd::protocol::{ConnectionId, Protocol, Transport, WaterMarks};
use herd::store::{Origin, Outcome, Store};
use herd::text::command::ClientCommand;
use herd::text::peer_line::Epoch;
use herd::text::record::Statement;
use herd::text::time::Time;

/// The system's allocator, with a count of the allocations of each thread.
struct Counting;

thread_local! {
    // Each test has its own thread, and the harness has others. Neither lazy nor with a destructor: both
    // would allocate within the allocator.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call is passed on to the system's allocator unchanged; besides, only a number is changed.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The number of allocations during a call.
fn allocations(act: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    act();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    let mut bytes = Vec::new();
    assert_eq!(allocations(|| bytes.push(1)), 1);
    assert_eq!(allocations(|| bytes.push(2)), 0);
    assert_eq!(allocations(|| bytes.reserve(1000)), 1);
    assert_eq!(allocations(|| drop(vec![0_u8; 10])), 1);
}

/// The number of clients. Their IDs and times have the same length in each round.
const CLIENTS: usize = 100;
/// Monotonic time at the start.
const NOW: Duration = Duration::from_secs(100);
const ROUNDS: u32 = 20;
const SILENCE: Duration = Duration::from_secs(3);

/// One line of each client, later with each round.
fn lines(round: u32) -> Vec<String> {
    let line =
        |client| format!("IAMAT client-{client:03} +34.068930-118.445127 16214648{round:02}.959498503\n");
    (0..CLIENTS).map(line).collect()
}

/// A newer statement of a known client is parsed, written, compared and stored in place of the older one.
#[test]
fn text_and_store_allocate_nothing() {
    let mut store = Store::new(CLIENTS);
    let mut output = Vec::new();
    let mut round = |number: u32, lines: &[String]| {
        for line in lines {
            let ClientCommand::IamAt(iam_at) = ClientCommand::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            output.clear();
            let received = Time::from_nanoseconds(1_621_464_900_000_000_000 + u64::from(number));
            let statement = Statement::of(&iam_at, b"Riley", received);
            statement.write(&mut output);
            assert_eq!(store.report(&statement, &output, Origin::CLIENT), Outcome::Stored);
        }
    };
    let first = lines(0);
    assert!(allocations(|| round(0, &first)) > 0, "new clients need memory");
    for number in 1..ROUNDS {
        let lines = lines(number);
        assert_eq!(allocations(|| round(number, &lines)), 0, "round {number}");
    }
}

/// A connection of the loop, without its socket.
struct Connection {
    conversation: Conversation,
    transport: Transport,
    now: Moment,
}

impl Connection {
    fn new(conversation: Conversation) -> Connection {
        Connection {
            conversation,
            transport: Transport::new(WaterMarks::default()),
            now: Moment::START + NOW,
        }
    }

    fn call<T>(
        &mut self,
        server: &mut Server,
        act: impl FnOnce(&mut Conversation, &mut Context<'_>) -> T,
    ) -> T {
        let address: SocketAddr = ([127, 0, 0, 1], 40000).into();
        let mut context = Context {
            id: ConnectionId { slot: 1, generation: 1 },
            address,
            tls: None,
            now: self.now,
            wall: 1_621_464_900_000_000_000,
            transport: &mut self.transport,
            shared: server,
        };
        act(&mut self.conversation, &mut context)
    }

    /// Offers bytes, all of which must be consumed.
    fn receive(&mut self, server: &mut Server, bytes: &[u8]) {
        let used = self.call(server, |protocol, context| protocol.data_received(context, bytes));
        assert_eq!(used, bytes.len());
    }

    /// Takes the output, as the system would. Returns its length.
    fn send(&mut self) -> usize {
        let length = self.transport.pending();
        self.transport.note_sent(length);
        length
    }
}

fn server() -> Server {
    let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(1) };
    let log = Log::new("Riley", Level::Traffic);
    let mut server = Server::new(identity, Limits::default(), SILENCE, log);
    server.log.set_time(1_621_464_900_000_000_000);
    for name in ["Jaquez", "Juzang"] {
        server.neighbours.add(name);
    }
    server
}

/// The client's line, its reply, the AT line to two neighbours, and the log lines of each: one by one, and
/// many in one read.
#[test]
fn the_conversations_allocate_nothing() {
    let mut server = server();
    let mut client = Connection::new(Conversation::Client(Client::unidentified()));
    client.call(&mut server, |protocol, context| protocol.connection_made(context));
    let mut neighbours: Vec<Connection> = server
        .neighbours
        .ids()
        .map(|id| Connection::new(Conversation::OutboundPeer(OutboundPeer::new(id, Moment::START))))
        .collect();
    for (neighbour, welcome) in neighbours.iter_mut().zip(["WELCOME Jaquez 2 0\n", "WELCOME Juzang 3 0\n"]) {
        let welcome = welcome.replace(" 2 ", " 0000000000000002 ").replace(" 3 ", " 0000000000000003 ");
        neighbour.call(&mut server, |protocol, context| protocol.connection_made(context));
        neighbour.receive(&mut server, welcome.as_bytes());
        neighbour.send();
    }
    let mut turn = |bytes: &str| {
        client.receive(&mut server, bytes.as_bytes());
        let replied = client.send();
        for neighbour in &mut neighbours {
            neighbour.call(&mut server, |protocol, context| protocol.turn_ending(context));
            // The AT lines of the replies, and a MARK.
            assert!(neighbour.send() > replied);
        }
        assert!(replied > bytes.len());
        assert!(!server.log.lines().is_empty());
        server.log.clear();
    };
    let mut text = lines(0).concat();
    assert!(allocations(|| turn(&text)) > 0, "new clients need memory");
    for number in 1..ROUNDS {
        let lines = lines(number);
        if number % 2 == 0 {
            assert_eq!(allocations(|| lines.iter().for_each(|line| turn(line))), 0, "round {number}");
        } else {
            text.clear();
            lines.iter().for_each(|line| text.push_str(line));
            assert_eq!(allocations(|| turn(&text)), 0, "round {number}");
        }
    }
}

/// The statements of a neighbour about known clients, and the ACK.
#[test]
fn a_neighbours_statements_allocate_nothing() {
    let mut server = server();
    let mut peer = Connection::new(Conversation::InboundPeer(InboundPeer::new(Moment::START + NOW)));
    peer.call(&mut server, |protocol, context| protocol.connection_made(context));
    peer.receive(&mut server, b"HELLO herd/1 bruins Jaquez 0000000000000002\n");
    server.signals.clear();
    for number in 0..ROUNDS {
        let mut text: String =
            lines(number).iter().map(|line| line.replace("IAMAT ", "AT Jaquez +0.000000001 ")).collect();
        text.push_str(&format!("MARK {}\n", CLIENTS * (number as usize + 1)));
        let allocated = allocations(|| {
            peer.receive(&mut server, text.as_bytes());
            // The ACK is due by then.
            peer.now = peer.now + Duration::from_secs(1);
            peer.call(&mut server, |protocol, context| protocol.timed_out(context));
            server.log.clear();
        });
        assert!(peer.send() > 0, "an ACK was due");
        if number > 0 {
            assert_eq!(allocated, 0, "round {number}");
        }
    }
    assert_eq!(server.store.len(), CLIENTS);
}
