//! What a client knows about the server of one connection, and the checks of its replies. They are the same for lines and
//! for HTTP, whose responses are translated into the replies to the lines that mean the same.

use std::collections::BTreeMap;

use herd::places::dialect::Dialect;

use crate::near::Near;
use crate::oracle::Oracle;
use crate::rules::{Meaning, Record, coordinates};
use crate::services::{Answer, Asked, key};
use crate::world::{Time, World};

/// A command that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub meaning: Meaning,
    /// The line that the server repeats after `? ` if the command is invalid.
    pub copy: Vec<u8>,
    pub since: Time,
    /// The time without input after which the command is carried out; 0: it has ended.
    pub silence: Time,
    /// The server's record of the client in question when a WHATSAT, NEAR or FORGET was sent.
    pub known: Option<Record>,
}

/// A client of one connection.
pub struct Witness {
    pub server: usize,
    pub connection: usize,
    /// The newest record of each client in the replies of this server.
    seen: BTreeMap<Vec<u8>, Record>,
}

impl Witness {
    pub fn new(server: usize, connection: usize) -> Witness {
        Witness { server, connection, seen: BTreeMap::new() }
    }

    /// Notes that a command was sent, so that the server may carry it out from now on.
    pub fn sent(
        &self,
        world: &World,
        oracle: &mut Oracle,
        (meaning, copy): (Meaning, Vec<u8>),
        silence: Time,
    ) -> Sent {
        let incarnation = world.connections[self.connection].incarnation;
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
        Sent { meaning, copy, since: world.now, silence, known }
    }

    /// Checks the reply to a line. The error says what is wrong with it.
    pub fn check(
        &mut self,
        world: &World,
        oracle: &mut Oracle,
        command: &Sent,
        reply: &[u8],
    ) -> Result<(), String> {
        let refusal = [b"? ", &command.copy[..], b"\n"].concat();
        match &command.meaning {
            Meaning::Invalid | Meaning::Http | Meaning::Blank if reply == refusal => Ok(()),
            Meaning::Follow { .. } => Err("it is no part of a stream".into()),
            Meaning::Invalid | Meaning::Http | Meaning::Blank | Meaning::Hello | Meaning::Telnet => {
                Err("it is wrong".into())
            }
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
                let line_end = reply.iter().position(|&byte| byte == b'\n').ok_or("it has no line")? + 1;
                let (line, json) = reply.split_at(line_end);
                let record = self.check_statement(world, oracle, command, (id, line))?;
                let asked = Asked::about(oracle.dialect, &record.location, radius);
                let asked = asked.ok_or("it has a bad location")?;
                let may_fail = self.places_may_fail(world, oracle, command);
                check_json(json, oracle.dialect, &asked, *bound, may_fail)?;
                self.note_seen(record);
                Ok(())
            }
        }
    }

    /// Whether a question to Places may have failed.
    pub fn places_may_fail(&self, world: &World, oracle: &Oracle, command: &Sent) -> bool {
        oracle.places_may_fail_until >= command.since || world.connections[self.connection].faulted
    }

    /// Checks the AT line about a client that was asked about.
    pub fn check_statement(
        &self,
        world: &World,
        oracle: &Oracle,
        command: &Sent,
        (id, line): (&[u8], &[u8]),
    ) -> Result<Record, String> {
        let floor = self.floor(world, oracle, command, id);
        let record = Record::parse(line).filter(|record| !record.is_gone()).ok_or("it is no AT line")?;
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
        Ok(record)
    }

    /// The newest statement of a client that the server is known to have had when it carried out a command.
    pub fn floor(&self, world: &World, oracle: &Oracle, command: &Sent, id: &[u8]) -> Option<Record> {
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
    pub fn check_unknown(
        &self,
        world: &World,
        oracle: &Oracle,
        command: &Sent,
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
    pub fn check_stored(
        &self,
        world: &World,
        oracle: &Oracle,
        command: &Sent,
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

    /// Notes what the server has sent.
    pub fn note_seen(&mut self, record: Record) {
        if self.seen.get(&record.id).is_none_or(|known| record.beats(known)) {
            self.seen.insert(record.id.clone(), record);
        }
    }
}

/// The clock of a server at a time, where clocks do not jump.
pub fn wall_at(world: &World, server: usize, time: Time) -> u64 {
    (world.wall(server) + time).saturating_sub(world.now)
}

/// Checks an answer of Places. `may_fail`: an error in its place is right, too.
pub fn check_json(
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
pub const READ_APART: u64 = 2_000_000;
/// Times of so many digits are too far in the future for every server.
pub const FUTURE_DIGITS: usize = 11;
