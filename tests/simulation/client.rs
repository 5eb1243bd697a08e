//! A client: it follows its script, and checks the replies.

use std::collections::VecDeque;
use std::io;

use crate::connection::{Progress, Side};
use crate::followers::{Marked, Received, Stream, Streamer};
use crate::oracle::Oracle;
use crate::rules::{Command, Lines, Meaning, Record, trimmed};
use crate::scripts::{Act, Reading};
use crate::wire::Wire;
use crate::witness::{Sent, Witness};
use crate::world::{Actor, Happening, MILLISECOND, SECOND, Time, World, show};

/// The settings of a server that its clients depend on.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    pub server: usize,
    pub max_line: usize,
    pub line_timeout: Time,
    pub connections_max: usize,
    /// The time without a byte after which a connection is closed; 0: never.
    pub close_after: Time,
}

pub struct Client {
    pub number: usize,
    pub server: usize,
    pub connection: usize,
    wire: Wire,
    /// Its end is not announced by close_notify, so that a line that has begun is no command.
    pub truncates: bool,
    /// Its end is announced by close_notify alone: the socket is not shut down.
    pub keeps_socket: bool,
    /// The end of its output waits for room.
    is_ending: bool,
    /// It has shown no certificate, so that a refusal must not describe the herd.
    pub learns_nothing: bool,
    script: VecDeque<Act>,
    outgoing: VecDeque<u8>,
    lines: Lines,
    pending: VecDeque<PendingReply>,
    received: Vec<u8>,
    /// Bytes of `received` without the end of a reply.
    searched: usize,
    reading: Reading,
    witness: Witness,
    wait_until: Time,
    /// The server may end the connection before it has sent all replies.
    pub is_excused: bool,
    begun_at: Time,
    /// When the first byte of a line was sent whose end was not; [`Time::MAX`]: there is none.
    line_since: Time,
    /// The value of `line_since` once the socket has taken all sealed records. Until then the record that ends a line
    /// may be incomplete, and an incomplete record is no input.
    sealed_line_since: Time,
    read_at: Time,
    /// When the last byte was sent or received.
    active_at: Time,
    /// When the last line was sent that the server executes; [`Time::MAX`]: it was not.
    over_since: Time,
    /// Input was sent after that.
    sent_after_end: bool,
    has_half_closed: bool,
    /// It is to end, and its script is over.
    is_finishing: bool,
    /// A reply has arrived. Before that, a full server may close the connection.
    has_reply: bool,
    limits: ServerLimits,
    pub is_gone: bool,
}

/// A command without its reply.
struct PendingReply {
    sent: Sent,
    /// The stream of a FOLLOW.
    stream: Option<Stream>,
    /// The number of lines up to this command.
    line: u64,
}

impl Client {
    pub fn new(world: &mut World, number: usize, limits: ServerLimits, script: VecDeque<Act>) -> Client {
        let host = world.add_host(Some(Actor::Client(number)));
        // Never an error: the host of a client has descriptors enough.
        let connection = world.connect(host, world.address_of(limits.server, false)).unwrap_or(usize::MAX);
        Client {
            number,
            server: limits.server,
            connection,
            wire: Wire::Plain,
            truncates: false,
            keeps_socket: false,
            is_ending: false,
            learns_nothing: false,
            script,
            outgoing: VecDeque::new(),
            lines: Lines::new(limits.max_line),
            pending: VecDeque::new(),
            received: Vec::new(),
            searched: 0,
            reading: Reading::Everything,
            witness: Witness::new(limits.server, connection),
            wait_until: 0,
            is_excused: false,
            begun_at: world.now,
            line_since: Time::MAX,
            sealed_line_since: Time::MAX,
            read_at: world.now,
            active_at: world.now,
            over_since: Time::MAX,
            sent_after_end: false,
            has_half_closed: false,
            is_finishing: false,
            has_reply: false,
            limits,
            is_gone: false,
        }
    }

    /// Speaks over this.
    pub fn over(mut self, wire: Wire) -> Client {
        self.wire = wire;
        self
    }

    /// Ends the script: sends nothing more, receives the pending replies, and closes.
    pub fn finish(&mut self, world: &mut World, oracle: &mut Oracle) {
        if self.is_gone {
            return;
        }
        let connection = &world.connections[self.connection];
        let is_connecting = connection.endpoints[0].progress == Progress::Connecting;
        if connection.faulted || is_connecting || self.wire.is_handshaking() || matches!(self.wire, Wire::Raw)
        {
            self.close(world, oracle);
            return;
        }
        if self.has_endless_stream() && self.has_half_closed {
            // Nothing can end the stream any more.
            return self.close(world, oracle);
        }
        self.excuse_if_too_slow(world.now);
        self.script.clear();
        if self.has_endless_stream() {
            // A telnet command that has begun may take the first LF.
            let end: &[u8] = if self.lines.is_in_telnet_command() { b"\n\n" } else { b"\n" };
            self.script.push_back(Act::Send(end.to_vec()));
        }
        self.script.push_back(Act::HalfClose);
        self.is_finishing = true;
        self.wait_until = 0;
        self.reading = Reading::Everything;
        self.step(world, oracle);
    }

    /// Why it is not gone.
    pub fn complaint(&self) -> String {
        let replies = self.pending.len();
        let first = self.pending.front().map(|first| first.sent.copy.escape_ascii().to_string());
        format!(
            "client {} of server {} still waits for {replies} replies or the end, first for {first:?}",
            self.number, self.server
        )
    }

    /// Continues as far as possible.
    pub fn step(&mut self, world: &mut World, oracle: &mut Oracle) {
        if self.is_gone {
            return;
        }
        match world.connections[self.connection].endpoints[0].progress {
            Progress::Connecting => return,
            Progress::Failed(_) => return self.close(world, oracle),
            Progress::Connected => {}
        }
        self.excuse_if_too_slow(world.now);
        if let Err(error) = self.wire.shake_hands(world, self.connection) {
            return self.ended(world, oracle, &format!("the handshake failed ({error})"));
        }
        if self.wire.is_handshaking() {
            return;
        }
        self.note_flushed();
        self.read(world, oracle);
        self.end_output(world, oracle);
        while !self.is_gone && self.write(world, oracle) && world.now >= self.wait_until {
            let Some(act) = self.script.pop_front() else { break };
            match act {
                Act::Send(bytes) => self.outgoing.extend(bytes),
                Act::Wait(time) => {
                    self.wait_until = world.now + time;
                    world.schedule_in(time, Happening::ClientActs { client: self.number });
                }
                Act::Read(reading) => {
                    self.reading = reading;
                    self.read(world, oracle);
                }
                Act::EndBySilence(silence) => {
                    let commands = self.lines.end_by_silence();
                    self.note_sent_after(world, oracle, commands, silence);
                    self.sealed_line_since = Time::MAX;
                    self.note_flushed();
                }
                Act::HalfClose => {
                    self.has_half_closed = true;
                    self.is_ending = true;
                    if self.truncates {
                        self.lines.cut();
                    } else {
                        self.wire.close();
                    }
                    let commands = self.lines.end();
                    self.note_sent(world, oracle, commands);
                    if self.is_finishing && self.has_endless_stream() {
                        // The last line, which was cut off, was a FOLLOW; or a telnet command has not ended.
                        return self.close(world, oracle);
                    }
                    self.end_output(world, oracle);
                }
                Act::Close => self.close(world, oracle),
            }
        }
    }

    /// Half-closes, once everything was sent.
    fn end_output(&mut self, world: &mut World, oracle: &mut Oracle) {
        if self.is_gone || !self.is_ending {
            return;
        }
        match self.wire.flush(world, self.connection) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // The next read returns the end.
            Err(_) => self.is_excused = true,
            Ok(()) => {}
        }
        self.is_ending = false;
        if !self.keeps_socket && world.shut_down_writing(self.connection, Side::Dialler).is_err() {
            self.close(world, oracle);
        }
    }

    /// Sends the pending output. Returns whether all of it was sent.
    fn write(&mut self, world: &mut World, oracle: &mut Oracle) -> bool {
        while !self.outgoing.is_empty() && !self.has_half_closed {
            match self.wire.write(world, self.connection, self.outgoing.make_contiguous()) {
                Ok(length) => {
                    let sent: Vec<u8> = self.outgoing.drain(..length).collect();
                    self.active_at = world.now;
                    if let Wire::Raw = self.wire {
                        continue;
                    }
                    self.sent_after_end |= self.lines.is_over;
                    let commands = self.lines.push(&sent);
                    self.note_sent(world, oracle, commands);
                    if self.lines.begun() <= sent.len() {
                        self.sealed_line_since = if self.lines.begun() > 0 { world.now } else { Time::MAX };
                    }
                    self.note_flushed();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The next read returns the end, unless this client does not read.
                Err(_) => {
                    self.outgoing.clear();
                    self.is_excused = true;
                }
            }
        }
        true
    }

    /// Notes which line has begun, once the socket has taken everything.
    fn note_flushed(&mut self) {
        if !self.wire.has_unsent() {
            self.line_since = self.sealed_line_since;
        }
    }

    /// Notes the replies that are pending after these commands were sent.
    fn note_sent(&mut self, world: &mut World, oracle: &mut Oracle, commands: Vec<Command>) {
        self.note_sent_after(world, oracle, commands, 0);
    }

    fn note_sent_after(
        &mut self,
        world: &mut World,
        oracle: &mut Oracle,
        commands: Vec<Command>,
        silence: Time,
    ) {
        if self.lines.is_over {
            self.over_since = self.over_since.min(world.now);
        }
        for command in commands {
            let line = self.lines.numbers.pop_front().unwrap_or_default();
            let (meaning, copy) = match command {
                Command::TooLong(copy) => (Meaning::Invalid, copy),
                Command::Telnet(refusal) => (Meaning::Telnet, refusal.to_vec()),
                Command::Line(meaning, line) => (meaning, trimmed(&line)),
            };
            let stream = match &meaning {
                Meaning::Follow { whom, text, from } => {
                    let marked = from.as_ref().and_then(|(epoch, sequence)| {
                        let all = oracle.marked(self.server, text);
                        all.iter().find(|one| (&one.epoch, one.sequence) == (epoch, *sequence)).cloned()
                    });
                    Some(Stream::new(whom.clone(), marked))
                }
                _ => None,
            };
            let sent = self.witness.sent(world, oracle, (meaning, copy), silence);
            self.pending.push_back(PendingReply { sent, stream, line });
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
            match self.wire.read(world, self.connection, &mut buffer[..most]) {
                Ok(0) => self.ended(world, oracle, "the connection ended"),
                Ok(length) => {
                    self.active_at = world.now;
                    if let Wire::Raw = self.wire {
                        continue;
                    }
                    self.received.extend_from_slice(&buffer[..length]);
                    self.check_replies(world, oracle);
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
        let was_not_awaited =
            self.sent_after_end && world.now > self.over_since.saturating_add(END_AWAITED_MAX);
        let connection = &world.connections[self.connection];
        let was_full = !self.has_reply && connection.others >= self.limits.connections_max;
        let is_excused = self.is_excused || was_not_awaited || was_full || connection.faulted;
        let is_complete = self.pending.is_empty() && self.received.is_empty();
        let latency = world.connections[self.connection].latency;
        let was_silent = self.limits.close_after > 0
            && is_complete
            && world.now + latency >= self.active_at + self.limits.close_after;
        // A handshake may take too long, or have to make room for others.
        let is_unfinished = self.wire.is_handshaking();
        let was_slow = is_unfinished && world.now > self.begun_at.saturating_add(HANDSHAKE_MIN);
        let made_room = is_unfinished && world.has_many_handshakes(self.server);
        let is_excused = is_excused || was_silent || was_slow || made_room || matches!(self.wire, Wire::Raw);
        if !is_excused
            && !is_unfinished
            && is_complete
            && self.lines.is_over
            && self.wire.lacks_close_notify()
        {
            let number = self.number;
            world.violate(|| format!("client {number}: {how} without close_notify"));
        }
        if !is_excused && (!is_complete || !self.lines.is_over) {
            let first = self.pending.front().map(|first| first.sent.copy.escape_ascii().to_string());
            let received = self.received.escape_ascii().to_string();
            let (number, pending) = (self.number, self.pending.len());
            let active_at = show(self.active_at);
            world.violate(|| {
                format!(
                    "client {number}, active until {active_at}: {how}, {pending} replies are pending, the first to \
                     {first:?}; it has '{received}'"
                )
            });
        }
        self.close(world, oracle);
    }

    pub fn close(&mut self, world: &mut World, oracle: &mut Oracle) {
        self.is_gone = true;
        // The end of input ends the last line.
        let commands = self.lines.end();
        self.note_sent(world, oracle, commands);
        self.outgoing = VecDeque::new();
        world.close(self.connection, Side::Dialler);
    }

    /// Notes whether a time limit of the server may have passed.
    fn excuse_if_too_slow(&mut self, now: Time) {
        let is_late = |since: Time, most: Time| since < now && now - since > most;
        self.is_excused |= is_late(self.line_since, self.limits.line_timeout.saturating_sub(SECOND));
        let reads_all = self.reading == Reading::Everything;
        self.is_excused |= !reads_all && is_late(self.read_at, STALLED_MAX);
        self.is_excused |= !reads_all && self.lines.is_over && !self.has_half_closed;
    }

    fn check_replies(&mut self, world: &mut World, oracle: &mut Oracle) {
        while !self.received.is_empty() {
            let Some(first) = self.pending.front() else {
                // A HELLO that is not complete within 2 s is refused.
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
                return world.violate(|| {
                    format!("client {} received '{received}', and no reply was pending", self.number)
                });
            };
            let answers_question = match first.sent.meaning {
                Meaning::WhatsAt { .. } => self.received[0] == b'A',
                Meaning::Near { .. } => self.received[0].is_ascii_digit(),
                _ => false,
            };
            let end: &[u8] = if answers_question { b"\n\n" } else { b"\n" };
            // The end may have begun with the last byte that was searched.
            let from = self.searched.saturating_sub(end.len() - 1);
            let found = match first.sent.meaning {
                // The answer of telnet has three bytes and no end.
                Meaning::Telnet => (self.received.len() >= 3).then_some(3 - from - end.len()),
                _ => self.received[from..].windows(end.len()).position(|part| part == end),
            };
            self.searched = self.received.len();
            let Some(found) = found else { return };
            let end = from + found + end.len();
            self.searched = 0;
            self.has_reply = true;
            let reply: Vec<u8> = self.received.drain(..end).collect();
            if !reply.starts_with(b"REFUSED ") {
                world.check_quota(self.connection, self.limits.connections_max);
            }
            if self.pending.front().is_some_and(|first| first.stream.is_some()) && reply[0] != b'?' {
                self.stream_received(world, oracle, &reply);
                continue;
            }
            let Some(first) = self.pending.pop_front() else { return };
            if let Err(why) = self.check_reply(world, oracle, &first.sent, &reply) {
                let (command, reply) = (first.sent.copy.escape_ascii(), reply.escape_ascii());
                let since = show(first.sent.since);
                world.violate(|| {
                    format!(
                        "client {} of server {}: '{reply}' for '{command}' of {since}: {why}",
                        self.number, self.server
                    )
                });
            }
        }
    }

    /// Checks a line of the stream of a FOLLOW.
    fn stream_received(&mut self, world: &mut World, oracle: &mut Oracle, line: &[u8]) {
        let Some(first) = self.pending.front_mut() else { return };
        let Some(stream) = &mut first.stream else { return };
        let incarnation = world.connections[self.connection].incarnation;
        let wall = world.wall(self.server);
        let streamer = Streamer { oracle, server: self.server, incarnation, wall };
        let mut result = stream.receive(line, &streamer);
        let was_stored = Record::parse(line).is_none_or(|record| streamer.has_stored(&record));
        match (&result, &stream.marked, &first.sent.meaning) {
            (Ok(Received::Mark), Some((epoch, sequence)), Meaning::Follow { text, .. }) => {
                let (epoch, sequence, known) = (epoch.clone(), *sequence, stream.knows());
                oracle.note_marked(self.server, text, Marked { epoch, sequence, known });
            }
            (Ok(Received::End), ..) => {
                let is_excused = self.is_excused || world.connections[self.connection].faulted;
                if self.lines.count == first.line && !is_excused {
                    result = Err("no line has ended the stream".into());
                }
                self.pending.pop_front();
            }
            _ => {}
        }
        if !was_stored {
            result = Err("the server has not stored it".into());
        }
        if let Err(why) = result {
            let (line, number, server) = (line.escape_ascii(), self.number, self.server);
            world.violate(|| format!("client {number} of server {server}: '{line}' in a stream: {why}"));
        }
    }

    /// Leaves a stream that goes on because the line that should end it was lost with the end of the connection.
    pub fn leave_stream(&mut self, world: &mut World, oracle: &mut Oracle) {
        let is_cut_off = self.is_excused || self.truncates;
        let has_stream = self.pending.front().is_some_and(|first| first.stream.is_some());
        if !self.is_gone && self.is_finishing && self.has_half_closed && is_cut_off && has_stream {
            self.close(world, oracle);
        }
    }

    /// Whether a stream is pending that no line has ended.
    fn has_endless_stream(&self) -> bool {
        // Answers of telnet wait for its end.
        let last = self.pending.iter().rfind(|reply| reply.sent.meaning != Meaning::Telnet);
        last.is_some_and(|last| last.stream.is_some() && last.line == self.lines.count)
    }

    /// Goes on with an endless stream, if there is one that must work: from now on the client does nothing but read.
    /// Returns whether there is.
    pub fn goes_on_streaming(&mut self, world: &mut World, oracle: &mut Oracle) -> bool {
        let is_excused = self.is_excused || world.connections[self.connection].faulted;
        if self.is_gone || is_excused || !self.has_endless_stream() || !self.outgoing.is_empty() {
            return false;
        }
        self.script.clear();
        self.reading = Reading::Everything;
        self.step(world, oracle);
        !self.is_gone
    }

    /// How the stream differs from what its server knows; `None`: it does not, or nothing can be said.
    pub fn stream_difference(&self, world: &World, oracle: &Oracle) -> Option<String> {
        let first = self.pending.front()?;
        let is_excused = self.is_gone || !self.has_endless_stream() || first.line != self.lines.count;
        let stream = first.stream.as_ref().filter(|_| !is_excused)?;
        let copy = first.sent.copy.escape_ascii().to_string();
        let difference =
            stream
                .difference(oracle.content(self.server), oracle.lifetimes, world.wall(self.server), |_| true);
        let difference = difference.or_else(|| stream.marked.is_none().then(|| "it has no MARK".to_owned()));
        difference.map(|difference| format!("'{copy}' at server {}: {difference}", self.server))
    }

    /// Checks a reply. The error says what is wrong with it.
    fn check_reply(
        &mut self,
        world: &World,
        oracle: &mut Oracle,
        command: &Sent,
        reply: &[u8],
    ) -> Result<(), String> {
        match &command.meaning {
            Meaning::Hello if reply.starts_with(b"REFUSED ") => {
                let tells = TELLING.iter().any(|text| reply.windows(text.len()).any(|part| part == *text));
                if self.learns_nothing && tells { Err("it describes the herd".into()) } else { Ok(()) }
            }
            Meaning::Telnet if reply == command.copy => Ok(()),
            Meaning::Telnet => Err("it is another answer of telnet".into()),
            Meaning::Hello => Err("it should be refused".into()),
            _ => self.witness.check(world, oracle, command, reply),
        }
    }
}

/// The shortest time after which a server may end a handshake.
const HANDSHAKE_MIN: Time = 1500 * MILLISECOND;
/// What only a neighbour may learn from a refusal.
const TELLING: [&[u8]; 2] = [b"another herd", b"has that name"];
/// How long a server awaits the end of a client after the last reply, at least.
const END_AWAITED_MAX: Time = 1500 * MILLISECOND;
/// The longest time without a read after which a server still keeps a connection.
const STALLED_MAX: Time = 20 * SECOND;
/// The time between two reads of a slow client.
const SLOWNESS: Time = 30 * MILLISECOND;
