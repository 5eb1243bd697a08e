//! What is known to be true: what each server held in each of its lives, and what clients have said.

use std::collections::{BTreeMap, BTreeSet};

use herd::store::Store;

use crate::rules::Record;
use crate::world::{Time, World};

/// Everything needed to judge.
pub struct Oracle {
    pub ids: Vec<Vec<u8>>,
    pub names: Vec<String>,
    /// For each server, for each of its lives (they are counted from 1), what it held last.
    lives: Vec<Vec<Life>>,
    /// What became of everything that clients said.
    said: BTreeMap<Saying, Said>,
    /// Every line that any server ever stored.
    stored: BTreeSet<Vec<u8>>,
    /// When a client's statement was stored for the first time, last.
    pub last_news: Time,
    /// Until when Places need not answer well.
    pub places_trouble_until: Time,
    pub places_timeout: Time,
}

/// What a client said to which server: id, location, time.
type Saying = (usize, Vec<u8>, Vec<u8>, Vec<u8>);

#[derive(Default)]
struct Life {
    held: BTreeMap<Vec<u8>, Record>,
    sequence: u64,
}

#[derive(Default)]
struct Said {
    /// How often it was sent and not answered.
    unanswered: u32,
    answers: Vec<Vec<u8>>,
}

impl Oracle {
    pub fn new(names: Vec<String>, ids: Vec<Vec<u8>>, places_timeout: Time) -> Oracle {
        let lives = names.iter().map(|_| vec![Life::default()]).collect();
        Oracle {
            ids,
            names,
            lives,
            said: BTreeMap::new(),
            stored: BTreeSet::new(),
            last_news: 0,
            places_trouble_until: 0,
            places_timeout,
        }
    }

    /// A server begins a life.
    pub fn begins(&mut self, server: usize) {
        self.lives[server].push(Life::default());
    }

    /// What a server held last in one of its lives.
    pub fn held(&self, server: usize, life: u32, id: &[u8]) -> Option<&Record> {
        self.lives[server].get(life as usize)?.held.get(id)
    }

    /// What a server holds now.
    pub fn holds(&self, server: usize) -> &BTreeMap<Vec<u8>, Record> {
        &self.lives[server][self.lives[server].len() - 1].held
    }

    /// Something happens that may keep Places from answering well, until then.
    pub fn places_trouble(&mut self, until: Time) {
        let until = until.saturating_add(self.places_timeout + TROUBLE_ECHO);
        self.places_trouble_until = self.places_trouble_until.max(until);
    }

    /// A client has sent this to a server.
    pub fn note_said(&mut self, server: usize, id: &[u8], location: &[u8], time_text: &[u8]) {
        let key = (server, id.to_vec(), location.to_vec(), time_text.to_vec());
        self.said.entry(key).or_default().unanswered += 1;
    }

    /// A client got this for it.
    pub fn note_answer(&mut self, server: usize, record: &Record) {
        if let Some(said) = self.said.get_mut(&key(server, record)) {
            said.unanswered = said.unanswered.saturating_sub(1);
            said.answers.push(record.line.clone());
        }
    }

    /// A client got a refusal for it: its time is too far ahead.
    pub fn note_refusal(&mut self, server: usize, id: &[u8], location: &[u8], time_text: &[u8]) {
        let key = (server, id.to_vec(), location.to_vec(), time_text.to_vec());
        if let Some(said) = self.said.get_mut(&key) {
            said.unanswered = said.unanswered.saturating_sub(1);
        }
    }

    /// Whether a server made this line, as far as anybody can know.
    fn is_genuine(&self, record: &Record) -> bool {
        let Some(server) = self.names.iter().position(|name| name.as_bytes() == record.server) else {
            return false;
        };
        self.said
            .get(&key(server, record))
            .is_some_and(|said| said.unanswered > 0 || said.answers.contains(&record.line))
    }

    /// Looks at a server's store after a turn: nothing in it may have gone back.
    pub fn observe(&mut self, world: &mut World, server: usize, store: &Store) {
        let life = self.lives[server].len() - 1;
        if self.lives[server][life].sequence == store.sequence() {
            return;
        }
        self.lives[server][life].sequence = store.sequence();
        for index in 0..self.ids.len() {
            let id = &self.ids[index];
            let known = self.lives[server][life].held.get(id);
            let line = store.get(id);
            if known.map(|known| &known.line[..]) == line {
                continue;
            }
            let Some(record) = line.and_then(Record::parse) else {
                let shown = line.unwrap_or(b"nothing").escape_ascii().to_string();
                return world.violate(|| format!("server {server} holds '{shown}' of {}", id.escape_ascii()));
            };
            if known.is_some_and(|known| !record.beats(known)) {
                let known = known.map(|known| known.line.escape_ascii().to_string()).unwrap_or_default();
                let shown = record.line.escape_ascii().to_string();
                return world
                    .violate(|| format!("server {server} replaced '{known}' by the loser '{shown}'"));
            }
            if !self.is_genuine(&record) || record.id != *id {
                let shown = record.line.escape_ascii().to_string();
                return world.violate(|| format!("server {server} holds '{shown}', which nobody said"));
            }
            if self.stored.insert(record.line.clone()) {
                self.last_news = world.now;
            }
            self.lives[server][life].held.insert(record.id.clone(), record);
        }
        if store.len() != self.lives[server][life].held.len() {
            world.violate(|| format!("server {server} knows clients that there are not"));
        }
    }

    /// The winners of what these servers hold.
    pub fn winners(&self, servers: impl Iterator<Item = usize>) -> BTreeMap<Vec<u8>, Record> {
        let mut winners: BTreeMap<Vec<u8>, Record> = BTreeMap::new();
        for server in servers {
            for (id, record) in self.holds(server) {
                if winners.get(id).is_none_or(|known| record.beats(known)) {
                    winners.insert(id.clone(), record.clone());
                }
            }
        }
        winners
    }

    /// Why the servers do not agree on something that is at least as new as `least`, if they do not.
    pub fn disagreement(&self, least: &BTreeMap<Vec<u8>, Record>) -> Option<String> {
        for server in 0..self.lives.len() {
            let (first, held) = (self.holds(0), self.holds(server));
            for id in &self.ids {
                let show = |record: Option<&Record>| {
                    record.map_or("nothing".to_owned(), |record| record.line.escape_ascii().to_string())
                };
                let (one, other) = (first.get(id), held.get(id));
                if one != other {
                    let (one, other) = (show(one), show(other));
                    return Some(format!("server 0 holds '{one}', server {server} '{other}'"));
                }
                if let Some(least) = least.get(id)
                    && other.is_none_or(|held| least.beats(held))
                {
                    let (lost, held) = (show(Some(least)), show(other));
                    return Some(format!("'{lost}' is lost, server {server} holds '{held}'"));
                }
            }
        }
        None
    }

    /// Looks once more at everything that is held, now that all answers have come.
    pub fn forgery(&self) -> Option<String> {
        let held = (0..self.lives.len()).flat_map(|server| self.holds(server).values());
        let forged = held.into_iter().find(|record| !self.is_genuine(record))?;
        Some(format!("'{}' is held, but its client was told something else", forged.line.escape_ascii()))
    }
}

fn key(server: usize, record: &Record) -> Saying {
    (server, record.id.clone(), record.location.clone(), record.time_text.clone())
}

/// How long questions may still fail after a trouble, beyond their own time: what was lost is sent again.
const TROUBLE_ECHO: Time = 2 * crate::world::SECOND;
