//! The facts against which a simulation is judged: the content of each incarnation of each server, and the
//! IAMATs and FORGETs that clients have sent.

use std::collections::{BTreeMap, BTreeSet};

use herd::conversation::Server;
use herd::places::dialect::Dialect;
use herd::store::Store;

use crate::followers::Marked;
use crate::long_lines::{Group, LONG_IDS};
use crate::promises::Promises;
use crate::rules::{Lifetimes, Record};
use crate::world::{SECOND, Time, World};

pub struct Oracle {
    /// The IDs whose statements all servers store.
    pub ids: Vec<Vec<u8>>,
    /// The IDs of long statements, and the groups of servers that agree on them.
    long_ids: Vec<Vec<u8>>,
    groups: Vec<Group>,
    pub names: Vec<String>,
    /// For each server, its incarnations, which are counted from 1.
    incarnations: Vec<Vec<Incarnation>>,
    iamats: BTreeMap<IamAt, Replies>,
    /// The FORGETs: the server that they were sent to, the ID.
    forgets: BTreeMap<(usize, Vec<u8>), Replies>,
    /// How long statements count.
    pub lifetimes: Lifetimes,
    /// The clocks of the servers, as they were noted last.
    walls: Vec<u64>,
    /// Every line that a server has stored.
    ever_stored: BTreeSet<Vec<u8>>,
    /// When a server last stored a line that none had stored before.
    pub last_new_at: Time,
    /// For each server and each FOLLOW, the positions that clients have received.
    marked: BTreeMap<(usize, Vec<u8>), Vec<Marked>>,
    /// Until then questions to Places may fail.
    pub places_may_fail_until: Time,
    /// The service that Places is.
    pub dialect: Dialect,
    pub places_timeout: Time,
    /// What the store of each server must have; `None`: it has none.
    pub promises: Vec<Option<Promises>>,
    /// For each server, when it last read its store from the disk.
    reading_until: Vec<Option<Time>>,
    /// For each server, the incarnation and the change when it last knew that everything was on the disk.
    on_disk: Vec<(u32, u64)>,
}

/// An IAMAT: the server that it was sent to, the id, the location, the time.
type IamAt = (usize, Vec<u8>, Vec<u8>, Vec<u8>);

#[derive(Default)]
struct Incarnation {
    /// The last known content of the store.
    content: BTreeMap<Vec<u8>, Record>,
    /// All records that it had, each with the time from which it had it.
    history: BTreeMap<Vec<u8>, Vec<(Time, Record)>>,
    sequence: u64,
    /// The store was being read from the disk: records come without another sequence number.
    was_reading: bool,
    /// The winner of all records of each client that the store had.
    best: BTreeMap<Vec<u8>, Record>,
    /// When the record of each client last changed.
    changed_at: BTreeMap<Vec<u8>, Time>,
    /// All records of each client that the store had, where statements end.
    all: BTreeMap<Vec<u8>, Vec<Record>>,
}

/// The replies to equal IAMATs.
#[derive(Default)]
struct Replies {
    /// The number of IAMATs that were not answered.
    pending: u32,
    lines: Vec<Vec<u8>>,
}

impl Oracle {
    pub fn new(names: Vec<String>, ids: Vec<Vec<u8>>, dialect: Dialect, places_timeout: Time) -> Oracle {
        let reading_until = vec![None; names.len()];
        let incarnations = names.iter().map(|_| vec![Incarnation::default()]).collect();
        Oracle {
            ids,
            long_ids: Vec::new(),
            groups: Vec::new(),
            names,
            incarnations,
            iamats: BTreeMap::new(),
            forgets: BTreeMap::new(),
            lifetimes: Lifetimes::default(),
            walls: Vec::new(),
            ever_stored: BTreeSet::new(),
            last_new_at: 0,
            dialect,
            marked: BTreeMap::new(),
            places_may_fail_until: 0,
            places_timeout,
            promises: Vec::new(),
            reading_until,
            on_disk: Vec::new(),
        }
    }

    /// What the stores on disk must have.
    pub fn has_stores(&mut self, promises: Vec<Option<Promises>>) {
        self.on_disk = vec![(0, 0); promises.len()];
        self.promises = promises;
    }

    pub fn promises_of(&mut self, server: usize) -> Option<&mut Promises> {
        self.promises.get_mut(server)?.as_mut()
    }

    /// Whether a statement that was sent to a server at `since` may be refused because its disk fails.
    pub fn may_refuse(&self, server: usize, since: Time) -> bool {
        let promises = self.promises.get(server).and_then(Option::as_ref);
        promises.is_some_and(|promises| promises.may_refuse(since))
    }

    /// A client has received this reply to an IAMAT or FORGET.
    pub fn note_answered(&mut self, server: usize, incarnation: u32, now: Time, record: &Record) {
        let is_current = self.incarnations[server].len() == incarnation as usize + 1;
        if let Some(promises) = self.promises_of(server) {
            promises.answered(now, incarnation, is_current, record);
        }
    }

    /// A server knows that everything is on its disk, in this incarnation at this change.
    /// Returns whether that is new.
    pub fn all_is_on_disk(&mut self, server: usize, moment: (u32, u64)) -> bool {
        let content = self.incarnations[server].last().map(|last| &last.content);
        if let (Some(Some(promises)), Some(content)) = (self.promises.get_mut(server), content)
            && std::mem::replace(&mut self.on_disk[server], moment) != moment
        {
            promises.all_is_on_disk(content);
            return true;
        }
        false
    }

    /// Checks the statements and the epoch of a server that has read its store. `is_sure`: it could read everything.
    pub fn check_promises(
        &mut self,
        server: usize,
        is_sure: bool,
        messages: Option<&[String]>,
        read: (&Store, u64),
        wall: u64,
    ) -> Result<(), String> {
        let Some(mut promises) = self.promises.get_mut(server).and_then(Option::take) else { return Ok(()) };
        if !is_sure {
            promises.forget(self.incarnations[server].len() as u32 - 2);
        }
        let has_lost = |record: &Record| {
            let best = |incarnation: &Incarnation| incarnation.best.get(&record.id).cloned();
            self.incarnations[server].iter().filter_map(best).any(|best| best.beats(record))
        };
        let may_lack = |record: &Record| {
            self.lifetimes.are_short()
                && (record.is_over(self.lifetimes, wall + PROGRESS_MAX) || has_lost(record))
        };
        let result = promises.check(read, messages, may_lack);
        self.promises[server] = Some(promises);
        result
    }

    /// There are long statements, on which only the servers of each of these groups agree.
    pub fn has_long_lines(&mut self, groups: Vec<Group>) {
        self.groups = groups;
        self.long_ids = LONG_IDS.map(|id| id.as_bytes().to_vec()).to_vec();
    }

    /// A server starts with an empty store.
    pub fn started(&mut self, server: usize) {
        self.incarnations[server].push(Incarnation::default());
    }

    /// The last record of a client in one incarnation of a server.
    pub fn record(&self, server: usize, incarnation: u32, id: &[u8]) -> Option<&Record> {
        self.incarnations[server].get(incarnation as usize)?.content.get(id)
    }

    /// A client has received a MARK.
    pub fn note_marked(&mut self, server: usize, operands: &[u8], marked: Marked) {
        let all = self.marked.entry((server, operands.to_vec())).or_default();
        let is_known = |one: &Marked| (&one.epoch, one.sequence) == (&marked.epoch, marked.sequence);
        if marked.known.len() <= KNOWN_MAX && !all.iter().any(is_known) {
            all.push(marked);
        }
    }

    /// The positions that clients have received for these operands of a FOLLOW.
    pub fn marked(&self, server: usize, operands: &[u8]) -> &[Marked] {
        self.marked.get(&(server, operands.to_vec())).map_or(&[], Vec::as_slice)
    }

    /// The records of a client that one incarnation of a server had at some time from `since` on, the oldest first.
    pub fn records_since(
        &self,
        server: usize,
        incarnation: u32,
        id: &[u8],
        since: Time,
    ) -> &[(Time, Record)] {
        let history = self.incarnations[server].get(incarnation as usize).and_then(|own| own.history.get(id));
        let history = history.map_or(&[][..], Vec::as_slice);
        // That of `since` is the last one of an earlier turn; those of the turn itself count, too.
        let first = history.partition_point(|(from, _)| *from < since).saturating_sub(1);
        &history[first..]
    }

    /// The clients of one incarnation of a server, with their last records.
    pub fn records(&self, server: usize, incarnation: u32) -> impl Iterator<Item = &Record> {
        self.incarnations[server].get(incarnation as usize).into_iter().flat_map(|own| own.content.values())
    }

    /// The winner of all records of a client that one incarnation of a server had.
    pub fn best(&self, server: usize, incarnation: u32, id: &[u8]) -> Option<&Record> {
        self.incarnations[server].get(incarnation as usize)?.best.get(id)
    }

    /// Whether one incarnation of a server has had a record that is this one or beats it, and was not over yet at this
    /// time of its clock, where statements end.
    pub fn has_had(&self, server: usize, incarnation: u32, record: &Record, wall: u64) -> bool {
        let all = self.incarnations[server].get(incarnation as usize).and_then(|all| all.all.get(&record.id));
        all.is_some_and(|all| {
            all.iter()
                .any(|one| one.line == record.line || one.beats(record) && !one.is_over(self.lifetimes, wall))
        })
    }

    /// Whether the record of a client has changed since then in one incarnation of a server.
    pub fn has_changed(&self, server: usize, incarnation: u32, id: &[u8], since: Time) -> bool {
        let incarnation = self.incarnations[server].get(incarnation as usize);
        incarnation.and_then(|incarnation| incarnation.changed_at.get(id)).is_some_and(|&at| at >= since)
    }

    /// When the record of a client last changed in one incarnation of a server.
    pub fn changed_at(&self, server: usize, incarnation: u32, id: &[u8]) -> Option<Time> {
        self.incarnations[server].get(incarnation as usize)?.changed_at.get(id).copied()
    }

    /// Whether a server was reading its store from the disk then, or later.
    pub fn was_reading(&self, server: usize, since: Time) -> bool {
        self.reading_until[server].is_some_and(|until| until >= since)
    }

    /// Whether some client has ever sent a FORGET of this client.
    pub fn may_be_forgotten(&self, id: &[u8]) -> bool {
        self.forgets.keys().any(|(_, forgotten)| forgotten == id)
    }

    /// A client has sent a FORGET to a server.
    pub fn note_forget_sent(&mut self, server: usize, id: &[u8]) {
        self.forgets.entry((server, id.to_vec())).or_default().pending += 1;
    }

    /// A client has received this reply to a FORGET; `None`: it was refused.
    pub fn note_forget_reply(&mut self, server: usize, id: &[u8], record: Option<&Record>) {
        if let Some(replies) = self.forgets.get_mut(&(server, id.to_vec())) {
            replies.pending = replies.pending.saturating_sub(1);
            replies.lines.extend(record.map(|record| record.line.clone()));
        }
    }

    /// Notes what the clocks of the servers show.
    pub fn note_clocks(&mut self, world: &World) {
        self.walls = (0..self.names.len()).map(|server| world.wall(server)).collect();
    }

    /// The content of a server, by client.
    pub fn content(&self, server: usize) -> &BTreeMap<Vec<u8>, Record> {
        &self.incarnations[server][self.incarnations[server].len() - 1].content
    }

    /// A fault, which ends at `until`, may make questions to Places fail.
    pub fn places_may_fail(&mut self, until: Time) {
        let until = until.saturating_add(self.places_timeout + RECOVERY_MAX + BREAKER_MAX);
        self.places_may_fail_until = self.places_may_fail_until.max(until);
    }

    /// All faults have ended.
    pub fn places_work_again(&mut self, now: Time) {
        if self.places_may_fail_until > now {
            self.places_may_fail_until = 0;
            self.places_may_fail(now);
        }
    }

    /// A client has sent an IAMAT to a server.
    pub fn note_sent(&mut self, server: usize, id: &[u8], location: &[u8], time_text: &[u8]) {
        let iamat = (server, id.to_vec(), location.to_vec(), time_text.to_vec());
        self.iamats.entry(iamat).or_default().pending += 1;
    }

    /// A client has received this reply to an IAMAT.
    pub fn note_reply(&mut self, server: usize, record: &Record) {
        let exact = iamat(server, record);
        // The statement may be one of the time of receipt.
        let key = if self.iamats.contains_key(&exact) { exact } else { now(server, record) };
        if let Some(replies) = self.iamats.get_mut(&key) {
            replies.pending = replies.pending.saturating_sub(1);
            replies.lines.push(record.line.clone());
        }
    }

    /// An IAMAT was answered as invalid: its time is too far in the future.
    pub fn note_refusal(&mut self, server: usize, id: &[u8], location: &[u8], time_text: &[u8]) {
        let iamat = (server, id.to_vec(), location.to_vec(), time_text.to_vec());
        if let Some(replies) = self.iamats.get_mut(&iamat) {
            replies.pending = replies.pending.saturating_sub(1);
        }
    }

    /// Whether a server may have made this line of an IAMAT that a client has sent.
    fn is_genuine(&self, record: &Record) -> bool {
        let Some(server) = self.names.iter().position(|name| name.as_bytes() == record.server) else {
            return false;
        };
        let replies = match record.is_gone() {
            true => self.forgets.get(&(server, record.id.clone())),
            false => self.iamats.get(&iamat(server, record)),
        };
        let is_from = |replies: &Replies| replies.pending > 0 || replies.lines.contains(&record.line);
        let of_receipt = self.iamats.get(&now(server, record)).filter(|_| !record.is_gone());
        replies.is_some_and(is_from) || record.time == record.received && of_receipt.is_some_and(is_from)
    }

    /// Compares the store of a server after a turn with its last known content: no record may have been
    /// replaced by a losing one.
    pub fn observe(&mut self, world: &mut World, server: usize, state: &Server) {
        let store = &state.store;
        let incarnation = self.incarnations[server].len() - 1;
        let last = &mut self.incarnations[server][incarnation];
        let is_reading = state.course.store_read.is_some();
        let was_reading = std::mem::replace(&mut last.was_reading, is_reading);
        if was_reading || is_reading {
            self.reading_until[server] = Some(world.now);
        }
        if last.sequence == store.sequence() && !was_reading && !self.lifetimes.are_short() {
            return;
        }
        // The clock advances during a turn.
        let wall = world.wall(server) + PROGRESS_MAX;
        self.incarnations[server][incarnation].sequence = store.sequence();
        for index in 0..self.ids.len() + self.long_ids.len() {
            let id = self.ids.get(index).unwrap_or_else(|| &self.long_ids[index - self.ids.len()]);
            let known = self.incarnations[server][incarnation].content.get(id);
            let line = store.newest(id);
            if known.map(|known| &known.line[..]) == line {
                continue;
            }
            let was_over = known.is_some_and(|known| known.is_over(self.lifetimes, wall));
            if line.is_none() && was_over {
                let id = id.clone();
                self.incarnations[server][incarnation].content.remove(&id);
                continue;
            }
            let Some(record) = line.and_then(Record::parse) else {
                let shown = line.unwrap_or(b"nothing").escape_ascii().to_string();
                return world.violate(|| format!("server {server} has '{shown}' for {}", id.escape_ascii()));
            };
            if known.is_some_and(|known| !record.beats(known)) && !was_over {
                let known = known.map(|known| known.line.escape_ascii().to_string()).unwrap_or_default();
                let shown = record.line.escape_ascii().to_string();
                return world
                    .violate(|| format!("server {server} replaced '{known}' by '{shown}', which loses"));
            }
            if !self.is_genuine(&record) || record.id != *id {
                let shown = record.line.escape_ascii().to_string();
                return world.violate(|| format!("server {server} has '{shown}', which no client has sent"));
            }
            let is_own = record.server == self.names[server].as_bytes();
            if !is_own && record.line.len() > world.statement_limits[server].1 {
                return world
                    .violate(|| format!("server {server} has stored a statement that is too long for it"));
            }
            if self.ever_stored.insert(record.line.clone()) {
                self.last_new_at = world.now;
            }
            let incarnation = &mut self.incarnations[server][incarnation];
            incarnation.history.entry(record.id.clone()).or_default().push((world.now, record.clone()));
            incarnation.changed_at.insert(record.id.clone(), world.now);
            if self.lifetimes.are_short() {
                incarnation.all.entry(record.id.clone()).or_default().push(record.clone());
            }
            if incarnation.best.get(&record.id).is_none_or(|best| record.beats(best)) {
                incarnation.best.insert(record.id.clone(), record.clone());
            }
            incarnation.content.insert(record.id.clone(), record);
        }
        let content = &self.incarnations[server][incarnation].content;
        let tombstones = content.values().filter(|record| record.is_gone()).count();
        // The records of statements that are over are removed later.
        let is_exact = !self.lifetimes.are_short();
        if is_exact && (store.records(), store.len()) != (content.len(), content.len() - tombstones) {
            world.violate(|| format!("server {server} has records of clients that do not exist"));
        }
    }

    /// The winners among the records of these servers.
    pub fn winners(&self, servers: impl Iterator<Item = usize>) -> BTreeMap<Vec<u8>, Record> {
        let mut winners: BTreeMap<Vec<u8>, Record> = BTreeMap::new();
        for server in servers {
            for (id, record) in self.content(server) {
                if winners.get(id).is_none_or(|known| record.beats(known)) {
                    winners.insert(id.clone(), record.clone());
                }
            }
        }
        winners
    }

    /// Why the servers do not agree; `None`: they agree on records that do not lose against `least`.
    pub fn disagreement(&self, least: &BTreeMap<Vec<u8>, Record>) -> Option<String> {
        for server in 0..self.incarnations.len() {
            let (first, content) = (self.content(0), self.content(server));
            for id in &self.ids {
                let show = |record: Option<&Record>| {
                    record.map_or("nothing".to_owned(), |record| record.line.escape_ascii().to_string())
                };
                let [one, other] = [(0, first), (server, content)].map(|(server, content)| {
                    content.get(id).filter(|record| !self.is_over_at(record, server))
                });
                let winner = one.into_iter().chain(other).reduce(
                    |one, other| {
                        if other.beats(one) { other } else { one }
                    },
                );
                if one != other && !winner.is_some_and(|winner| self.may_be_lacking(winner, &[0, server])) {
                    let (one, other) = (show(one), show(other));
                    return Some(format!("server 0 has '{one}', server {server} has '{other}'"));
                }
                if let Some(least) = least.get(id)
                    && !self.may_be_lacking(least, &[server])
                    && other.is_none_or(|record| least.beats(record))
                {
                    let (lost, other) = (show(Some(least)), show(other));
                    return Some(format!("'{lost}' is lost, server {server} has '{other}'"));
                }
            }
        }
        let one_of = |group: &Group, id: &Vec<u8>| {
            let records: Vec<_> = group.iter().map(|&server| self.content(server).get(id)).collect();
            records.windows(2).all(|pair| pair[0] == pair[1])
        };
        let differs = |id: &&Vec<u8>| !self.groups.iter().all(|group| one_of(group, id));
        let id = self.long_ids.iter().find(differs)?;
        Some(format!("servers that take all lines differ about {}", id.escape_ascii()))
    }

    /// Whether a statement is over by the clock of a server.
    fn is_over_at(&self, record: &Record, server: usize) -> bool {
        self.walls.get(server).is_some_and(|&wall| record.is_over(self.lifetimes, wall))
    }

    /// Whether one of these servers may lack a statement, where statements end: it is over there, or it has lost against
    /// one that has ended since, at the server or on the way to it.
    fn may_be_lacking(&self, record: &Record, servers: &[usize]) -> bool {
        let lost = |incarnations: &Vec<Incarnation>| {
            let best = incarnations.last().and_then(|incarnation| incarnation.best.get(&record.id));
            best.is_some_and(|best| best.beats(record))
        };
        self.lifetimes.are_short()
            && (servers.iter().any(|&server| self.is_over_at(record, server))
                || self.incarnations.iter().any(lost))
    }

    /// A record that is not genuine, now that all replies have arrived.
    pub fn forgery(&self) -> Option<String> {
        let records = (0..self.incarnations.len()).flat_map(|server| self.content(server).values());
        let forged = records.into_iter().find(|record| !self.is_genuine(record))?;
        Some(format!("'{}' is stored, but its client got another reply", forged.line.escape_ascii()))
    }
}

fn iamat(server: usize, record: &Record) -> IamAt {
    (server, record.id.clone(), record.location.clone(), record.time_text.clone())
}

/// A statement of the time of receipt.
fn now(server: usize, record: &Record) -> IamAt {
    (server, record.id.clone(), record.location.clone(), Vec::new())
}

/// The greatest progress of a wall clock in a turn, in ns.
const PROGRESS_MAX: u64 = 1_000_000;
/// Clients of a position that is noted: a crowd at each position takes too much memory.
const KNOWN_MAX: usize = 20;
/// How long after a fault and their own time limit questions may fail: lost packets are retransmitted.
const RECOVERY_MAX: Time = 2 * SECOND;
/// The longest time for which the breaker of a server is open (docs/protocol.md, section 6).
const BREAKER_MAX: Time = 30 * SECOND;
