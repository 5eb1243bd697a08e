//! A group: the followers that follow the same clients, and the last changes that concern them.

use std::collections::VecDeque;

use super::area::{Area, Spot, Zone, kilometres};
use super::told::Told;
use crate::store::RecordId;
use crate::text::follow::Whom;

/// The clients that a group follows.
#[derive(Debug)]
pub(super) enum Filter {
    /// The client of this ID.
    Client(Box<[u8]>),
    /// Each client whose ID has this prefix.
    Prefix(Box<[u8]>),
    /// Each client in an area. Such a group has one follower.
    Area(Box<FollowedArea>),
}

/// An area, and what its follower was sent of it.
#[derive(Debug)]
pub(super) struct FollowedArea {
    pub(super) area: Area,
    /// The records of the clients that the follower takes to be in the area.
    pub(super) told: Told,
    /// The positions of removed clients whose LEFT is pending.
    pub(super) departed: VecDeque<u64>,
}

impl Filter {
    pub(super) fn of(whom: &Whom<'_>) -> Filter {
        match whom {
            Whom::Client(id) => Filter::Client((*id).into()),
            Whom::Prefix(prefix) => Filter::Prefix((*prefix).into()),
            Whom::Area { centre, radius_km } => Filter::Area(Box::new(FollowedArea {
                area: Area::new(Spot::of(centre), kilometres(radius_km)),
                told: Told::default(),
                departed: VecDeque::new(),
            })),
        }
    }

    /// Whether both name the same clients; an area is always another one.
    pub(super) fn is_same(&self, other: &Filter) -> bool {
        match (self, other) {
            (Filter::Client(one), Filter::Client(other)) => one == other,
            (Filter::Prefix(one), Filter::Prefix(other)) => one == other,
            _ => false,
        }
    }

    /// Whether a client is followed by its ID.
    pub(super) fn has_id(&self, id: &[u8]) -> bool {
        match self {
            Filter::Client(own) => **own == *id,
            Filter::Prefix(prefix) => id.starts_with(prefix),
            Filter::Area(_) => false,
        }
    }
}

impl FollowedArea {
    /// Whether a change to this spot concerns the follower.
    pub(super) fn concerns(&self, record: RecordId, to: Option<&Spot>) -> bool {
        to.is_some_and(|spot| self.area.zone(spot) == Zone::Inside) || self.told.has(record)
    }
}

/// The followers that follow the same clients.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) filter: Filter,
    /// The keys of its followers.
    pub(super) members: Vec<u32>,
    pub(super) recent: Recent,
    /// All followers were woken, and none was served since.
    pub(super) all_woken: bool,
}

/// The last changes that concern a group, in their order. A follower that has kept up needs no others.
#[derive(Debug)]
pub(super) struct Recent {
    entries: VecDeque<(RecordId, u64)>,
    /// The list is complete from this number on.
    start: u64,
}

impl Recent {
    pub(super) fn new(sequence: u64) -> Recent {
        Recent { entries: VecDeque::new(), start: sequence }
    }

    /// A record has changed. `is_once`: it stands here once, with its newest number.
    pub(super) fn push(&mut self, record: RecordId, sequence: u64, is_once: bool) {
        if let Some(last) = self.entries.back_mut()
            && last.0 == record
        {
            last.1 = sequence;
            return;
        }
        if is_once && let Some(earlier) = self.entries.iter().position(|entry| entry.0 == record) {
            self.entries.remove(earlier);
        }
        if self.entries.len() == RECENT_MAX
            && let Some((_, dropped)) = self.entries.pop_front()
        {
            self.start = dropped;
        }
        self.entries.push_back((record, sequence));
    }

    /// Whether each change after this number is in the list.
    pub(super) fn covers(&self, seen: u64) -> bool {
        seen >= self.start
    }

    /// The first change after this number.
    pub(super) fn after(&self, seen: u64) -> Option<(RecordId, u64)> {
        self.entries.get(self.entries.partition_point(|entry| entry.1 <= seen)).copied()
    }
}

/// The changes that a group keeps: more than a turn usually has. Further ones are read from the list of changes.
const RECENT_MAX: usize = if cfg!(test) { 4 } else { 256 };
