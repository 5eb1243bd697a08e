//! The followers: connections that are sent the changes of some clients as they happen (docs/protocol.md, section 1,
//! FOLLOW). It owns no connection and writes no reply.
//!
//! Nothing is queued for a follower. It has a number up to which it was sent everything that concerns it. Followers of
//! the same clients are a *group*. An index finds the groups that a change concerns; each notes its last changes, and
//! its followers are woken. A woken follower is sent the noted changes after its number. One that has missed more than
//! its group has noted, or whose connection has no room, gets a cursor into the store's list of changes, which finds
//! its place and walks in portions, as that of a neighbour does.
//!
//! ```text
//!  a change ──► index ──► groups, each with its last changes ──► woken followers ──► a portion of them in each turn
//!                                                                     │   ▲
//!                                     too many, or no room: a cursor  ▼   │  caught up
//!                                                                list of changes
//! ```

mod area;
mod cells;
mod departures;
mod group;
mod index;
mod serving;
mod told;

use std::collections::VecDeque;

use slab::Slab;

use self::area::Spot;
use self::departures::Departures;
use self::group::{Filter, Group, Recent};
use self::index::{Index, Place};
pub(in crate::conversation) use self::serving::{Encoder, Lines, id_of};
use crate::protocol::ConnectionId;
use crate::store::{Cursor, Origin, Outcome, RecordId, Store};
use crate::text::follow::{Follow, Position};
use crate::text::peer_line::Epoch;
use crate::text::record::Statement;

/// A follower of [`Followers`], until it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerId(u32);

/// The name of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GroupId(u32);

/// All followers of a server.
#[derive(Debug)]
pub struct Followers {
    members: Slab<Member>,
    groups: Slab<(Group, Place)>,
    index: Index,
    /// The groups of areas.
    areas: Vec<GroupId>,
    /// The followers to serve, in the order in which they were woken.
    due: VecDeque<(FollowerId, ConnectionId)>,
    departures: Departures,
    /// Followers that are due or have no room.
    behind: usize,
    /// Work that may still be done in this turn.
    budget: usize,
    /// The number of the newest change at the end of the last turn.
    sequence: u64,
    /// Streams begin when the store was read from the disk.
    await_store: bool,
    is_closing: bool,
}

/// One follower.
#[derive(Debug)]
struct Member {
    connection: ConnectionId,
    state: State,
    group: GroupId,
    /// The place among the members of the group.
    place: usize,
    /// Every change up to this number that concerns the follower was sent, unless a cursor says otherwise.
    seen: u64,
    cursor: Option<Cursor>,
    /// It was sent everything once.
    has_snapshot: bool,
    /// It was sent everything when it was served last.
    is_complete: bool,
    /// GONEs up to this number are no news: the follower was not sent what they replace.
    silent_up_to: u64,
    /// The position among the departures of the first one that was not looked at.
    departures_seen: u64,
}

#[derive(Debug)]
enum State {
    /// The replies before it are pending.
    Waiting(Box<Filter>, Option<Position>),
    /// It was sent everything.
    Idle,
    /// It is to be served.
    Due,
    /// Its connection has no room.
    Stalled,
}

impl Followers {
    /// No followers.
    pub(super) fn new() -> Followers {
        Followers {
            members: Slab::new(),
            groups: Slab::new(),
            index: Index::default(),
            areas: Vec::new(),
            due: VecDeque::new(),
            departures: Departures::default(),
            behind: 0,
            budget: TURN_WORK,
            sequence: 0,
            await_store: false,
            is_closing: false,
        }
    }

    /// The number of followers, those included whose replies before it are pending.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no follower.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a follower, which waits until [`Followers::begin`].
    pub(super) fn add(&mut self, connection: ConnectionId, follow: &Follow<'_>) -> FollowerId {
        let filter = Box::new(Filter::of(&follow.whom));
        let key = self.members.insert(Member {
            connection,
            state: State::Waiting(filter, follow.from),
            group: GroupId(u32::MAX),
            place: 0,
            seen: 0,
            cursor: None,
            has_snapshot: false,
            is_complete: false,
            silent_up_to: 0,
            departures_seen: 0,
        });
        // `limits.max_followers` is at most 1,000,000.
        FollowerId(key as u32)
    }

    /// The replies before a follower were sent, and the store is still being read from the disk: it is due when it was.
    pub(super) fn await_store(&mut self, id: FollowerId) {
        self.await_store = true;
        self.due.push_back((id, self.members[id.0 as usize].connection));
    }

    /// The store was read from the disk. Returns whether followers are to be served.
    pub fn store_was_read(&mut self) -> bool {
        std::mem::take(&mut self.await_store)
    }

    /// The replies before a follower were sent: from now on its changes are. `epoch`: that of the store.
    pub(super) fn begin(&mut self, id: FollowerId, store: &mut Store, epoch: Epoch) {
        let key = id.0 as usize;
        let state = &mut self.members[key].state;
        if !matches!(state, State::Waiting(..)) {
            return;
        }
        let State::Waiting(filter, from) = std::mem::replace(state, State::Idle) else { return };
        let known = from.filter(|from| from.epoch == Some(epoch) && from.sequence <= store.sequence());
        let since = known.map_or(0, |from| from.sequence);
        let needs_walk = !matches!(*filter, Filter::Client(_));
        let group = self.join(id, *filter, store.sequence());
        let member = &mut self.members[key];
        (member.group, member.seen) = (group, since);
        member.silent_up_to = if since > 0 { since } else { store.sequence() };
        if needs_walk && since < store.sequence() {
            member.cursor = Some(store.follow(since));
        }
        self.wake(id);
    }

    /// Adds a follower to its group.
    fn join(&mut self, id: FollowerId, filter: Filter, sequence: u64) -> GroupId {
        let known = match &filter {
            Filter::Client(key) | Filter::Prefix(key) => {
                self.index.of_id(key).find(|group| self.groups[group.0 as usize].0.filter.is_same(&filter))
            }
            Filter::Area(_) => None,
        };
        let group = known.unwrap_or_else(|| {
            let entry = self.groups.vacant_entry();
            let group = GroupId(entry.key() as u32);
            let place = self.index.add(&filter, group);
            if let Filter::Area(_) = filter {
                self.areas.push(group);
            }
            let recent = Recent::new(sequence);
            entry.insert((Group { filter, members: Vec::new(), recent, all_woken: false }, place));
            group
        });
        let members = &mut self.groups[group.0 as usize].0.members;
        self.members[id.0 as usize].place = members.len();
        members.push(id.0);
        group
    }

    /// Removes a follower.
    pub(super) fn end(&mut self, id: FollowerId, store: &mut Store) {
        let key = id.0 as usize;
        let Some(member) = self.members.get(key) else { return };
        if let State::Waiting(..) = member.state {
            self.members.remove(key);
            return;
        }
        self.set_state(id, State::Idle);
        let member = self.members.remove(key);
        if let Some(cursor) = member.cursor {
            store.unfollow(cursor);
        }
        let group_key = member.group.0 as usize;
        let (group, place) = &mut self.groups[group_key];
        group.members.swap_remove(member.place);
        if let Some(&moved) = group.members.get(member.place) {
            self.members[moved as usize].place = member.place;
        }
        if group.members.is_empty() {
            self.index.remove(&group.filter, *place, member.group);
            if let Filter::Area(_) = group.filter {
                self.areas.retain(|&area| area != member.group);
            }
            self.groups.remove(group_key);
        }
    }

    /// Stores a statement, as [`Store::report`] does, and wakes the followers that it concerns.
    #[inline]
    pub(super) fn report(
        &mut self,
        store: &mut Store,
        statement: &Statement<'_>,
        line: &[u8],
        origin: Origin,
    ) -> Outcome {
        if self.groups.is_empty() {
            return store.report(statement, line, origin);
        }
        self.report_to_followers(store, statement, line, origin)
    }

    #[inline(never)]
    fn report_to_followers(
        &mut self,
        store: &mut Store,
        statement: &Statement<'_>,
        line: &[u8],
        origin: Origin,
    ) -> Outcome {
        // An area may be left, too.
        let before = if self.areas.is_empty() { None } else { stored_spot(store, statement.id) };
        let outcome = store.report(statement, line, origin);
        if outcome == Outcome::Stored
            && let Some(record) = store.newest_record()
        {
            let after = if self.areas.is_empty() {
                None
            } else {
                statement.location.map(|location| Spot::of(&location))
            };
            self.changed(record, store.sequence(), statement.id, before.as_ref(), after.as_ref());
        }
        outcome
    }

    /// A record has changed: its client was at one spot before and is at another after.
    fn changed(
        &mut self,
        record: RecordId,
        sequence: u64,
        id: &[u8],
        before: Option<&Spot>,
        after: Option<&Spot>,
    ) {
        let position = self.departures.end();
        let Followers { index, groups, members, due, behind, .. } = self;
        let mut wake_all = |group: &mut Group| {
            if !std::mem::replace(&mut group.all_woken, true) {
                for &key in &group.members {
                    wake(members, due, behind, position, FollowerId(key));
                }
            }
        };
        for group in index.of_id(id) {
            let group = &mut groups[group.0 as usize].0;
            if group.filter.has_id(id) {
                group.recent.push(record, sequence, false);
                wake_all(group);
            }
        }
        for group in [before, after].into_iter().flatten().flat_map(|spot| index.cells.near(spot)) {
            let group = &mut groups[group.0 as usize].0;
            if let Filter::Area(followed) = &group.filter
                && followed.concerns(record, after)
            {
                group.recent.push(record, sequence, true);
                wake_all(group);
            }
        }
    }

    /// A record is about to be removed: its statement is over. A GONE concerns only followers that were not sent it.
    pub fn removed(&mut self, record: RecordId, id: &[u8], is_gone: bool) {
        let position = self.departures.end();
        let Followers { index, groups, members, due, behind, .. } = self;
        if is_gone && *behind == 0 {
            return;
        }
        let mut is_followed = false;
        let mut wake_all = |group: &Group| {
            is_followed = true;
            if is_gone {
                return;
            }
            for &key in &group.members {
                wake(members, due, behind, position, FollowerId(key));
            }
        };
        for group in index.of_id(id) {
            let group = &groups[group.0 as usize].0;
            if group.filter.has_id(id) {
                wake_all(group);
            }
        }
        for group in &self.areas {
            let group = &mut groups[group.0 as usize].0;
            if let Filter::Area(followed) = &mut group.filter
                && followed.told.remove(record)
            {
                followed.departed.push_back(position);
                wake_all(group);
            }
        }
        if is_followed {
            self.departures.push(id);
        }
    }

    /// The next follower to serve; `None`: there is none, or this turn has served enough.
    pub fn next_due(&mut self) -> Option<ConnectionId> {
        while self.budget > 0 && !self.await_store {
            let (id, connection) = self.due.pop_front()?;
            let is_due = |member: &&Member| {
                member.connection == connection && matches!(member.state, State::Due | State::Waiting(..))
            };
            if self.members.get(id.0 as usize).filter(is_due).is_some() {
                self.budget = self.budget.saturating_sub(SERVICE_WORK);
                return Some(connection);
            }
        }
        None
    }

    /// The turn is over. `sequence`: the number of the newest change. Returns whether followers are to be served.
    ///
    /// A turn that has stored statements serves fewer followers: replies and links come first, and a follower that
    /// waits is sent the newer statement.
    pub fn turn_ended(&mut self, sequence: u64) -> bool {
        let changes = usize::try_from(sequence - self.sequence).unwrap_or(usize::MAX);
        self.sequence = sequence;
        let share = changes / CHANGES_PER_SERVICE * SERVICE_WORK;
        self.budget = if changes == 0 { TURN_WORK } else { share.clamp(TURN_WORK_MIN, TURN_WORK) };
        !self.due.is_empty() && !self.await_store
    }

    /// Has every follower end: it is served once more, and its conversation ends its stream.
    pub fn close(&mut self) {
        self.is_closing = true;
        self.await_store = false;
        let keys: Vec<usize> = self.members.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.wake(FollowerId(key as u32));
        }
    }

    /// Whether each stream is to end.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Has a follower served.
    pub(super) fn wake(&mut self, id: FollowerId) {
        wake(&mut self.members, &mut self.due, &mut self.behind, self.departures.end(), id);
    }

    /// The connection of a follower has room again.
    pub(super) fn resume(&mut self, id: FollowerId) {
        if let State::Stalled = self.members[id.0 as usize].state {
            self.set_state(id, State::Due);
        }
    }

    fn set_state(&mut self, id: FollowerId, state: State) {
        let is_behind = |state: &State| matches!(state, State::Due | State::Stalled);
        let own = &mut self.members[id.0 as usize].state;
        self.behind -= usize::from(is_behind(own));
        self.behind += usize::from(is_behind(&state));
        let is_due = matches!(state, State::Due);
        *own = state;
        if is_due {
            self.due.push_back((id, self.members[id.0 as usize].connection));
        }
        if self.behind == 0 {
            self.departures.clear();
        }
    }
}

/// Wakes a follower that was sent everything so far. `departures`: the position of the next departure.
fn wake(
    members: &mut Slab<Member>,
    due: &mut VecDeque<(FollowerId, ConnectionId)>,
    behind: &mut usize,
    departures: u64,
    id: FollowerId,
) {
    let member = &mut members[id.0 as usize];
    if let State::Idle = member.state {
        member.state = State::Due;
        member.departures_seen = departures;
        *behind += 1;
        due.push_back((id, member.connection));
    }
}

/// The spot of the stored statement of a client, be it over or not.
fn stored_spot(store: &Store, id: &[u8]) -> Option<Spot> {
    let line = store.line_of(store.record_of(id)?);
    Statement::parse(line.strip_suffix(b"\n")?)?.location.map(|location| Spot::of(&location))
}

/// The work of serving a follower, besides the changes that are looked at. About 3 µs, most of it for the write.
const SERVICE_WORK: usize = 16;
/// The work for followers in one turn that has stored nothing: 8 services of some lines each, 0.03 ms, or a few that fill
/// their output. More would delay the replies to what arrives meanwhile, and brings no more deliveries.
const TURN_WORK: usize = 8 * SERVICE_WORK;
/// The same in a turn that has stored something: followers must not wait for ever.
const TURN_WORK_MIN: usize = 4 * SERVICE_WORK;
/// Statements that a turn stores for each follower that it serves. Both take about as long as 50 to 3 µs: a server
/// under full load spends about a twentieth of its time on followers.
const CHANGES_PER_SERVICE: usize = 50;

#[cfg(test)]
mod tests;
