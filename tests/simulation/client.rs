//! A client: it does what its script says, and knows what it has to get for it.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use crate::connection::{Progress, Side};
use crate::oracle::Oracle;
use crate::places::Near;
use crate::rules::{Heard, Lines, Meaning, Record, coordinates, trimmed};
use crate::speech::{Act, Reading, metres};
use crate::world::{Happening, MILLISECOND, SECOND, Time, World, show};

/// What a client knows of the server that it talks to.
#[derive(Clone, Copy, Debug)]
pub struct House {
    pub server: usize,
    pub max_line: usize,
    pub line_timeout: Time,
    /// It may be full.
    pub may_turn_away: bool,
}

pub struct Client {
    pub number: usize,
    pub server: usize,
    pub connection: usize,
    script: VecDeque<Act>,
    outgoing: VecDeque<u8>,
    lines: Lines,
    owed: VecDeque<Owed>,
    received: Vec<u8>,
    /// How much of it was looked through for the end of a reply.
    searched: usize,
    reading: Reading,
    /// The best statement of each client that this server is known to hold, by its own replies.
    shown: BTreeMap<Vec<u8>, Record>,
    wait_until: Time,
    /// It did something after which the server may end the connection before everything is said.
    is_excused: bool,
    /// When it sent the first byte of a line that has not ended; when it last read.
    line_since: Time,
    read_at: Time,
    /// When it said the last thing that is carried out, and whether it went on after that.
    over_since: Time,
    went_on: bool,
    has_half_closed: bool,
    /// Whether any reply has come. Before that it may be turned away by a server that is full.
    was_heard: bool,
    house: House,
    pub is_gone: bool,
}

/// A reply that is owed.
struct Owed {
    meaning: Meaning,
    /// What stands behind `? ` if that is the reply.
    copy: Vec<u8>,
    since: Time,
    /// What the server held of the client that is asked about when the question was sent.
    known: Option<Record>,
}

impl Client {
    pub fn new(world: &mut World, number: usize, house: House, script: VecDeque<Act>) -> Client {
        let host = world.add_host();
        // A client's own system never lacks anything, so this cannot fail.
        let connection = world.connect(host, world.address_of(house.server)).unwrap_or(usize::MAX);
        Client {
            number,
            server: house.server,
            connection,
            script,
            outgoing: VecDeque::new(),
            lines: Lines::new(house.max_line),
            owed: VecDeque::new(),
            received: Vec::new(),
            searched: 0,
            reading: Reading::Everything,
            shown: BTreeMap::new(),
            wait_until: 0,
            is_excused: false,
            line_since: Time::MAX,
            read_at: world.now,
            over_since: Time::MAX,
            went_on: false,
            has_half_closed: false,
            was_heard: false,
            house,
            is_gone: false,
        }
    }

    /// The storm is over: says no more, takes what is owed, and goes.
    pub fn finish(&mut self, world: &mut World, oracle: &mut Oracle) {
        if self.is_gone {
            return;
        }
        let connection = &world.connections[self.connection];
        if connection.faulted || connection.endpoints[0].progress == Progress::Connecting {
            self.leave(world, oracle);
            return;
        }
        self.excuse_if_too_slow(world.now);
        self.script.clear();
        self.script.push_back(Act::HalfClose);
        self.wait_until = 0;
        self.reading = Reading::Everything;
        self.step(world, oracle);
    }

    /// Why it is still there.
    pub fn complaint(&self) -> String {
        let replies = self.owed.len();
        format!(
            "client {} of server {} still waits for {replies} replies or the end",
            self.number, self.server
        )
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, world: &mut World, oracle: &mut Oracle) {
        if self.is_gone {
            return;
        }
        match world.connections[self.connection].endpoints[0].progress {
            Progress::Connecting => return,
            Progress::Failed(_) => return self.leave(world, oracle),
            Progress::Connected => {}
        }
        self.excuse_if_too_slow(world.now);
        self.read(world, oracle);
        while !self.is_gone && self.write(world, oracle) && world.now >= self.wait_until {
            let Some(act) = self.script.pop_front() else { break };
            match act {
                Act::Say(bytes) => self.outgoing.extend(bytes),
                Act::Wait(time) => {
                    self.wait_until = world.now + time;
                    world.schedule_in(time, Happening::ClientActs { client: self.number });
                }
                Act::Read(reading) => {
                    self.reading = reading;
                    self.read(world, oracle);
                }
                Act::HalfClose => {
                    self.has_half_closed = true;
                    let heard = self.lines.end();
                    self.note(world, oracle, heard);
                    if world.shut_down_writing(self.connection, Side::Dialler).is_err() {
                        self.leave(world, oracle);
                    }
                }
                Act::Leave => self.leave(world, oracle),
            }
        }
    }

    /// Sends what is to be sent. Whether everything was.
    fn write(&mut self, world: &mut World, oracle: &mut Oracle) -> bool {
        while !self.outgoing.is_empty() && !self.has_half_closed {
            match world.write(self.connection, Side::Dialler, self.outgoing.make_contiguous()) {
                Ok(length) => {
                    let sent: Vec<u8> = self.outgoing.drain(..length).collect();
                    self.went_on |= self.lines.is_over;
                    let heard = self.lines.push(&sent);
                    self.note(world, oracle, heard);
                    if self.lines.begun() <= sent.len() {
                        self.line_since = if self.lines.begun() > 0 { world.now } else { Time::MAX };
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // Its end is about to be read, unless nothing is read.
                Err(_) => {
                    self.outgoing.clear();
                    self.is_excused = true;
                }
            }
        }
        true
    }

    /// Notes which replies are owed for what was sent.
    fn note(&mut self, world: &mut World, oracle: &mut Oracle, heard: Vec<Heard>) {
        if self.lines.is_over {
            self.over_since = self.over_since.min(world.now);
        }
        let life = world.connections[self.connection].life;
        for heard in heard {
            let (meaning, copy) = match heard {
                Heard::TooLong(copy) => (Meaning::Invalid, copy),
                Heard::Line(meaning, line) => (meaning, trimmed(&line)),
            };
            let known = match &meaning {
                Meaning::IamAt { id, location, time_text } => {
                    oracle.note_said(self.server, id, location, time_text);
                    None
                }
                Meaning::WhatsAt { id, .. } => oracle.held(self.server, life, id).cloned(),
                _ => None,
            };
            self.owed.push_back(Owed { meaning, copy, since: world.now, known });
        }
    }

    fn read(&mut self, world: &mut World, oracle: &mut Oracle) {
        let mut buffer = [0; 512];
        let most = match self.reading {
            Reading::Nothing => return,
            Reading::Slowly(most) => most.min(buffer.len()),
            Reading::Everything => buffer.len(),
        };
        self.read_at = world.now;
        while !self.is_gone {
            match world.read(self.connection, Side::Dialler, &mut buffer[..most]) {
                Ok(0) => self.ended(world, oracle, "the connection ended"),
                Ok(length) => {
                    self.received.extend_from_slice(&buffer[..length]);
                    self.take_replies(world, oracle);
                    if let Reading::Slowly(_) = self.reading {
                        world.schedule_in(SLOWNESS, Happening::ClientActs { client: self.number });
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.ended(world, oracle, &format!("the connection broke ({error})")),
            }
        }
    }

    fn ended(&mut self, world: &mut World, oracle: &mut Oracle, how: &str) {
        let went_on = self.went_on && world.now > self.over_since.saturating_add(END_AWAITED_MAX);
        let was_turned_away = !self.was_heard && self.house.may_turn_away;
        let is_faulted = world.connections[self.connection].faulted;
        let is_excused = self.is_excused || went_on || was_turned_away || is_faulted;
        let is_complete = self.owed.is_empty() && self.received.is_empty();
        if !is_excused && (!is_complete || !self.lines.is_over) {
            let first = self.owed.front().map(|owed| owed.copy.escape_ascii().to_string());
            let received = self.received.escape_ascii().to_string();
            let (number, owed) = (self.number, self.owed.len());
            world.violate(|| {
                format!("client {number}: {how}, {owed} replies are owed, the first to {first:?}; it has '{received}'")
            });
        }
        self.leave(world, oracle);
    }

    pub fn leave(&mut self, world: &mut World, oracle: &mut Oracle) {
        self.is_gone = true;
        // Its end ends the line that it is in, too.
        let heard = self.lines.end();
        self.note(world, oracle, heard);
        self.outgoing = VecDeque::new();
        world.close(self.connection, Side::Dialler);
    }

    /// The server may lose patience with this client.
    fn excuse_if_too_slow(&mut self, now: Time) {
        let is_late = |since: Time, most: Time| since < now && now - since > most;
        self.is_excused |= is_late(self.line_since, self.house.line_timeout.saturating_sub(SECOND));
        let reads_all = self.reading == Reading::Everything;
        self.is_excused |= !reads_all && is_late(self.read_at, STALLED_MAX);
        self.is_excused |= !reads_all && self.lines.is_over && !self.has_half_closed;
    }

    fn take_replies(&mut self, world: &mut World, oracle: &mut Oracle) {
        while !self.received.is_empty() {
            let Some(owed) = self.owed.front() else {
                // A HELLO must be complete within 2 s, and is refused then though its line has not ended.
                let is_late = world.now >= self.line_since.saturating_add(2 * SECOND);
                let begins =
                    self.received.starts_with(b"REFUSED ") || b"REFUSED ".starts_with(&self.received);
                if is_late && begins && self.lines.begins_like_hello() {
                    if self.received.ends_with(b"\n") {
                        self.lines.is_over = true;
                        self.received.clear();
                    }
                    return;
                }
                let received = self.received.escape_ascii().to_string();
                return world.violate(|| format!("client {} got '{received}' for nothing", self.number));
            };
            let answers_question =
                matches!(owed.meaning, Meaning::WhatsAt { .. }) && self.received[0] == b'A';
            let end: &[u8] = if answers_question { b"\n\n" } else { b"\n" };
            // An end may have begun with the last byte that was looked at.
            let from = self.searched.saturating_sub(end.len() - 1);
            let found = self.received[from..].windows(end.len()).position(|part| part == end);
            self.searched = self.received.len();
            let Some(found) = found else { return };
            let end = from + found + end.len();
            self.searched = 0;
            self.was_heard = true;
            let reply: Vec<u8> = self.received.drain(..end).collect();
            let Some(owed) = self.owed.pop_front() else { return };
            if let Err(why) = self.judge(world, oracle, &owed, &reply) {
                let (command, reply) = (owed.copy.escape_ascii(), reply.escape_ascii());
                let since = show(owed.since);
                world.violate(|| {
                    format!(
                        "client {} of server {}: '{reply}' for '{command}' of {since}: {why}",
                        self.number, self.server
                    )
                });
            }
        }
    }

    /// Whether a reply is what the rules say.
    fn judge(&mut self, world: &World, oracle: &mut Oracle, owed: &Owed, reply: &[u8]) -> Result<(), String> {
        let refusal = [b"? ", &owed.copy[..], b"\n"].concat();
        match &owed.meaning {
            Meaning::Hello if reply.starts_with(b"REFUSED ") => Ok(()),
            Meaning::Hello => Err("it should be refused".into()),
            Meaning::Invalid | Meaning::Http | Meaning::Blank if reply == refusal => Ok(()),
            Meaning::Invalid | Meaning::Http | Meaning::Blank => Err("it is wrong".into()),
            Meaning::IamAt { id, location, time_text } => {
                let is_of_the_future = time_text.len() >= FUTURE_DIGITS && !time_text.contains(&b'.');
                if is_of_the_future {
                    oracle.note_refusal(self.server, id, location, time_text);
                    return if reply == refusal { Ok(()) } else { Err("its time is too far ahead".into()) };
                }
                let record = Record::parse(reply).ok_or("it is no AT line")?;
                let own = [&record.id, &record.location, &record.time_text] == [id, location, time_text];
                if !own || record.server != oracle.names[self.server].as_bytes() {
                    return Err("it is about something else".into());
                }
                if !world.could_show(self.server, record.received, owed.since, world.now) {
                    return Err("the server's clock never showed that".into());
                }
                oracle.note_answer(self.server, &record);
                self.must_hold(world, oracle, &record)?;
                self.note_shown(record);
                Ok(())
            }
            Meaning::WhatsAt { id, radius, bound } => {
                let floor = [owed.known.as_ref(), self.shown.get(id)].into_iter().flatten();
                let floor = floor.reduce(|one, other| if other.beats(one) { other } else { one });
                if reply == refusal {
                    return if floor.is_some() { Err("that client is known".into()) } else { Ok(()) };
                }
                let line_end = reply.iter().position(|&byte| byte == b'\n').ok_or("it has no line")? + 1;
                let (line, json) = reply.split_at(line_end);
                let record = Record::parse(line).ok_or("it is no AT line")?;
                if record.id != *id {
                    return Err("it is about somebody else".into());
                }
                if floor.is_some_and(|floor| floor.beats(&record)) {
                    return Err("the server knew a newer statement".into());
                }
                self.must_hold(world, oracle, &record)?;
                let target = target_of(&record, radius).ok_or("it has a bad location")?;
                let has_trouble =
                    oracle.places_trouble_until >= owed.since || world.connections[self.connection].faulted;
                judge_json(json, &target, *bound, has_trouble)?;
                self.note_shown(record);
                Ok(())
            }
        }
    }

    /// What a server has said, it or something newer it must have stored.
    fn must_hold(&self, world: &World, oracle: &Oracle, record: &Record) -> Result<(), String> {
        let life = world.connections[self.connection].life;
        let held = oracle.held(self.server, life, &record.id).ok_or("the server does not hold it")?;
        if record.beats(held) {
            return Err(format!("the server holds only '{}'", held.line.escape_ascii()));
        }
        let is_same = record.server == held.server
            && record.received == held.received
            && (&record.location, &record.time_text) == (&held.location, &held.time_text);
        if is_same && record.line != held.line {
            return Err(format!("the server holds '{}'", held.line.escape_ascii()));
        }
        Ok(())
    }

    fn note_shown(&mut self, record: Record) {
        if self.shown.get(&record.id).is_none_or(|known| record.beats(known)) {
            self.shown.insert(record.id.clone(), record);
        }
    }
}

/// What Places is asked about.
fn target_of(record: &Record, radius: &[u8]) -> Option<String> {
    let (latitude, longitude) = coordinates(&record.location)?;
    let degrees = |text: &[u8]| String::from_utf8_lossy(text.strip_prefix(b"+").unwrap_or(text)).into_owned();
    let (latitude, longitude) = (degrees(latitude), degrees(longitude));
    let metres = metres(radius)?;
    Some(format!("{latitude},{longitude}&radius={metres}"))
}

fn judge_json(json: &[u8], target: &str, bound: usize, has_trouble: bool) -> Result<(), String> {
    let json = json.strip_suffix(b"\n\n").ok_or("it does not end with two line ends")?;
    let error_start =
        b"{\"html_attributions\":[],\"results\":[],\"status\":\"UNKNOWN_ERROR\",\"error_message\":\"";
    if json.starts_with(error_start) {
        if json.windows(KEY.len()).any(|part| part == KEY.as_bytes()) {
            return Err("it shows the key".into());
        }
        let is_closed = json.ends_with(b"\"}") && json.len() > error_start.len() + 2;
        return if has_trouble && is_closed { Ok(()) } else { Err("Places was well".into()) };
    }
    let is_right =
        Near::to(&format!("/maps/api/place/nearbysearch/json?location={target}")).cut(bound) == json;
    if is_right { Ok(()) } else { Err("it is not what Places answered".into()) }
}

/// The key that servers have.
pub const KEY: &str = "se cret&key";

/// Times of so many digits are too far ahead for every server's clock.
const FUTURE_DIGITS: usize = 11;
/// A server waits so long for the end of a client that it has finished with.
const END_AWAITED_MAX: Time = 1500 * MILLISECOND;
/// A server may end a connection on which nothing is read for longer than this.
const STALLED_MAX: Time = 20 * SECOND;
/// How long a client that reads slowly waits between two reads.
const SLOWNESS: Time = 30 * MILLISECOND;
