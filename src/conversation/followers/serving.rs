//! Serving a follower: what it is sent in one turn.

use super::area::{Spot, Zone};
use super::departures::Departures;
use super::group::{Filter, FollowedArea, Group};
use super::{FollowerId, Followers, Member, State};
use crate::protocol::Transport;
use crate::store::{Change, Store};
use crate::text::peer_line::Epoch;
use crate::text::record::Statement;

/// What serving a follower has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::conversation) struct Served {
    /// AT and LEFT lines that were written.
    pub(in crate::conversation) lines: u64,
    /// The number of the MARK that is due; `None`: none is.
    pub(in crate::conversation) mark: Option<u64>,
    /// The follower was sent everything.
    pub(in crate::conversation) is_current: bool,
    /// The follower has read so slowly that removals were forgotten before they were sent.
    pub(in crate::conversation) is_lost: bool,
}

/// What a portion of changes has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Portion {
    /// All of them were sent.
    Complete,
    /// More are to be looked at.
    Partial,
    /// The transport has no room.
    Blocked,
}

/// How a stream is written.
pub(in crate::conversation) trait Encoder {
    /// The work of a line that is sent, as looks.
    const LOOKS: usize;

    /// Appends the statement of a change, an AT. Returns 1; 0 if the reader may not be sent it.
    fn at(&mut self, change: &Change<'_>, output: &mut Vec<u8>) -> u64;

    /// Appends that a client no longer matches. Returns 1; 0 if the reader may not be sent it.
    fn left(&mut self, id: &[u8], output: &mut Vec<u8>) -> u64;
}

/// A stream of AT and LEFT lines.
pub(in crate::conversation) struct Lines;

impl Encoder for Lines {
    /// Copying a line takes no longer than the look at it.
    const LOOKS: usize = 0;

    fn at(&mut self, change: &Change<'_>, output: &mut Vec<u8>) -> u64 {
        output.extend_from_slice(change.line);
        1
    }

    fn left(&mut self, id: &[u8], output: &mut Vec<u8>) -> u64 {
        output.extend_from_slice(b"LEFT ");
        output.extend_from_slice(id);
        output.push(b'\n');
        1
    }
}

impl Followers {
    /// Writes a portion of what a follower lacks. One that has waited until the store was read begins now. `epoch`: that of
    /// the store.
    pub(in crate::conversation) fn serve<E: Encoder>(
        &mut self,
        id: FollowerId,
        store: &mut Store,
        epoch: Epoch,
        transport: &mut Transport,
        encoder: &mut E,
    ) -> Served {
        if !self.members.contains(id.0 as usize) {
            return Served::default();
        }
        self.begin(id, store, epoch);
        let Followers { members, groups, departures, budget, .. } = self;
        let mut served = Served::default();
        let member = &mut members[id.0 as usize];
        let group = &mut groups[member.group.0 as usize].0;
        group.all_woken = false;
        let pending = transport.pending();
        let mut sending = Sending { member, group, store, transport, encoder, lines: 0, looked_at: 0 };
        // First, so that a client that is back is not taken for one that has left.
        let mut portion = sending.departures(departures);
        served.is_lost = portion.is_none();
        if portion == Some(Portion::Complete) {
            sending.choose_way();
            portion = Some(sending.changes());
        }
        let written = sending.transport.pending().saturating_sub(pending);
        let looks = sending.looked_at + sending.lines as usize * E::LOOKS + written / BYTES_PER_LOOK;
        *budget = budget.saturating_sub(looks / LOOKS_PER_WORK);
        served.lines = sending.lines;
        let is_searching = sending.is_searching();
        served.is_current = portion == Some(Portion::Complete);
        let is_first = served.is_current && !member.has_snapshot;
        member.has_snapshot |= served.is_current;
        member.is_complete = served.is_current;
        let is_batch = served.lines > 0 && member.has_snapshot && !is_searching;
        served.mark = (is_first || is_batch).then_some(member.seen);
        let state = match portion {
            Some(Portion::Complete) => State::Idle,
            Some(Portion::Blocked) if !is_searching => State::Stalled,
            _ => State::Due,
        };
        self.set_state(id, state);
        served
    }

    /// The number of a MARK that is due by its time; `None`: the first one is still to come.
    pub(in crate::conversation) fn mark(&mut self, id: FollowerId, store: &Store) -> Option<u64> {
        let member = &mut self.members[id.0 as usize];
        if let State::Idle = member.state {
            member.seen = store.sequence();
        }
        member.has_snapshot.then_some(member.seen)
    }
}

/// One follower while it is served.
struct Sending<'a, E> {
    member: &'a mut Member,
    group: &'a mut Group,
    store: &'a mut Store,
    transport: &'a mut Transport,
    encoder: &'a mut E,
    lines: u64,
    looked_at: usize,
}

impl<E: Encoder> Sending<'_, E> {
    fn is_searching(&self) -> bool {
        self.member.cursor.is_some_and(|cursor| self.store.is_searching(cursor))
    }

    /// Gives the follower a cursor if it needs one, and takes it away if the last changes of its group are enough.
    fn choose_way(&mut self) {
        let recent = &self.group.recent;
        match self.member.cursor {
            // Before it was sent everything, a change may concern it by what it is still to be sent.
            Some(cursor) if self.member.is_complete => {
                if recent.covers(self.member.seen) && self.transport.has_room() {
                    self.store.unfollow(cursor);
                    self.member.cursor = None;
                }
            }
            Some(_) => {}
            None if self.lacks_client() => {}
            None => {
                if !recent.covers(self.member.seen) || !self.transport.has_room() {
                    self.member.cursor = Some(self.store.follow(self.member.seen));
                }
            }
        }
    }

    /// Whether the follower of a single client was not sent its statement.
    fn lacks_client(&self) -> bool {
        !self.member.has_snapshot && matches!(self.group.filter, Filter::Client(_))
    }

    fn changes(&mut self) -> Portion {
        if self.member.cursor.is_some() {
            self.walk()
        } else if self.lacks_client() {
            self.client()
        } else {
            self.recent()
        }
    }

    /// Sends the statement of a single client.
    fn client(&mut self) -> Portion {
        if let Filter::Client(id) = &self.group.filter
            && let Some(record) = self.store.record_of(id)
            && let Some(change) = self.store.change_of(record)
            && change.sequence > self.member.seen
        {
            self.lines += tell(
                &mut self.group.filter,
                &change,
                self.member.silent_up_to,
                self.encoder,
                self.transport.output(),
            );
        }
        self.member.seen = self.store.sequence();
        Portion::Complete
    }

    /// Sends the last changes of the group.
    fn recent(&mut self) -> Portion {
        while let Some((record, sequence)) = self.group.recent.after(self.member.seen) {
            if !self.transport.has_room() {
                self.member.cursor = Some(self.store.follow(self.member.seen));
                return Portion::Blocked;
            }
            self.looked_at += 1;
            let is_area = matches!(self.group.filter, Filter::Area(_));
            if let Some(change) = self.store.change_of(record)
                // A later change of the record stands here too, unless it does not concern an area.
                && (change.sequence == sequence || is_area && change.sequence > sequence)
            {
                self.lines += tell(
                    &mut self.group.filter,
                    &change,
                    self.member.silent_up_to,
                    self.encoder,
                    self.transport.output(),
                );
            }
            self.member.seen = sequence;
        }
        self.member.seen = self.store.sequence();
        Portion::Complete
    }

    /// Sends the changes after the cursor.
    fn walk(&mut self) -> Portion {
        let Some(cursor) = self.member.cursor else { return Portion::Complete };
        let mut portion = Portion::Partial;
        while self.looked_at < LOOKED_AT_MAX {
            // A cursor finds its place in any case: later the way would be longer.
            if !self.transport.has_room() && !self.store.is_searching(cursor) {
                portion = Portion::Blocked;
                break;
            }
            self.looked_at += 1;
            let Some(change) = self.store.next_change(cursor) else {
                if !self.store.is_searching(cursor) && self.store.seen(cursor) == self.store.sequence() {
                    portion = Portion::Complete;
                    break;
                }
                self.looked_at += SEARCH_LOOKS;
                continue;
            };
            self.lines += tell(
                &mut self.group.filter,
                &change,
                self.member.silent_up_to,
                self.encoder,
                self.transport.output(),
            );
        }
        if !self.store.is_searching(cursor) {
            self.member.seen = self.member.seen.max(self.store.seen(cursor));
        }
        portion
    }

    /// Sends a LEFT of each client whose record was removed. `None`: some of them were forgotten.
    fn departures(&mut self, departures: &Departures) -> Option<Portion> {
        match &mut self.group.filter {
            Filter::Area(followed) => {
                while let Some(&position) = followed.departed.front() {
                    if !self.transport.has_room() {
                        return Some(Portion::Blocked);
                    }
                    let id = departures.get(position)?;
                    followed.departed.pop_front();
                    self.lines += self.encoder.left(id, self.transport.output());
                }
                Some(Portion::Complete)
            }
            filter => {
                if self.member.departures_seen < departures.start() {
                    return None;
                }
                while let Some(id) = departures.get(self.member.departures_seen) {
                    if !self.transport.has_room() {
                        return Some(Portion::Blocked);
                    }
                    if self.looked_at == LOOKED_AT_MAX {
                        return Some(Portion::Partial);
                    }
                    self.member.departures_seen += 1;
                    self.looked_at += 1;
                    if filter.has_id(id) && self.store.get(id).is_none() {
                        self.lines += self.encoder.left(id, self.transport.output());
                    }
                }
                Some(Portion::Complete)
            }
        }
    }
}

/// Writes what a change means for a follower. Returns the number of lines.
fn tell<E: Encoder>(
    filter: &mut Filter,
    change: &Change<'_>,
    silent_up_to: u64,
    encoder: &mut E,
    output: &mut Vec<u8>,
) -> u64 {
    let is_gone = change.is_gone;
    match filter {
        Filter::Area(followed) => followed.tell(change, encoder, output),
        Filter::Prefix(prefix) if prefix.is_empty() && !is_gone => encoder.at(change, output),
        filter => {
            let Some(id) = id_of(change.line).filter(|id| filter.has_id(id)) else { return 0 };
            if !is_gone {
                encoder.at(change, output)
            } else if change.sequence > silent_up_to {
                encoder.left(id, output)
            } else {
                0
            }
        }
    }
}

impl FollowedArea {
    fn tell<E: Encoder>(&mut self, change: &Change<'_>, encoder: &mut E, output: &mut Vec<u8>) -> u64 {
        let statement = change.line.strip_suffix(b"\n").and_then(Statement::parse);
        let spot = statement.and_then(|statement| statement.location).map(|location| Spot::of(&location));
        let zone = spot.map_or(Zone::Outside, |spot| self.area.zone(&spot));
        match zone {
            Zone::Inside => {
                self.told.insert(change.record);
                encoder.at(change, output)
            }
            Zone::Margin if self.told.has(change.record) => encoder.at(change, output),
            Zone::Outside if self.told.remove(change.record) => {
                id_of(change.line).map_or(0, |id| encoder.left(id, output))
            }
            Zone::Margin | Zone::Outside => 0,
        }
    }
}

/// The client's ID in a stored line.
pub(in crate::conversation) fn id_of(line: &[u8]) -> Option<&[u8]> {
    line.split(|&byte| byte == b' ' || byte == b'\n').nth(ID_FIELD)
}

/// The field of the ID in AT and GONE.
const ID_FIELD: usize = 3;
/// Changes that are looked at for one follower in one turn.
const LOOKED_AT_MAX: usize = if cfg!(test) { 8 } else { 1024 };
/// The work of a step of a cursor that searches for its place, as looks.
const SEARCH_LOOKS: usize = if cfg!(test) { 2 } else { 128 };
/// Bytes of output that are as much work as a look: copying them, and handing them to the system.
const BYTES_PER_LOOK: usize = 256;
/// Looks that are as much work as a unit of the budget: each may take a memory access, 0.1 µs.
const LOOKS_PER_WORK: usize = 2;
