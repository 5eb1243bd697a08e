//! The fuzz target `peer_stream`: links between servers, in both directions.

use std::collections::BTreeMap;

use herd::clock::Moment;
use herd::conversation::{Conversation, InboundPeer, OutboundPeer};
use herd::protocol::Close;
use herd::store::{Origin, Outcome};
use herd::text::peer_line::Epoch;
use herd::text::record::Statement;

use super::client_model::Model;
use super::conversation::{self, EPOCH, HERD, Harness, NAME, NEIGHBOUR, NEIGHBOUR_ID, START};
use super::grammar;
use super::pieces::{Chance, Pieces};

/// The lines of a neighbour that dialled are answered and stored as by the model, however they are split. A
/// neighbour that was dialled gets exactly the statements that it does not have. The first two bytes choose
/// limits, pieces and direction, the rest is the input from the neighbour.
pub fn peer_stream(data: &[u8]) {
    let [settings, options, stream @ ..] = data else { return };
    if options & 1 == 0 {
        inbound(*settings, *options, stream);
    } else {
        outbound(*settings, *options, stream);
    }
}

/// Two links of one incarnation of a neighbour. The stream is prefixed with a HELLO, which random bytes would
/// not contain.
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
            let mut harness = Harness::new(server, peer, water_marks, pieces.seed());
            harness.receive(stream, pieces);
            harness.settle();
            if model.heartbeat() {
                harness.heartbeat();
            }
            model.check(&harness, pieces);
            server = harness.into_server();
            assert_eq!(server.neighbours.get(NEIGHBOUR_ID).inbound, None);
            assert_eq!(server.neighbours.get(NEIGHBOUR_ID).received(Epoch(NEIGHBOURS_EPOCH)), model.marked);
        }
    }
}

fn outbound(settings: u8, options: u8, stream: &[u8]) {
    let (limits, water_marks) = conversation::settings(settings);
    let acceptor = Acceptor::read(stream);
    for pieces in Pieces::all(options >> 1) {
        let mut server = conversation::server(limits.clone());
        let from_neighbour = server.neighbours.origin(NEIGHBOUR_ID, Epoch(NEIGHBOURS_EPOCH));
        let mut changes = BTreeMap::new();
        let mut chance = Chance::new(u64::from(options));
        for time in 0..chance.below(30) {
            let id = format!("c{}", chance.below(6));
            let line = match chance.below(4) {
                0 => format!("GONE {NAME} +{START_S}.000000000 {id} {time}.000000000\n"),
                _ => format!("AT {NAME} +{START_S}.000000000 {id} +1-1 {time}\n"),
            };
            let statement = Statement::parse(line.trim_end().as_bytes()).expect("a statement");
            let origin = [Origin::CLIENT, from_neighbour][chance.below(2)];
            if server.store.report(&statement, line.as_bytes(), origin) == Outcome::Stored {
                changes.insert(id, (server.store.sequence(), origin, line));
            }
        }
        let sequence = server.store.sequence();
        let peer = Conversation::OutboundPeer(OutboundPeer::new(NEIGHBOUR_ID, Moment::START));
        let mut harness = Harness::new(server, peer, water_marks, pieces.seed());
        harness.receive(stream, pieces);
        harness.settle();
        // A change that is not sent to its own source is marked with the next heartbeat.
        harness.heartbeat();
        assert_eq!(harness.closing(), acceptor.closing, "{pieces:?}");
        let written = String::from_utf8(harness.written()).expect("only ASCII is sent");
        let hello = format!("HELLO herd/1 {HERD} {NAME} {EPOCH:016x}\n");
        let sent = written.strip_prefix(&hello).expect("HELLO is sent first");
        let sent: Vec<&str> = sent.split_inclusive('\n').collect();
        if let (Some((epoch, since)), None) = (acceptor.welcome, acceptor.closing) {
            let since = if since > sequence { 0 } else { since };
            let mut missing: Vec<_> = changes.values().collect();
            missing.retain(|(at, origin, _)| {
                *at > since && (*origin == Origin::CLIENT || epoch != NEIGHBOURS_EPOCH)
            });
            missing.sort_by_key(|(at, ..)| *at);
            let missing: Vec<&str> = missing.into_iter().map(|(.., line)| line.as_str()).collect();
            let statements: Vec<&str> = sent
                .iter()
                .copied()
                .filter(|line| line.starts_with("AT ") || line.starts_with("GONE "))
                .collect();
            assert_eq!(statements, missing, "{pieces:?}");
            assert_eq!(sent.last().map(|line| grammar::mark(line.as_bytes())), Some(Some(sequence)));
        }
        if acceptor.welcome.is_none() {
            assert!(sent.is_empty(), "no line is sent before WELCOME");
        }
        let server = harness.into_server();
        assert_eq!(server.neighbours.get(NEIGHBOUR_ID).outbound, None);
    }
}

/// The expected effect of the lines of an acceptor.
struct Acceptor {
    /// The epoch and `since` of its WELCOME.
    welcome: Option<(u64, u64)>,
    closing: Option<Close>,
}

impl Acceptor {
    fn read(stream: &[u8]) -> Acceptor {
        let mut read = Acceptor { welcome: None, closing: None };
        for line in stream.split_inclusive(|&byte| byte == b'\n') {
            let (line, ended) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
            let goes_on = line.len() <= LINE_MAX
                && (!ended
                    || match (grammar::acceptor_line(line), read.welcome) {
                        (Some(grammar::AcceptorLine::Welcome { name, epoch, since }), None) => {
                            read.welcome = (name == NEIGHBOUR.as_bytes()).then_some((epoch, since));
                            read.welcome.is_some()
                        }
                        (Some(grammar::AcceptorLine::Ack(_)), Some(_)) => true,
                        _ => false,
                    });
            if !goes_on {
                read.closing = Some(Close::Abort);
                break;
            }
        }
        read
    }
}

/// The time of the server in seconds, so that no statement is over.
const START_S: u64 = START / 1_000_000_000;
const NEIGHBOURS_EPOCH: u64 = 0x0123_4567_89ab_cdef;

/// A bound of docs/protocol.md, section 6.
const LINE_MAX: usize = 2048;
