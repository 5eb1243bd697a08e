//! Lists of clients, read page by page. Whatever changes meanwhile, a client that was there all the time must be in it, and
//! a later list from its number on must have what is new and nothing else.

use std::collections::BTreeMap;

use crate::chance::Chance;
use crate::oracle::Oracle;
use crate::rules::Record;
use crate::web_json::{client_json, line_of, objects};
use crate::web_requests::{Ask, Request, encoded};
use crate::witness::{READ_APART, Sent, Witness};
use crate::world::{Time, World};

/// A list that is being read, or was read.
#[derive(Clone, Debug)]
pub struct Pages {
    prefix: Vec<u8>,
    limit: usize,
    chance: Chance,
    /// When its first page was asked for, and when that was there.
    begun_at: Time,
    first_received_at: Time,
    /// The number of the newest change when it was begun.
    sequence: u64,
    /// The list that it goes on from.
    earlier: Option<Box<Pages>>,
    found: BTreeMap<Vec<u8>, Record>,
    next: Option<u64>,
    is_complete: bool,
}

impl Pages {
    pub fn new(prefix: Vec<u8>, limit: usize, chance: Chance) -> Pages {
        Pages {
            prefix,
            limit,
            chance,
            begun_at: 0,
            first_received_at: Time::MAX,
            sequence: 0,
            earlier: None,
            found: BTreeMap::new(),
            next: None,
            is_complete: false,
        }
    }

    /// The request for the first page.
    pub fn first_request(&self) -> Request {
        let since = self.earlier.as_ref().map_or(0, |earlier| earlier.sequence);
        self.request(since, true)
    }

    /// The request for the next page; `None`: there is none.
    pub fn next_request(&self) -> Option<Request> {
        Some(self.request(self.next?, false))
    }

    fn request(&self, since: u64, is_first: bool) -> Request {
        let mut chance = Chance::new(self.chance.clone().number() ^ since);
        let limit = self.limit;
        let prefix = match self.prefix.is_empty() {
            true => String::new(),
            false => format!("&prefix={}", encoded(&self.prefix, chance.one_in(2))),
        };
        let target = format!("/v1/clients?since={since}&limit={limit}{prefix}");
        let ask = Ask::List { is_first };
        Request::new(ask, "GET", &target, &mut chance)
    }

    /// The list of what is new since this one; `None`: it was not read to its end.
    pub fn news(&mut self) -> Option<Pages> {
        if !self.is_complete {
            return None;
        }
        let mut news = Pages::new(self.prefix.clone(), self.limit, Chance::new(self.chance.number()));
        news.earlier = Some(Box::new(Pages { earlier: None, ..self.clone() }));
        Some(news)
    }

    /// Checks a page.
    pub fn page_received(
        &mut self,
        witness: &Witness,
        world: &World,
        oracle: &Oracle,
        (sent, is_first): (&Sent, bool),
        text: &str,
    ) -> Result<(), String> {
        let (server, connection) = (witness.server, witness.connection);
        let incarnation = world.connections[connection].incarnation;
        let epoch = world.hosts[server].epochs.get(&incarnation).copied().unwrap_or_default();
        let rest = text.strip_prefix(&format!("{{\"epoch\":\"{epoch:016x}\",\"sequence\":"));
        let (sequence, rest) =
            rest.and_then(|rest| rest.split_once(",\"clients\":[")).ok_or("its beginning")?;
        let sequence: u64 = sequence.parse().map_err(|_| "its number".to_owned())?;
        let (clients, next) = rest.split_once("],\"next\":").ok_or("its end")?;
        let next = next.strip_suffix("}\n").ok_or("its end")?;
        if is_first {
            (self.begun_at, self.first_received_at, self.sequence) = (sent.since, world.now, sequence);
        }
        let mut page = Vec::new();
        for object in objects(clients)? {
            let line = line_of(object)?;
            let record = Record::parse(&line).ok_or("a line is no AT")?;
            if record.is_gone() || client_json(&record) != object || !record.id.starts_with(&self.prefix) {
                return Err(format!("'{object}' should not be there"));
            }
            self.check_client(witness, world, oracle, sent, &record)?;
            page.push(record);
        }
        self.next = next.parse().ok();
        if page.len() > self.limit || self.next.is_some() && page.len() != self.limit {
            return Err(format!("it has {} clients, and the next page is {next}", page.len()));
        }
        let changed_at = |record: &Record| oracle.changed_at(server, incarnation, &record.id);
        let is_stable = |record: &&Record| !oracle.has_changed(server, incarnation, &record.id, sent.since);
        let times: Vec<Time> = page.iter().filter(is_stable).filter_map(changed_at).collect();
        if !times.windows(2).all(|pair| pair[0] <= pair[1]) {
            return Err("its clients are not in the order of their changes".into());
        }
        self.found.extend(page.into_iter().map(|record| (record.id.clone(), record)));
        if self.next.is_none() {
            self.is_complete = true;
            return self.check_complete(witness, world, oracle);
        }
        Ok(())
    }

    fn check_client(
        &self,
        witness: &Witness,
        world: &World,
        oracle: &Oracle,
        sent: &Sent,
        record: &Record,
    ) -> Result<(), String> {
        let server = witness.server;
        let incarnation = world.connections[witness.connection].incarnation;
        witness.check_stored(world, oracle, sent, record)?;
        let had = oracle.records_since(server, incarnation, &record.id, sent.since);
        let had = had.first().map(|(_, had)| had);
        let wall = world.wall(server) + READ_APART;
        if had.is_some_and(|had| had.beats(record) && !had.is_over(oracle.lifetimes, wall)) {
            return Err(format!("'{}' had been replaced", record.line.escape_ascii()));
        }
        if let Some(earlier) = &self.earlier
            && !oracle.has_changed(server, incarnation, &record.id, earlier.begun_at)
        {
            return Err(format!("'{}' is not new", record.line.escape_ascii()));
        }
        Ok(())
    }

    /// Checks that no client is missing, now that all pages were read.
    fn check_complete(&self, witness: &Witness, world: &World, oracle: &Oracle) -> Result<(), String> {
        let server = witness.server;
        let incarnation = world.connections[witness.connection].incarnation;
        let wall = world.wall(server) + READ_APART;
        for record in oracle.records(server, incarnation) {
            let has_changed = |since: Time| oracle.has_changed(server, incarnation, &record.id, since);
            let is_new =
                self.earlier.as_ref().is_none_or(|earlier| has_changed(earlier.first_received_at + 1));
            let must_be_there = is_new
                && !has_changed(self.begun_at)
                && !record.is_gone()
                && !record.is_over(oracle.lifetimes, wall)
                && record.id.starts_with(&self.prefix);
            if must_be_there && self.found.get(&record.id) != Some(record) {
                return Err(format!("'{}' is missing in the list", record.line.escape_ascii()));
            }
        }
        Ok(())
    }
}
