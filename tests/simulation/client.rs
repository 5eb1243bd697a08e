//! A client: it follows its script, and checks the replies.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use herd::places::dialect::Dialect;

use crate::connection::{Progress, Side};
use crate::followers::{Marked, Received, Stream, Streamer};
use crate::near::Near;
use crate::oracle::Oracle;
use crate::rules::{Command, Lines, Meaning, Record, coordinates, trimmed};
use crate::scripts::{Act, Reading};
use crate::services::{Answer, Asked, key};
use crate::wire::Wire;
use crate::world::{Happening, MILLISECOND, SECOND, Time, World, show};

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
    /// The newest record of each client in the replies of this server.
    seen: BTreeMap<Vec<u8>, Record>,
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
    meaning: Meaning,
    /// The line that the server repeats after `? ` if the command is invalid.
    copy: Vec<u8>,
    since: Time,
    /// The time without input after which the command is carried out; 0: it has ended.
    silence: Time,
    /// The server's record of the client in question when a WHATSAT, NEAR or FORGET was sent.
    known: Option<Record>,
    /// The stream of a FOLLOW.
    stream: Option<Stream>,
    /// The number of lines up to this command.
    line: u64,
}

impl Client {
    pub fn new(world: &mut World, number: usize, limits: ServerLimits, script: VecDeque<Act>) -> Client {
        let host = world.add_host();
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
            seen: BTreeMap::new(),
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
        let first = self.pending.front().map(|first| first.copy.escape_ascii().to_string());
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
        let incarnation = world.connections[self.connection].incarnation;
        for command in commands {
            let line = self.lines.numbers.pop_front().unwrap_or_default();
            let (meaning, copy) = match command {
                Command::TooLong(copy) => (Meaning::Invalid, copy),
                Command::Telnet(refusal) => (Meaning::Telnet, refusal.to_vec()),
                Command::Line(meaning, line) => (meaning, trimmed(&line)),
            };
            let known = match &meaning {
                Meaning::IamAt { id, location, time_text } => {
                    oracle.note_sent(self.server, id, location, time_text);
                    None
                }
                Meaning::WhatsAt { id, .. } | Meaning::Near { centre: id, .. } => {
                    oracle.record(self.server, incarnation, id).cloned()
                }
                Meaning::Forget { id } => {
                    oracle.note_forget_sent(self.server, id);
                    oracle.record(self.server, incarnation, id).cloned()
                }
                _ => None,
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
            let since = world.now;
            self.pending.push_back(PendingReply { meaning, copy, since, silence, known, stream, line });
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
            let first = self.pending.front().map(|first| first.copy.escape_ascii().to_string());
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
            let answers_question = match first.meaning {
                Meaning::WhatsAt { .. } => self.received[0] == b'A',
                Meaning::Near { .. } => self.received[0].is_ascii_digit(),
                _ => false,
            };
            let end: &[u8] = if answers_question { b"\n\n" } else { b"\n" };
            // The end may have begun with the last byte that was searched.
            let from = self.searched.saturating_sub(end.len() - 1);
            let found = match first.meaning {
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
            if let Err(why) = self.check_reply(world, oracle, &first, &reply) {
                let (command, reply) = (first.copy.escape_ascii(), reply.escape_ascii());
                let since = show(first.since);
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
        match (&result, &stream.marked, &first.meaning) {
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
        let is_stored = |record: &Record| {
            if oracle.lifetimes.are_short() {
                return oracle.has_had(self.server, incarnation, record, 0);
            }
            oracle.best(self.server, incarnation, &record.id).is_some_and(|best| !record.beats(best))
        };
        if Record::parse(line).is_some_and(|record| !is_stored(&record)) {
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
        let last = self.pending.iter().rfind(|reply| reply.meaning != Meaning::Telnet);
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
        let copy = first.copy.escape_ascii().to_string();
        let difference =
            stream.difference(oracle.content(self.server), oracle.lifetimes, world.wall(self.server));
        let difference = difference.or_else(|| stream.marked.is_none().then(|| "it has no MARK".to_owned()));
        difference.map(|difference| format!("'{copy}' at server {}: {difference}", self.server))
    }

    /// Checks a reply. The error says what is wrong with it.
    fn check_reply(
        &mut self,
        world: &World,
        oracle: &mut Oracle,
        command: &PendingReply,
        reply: &[u8],
    ) -> Result<(), String> {
        let refusal = [b"? ", &command.copy[..], b"\n"].concat();
        match &command.meaning {
            Meaning::Hello if reply.starts_with(b"REFUSED ") => {
                let tells = TELLING.iter().any(|text| reply.windows(text.len()).any(|part| part == *text));
                if self.learns_nothing && tells { Err("it describes the herd".into()) } else { Ok(()) }
            }
            Meaning::Telnet if reply == command.copy => Ok(()),
            Meaning::Telnet => Err("it is another answer of telnet".into()),
            Meaning::Hello => Err("it should be refused".into()),
            Meaning::Follow { .. } => Err("it is no part of a stream".into()),
            Meaning::Invalid | Meaning::Http | Meaning::Blank if reply == refusal => Ok(()),
            Meaning::Invalid | Meaning::Http | Meaning::Blank => Err("it is wrong".into()),
            Meaning::IamAt { id, location, time_text } => {
                let is_of_the_future = time_text.len() >= FUTURE_DIGITS && !time_text.contains(&b'.');
                if is_of_the_future {
                    oracle.note_refusal(self.server, id, location, time_text);
                    return if reply == refusal { Ok(()) } else { Err("its time is too far ahead".into()) };
                }
                if reply == refusal && oracle.may_refuse(self.server, command.since) {
                    // It may be stored all the same.
                    oracle.promises_of(self.server).iter_mut().for_each(|promises| promises.refused += 1);
                    return Ok(());
                }
                let record = Record::parse(reply).ok_or("it is no AT line")?;
                let own = [&record.id, &record.location, &record.time_text] == [id, location, time_text];
                if !own || record.server != oracle.names[self.server].as_bytes() {
                    return Err("it is about something else".into());
                }
                let until = world.now.saturating_sub(command.silence);
                if !world.could_show(self.server, record.received, command.since, until) {
                    return Err("the server's clock never showed that".into());
                }
                if record.is_gone() {
                    return Err("it is no AT line".into());
                }
                let incarnation = world.connections[self.connection].incarnation;
                oracle.note_reply(self.server, &record);
                oracle.note_answered(self.server, incarnation, world.now, &record);
                self.check_stored(world, oracle, command, &record)?;
                self.note_seen(record);
                Ok(())
            }
            Meaning::Forget { id } => {
                if reply == refusal && oracle.may_refuse(self.server, command.since) {
                    return Ok(());
                }
                if reply == refusal {
                    oracle.note_forget_reply(self.server, id, None);
                    return self.check_unknown(world, oracle, command, id);
                }
                let record = Record::parse(reply).filter(Record::is_gone).ok_or("it is no GONE line")?;
                if record.id != *id || record.server != oracle.names[self.server].as_bytes() {
                    return Err("it is about something else".into());
                }
                let incarnation = world.connections[self.connection].incarnation;
                oracle.note_forget_reply(self.server, id, Some(&record));
                oracle.note_answered(self.server, incarnation, world.now, &record);
                let floor = self.floor(world, oracle, command, id);
                if floor.as_ref().is_some_and(|floor| floor.beats(&record)) {
                    return Err("it loses against what it replaces".into());
                }
                if floor.is_some_and(|floor| floor.is_gone())
                    && !oracle.has_changed(self.server, incarnation, id, command.since)
                {
                    return Err("that client was forgotten before".into());
                }
                let until = world.now.saturating_sub(command.silence);
                if !world.could_show(self.server, record.received, command.since, until) {
                    return Err("the server's clock never showed that".into());
                }
                if record.time < record.received {
                    return Err("its time is before that of receipt".into());
                }
                self.check_stored(world, oracle, command, &record)?;
                self.note_seen(record);
                Ok(())
            }
            Meaning::Near { centre, radius, bound } => {
                let near = Near {
                    oracle,
                    server: self.server,
                    incarnation: world.connections[self.connection].incarnation,
                    since: command.since,
                    centre,
                    radius,
                    bound: *bound,
                    wall: world.wall(self.server) + READ_APART,
                };
                if reply == refusal {
                    return match coordinates(centre) {
                        Some(_) => Err("its centre is a location".into()),
                        None => self.check_unknown(world, oracle, command, centre),
                    };
                }
                for record in near.check(reply)? {
                    self.check_stored(world, oracle, command, &record)?;
                    self.note_seen(record);
                }
                Ok(())
            }
            Meaning::WhatsAt { id, radius, bound } => {
                if reply == refusal {
                    return self.check_unknown(world, oracle, command, id);
                }
                let floor = self.floor(world, oracle, command, id);
                let line_end = reply.iter().position(|&byte| byte == b'\n').ok_or("it has no line")? + 1;
                let (line, json) = reply.split_at(line_end);
                let record =
                    Record::parse(line).filter(|record| !record.is_gone()).ok_or("it is no AT line")?;
                if record.id != *id {
                    return Err("it is about another client".into());
                }
                if record.is_over(oracle.lifetimes, wall_at(world, self.server, command.since)) {
                    return Err("that statement has expired".into());
                }
                if floor.is_some_and(|floor| floor.beats(&record)) {
                    return Err("the server had a newer statement".into());
                }
                self.check_stored(world, oracle, command, &record)?;
                let asked = Asked::about(oracle.dialect, &record.location, radius);
                let asked = asked.ok_or("it has a bad location")?;
                let may_fail = oracle.places_may_fail_until >= command.since
                    || world.connections[self.connection].faulted;
                check_json(json, oracle.dialect, &asked, *bound, may_fail)?;
                self.note_seen(record);
                Ok(())
            }
        }
    }

    /// The newest statement of a client that the server is known to have had when it carried out a command.
    fn floor(&self, world: &World, oracle: &Oracle, command: &PendingReply, id: &[u8]) -> Option<Record> {
        if oracle.lifetimes.are_short() {
            // What it had may be over, and older statements may have been stored since.
            let incarnation = world.connections[self.connection].incarnation;
            let wall = world.wall(self.server) + READ_APART;
            let may_differ = oracle.has_changed(self.server, incarnation, id, command.since);
            let known = command.known.as_ref().filter(|known| !known.is_over(oracle.lifetimes, wall));
            return known.filter(|_| !may_differ).cloned();
        }
        let floor = [command.known.as_ref(), self.seen.get(id)].into_iter().flatten();
        floor.reduce(|one, other| if other.beats(one) { other } else { one }).cloned()
    }

    /// Checks that the server may not have known a client when it carried out a command.
    fn check_unknown(
        &self,
        world: &World,
        oracle: &Oracle,
        command: &PendingReply,
        id: &[u8],
    ) -> Result<(), String> {
        let incarnation = world.connections[self.connection].incarnation;
        let is_known = self.floor(world, oracle, command, id).is_some_and(|floor| !floor.is_gone());
        // A GONE and a newer AT in one turn are seen as one change.
        let may_be_forgotten =
            oracle.may_be_forgotten(id) && oracle.has_changed(self.server, incarnation, id, command.since);
        if is_known && !may_be_forgotten { Err("that client is known".into()) } else { Ok(()) }
    }

    /// Checks that the server has stored a record that it has sent, or a newer one.
    fn check_stored(
        &self,
        world: &World,
        oracle: &Oracle,
        command: &PendingReply,
        record: &Record,
    ) -> Result<(), String> {
        let incarnation = world.connections[self.connection].incarnation;
        let stored =
            oracle.best(self.server, incarnation, &record.id).ok_or("the server has not stored it")?;
        let wall = wall_at(world, self.server, command.since);
        if stored.is_over(oracle.lifetimes, wall)
            && !oracle.has_had(self.server, incarnation, record, wall)
            && !record.is_over(oracle.lifetimes, world.wall(self.server) + READ_APART)
        {
            return Err("the server has not stored it, although the newer one is over".into());
        }
        if record.beats(stored) {
            return Err(format!("the server has stored only '{}'", stored.line.escape_ascii()));
        }
        let is_same = record.server == stored.server
            && record.received == stored.received
            && (&record.location, &record.time_text) == (&stored.location, &stored.time_text);
        if is_same && record.line != stored.line {
            return Err(format!("the server has stored '{}'", stored.line.escape_ascii()));
        }
        Ok(())
    }

    fn note_seen(&mut self, record: Record) {
        if self.seen.get(&record.id).is_none_or(|known| record.beats(known)) {
            self.seen.insert(record.id.clone(), record);
        }
    }
}

/// The clock of a server at a time, where clocks do not jump.
fn wall_at(world: &World, server: usize, time: Time) -> u64 {
    (world.wall(server) + time).saturating_sub(world.now)
}

/// Checks an answer of Places. `may_fail`: an error in its place is right, too.
fn check_json(
    json: &[u8],
    dialect: Dialect,
    asked: &Asked,
    bound: usize,
    may_fail: bool,
) -> Result<(), String> {
    let json = json.strip_suffix(b"\n\n").ok_or("it does not end with two line ends")?;
    let is_error = |status: &str| {
        let start = format!(r#"{{"html_attributions":[],"results":[],"status":"{status}","error_message":""#);
        json.starts_with(start.as_bytes()) && json.ends_with(b"\"}") && json.len() > start.len() + 2
    };
    let has_failed = is_error("UNKNOWN_ERROR");
    let is_refused = is_error("INVALID_REQUEST");
    let key = key(dialect);
    if (has_failed || is_refused) && json.windows(key.len()).any(|part| part == key.as_bytes()) {
        return Err("it shows the key".into());
    }
    let is_right = match asked.is_a_point() && dialect != Dialect::GoogleLegacy {
        true => is_refused,
        false => Answer::to(dialect, asked).cut(bound) == json,
    };
    match is_right || may_fail && has_failed {
        true => Ok(()),
        false if has_failed => Err("Places worked".into()),
        false => Err("it is not the answer of Places".into()),
    }
}

/// How far a clock may be ahead within a turn, in ns.
const READ_APART: u64 = 2_000_000;
/// The shortest time after which a server may end a handshake.
const HANDSHAKE_MIN: Time = 1500 * MILLISECOND;
/// What only a neighbour may learn from a refusal.
const TELLING: [&[u8]; 2] = [b"another herd", b"has that name"];
/// Times of so many digits are too far in the future for every server.
const FUTURE_DIGITS: usize = 11;
/// How long a server awaits the end of a client after the last reply, at least.
const END_AWAITED_MAX: Time = 1500 * MILLISECOND;
/// The longest time without a read after which a server still keeps a connection.
const STALLED_MAX: Time = 20 * SECOND;
/// The time between two reads of a slow client.
const SLOWNESS: Time = 30 * MILLISECOND;
