//! The oracle of NEAR: a look at all clients of the server that was asked.
//!
//! A client of the simulation does not know at which moment between its command and the reply the server carried it
//! out. What the server had all that time must be in the reply, in its place; and whatever is in the reply, the server
//! must have had at some time of it.

use crate::oracle::Oracle;
use crate::rules::{Record, coordinates};
use crate::world::Time;

/// A NEAR and the server that was asked.
pub struct Near<'a> {
    pub oracle: &'a Oracle,
    pub server: usize,
    pub incarnation: u32,
    /// When it was sent.
    pub since: Time,
    pub centre: &'a [u8],
    pub radius: &'a [u8],
    pub bound: usize,
    /// What the server's clock shows now, at most.
    pub wall: u64,
}

impl Near<'_> {
    /// Checks a reply, and returns the records in it. The error says what is wrong with it.
    pub fn check(&self, reply: &[u8]) -> Result<Vec<Record>, String> {
        let lines = reply.strip_suffix(b"\n").ok_or("it has no empty line")?;
        let mut found = Vec::new();
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let space = line.iter().position(|&byte| byte == b' ').ok_or("a line has no distance")?;
            let record = Record::parse(&line[space + 1..]).ok_or("a line has no AT line")?;
            found.push((metres(&line[..space]).ok_or("a distance has another form")?, record));
        }
        if found.len() > self.bound {
            return Err(format!("expected at most {} lines", self.bound));
        }
        let is_ordered = |pair: &[(u64, Record)]| (pair[0].0, &pair[0].1.id) < (pair[1].0, &pair[1].1.id);
        if !found.windows(2).all(is_ordered) {
            return Err("its lines are not in order".into());
        }
        for (position, (_, record)) in found.iter().enumerate() {
            if found[..position].iter().any(|(_, other)| other.id == record.id) {
                return Err("a client is there twice".into());
            }
            if record.is_gone() {
                return Err("a client was forgotten".into());
            }
            let floor = self.had(&record.id).next().filter(|_| self.is_stable(&record.id));
            if floor.is_some_and(|floor| floor.line != record.line && !self.is_over(floor)) {
                return Err(format!("the server did not have '{}' then", record.line.escape_ascii()));
            }
        }
        if coordinates(self.centre).is_some() {
            self.check_from(self.centre, &found)?;
        } else if self.is_stable(self.centre) {
            // One that has moved meanwhile may have been anywhere.
            let centre = self.had(self.centre).next().filter(|centre| !centre.is_gone());
            self.check_from(&centre.ok_or("its client is unknown")?.location, &found)?;
        }
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// The records of a client that the server had since the command was sent, as far as the simulation has seen them:
    /// not those that were replaced within a turn.
    fn had(&self, id: &[u8]) -> impl Iterator<Item = &Record> {
        let records = self.oracle.records_since(self.server, self.incarnation, id, self.since);
        records.iter().map(|(_, record)| record)
    }

    /// Whether the server had the same record of a client all the time.
    fn is_stable(&self, id: &[u8]) -> bool {
        !self.oracle.has_changed(self.server, self.incarnation, id, self.since) && self.had(id).count() == 1
    }

    fn is_over(&self, record: &Record) -> bool {
        record.is_over(self.oracle.lifetimes, self.wall)
    }

    /// Checks the distances from a place, and that no client is missing.
    fn check_from(&self, centre: &[u8], found: &[(u64, Record)]) -> Result<(), String> {
        let radius_m = number(self.radius) * 1000.0;
        for (metres, record) in found {
            let distance_m = distance_m(centre, &record.location);
            if (*metres as f64 - distance_m).abs() > ROUNDING_M || distance_m > radius_m + ROUNDING_M {
                return Err(format!("{} is {distance_m:.1} m away", record.id.escape_ascii()));
            }
            if record.id == self.centre && coordinates(self.centre).is_none() {
                return Err("the client that is asked about is there".into());
            }
        }
        // NEAR finds what the server has when that is over.
        if self.oracle.was_reading(self.server, self.since) {
            return Ok(());
        }
        for record in self.oracle.records(self.server, self.incarnation) {
            if record.is_gone() || self.is_over(record) || !self.is_stable(&record.id) {
                continue;
            }
            let is_named = record.id == self.centre && coordinates(self.centre).is_none();
            let distance_m = distance_m(centre, &record.location);
            let is_near = distance_m <= radius_m - ROUNDING_M || distance_m == 0.0;
            if is_named || !is_near || found.iter().any(|(_, other)| other.id == record.id) {
                continue;
            }
            let is_before_last = found.last().is_none_or(|(metres, last)| {
                let own = distance_m.round();
                let is_exact = (distance_m - own).abs() < 0.4;
                is_exact && (own as u64, &record.id) < (*metres, &last.id)
            });
            if self.bound > 0 && (found.len() < self.bound || is_before_last) {
                return Err(format!("{} is missing, {distance_m:.1} m away", record.id.escape_ascii()));
            }
        }
        Ok(())
    }
}

/// Kilometres with three decimals, in metres.
fn metres(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    let (kilometres, metres) = text.split_once('.')?;
    let is_short = kilometres == "0" || !kilometres.starts_with('0');
    (is_short && metres.len() == 3).then(|| format!("{kilometres}{metres}").parse().ok())?
}

fn number(text: &[u8]) -> f64 {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// The great-circle distance of two locations, by Vincenty's formula for the sphere.
fn distance_m(one: &[u8], other: &[u8]) -> f64 {
    if one == other {
        return 0.0;
    }
    let radians = |location: &[u8]| {
        let (latitude, longitude) = coordinates(location).unwrap_or((b"nan", b"nan"));
        (number(latitude).to_radians(), number(longitude).to_radians())
    };
    let ((p, from), (q, to)) = (radians(one), radians(other));
    let d = to - from;
    let across = (q.cos() * d.sin()).hypot(p.cos() * q.sin() - p.sin() * q.cos() * d.cos());
    EARTH_RADIUS_M * across.atan2(p.sin() * q.sin() + p.cos() * q.cos() * d.cos())
}

/// The mean radius of the earth (docs/protocol.md, NEAR).
const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// A distance in whole metres is so far off at most.
const ROUNDING_M: f64 = 0.6;
