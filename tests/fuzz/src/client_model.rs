//! A client, and whoever begins as one: what it must be answered, reckoned from all its lines at once.

use std::collections::BTreeMap;

use herd::config::Limits;
use herd::protocol::{Client, Conversation, Ending};

use super::conversation::{self, EPOCH, HERD, NAME, NEIGHBOUR, START, Stand};
use super::grammar::{self, Said, Statement};
use super::pieces::Pieces;

/// However its bytes are cut, whenever the network takes the replies and in whatever order Places
/// answers, a client gets exactly the replies that the rules give, and the store holds exactly the
/// winners. The first two bytes choose limits and pieces, the rest is what the client sends.
pub fn client_stream(data: &[u8]) {
    let [settings, options, stream @ ..] = data else { return };
    let (limits, water_marks) = conversation::settings(*settings);
    let only_a_neighbour = options & 1 == 1;
    let eof = options & 2 == 2;
    let mut model = Model::new(&limits, only_a_neighbour);
    model.receive(stream, eof);
    for pieces in Pieces::all(options >> 2) {
        let client = if only_a_neighbour { Client::only_a_neighbour() } else { Client::newcomer() };
        let server = conversation::server(limits.clone());
        let mut stand = Stand::new(server, Conversation::Client(client), water_marks, pieces.seed());
        stand.receive(stream, pieces);
        if eof {
            stand.eof();
        }
        stand.settle();
        model.check(&stand, pieces);
    }
}

/// What a server owes to one connection.
pub struct Model<'a> {
    limits: &'a Limits,
    standing: Standing,
    clock: u64,
    written: Vec<u8>,
    /// Behind that stands a REFUSED with whatever reason.
    refused: bool,
    held: BTreeMap<Vec<u8>, Vec<u8>>,
    asked: Vec<String>,
    /// The last MARK of the neighbour.
    pub marked: u64,
    /// Whether a MARK of this link was answered.
    acknowledged: bool,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Newcomer,
    OnlyANeighbour,
    Client,
    Greeting,
    Neighbour,
}

impl<'a> Model<'a> {
    pub fn new(limits: &'a Limits, only_a_neighbour: bool) -> Model<'a> {
        let standing = if only_a_neighbour { Standing::OnlyANeighbour } else { Standing::Newcomer };
        Model {
            limits,
            standing,
            clock: START,
            written: Vec::new(),
            refused: false,
            held: BTreeMap::new(),
            asked: Vec::new(),
            marked: 0,
            acknowledged: false,
            ending: Ending::Open,
        }
    }

    /// The same server, on a link that its neighbour has begun to dial.
    pub fn next_link(self) -> Model<'a> {
        Model {
            standing: Standing::Greeting,
            written: Vec::new(),
            refused: false,
            acknowledged: false,
            ending: Ending::Open,
            ..self
        }
    }

    pub fn receive(&mut self, stream: &[u8], eof: bool) {
        let mut lines: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
        let rest = lines.pop().unwrap_or_default();
        for line in lines {
            self.line(line, true);
        }
        let is_client =
            |model: &Model<'_>| !matches!(model.standing, Standing::Greeting | Standing::Neighbour);
        if !rest.is_empty() {
            let is_hello = grammar::is_hello(&rest[..rest.len().min(self.limits.max_line)]);
            let ends = eof && is_client(self) && !(is_hello && self.may_become_a_neighbour());
            self.line(rest, ends);
        }
        if eof && self.ending == Ending::Open {
            self.ending = Ending::Closing;
        }
    }

    pub fn check(&self, stand: &Stand, pieces: Pieces) {
        let written = stand.written();
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let (owed, rest) = written.split_at(written.len().min(self.written.len()));
        assert_eq!(shown(owed), shown(&self.written), "{pieces:?}");
        let is_refusal =
            rest.starts_with(b"REFUSED ") && rest.iter().position(|&b| b == b'\n') == Some(rest.len() - 1);
        assert!(if self.refused { is_refusal } else { rest.is_empty() }, "{pieces:?} {}", shown(rest));
        assert_eq!(stand.ending(), self.ending, "{pieces:?}");
        let store = &stand.server.store;
        assert_eq!(store.len(), self.held.len(), "{pieces:?}");
        for (id, line) in &self.held {
            assert_eq!(store.get(id).map(shown), Some(shown(line)), "{pieces:?}");
        }
        let asked =
            stand.asked.iter().map(|question| format!("{},{}", question.latitude(), question.longitude()));
        assert_eq!(asked.collect::<Vec<_>>(), self.asked, "{pieces:?}");
    }

    fn may_become_a_neighbour(&self) -> bool {
        matches!(self.standing, Standing::Newcomer | Standing::OnlyANeighbour)
    }

    fn line(&mut self, line: &[u8], ended: bool) {
        if self.ending != Ending::Open {
            return;
        }
        let beginning = &line[..line.len().min(self.limits.max_line)];
        if self.may_become_a_neighbour() && grammar::is_hello(beginning) {
            self.standing = Standing::Greeting;
        }
        match self.standing {
            Standing::Greeting if line.len() > HELLO_MAX => self.refuse(),
            Standing::Greeting if ended => self.hello(line),
            Standing::Neighbour if line.len() > self.limits.max_line + PEER_LINE_EXTRA => {
                self.ending = Ending::Aborting;
            }
            Standing::Neighbour if ended => self.neighbours_line(line),
            Standing::Greeting | Standing::Neighbour => {}
            _ if line.len() > self.limits.max_line => self.too_long(line, beginning, ended),
            _ if ended => self.clients_line(line),
            _ => {}
        }
    }

    fn clients_line(&mut self, line: &[u8]) {
        let received = i128::from(self.clock);
        self.clock += 1;
        let said = grammar::said(line);
        if said == Said::Nothing {
            return;
        }
        if self.standing == Standing::OnlyANeighbour {
            self.ending = Ending::Aborting;
            return;
        }
        self.standing = Standing::Client;
        match said {
            Said::IamAt { id, location, time, time_text } => {
                let skew = received - time;
                let statement = Statement { server: NAME.as_bytes(), skew, id, location, time, time_text };
                let ahead_max = i128::from(self.limits.max_future_s) * 1_000_000_000;
                let too_new = ahead_max > 0 && time > received + ahead_max;
                if !too_new && self.hear(&statement) {
                    self.written.extend(grammar::at_line(&statement));
                    return;
                }
            }
            Said::WhatsAt { id, bound, .. } => {
                if let Some(line) = self.held.get(id) {
                    let results = &["", "1", "1,2", "1,2,3"][bound.min(3)];
                    self.written.extend_from_slice(line);
                    self.written.extend(format!("{{\"results\":[{results}]}}\n\n").bytes());
                    let words = grammar::words(line);
                    let location = words[4].escape_ascii().to_string();
                    let longitude = 1 + location[1..].find(['+', '-']).expect("two numbers");
                    let (latitude, longitude) = location.split_at(longitude);
                    let unsigned = |degrees: &str| degrees.trim_start_matches('+').to_owned();
                    self.asked.push(unsigned(latitude) + "," + &unsigned(longitude));
                    return;
                }
            }
            Said::HttpRequest => self.ending = Ending::Closing,
            Said::Nothing | Said::Invalid => {}
        }
        self.invalid(grammar::trimmed(line));
    }

    fn too_long(&mut self, line: &[u8], beginning: &[u8], ended: bool) {
        if self.standing == Standing::OnlyANeighbour {
            self.ending = Ending::Aborting;
            return;
        }
        self.standing = Standing::Client;
        self.invalid(beginning);
        if ended && grammar::ends_like_http(line) {
            self.ending = Ending::Closing;
        }
    }

    fn invalid(&mut self, copy: &[u8]) {
        self.written.extend([b"? ", copy, b"\n"].concat());
    }

    /// The time of a heartbeat passes on the link of a neighbour. Whether this is one.
    pub fn heartbeat(&mut self) -> bool {
        let is_linked = self.standing == Standing::Neighbour && self.ending == Ending::Open;
        if is_linked {
            self.written.extend(format!("ACK {}\n", self.marked).bytes());
        }
        is_linked
    }

    fn hello(&mut self, line: &[u8]) {
        match grammar::hello(line) {
            Some(hello) if (hello.herd, hello.name) == (HERD.as_bytes(), NEIGHBOUR.as_bytes()) => {
                self.written.extend(format!("WELCOME {NAME} {EPOCH:016x} {}\n", self.marked).bytes());
                self.standing = Standing::Neighbour;
            }
            _ => self.refuse(),
        }
    }

    fn refuse(&mut self) {
        self.refused = true;
        self.ending = Ending::Closing;
    }

    fn neighbours_line(&mut self, line: &[u8]) {
        if let Some(statement) = grammar::statement(line) {
            self.hear(&statement);
        } else if let Some(sequence) = grammar::mark(line) {
            self.marked = sequence;
            // Those that follow closely are answered together, later.
            if !std::mem::replace(&mut self.acknowledged, true) {
                self.written.extend(format!("ACK {sequence}\n").bytes());
            }
        } else {
            self.ending = Ending::Aborting;
        }
    }

    /// Whether there was room for the client.
    fn hear(&mut self, statement: &Statement<'_>) -> bool {
        if let Some(held) = self.held.get(statement.id) {
            let held = grammar::statement(&held[..held.len() - 1]).expect("it was made of a statement");
            if held.rank() <= statement.rank() {
                return true;
            }
        } else if self.held.len() >= self.limits.max_clients {
            return false;
        }
        self.held.insert(statement.id.to_vec(), grammar::at_line(statement));
        true
    }
}

/// What docs/protocol.md, section 6, allows.
const HELLO_MAX: usize = 1024;
const PEER_LINE_EXTRA: usize = 1024;
