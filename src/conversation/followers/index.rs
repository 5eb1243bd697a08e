//! The groups by what they follow: which ones a change concerns. The number of followers whom it does not concern
//! plays no part.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::GroupId;
use super::cells::Cells;
use super::group::Filter;

/// The groups by ID, by prefix and by place.
#[derive(Debug, Default)]
pub(super) struct Index {
    clients: HashMap<Box<[u8]>, GroupId, RandomState>,
    prefixes: Prefixes,
    pub(super) cells: Cells,
}

/// The groups of prefixes. A prefix is found under its first bytes, as many as one of the lengths in use.
#[derive(Debug, Default)]
struct Prefixes {
    groups: HashMap<Box<[u8]>, Vec<GroupId>, RandomState>,
    /// The lengths in use and the number of prefixes under each, the longest first; at most [`LENGTHS_MAX`].
    lengths: Vec<(usize, usize)>,
}

/// The place of a group in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The length of the key of a prefix.
    length: usize,
}

impl Index {
    pub(super) fn add(&mut self, filter: &Filter, group: GroupId) -> Place {
        let mut length = 0;
        match filter {
            Filter::Client(id) => drop(self.clients.insert(id.clone(), group)),
            Filter::Prefix(prefix) => length = self.prefixes.add(prefix, group),
            Filter::Area(followed) => self.cells.add(&followed.area, group),
        }
        Place { length }
    }

    pub(super) fn remove(&mut self, filter: &Filter, place: Place, group: GroupId) {
        match filter {
            Filter::Client(id) => drop(self.clients.remove(id)),
            Filter::Prefix(prefix) => self.prefixes.remove(&prefix[..place.length], group),
            Filter::Area(followed) => self.cells.remove(&followed.area, group),
        }
    }

    /// The groups that may follow this client by its ID. Each occurs once.
    pub(super) fn of_id<'a>(&'a self, id: &'a [u8]) -> impl Iterator<Item = GroupId> + 'a {
        // An empty map is searched without hashing.
        let client = if self.clients.is_empty() { None } else { self.clients.get(id).copied() };
        let by_length = self
            .prefixes
            .lengths
            .iter()
            .filter_map(|&(length, _)| self.prefixes.groups.get(id.get(..length)?));
        client.into_iter().chain(by_length.flatten().copied())
    }
}

impl Prefixes {
    /// Adds a prefix. Returns the length of its key.
    fn add(&mut self, prefix: &[u8], group: GroupId) -> usize {
        let wanted = prefix.len();
        let has_room = self.lengths.len() < LENGTHS_MAX - 1 || wanted == 0;
        let length = match self.lengths.iter_mut().find(|known| known.0 <= wanted) {
            Some(known) if known.0 == wanted || !has_room => {
                known.1 += 1;
                known.0
            }
            _ => {
                // The empty prefix has always room.
                let length = if has_room { wanted } else { 0 };
                self.lengths.push((length, 1));
                self.lengths.sort_unstable_by_key(|known| std::cmp::Reverse(known.0));
                length
            }
        };
        self.groups.entry(prefix[..length].into()).or_default().push(group);
        length
    }

    fn remove(&mut self, key: &[u8], group: GroupId) {
        if let Some(groups) = self.groups.get_mut(key) {
            groups.retain(|&other| other != group);
            if groups.is_empty() {
                self.groups.remove(key);
            }
        }
        if let Some(at) = self.lengths.iter().position(|known| known.0 == key.len()) {
            self.lengths[at].1 -= 1;
            if self.lengths[at].1 == 0 {
                self.lengths.remove(at);
            }
        }
    }
}

/// Lengths of prefixes that a change is looked up with. If more are in use, a further prefix is found under a shorter
/// key, perhaps with others: looking at those costs less than one more search for each change.
const LENGTHS_MAX: usize = 12;

#[cfg(test)]
impl Index {
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.prefixes.groups.is_empty() && self.searches() == 0
    }

    /// The searches of one lookup among prefixes.
    pub(super) fn searches(&self) -> usize {
        self.prefixes.lengths.len()
    }
}
