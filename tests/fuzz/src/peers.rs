//! Links between servers, of both kinds.

use std::collections::BTreeMap;

use herd::clock::Moment;
use herd::protocol::{Conversation, Dialled, Ending, InboundPeer, OutboundPeer};
use herd::store::{Origin, Outcome};
use herd::text::peer_line::Epoch;
use herd::text::record::Statement;

use super::client_model::Model;
use super::conversation::{self, EPOCH, HERD, NAME, NEIGHBOUR, NEIGHBOUR_ID, Stand};
use super::grammar;
use super::pieces::{Chance, Pieces};

/// A neighbour that dialled is answered as the rules say, and what it told is held, however its bytes
/// are cut. A neighbour that was dialled is told exactly what it lacks. The first two bytes choose
/// limits, pieces and side, the rest is what the neighbour sends.
pub fn peer_stream(data: &[u8]) {
    let [settings, options, stream @ ..] = data else { return };
    if options & 1 == 0 {
        inbound(*settings, *options, stream);
    } else {
        outbound(*settings, *options, stream);
    }
}

/// Two links of one neighbour, the second in the same life. HELLO stands in front of the stream, so
/// that chance need not find it.
fn inbound(settings: u8, options: u8, stream: &[u8]) {
    let (limits, water_marks) = conversation::settings(settings);
    let hello = format!("HELLO herd/1 {HERD} {NEIGHBOUR} {NEIGHBOURS_EPOCH:016x}\n");
    let stream = [hello.as_bytes(), stream].concat();
    for pieces in Pieces::all(options >> 1) {
        let mut model = Model::new(&limits, false);
        let mut server = conversation::server(limits.clone());
        for stream in [&stream[..], hello.as_bytes()] {
            model = model.next_link();
            model.receive(stream, false);
            let peer = Conversation::InboundPeer(InboundPeer::new(Moment::START));
            let mut stand = Stand::new(server, peer, water_marks, pieces.seed());
            stand.receive(stream, pieces);
            stand.settle();
            if model.heartbeat() {
                stand.heartbeat();
            }
            model.check(&stand, pieces);
            server = stand.into_server();
            assert_eq!(server.neighbours.get(NEIGHBOUR_ID).accepted, None);
            assert_eq!(server.neighbours.get(NEIGHBOUR_ID).held(Epoch(NEIGHBOURS_EPOCH)), model.marked);
        }
    }
}

fn outbound(settings: u8, options: u8, stream: &[u8]) {
    let (limits, water_marks) = conversation::settings(settings);
    let ending = Acceptor::read(stream);
    for pieces in Pieces::all(options >> 1) {
        let mut server = conversation::server(limits.clone());
        let id = herd::protocol::ConnectionId { slot: 3, generation: 5 };
        server.neighbours.get_mut(NEIGHBOUR_ID).dialled = Dialled::Connecting(id);
        let its_own = server.neighbours.origin(NEIGHBOUR_ID, Epoch(NEIGHBOURS_EPOCH));
        let mut changes = BTreeMap::new();
        let mut chance = Chance::new(u64::from(options));
        for time in 0..chance.below(30) {
            let id = format!("c{}", chance.below(6));
            let line = format!("AT {NAME} +0.000000000 {id} +1-1 {time}\n");
            let statement = Statement::parse(line.trim_end().as_bytes()).expect("a statement");
            let origin = [Origin::CLIENT, its_own][chance.below(2)];
            if server.store.report(&statement, line.as_bytes(), origin) == Outcome::Stored {
                changes.insert(id, (server.store.sequence(), origin, line));
            }
        }
        let sequence = server.store.sequence();
        let peer = Conversation::OutboundPeer(OutboundPeer::new(NEIGHBOUR_ID, Moment::START));
        let mut stand = Stand::new(server, peer, water_marks, pieces.seed());
        stand.receive(stream, pieces);
        stand.settle();
        // A change that need not be told is marked with the next heartbeat only.
        stand.heartbeat();
        assert_eq!(stand.ending(), ending.ending, "{pieces:?}");
        let written = String::from_utf8(stand.written()).expect("nothing else was told");
        let hello = format!("HELLO herd/1 {HERD} {NAME} {EPOCH:016x}\n");
        let told = written.strip_prefix(&hello).expect("HELLO comes first");
        let told: Vec<&str> = told.split_inclusive('\n').collect();
        if let (Some((epoch, since)), Ending::Open) = (ending.welcome, ending.ending) {
            let since = if since > sequence { 0 } else { since };
            let mut lacking: Vec<_> = changes.values().collect();
            lacking.retain(|(at, origin, _)| {
                *at > since && (*origin == Origin::CLIENT || epoch != NEIGHBOURS_EPOCH)
            });
            lacking.sort_by_key(|(at, ..)| *at);
            let lacking: Vec<&str> = lacking.into_iter().map(|(.., line)| line.as_str()).collect();
            let statements: Vec<&str> = told.iter().copied().filter(|line| line.starts_with("AT ")).collect();
            assert_eq!(statements, lacking, "{pieces:?}");
            assert_eq!(told.last().map(|line| grammar::mark(line.as_bytes())), Some(Some(sequence)));
        }
        if ending.welcome.is_none() {
            assert!(told.is_empty(), "before WELCOME nothing is told");
        }
        let server = stand.into_server();
        assert_eq!(server.neighbours.get(NEIGHBOUR_ID).dialled, Dialled::Down);
    }
}

/// What an acceptor's lines come to.
struct Acceptor {
    welcome: Option<(u64, u64)>,
    ending: Ending,
}

impl Acceptor {
    fn read(stream: &[u8]) -> Acceptor {
        let mut read = Acceptor { welcome: None, ending: Ending::Open };
        for line in stream.split_inclusive(|&byte| byte == b'\n') {
            let (line, ended) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
            let goes_on = line.len() <= LINE_MAX
                && (!ended
                    || match (grammar::answer(line), read.welcome) {
                        (Some(grammar::Answer::Welcome { name, epoch, since }), None) => {
                            read.welcome = (name == NEIGHBOUR.as_bytes()).then_some((epoch, since));
                            read.welcome.is_some()
                        }
                        (Some(grammar::Answer::Ack(_)), Some(_)) => true,
                        _ => false,
                    });
            if !goes_on {
                read.ending = Ending::Aborting;
                break;
            }
        }
        read
    }
}

const NEIGHBOURS_EPOCH: u64 = 0x0123_4567_89ab_cdef;

/// What docs/protocol.md, section 6, allows.
const LINE_MAX: usize = 2048;
