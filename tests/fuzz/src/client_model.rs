//! The fuzz target `client_stream`, and the model of a client connection. The model computes all replies and
//! the content of the store from all lines at once.

use std::collections::{BTreeMap, BTreeSet};

use herd::config::{ClientsSection, Limits};
use herd::conversation::{Client, Conversation};
use herd::geo::Centre;
use herd::protocol::Close;
use herd::text::telnet::IAC;

use super::conversation::{self, EPOCH, HERD, Harness, NAME, NEIGHBOUR, START};
use super::grammar::{self, ClientLine, Location, NearCentre, Statement, Whom};
use super::pieces::Pieces;

/// A client gets exactly the replies of the model, and the store has exactly the winning statements, however
/// the input is split, whenever output is sent, and in whatever order Places answers. The first two bytes
/// choose limits and pieces, the rest is the input of the client.
pub fn client_stream(data: &[u8]) {
    let [settings, options, stream @ ..] = data else { return };
    let (limits, water_marks) = conversation::settings(*settings);
    let only_a_neighbour = options & 1 == 1;
    let eof = options & 2 == 2;
    let mut model = Model::new(&limits, only_a_neighbour);
    model.receive(stream, eof);
    for pieces in Pieces::all(options >> 2) {
        let client = if only_a_neighbour { Client::peers_only() } else { Client::unidentified() };
        let server = conversation::server(limits.clone());
        let mut harness = Harness::new(server, Conversation::Client(client), water_marks, pieces.seed());
        harness.receive(stream, pieces);
        if eof {
            harness.eof();
        }
        harness.settle();
        if !eof && !only_a_neighbour && limits.clients != ClientsSection::default() {
            harness.silence();
            harness.settle();
        }
        model.check(&harness, pieces);
    }
}

/// The expected state of a server with one connection.
pub struct Model<'a> {
    limits: &'a Limits,
    role: Role,
    /// The client has sent a telnet command.
    has_negotiated: bool,
    /// Telnet options that were refused.
    options_refused: usize,
    /// The time of the next line, in nanoseconds since 1970.
    clock: u64,
    /// The output, except a REFUSED.
    written: Vec<u8>,
    /// Whether a REFUSED, with any reason, is the end of the output.
    refused: bool,
    /// The stored lines, by client ID.
    stored: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The numbers of the stored changes, and their clients.
    changes: BTreeMap<u64, Vec<u8>>,
    /// The number of the newest change.
    sequence: u64,
    /// A FOLLOW is pending or running. The next line ends it.
    is_following: bool,
    /// The answers to telnet commands that wait for its end.
    answers: Vec<u8>,
    /// The locations of all questions to Places.
    asked: Vec<String>,
    /// The last MARK of the neighbour.
    pub marked: u64,
    /// Whether a MARK of this link was acknowledged.
    acknowledged: bool,
    closing: Option<Close>,
}

/// The role of the connection, which its first line decides.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Undecided,
    /// Only a HELLO is accepted.
    PeerOnly,
    Client,
    /// A HELLO has begun.
    Hello,
    Peer,
}

impl<'a> Model<'a> {
    pub fn new(limits: &'a Limits, only_a_neighbour: bool) -> Model<'a> {
        let role = if only_a_neighbour { Role::PeerOnly } else { Role::Undecided };
        Model {
            limits,
            role,
            has_negotiated: false,
            options_refused: 0,
            clock: START,
            written: Vec::new(),
            refused: false,
            stored: BTreeMap::new(),
            changes: BTreeMap::new(),
            sequence: 0,
            is_following: false,
            answers: Vec::new(),
            asked: Vec::new(),
            marked: 0,
            acknowledged: false,
            closing: None,
        }
    }

    /// The model of the same server with a new link from its neighbour.
    pub fn next_link(self) -> Model<'a> {
        Model {
            role: Role::Hello,
            written: Vec::new(),
            refused: false,
            acknowledged: false,
            closing: None,
            ..self
        }
    }

    pub fn receive(&mut self, stream: &[u8], eof: bool) {
        let is_client = |model: &Model<'_>| !matches!(model.role, Role::Hello | Role::Peer);
        let mut rest = stream;
        if is_client(self) {
            rest = rest.strip_prefix("\u{feff}".as_bytes()).unwrap_or(rest);
            if !eof && rest.len() < 3 && "\u{feff}".as_bytes().starts_with(rest) {
                rest = &[];
            }
        }
        while !rest.is_empty() && self.closing.is_none() {
            if is_client(self) && rest[0] == 0xff {
                if self.role == Role::PeerOnly {
                    self.closing = Some(Close::Abort);
                    break;
                }
                let Some(length) = self.telnet(rest) else { break };
                rest = &rest[length..];
                continue;
            }
            let with_cr_nul = self.has_negotiated && is_client(self);
            if let Some(end) = (0..rest.len())
                .find(|&at| rest[at] == b'\n' || with_cr_nul && rest[at] == 0 && rest[..at].ends_with(b"\r"))
            {
                self.line(&rest[..end], true);
                rest = &rest[end + 1..];
                continue;
            }
            let is_hello = grammar::is_hello(&rest[..rest.len().min(self.limits.max_line)]);
            if !eof && is_client(self) && self.is_ended_by_silence(rest) {
                self.client_line(rest);
                break;
            }
            let ends = eof && is_client(self) && !(is_hello && self.may_become_a_peer());
            self.line(rest, ends);
            break;
        }
        // A stream goes on after the end of the input.
        if eof && self.closing.is_none() && !self.is_following {
            self.closing = Some(Close::Drain);
        }
    }

    pub fn check(&self, harness: &Harness, pieces: Pieces) {
        let written = with_single_marks(&harness.written());
        let own_written = with_single_marks(&self.written);
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let (replies, rest) = written.split_at(written.len().min(own_written.len()));
        assert_eq!(shown(replies), shown(&own_written), "{pieces:?}");
        let is_refusal =
            rest.starts_with(b"REFUSED ") && rest.iter().position(|&b| b == b'\n') == Some(rest.len() - 1);
        assert!(if self.refused { is_refusal } else { rest.is_empty() }, "{pieces:?} {}", shown(rest));
        assert_eq!(harness.closing(), self.closing, "{pieces:?}");
        let store = &harness.server.store;
        assert_eq!(store.records(), self.stored.len(), "{pieces:?}");
        for (id, line) in &self.stored {
            assert_eq!(store.newest(id).map(shown), Some(shown(line)), "{pieces:?}");
            assert_eq!(store.get(id).map(shown), self.known(id).map(|line| shown(line)), "{pieces:?}");
        }
        // Equal questions are asked once while one is in flight.
        let asked = harness.asked.iter().map(|request| {
            let head = String::from_utf8_lossy(request.bytes());
            let (_, location) = head.split_once("location=").expect("a location");
            location.split('&').next().unwrap_or_default().to_owned()
        });
        let (asked, expected): (BTreeSet<String>, BTreeSet<String>) =
            (asked.collect(), self.asked.iter().cloned().collect());
        assert_eq!(asked, expected, "{pieces:?}");
    }

    /// Carries out the telnet command at the start. Returns its length; `None`: it does not end.
    fn telnet(&mut self, input: &[u8]) -> Option<usize> {
        let (length, answer) = match *input {
            [_, b'\n', ..] => (1, None),
            [_, 0xfa, ref content @ ..] => {
                let mut pairs = content;
                loop {
                    pairs = match *pairs {
                        [0xff, 0xf0, ref after @ ..] => break (input.len() - after.len(), None),
                        [0xff, _, ref after @ ..] | [_, ref after @ ..] if !matches!(pairs, [0xff]) => after,
                        _ => return None,
                    };
                }
            }
            [_, 0xfb, option, ..] => (3, Some([0xff, 0xfe, option])),
            [_, 0xfd, option, ..] => (3, Some([0xff, 0xfc, option])),
            [_, 0xfc | 0xfe, _, ..] => (3, None),
            [_, 0xfb..=0xfe] | [_] | [] => return None,
            [_, _, ..] => (2, None),
        };
        self.has_negotiated = true;
        if let Some(answer) = answer.filter(|_| self.options_refused < 64) {
            self.options_refused += 1;
            if self.is_following { &mut self.answers } else { &mut self.written }.extend(answer);
        }
        Some(length)
    }

    /// Whether a line without LF is carried out after a silence: a whole command that is valid.
    fn is_ended_by_silence(&self, line: &[u8]) -> bool {
        if self.limits.clients == ClientsSection::default()
            || self.role == Role::PeerOnly
            || line.len() > self.limits.max_line
        {
            return false;
        }
        match grammar::client_line(line) {
            ClientLine::IamAt { id, time, .. } => {
                let ahead_max = i128::from(self.limits.max_future_s) * 1_000_000_000;
                let is_known = self.stored.contains_key(id) || self.stored.len() < self.limits.max_clients;
                is_known && (ahead_max == 0 || time <= i128::from(self.clock) + ahead_max)
            }
            ClientLine::WhatsAt { id, .. } | ClientLine::Forget { id } => self.known(id).is_some(),
            ClientLine::Near { centre, .. } => self.place(&centre).is_some(),
            ClientLine::Follow { .. } => true,
            _ => false,
        }
    }

    /// The AT line of a client that is known.
    fn known(&self, id: &[u8]) -> Option<&Vec<u8>> {
        self.stored.get(id).filter(|line| line.starts_with(b"AT "))
    }

    /// The place of the centre of a search, and the client that is left out; `None`: the client is unknown.
    fn place<'b>(&self, centre: &NearCentre<'b>) -> Option<(Centre, &'b [u8])> {
        let (location, left_out) = match *centre {
            NearCentre::Location(location) => (location, &b""[..]),
            NearCentre::Client(id) => {
                let line = self.known(id)?;
                let known = grammar::statement(&line[..line.len() - 1]).expect("a stored statement");
                (known.location?, id)
            }
        };
        let (latitude, longitude) = degrees(&location);
        Some((Centre::new(latitude, longitude), left_out))
    }

    /// The reply to a NEAR, by a look at all clients. The distances are the herd's: they have tests of their own, and
    /// a rounding error would be another reply.
    fn near(&self, centre: &NearCentre<'_>, radius_km: &[u8], bound: usize) -> Option<Vec<u8>> {
        let (centre, left_out) = self.place(centre)?;
        let radius_km: f64 = str::from_utf8(radius_km).expect("ASCII").parse().expect("a number");
        let mut found = Vec::new();
        for (id, line) in self.stored.iter().filter(|(id, _)| *id != left_out) {
            let statement = grammar::statement(&line[..line.len() - 1]).expect("a stored statement");
            let Some(location) = statement.location else { continue };
            let (latitude, longitude) = degrees(&location);
            let distance_m = centre.distance_m(latitude, longitude);
            if distance_m <= radius_km * 1000.0 {
                found.push((format!("{:012.3}", (distance_m.round() / 1000.0)), id, line));
            }
        }
        found.sort();
        let mut reply = Vec::new();
        for (kilometres, _, line) in found.into_iter().take(bound) {
            let kilometres = kilometres.trim_start_matches('0');
            let zero = if kilometres.starts_with('.') { "0" } else { "" };
            reply.extend([format!("{zero}{kilometres} ").as_bytes(), &line[..]].concat());
        }
        reply.push(b'\n');
        Some(reply)
    }

    /// The lines of a stream up to its first MARK, by a look at all changes.
    fn snapshot(&self, whom: &Whom<'_>, from: Option<(&[u8], u64)>) -> Vec<u8> {
        let is_own = |from: &(&[u8], u64)| grammar::epoch(from.0) == Some(EPOCH) && from.1 <= self.sequence;
        let since = from.filter(is_own).map_or(0, |from| from.1);
        let mut lines = Vec::new();
        for id in self.changes.range(since + 1..).map(|(_, id)| id) {
            let line = &self.stored[id];
            let statement = grammar::statement(&line[..line.len() - 1]).expect("a stored statement");
            let matches = match *whom {
                Whom::Client(own) => id == own,
                Whom::Prefix(prefix) => id.starts_with(prefix),
                Whom::Area(centre, radius_km) => statement.location.is_some_and(|location| {
                    let [(latitude, longitude), there] = [degrees(&centre), degrees(&location)];
                    let radius_km: f64 = str::from_utf8(radius_km).expect("ASCII").parse().expect("a number");
                    Centre::new(latitude, longitude).distance_m(there.0, there.1) <= radius_km * 1000.0
                }),
            };
            match statement.location {
                Some(_) if matches => lines.extend_from_slice(line),
                // What was never sent need not be taken back.
                None if matches && since > 0 => lines.extend([b"LEFT ", &id[..], b"\n"].concat()),
                _ => {}
            }
        }
        lines
    }

    fn mark(&mut self) {
        self.written.extend(format!("MARK {EPOCH:016x} {}\n", self.sequence).bytes());
    }

    /// A line ends the stream.
    fn end_stream(&mut self) {
        if std::mem::take(&mut self.is_following) {
            self.mark();
            self.written.push(b'\n');
            self.written.append(&mut self.answers);
        }
    }

    fn may_become_a_peer(&self) -> bool {
        matches!(self.role, Role::Undecided | Role::PeerOnly)
    }

    fn line(&mut self, line: &[u8], ended: bool) {
        if self.closing.is_some() {
            return;
        }
        let beginning = &line[..line.len().min(self.limits.max_line)];
        if self.may_become_a_peer() && grammar::is_hello(beginning) {
            self.role = Role::Hello;
        }
        let is_too_long = line.len() > self.limits.max_line + PEER_LINE_EXTRA;
        let is_statement = line.starts_with(b"AT ") || line.starts_with(b"GONE ");
        match self.role {
            Role::Hello if line.len() > HELLO_MAX => self.refuse(),
            Role::Hello if ended => self.hello(line),
            // A statement that is too long is passed over.
            Role::Peer if is_too_long && is_statement => {}
            Role::Peer if is_too_long => self.closing = Some(Close::Abort),
            Role::Peer if ended => self.peer_line(line),
            Role::Hello | Role::Peer => {}
            _ if line.len() > self.limits.max_line => self.too_long(line, beginning, ended),
            _ if ended => self.client_line(line),
            _ => {}
        }
    }

    fn client_line(&mut self, line: &[u8]) {
        self.end_stream();
        let received = i128::from(self.clock);
        self.clock += 1;
        let parsed = grammar::client_line(line);
        if parsed == ClientLine::Blank {
            return;
        }
        if self.role == Role::PeerOnly {
            self.closing = Some(Close::Abort);
            return;
        }
        self.role = Role::Client;
        match parsed {
            ClientLine::IamAt { id, location, time, time_text } => {
                let skew = received - time;
                let statement = Statement {
                    server: NAME.as_bytes(),
                    skew,
                    id,
                    location: Some(location),
                    time,
                    time_text,
                };
                let ahead_max = i128::from(self.limits.max_future_s) * 1_000_000_000;
                let too_new = ahead_max > 0 && time > received + ahead_max;
                if !too_new && self.store(&statement) {
                    self.written.extend(grammar::statement_line(&statement));
                    return;
                }
            }
            ClientLine::WhatsAt { id, bound, .. } => {
                if let Some(line) = self.known(id).cloned() {
                    let results = &["", "1", "1,2", "1,2,3"][bound.min(3)];
                    self.written.extend_from_slice(&line);
                    self.written.extend(format!("{{\"results\":[{results}]}}\n\n").bytes());
                    let words = grammar::words(&line);
                    let location = words[4].escape_ascii().to_string();
                    let longitude = 1 + location[1..].find(['+', '-']).expect("two coordinates");
                    let (latitude, longitude) = location.split_at(longitude);
                    let unsigned = |degrees: &str| degrees.trim_start_matches('+').to_owned();
                    self.asked.push(unsigned(latitude) + "," + &unsigned(longitude));
                    return;
                }
            }
            ClientLine::Near { centre, radius_km, bound } => {
                if let Some(near) = self.near(&centre, radius_km, bound) {
                    self.written.extend(near);
                    return;
                }
            }
            ClientLine::Forget { id } => {
                if let Some(line) = self.known(id) {
                    let known = grammar::statement(&line[..line.len() - 1]).expect("a stored statement");
                    let time = known.time.max(received);
                    let time_text = grammar::exact_time_text(time);
                    let (server, time_text) = (NAME.as_bytes(), time_text.as_bytes());
                    let skew = received - time;
                    let gone = Statement { server, skew, id, location: None, time, time_text };
                    assert!(self.store(&gone));
                    self.written.extend(grammar::statement_line(&gone));
                    return;
                }
            }
            ClientLine::Follow { whom, from } => {
                let snapshot = self.snapshot(&whom, from);
                self.written.extend(snapshot);
                self.mark();
                self.is_following = true;
                return;
            }
            ClientLine::HttpRequest => self.closing = Some(Close::Drain),
            ClientLine::Blank | ClientLine::Invalid => {}
        }
        self.invalid(grammar::trimmed(line));
    }

    fn too_long(&mut self, line: &[u8], beginning: &[u8], ended: bool) {
        self.end_stream();
        if self.role == Role::PeerOnly {
            self.closing = Some(Close::Abort);
            return;
        }
        self.role = Role::Client;
        self.invalid(beginning);
        if ended && grammar::is_http_request(line) {
            self.closing = Some(Close::Drain);
        }
    }

    fn invalid(&mut self, copy: &[u8]) {
        self.written.extend([b"? ", copy, b"\n"].concat());
    }

    /// Lets the heartbeat interval pass, if this is a link of a neighbour. Returns whether it is.
    pub fn heartbeat(&mut self) -> bool {
        let is_linked = self.role == Role::Peer && self.closing.is_none();
        if is_linked {
            self.written.extend(format!("ACK {}\n", self.marked).bytes());
        }
        is_linked
    }

    fn hello(&mut self, line: &[u8]) {
        match grammar::hello(line) {
            Some(hello) if (hello.herd, hello.name) == (HERD.as_bytes(), NEIGHBOUR.as_bytes()) => {
                self.written.extend(format!("WELCOME {NAME} {EPOCH:016x} {}\n", self.marked).bytes());
                self.role = Role::Peer;
            }
            _ => self.refuse(),
        }
    }

    fn refuse(&mut self) {
        self.refused = true;
        self.closing = Some(Close::Drain);
    }

    fn peer_line(&mut self, line: &[u8]) {
        if let Some(statement) = grammar::statement(line) {
            self.store(&statement);
        } else if let Some(sequence) = grammar::mark(line) {
            self.marked = sequence;
            // Acknowledgements of later MARKs are coalesced until the heartbeat.
            if !std::mem::replace(&mut self.acknowledged, true) {
                self.written.extend(format!("ACK {sequence}\n").bytes());
            }
        } else {
            self.closing = Some(Close::Abort);
        }
    }

    /// Stores a statement if it is not over and wins. False: the store is full.
    fn store(&mut self, statement: &Statement<'_>) -> bool {
        let received = statement.time + statement.skew;
        let retention_s = match statement.location {
            Some(_) => self.limits.expire_s,
            None => self.limits.remember_gone_s,
        };
        // The lines of one stream are too few to be over later.
        if retention_s > 0 && received < i128::from(START) - i128::from(retention_s) * 1_000_000_000 {
            return true;
        }
        if let Some(stored) = self.stored.get(statement.id) {
            let stored = grammar::statement(&stored[..stored.len() - 1]).expect("a stored statement");
            if stored.rank() <= statement.rank() {
                return true;
            }
        } else if self.stored.len() >= self.limits.max_clients {
            return false;
        }
        self.sequence += 1;
        self.changes.retain(|_, id| id != statement.id);
        self.changes.insert(self.sequence, statement.id.to_vec());
        self.stored.insert(statement.id.to_vec(), grammar::statement_line(statement));
        true
    }
}

/// Latitude and longitude in degrees.
fn degrees(location: &Location<'_>) -> (f64, f64) {
    let number = |text: &[u8]| str::from_utf8(text).expect("ASCII").parse().expect("a number");
    (number(location.latitude), number(location.longitude))
}

/// The output with one MARK in place of several equal ones: the last MARK of a stream may be the one of its snapshot. Before
/// the first of them an answer to telnet may stand, which has no end of line.
fn with_single_marks(output: &[u8]) -> Vec<u8> {
    let mut single: Vec<u8> = Vec::new();
    let mut last: &[u8] = b"";
    for line in output.split_inclusive(|&byte| byte == b'\n') {
        let is_again = line.starts_with(b"MARK ")
            && last.strip_suffix(line).is_some_and(|before| before.is_empty() || before[0] == IAC);
        if !is_again {
            single.extend_from_slice(line);
        }
        last = line;
    }
    single
}

/// Bounds of docs/protocol.md, section 6.
const HELLO_MAX: usize = 1024;
const PEER_LINE_EXTRA: usize = 1024;
