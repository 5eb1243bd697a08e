//! A search for the records near a point, in portions.
//!
//! A search goes through the cells of the index, the nearest first, and leaves out those that are too far away. It
//! has the best records so far, nearest first. Records that are equally far, to the metre, are
//! in the order of their IDs, so that with a crowd at one spot each of them is looked at. That may take many
//! portions, and the result is still that of one moment, the beginning of the search: a later change of a record
//! is not looked at, and before a change [`Search::keep`] takes what the record was.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::arena::Arena;
use super::chunks::Chunks;
use super::path::Path;
use super::record::Record;
use super::retention::Horizons;
use super::space::{Link, SLOTS, Space, Target};
use super::{Store, line_received_ns};
use crate::geo::{Bounds, Cell, Centre, degrees};
use crate::text::location::Location;
use crate::text::prefixes::Prefixes;
use crate::text::simd::write_eight;

/// A search in progress.
#[derive(Debug)]
pub(super) struct Search {
    centre: Centre,
    bounds: Bounds,
    radius_m: f64,
    /// The greatest number of results.
    bound: usize,
    /// The index of the record that is left out.
    left_out: Option<u32>,
    /// The clients to look for; `None`: all.
    only: Option<Arc<Prefixes>>,
    /// The number of the newest change at the beginning.
    sequence: u64,
    /// The cells to look at.
    pending: BinaryHeap<Pending>,
    /// The results so far, in order.
    found: Vec<Found>,
    /// Cells with a greater lower bound have no result.
    haversine_max: f64,
    /// Records may be looked at twice, because pages were merged.
    may_repeat: bool,
}

/// A cell to look at. In the order of a heap: the nearest, and of equally near ones the smallest, is the greatest.
#[derive(Clone, Copy, Debug)]
struct Pending {
    haversine_min: f64,
    at: Link,
    /// The version of the index that `at` refers to.
    version: u64,
    path: Path,
    bits: u32,
}

impl Ord for Pending {
    fn cmp(&self, other: &Pending) -> Ordering {
        other.haversine_min.total_cmp(&self.haversine_min).then(self.bits.cmp(&other.bits))
    }
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Pending) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Pending) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pending {}

#[derive(Debug)]
struct Found {
    metres: u32,
    index: u32,
    /// The line, if the record was changed since.
    kept: Option<Box<[u8]>>,
}

/// What a search reads.
#[derive(Clone, Copy)]
struct Sources<'a> {
    space: &'a Space,
    records: &'a Chunks<Record>,
    lines: &'a Arena,
    horizons: &'a Horizons,
}

/// A search in progress; see [`Store::search`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchId(usize);

/// The question of a search.
#[derive(Clone, Copy, Debug)]
pub struct Nearby<'a> {
    /// The centre.
    pub centre: Centre,
    /// The greatest distance from the centre, in kilometres.
    pub radius_km: f64,
    /// The greatest number of results, at most [`BOUND_MAX`].
    pub bound: usize,
    /// The client that is left out.
    pub left_out: Option<&'a [u8]>,
    /// The clients to look for; `None`: all.
    pub only: Option<&'a Arc<Prefixes>>,
}

impl Store {
    /// Begins a search for the clients near a point. It is carried out by [`Store::advance_search`], and sees the
    /// store as it is now.
    pub fn search(&mut self, nearby: &Nearby<'_>) -> SearchId {
        let left_out = nearby.left_out.and_then(|id| self.find(self.hasher.hash(id), id));
        let mut search = self.idle_search.take().unwrap_or_else(Search::idle);
        search.begin(nearby, left_out, self.sequence, &self.space);
        SearchId(self.searches.insert(search))
    }

    /// Goes on with a search for at most `steps` steps, of about 50 ns each, and a few more, and subtracts them.
    /// Returns whether it is over.
    pub fn advance_search(&mut self, id: SearchId, steps: &mut usize) -> bool {
        let Store { space, records, lines, horizons, searches, .. } = self;
        let sources = Sources { space, records, lines, horizons };
        searches.get_mut(id.0).is_none_or(|search| search.advance(sources, steps))
    }

    /// Ends a search. Appends what it has found to `output`: for each client the distance in kilometres with three
    /// decimals, a space, and its AT line.
    pub fn end_search(&mut self, id: SearchId, output: &mut Vec<u8>) {
        if let Some(mut search) = self.searches.try_remove(id.0) {
            let Store { space, records, lines, horizons, .. } = self;
            search.write(Sources { space, records, lines, horizons }, output);
            self.idle_search = Some(search);
        }
    }

    /// Ends a search without its results.
    pub fn cancel_search(&mut self, id: SearchId) {
        self.searches.try_remove(id.0);
    }

    /// The number of searches that have begun and not ended.
    pub fn searches(&self) -> usize {
        self.searches.len()
    }

    /// Has the searches in progress look at a record before it is changed.
    #[cold]
    pub(super) fn keep_for_searches(&mut self, index: u32) {
        let Store { space, records, lines, horizons, searches, .. } = self;
        for (_, search) in searches {
            search.keep(Sources { space, records, lines, horizons }, index);
        }
    }
}

impl Search {
    /// A search that finds nothing, with buffers for others.
    fn idle() -> Search {
        let centre = Centre::new(0.0, 0.0);
        Search {
            centre,
            bounds: Bounds::of(&centre),
            radius_m: 0.0,
            bound: 0,
            left_out: None,
            only: None,
            sequence: 0,
            pending: BinaryHeap::new(),
            found: Vec::new(),
            haversine_max: 0.0,
            may_repeat: false,
        }
    }

    /// Begins another search. `sequence` is the number of the newest change.
    fn begin(&mut self, nearby: &Nearby<'_>, left_out: Option<u32>, sequence: u64, space: &Space) {
        self.centre = nearby.centre;
        self.bounds = Bounds::of(&nearby.centre);
        self.radius_m = nearby.radius_km * 1000.0;
        self.bound = nearby.bound.min(BOUND_MAX);
        (self.left_out, self.sequence) = (left_out, sequence);
        self.only = nearby.only.cloned();
        self.haversine_max = Bounds::haversine_max(self.radius_m);
        self.may_repeat = false;
        self.found.clear();
        self.pending.clear();
        if let Some(root) = space.root
            && self.bound > 0
        {
            self.pending.push(self.cell(space, root));
        }
    }

    /// Goes on for at most `steps` steps and those of one page, and subtracts them. Returns whether the search is
    /// over.
    fn advance(&mut self, sources: Sources<'_>, steps: &mut usize) -> bool {
        while let Some(next) = self.pending.peek().copied() {
            if *steps == 0 {
                return false;
            }
            if next.haversine_min > self.haversine_max {
                break;
            }
            self.pending.pop();
            *steps = steps.saturating_sub(STEPS_OF_A_NODE);
            let Some(at) = self.find(sources.space, &next) else { continue };
            match at.target() {
                Target::Node(number) => {
                    let [one, other] =
                        sources.space.nodes[number].children.map(|child| self.cell(sources.space, child));
                    for child in [one, other] {
                        if child.haversine_min <= self.haversine_max {
                            self.pending.push(child);
                        }
                    }
                }
                Target::Page(number) => self.look_at_page(sources, number, steps),
            }
        }
        true
    }

    /// A record is about to be changed or removed.
    fn keep(&mut self, sources: Sources<'_>, index: u32) {
        if sources.records[index].sequence.number() > self.sequence {
            return;
        }
        // It stays in the index, or comes back.
        self.may_repeat = true;
        let position = |found: &[Found]| found.iter().position(|found| found.index == index);
        if position(&self.found).is_none() {
            self.look_at(sources, index);
        }
        if let Some(position) = position(&self.found) {
            self.found[position].kept = Some(sources.lines.get(sources.records[index].line).into());
        }
    }

    /// Appends the results, each as its distance in kilometres and its line. Clears them.
    fn write(&mut self, sources: Sources<'_>, output: &mut Vec<u8>) {
        for Found { metres, index, kept } in self.found.drain(..) {
            write_km(metres, output);
            output.push(b' ');
            match kept {
                Some(line) => output.extend_from_slice(&line),
                None => output.extend_from_slice(sources.lines.get(sources.records[index].line)),
            }
        }
    }

    /// The cell of a node or a page.
    fn cell(&self, space: &Space, at: Link) -> Pending {
        let (path, bits) = match at.target() {
            Target::Node(number) => (space.nodes[number].path(), space.nodes[number].bits),
            Target::Page(number) => (space.pages[number].path(), space.pages[number].bits()),
        };
        let cell = Cell { prefix: path.key, bits: bits.min(u64::BITS) };
        let haversine_min = cell.haversine_min(&self.bounds);
        Pending { haversine_min, at, version: space.version, path, bits }
    }

    /// The node or page of a pending cell, even if the index was changed since; `None`: it is empty.
    fn find(&mut self, space: &Space, pending: &Pending) -> Option<Link> {
        if pending.version == space.version {
            return Some(pending.at);
        }
        self.may_repeat = true;
        space.find(pending.path, pending.bits)
    }

    /// Looks at those records of a page that may be near enough, by the cells that they are in.
    fn look_at_page(&mut self, sources: Sources<'_>, number: u32, steps: &mut usize) {
        let page = &sources.space.pages[number];
        let mut near = [(0.0, 0); SLOTS];
        let mut count = 0;
        for (slot, &index) in page.indices().iter().enumerate() {
            let haversine_min = page.cell(slot).haversine_min(&self.bounds);
            near[count] = (haversine_min, index);
            count += usize::from(haversine_min <= self.haversine_max);
        }
        let near = &near[..count];
        // The accesses of memory overlap.
        let mut sum = 0;
        for (_, index) in near {
            sum ^= sources.lines.touch(sources.records[*index].line);
        }
        std::hint::black_box(sum);
        for &(haversine_min, index) in near {
            if haversine_min <= self.haversine_max {
                let length = self.look_at(sources, index);
                *steps = steps.saturating_sub(STEPS_OF_A_RECORD + length / BYTES_OF_A_STEP);
            }
        }
    }

    /// Puts a record into the results, if it belongs there. Returns the length of its line from the ID on.
    fn look_at(&mut self, sources: Sources<'_>, index: u32) -> usize {
        let record = &sources.records[index];
        let line = sources.lines.id_and_rest(record.line);
        if record.sequence.number() > self.sequence || self.left_out == Some(index) {
            return line.len();
        }
        let received_ns = || line_received_ns(sources.lines.get(record.line));
        if sources.horizons.passed_second(record.source.is_gone(), record.received, received_ns) {
            return line.len();
        }
        let mut fields = line.split(|&byte| byte == b' ');
        let (Some(id), Some(location)) = (fields.next(), fields.next().and_then(Location::parse)) else {
            return line.len();
        };
        let (latitude, longitude) = degrees(&location);
        let distance_m = self.centre.distance_m(latitude, longitude);
        if distance_m <= self.radius_m && self.only.as_ref().is_none_or(|only| only.has(id)) {
            self.insert(sources, index, distance_m.round() as u32, id);
        }
        line.len()
    }

    fn insert(&mut self, sources: Sources<'_>, index: u32, metres: u32, id: &[u8]) {
        let is_before = |found: &Found| {
            let order = found.metres.cmp(&metres);
            order.then_with(|| found.id(sources).cmp(id)).is_lt()
        };
        if self.found.len() == self.bound && self.found.last().is_none_or(is_before)
            || self.may_repeat && self.found.iter().any(|found| found.index == index)
        {
            return;
        }
        let position = self.found.partition_point(is_before);
        self.found.truncate(self.bound - 1);
        self.found.insert(position, Found { metres, index, kept: None });
        if let Some(last) = self.found.last()
            && self.found.len() == self.bound
        {
            // Half a metre more is still the same distance.
            let distance_m = self.radius_m.min(f64::from(last.metres) + 0.5);
            self.haversine_max = Bounds::haversine_max(distance_m);
        }
    }
}

impl Found {
    /// The ID of the record.
    fn id<'a>(&'a self, sources: Sources<'a>) -> &'a [u8] {
        let record = sources.records[self.index];
        let (line, fields_before) = match &self.kept {
            Some(line) => (&line[..], FIELDS_BEFORE_ID),
            None => (sources.lines.id_and_rest(record.line), 0),
        };
        line.split(|&byte| byte == b' ').nth(fields_before).unwrap_or_default()
    }
}

/// Appends a distance in kilometres, with three decimals.
fn write_km(metres: u32, output: &mut Vec<u8>) {
    let digits = write_eight(metres);
    let zeros = digits[..INTEGER_DIGITS - 1].iter().take_while(|&&digit| digit == b'0').count();
    output.extend_from_slice(&digits[zeros..INTEGER_DIGITS]);
    output.push(b'.');
    output.extend_from_slice(&digits[INTEGER_DIGITS..]);
}

/// The greatest number of results of a search.
pub const BOUND_MAX: usize = 1000;
/// The fields of a line before the ID: AT, the server and the skew.
const FIELDS_BEFORE_ID: usize = 3;
/// Digits of kilometres, in eight digits of metres: half the circumference has 20,015 km.
const INTEGER_DIGITS: usize = 5;
/// Steps of a node or a page: a step is about 50 ns.
const STEPS_OF_A_NODE: usize = 1;
/// Steps of a record that is looked at.
const STEPS_OF_A_RECORD: usize = 4;
/// Bytes of a line that take a step more.
const BYTES_OF_A_STEP: usize = 64;

#[cfg(test)]
mod tests;
