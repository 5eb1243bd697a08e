//! The logs of servers, in seeds that have them (docs/protocol.md, sections 1 and 2): each refusal has its
//! event, at most ten in a second, and the others are counted; an IAMAT that loses by its time has one once;
//! statements that flow one way have one until the link is up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::rules::time_ns;
use crate::world::SECOND;

/// The log of one incarnation of a server, as far as it was read.
#[derive(Default)]
pub struct LogReader {
    /// The times of the refusals that were logged last, in microseconds.
    refusals: VecDeque<u64>,
    /// The number of refusals since then that were not logged.
    not_logged: u64,
    /// The event that the next line must be.
    expected: Expected,
    /// The greatest time of a statement of each client, by its escaped ID, and whether a GONE has it.
    newest: BTreeMap<String, (i128, bool)>,
    /// The clients whose older statement was logged.
    older: BTreeSet<String>,
    /// The neighbours that were reported as reached in one direction only, since their links were up.
    pub one_way: BTreeSet<String>,
    /// The server may be full: the connections that it closes count against the same limit.
    may_be_full: bool,
}

#[derive(Default, PartialEq)]
enum Expected {
    #[default]
    Nothing,
    /// The refusal of this time, or the number of those before it that were not logged.
    Refusal(u64),
    /// A refusal, after that number.
    RefusalOnly,
    /// The older statement of this client.
    Older(String),
}

impl LogReader {
    pub fn new(connections_max: usize) -> LogReader {
        LogReader { may_be_full: connections_max < FULL_MAX, ..LogReader::default() }
    }

    /// Reads further lines. The error is the line that is wrong, and why.
    pub fn read(&mut self, lines: &[u8]) -> Result<(), String> {
        for line in String::from_utf8_lossy(lines).lines() {
            let (stamp, event) = line.split_at_checked(TIME_LENGTH).ok_or("a line without a time")?;
            let at = microseconds(stamp).ok_or_else(|| format!("'{line}': its time"))?;
            self.line(at, event).map_err(|why| format!("'{line}': {why}"))?;
        }
        Ok(())
    }

    fn line(&mut self, at: u64, event: &str) -> Result<(), String> {
        let is_refusal = event.starts_with('\'') && event.contains(") is refused: ");
        let count = event.strip_suffix(" refusals before this one were not logged");
        match std::mem::take(&mut self.expected) {
            Expected::Nothing if is_refusal || count.is_some() => return Err("no command was refused".into()),
            Expected::RefusalOnly if !is_refusal => return Err("expected a refusal".into()),
            Expected::Older(id) if !event.starts_with(&older_event(&id)) => {
                return Err(format!("expected the event of an older statement of '{id}'"));
            }
            Expected::Older(id) => {
                self.older.insert(id);
                return Ok(());
            }
            Expected::Refusal(at) if !is_refusal && count.is_none() => self.refusal_not_logged(at)?,
            _ => {}
        }
        if let Some(count) = count {
            if !self.may_be_full && count.parse() != Ok(self.not_logged) {
                return Err(format!("{} refusals were not logged", self.not_logged));
            }
            self.not_logged = 0;
            self.expected = Expected::RefusalOnly;
        } else if is_refusal {
            self.refusal_logged(at)?;
        } else if event.starts_with("An IAMAT of '") {
            return Err("the statement is not older, or was logged before".into());
        } else if let Some(reply) = event.split_once(" sent to client '").map(|(_, reply)| reply) {
            self.replied(at, reply.trim_end_matches('\''));
        } else if let Some((_, line)) = event.split_once(" received '")
            && (line.starts_with("AT ") || line.starts_with("GONE "))
        {
            self.newest_of(line.split('\'').next().unwrap_or_default());
        } else if let Some(rest) = event.strip_prefix("New connection to server ") {
            self.one_way.remove(rest.split(' ').next().unwrap_or_default());
        } else if let Some(rest) = event.strip_prefix("Statements flow from server ") {
            let name = rest.split(' ').next().unwrap_or_default();
            if !self.one_way.insert(name.to_owned()) {
                return Err("it was logged before".into());
            }
        }
        Ok(())
    }

    fn refusal_logged(&mut self, at: u64) -> Result<(), String> {
        if !self.may_be_full && self.not_logged > 0 {
            return Err(format!("{} refusals before it were not logged", self.not_logged));
        }
        self.refusals.push_back(at);
        // The limit counts whole seconds, each from its first refusal on.
        if self.refusals.len() > 2 * EVENTS_MAX {
            let first = self.refusals.pop_front().unwrap_or_default();
            if at < first + SECOND_US - TURN_MAX_US {
                return Err("too many refusals in a second".into());
            }
        }
        Ok(())
    }

    fn refusal_not_logged(&mut self, at: u64) -> Result<(), String> {
        self.not_logged += 1;
        let tenth = self.refusals.len().checked_sub(EVENTS_MAX).map(|index| self.refusals[index]);
        if !self.may_be_full && tenth.is_none_or(|tenth| tenth + SECOND_US + TURN_MAX_US < at) {
            return Err("the refusal before it was not logged".into());
        }
        Ok(())
    }

    /// A reply was sent to a client.
    fn replied(&mut self, at: u64, reply: &str) {
        if reply.starts_with("? ") {
            self.expected = Expected::Refusal(at);
        } else if !reply.contains("\\x0a")
            // The answer to a WHATSAT has further lines.
            && let Some((id, is_older)) = self.newest_of(reply)
            && is_older
            && !self.older.contains(&id)
        {
            self.expected = Expected::Older(id);
        }
    }

    /// Notes the time of a statement. Returns its ID, and whether it is an AT that is older than a statement before it,
    /// or not later than a GONE.
    fn newest_of(&mut self, line: &str) -> Option<(String, bool)> {
        let (id, time, is_gone) = match line.split(' ').collect::<Vec<_>>()[..] {
            ["AT", _, _, id, _, time] => (id, time, false),
            ["GONE", _, _, id, time] => (id, time, true),
            _ => return None,
        };
        let time = time_ns(time.as_bytes())?;
        let newest = self.newest.entry(id.to_owned()).or_insert((time, is_gone));
        let is_older = !is_gone && (time < newest.0 || *newest == (time, true));
        *newest = (*newest).max((time, is_gone));
        Some((id.to_owned(), is_older))
    }
}

fn older_event(id: &str) -> String {
    format!("An IAMAT of '{id}' from (")
}

/// The microseconds since midnight of the time of a line. No simulation lasts until midnight.
fn microseconds(stamp: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| stamp.get(range)?.parse::<u64>().ok();
    let seconds = (number(11..13)? * 60 + number(14..16)?) * 60 + number(17..19)?;
    Some(seconds * SECOND_US + number(20..26)?)
}

/// Bytes of the time of a line, with the space after it.
const TIME_LENGTH: usize = 27;
const SECOND_US: u64 = SECOND / 1000;
/// How far the clock of a line may be ahead of that of the limit: a wall clock advances during a turn.
const TURN_MAX_US: u64 = 2000;
/// A server with fewer places may be full.
const FULL_MAX: usize = 1000;
/// Refusals that are logged in a second.
const EVENTS_MAX: usize = 10;
