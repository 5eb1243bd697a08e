//! What the store of a server must have after its process has ended (docs/protocol.md, section 8): what clients were
//! promised, and what the server knew to be on the disk.

use std::collections::{BTreeMap, VecDeque};

use herd::config::Sync;
use herd::store::Store;

use crate::rules::Record;
use crate::world::{MILLISECOND, SECOND, Time};

/// The newest statements by client.
pub type Content = BTreeMap<Vec<u8>, Record>;

/// What the store of one server must have.
#[derive(Debug)]
pub struct Promises {
    sync: Sync,
    /// The longest time of a batch on its way to the disk.
    batch_max: Time,
    /// What was answered, in order, with the time, and is not in `lasting`.
    answered: VecDeque<(Time, Record)>,
    /// What must survive any end.
    lasting: Content,
    /// What must be there after the end that was last.
    due: Content,
    /// The end was one in order: the epoch and the number of the last change stay.
    numbers: Option<(u64, u64)>,
    /// Since when nothing may be written, because the disk fails or the process is paused, and when the store has
    /// recovered from that.
    failing: Option<(Time, Time)>,
    is_in_trouble: bool,
    is_paused: bool,
    /// Until when IAMATs may be refused.
    refuses_until: Time,
    /// Replies of earlier incarnations promise nothing any more.
    sure_since: u32,
    /// IAMATs and FORGETs that were refused because the disk fails.
    pub refused: u64,
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Killed,
    PowerLoss,
}

impl Promises {
    pub fn new(sync: Sync, batch_max: Time) -> Promises {
        Promises {
            sync,
            batch_max,
            answered: VecDeque::new(),
            lasting: Content::new(),
            due: Content::new(),
            numbers: None,
            failing: None,
            is_in_trouble: false,
            is_paused: false,
            refuses_until: 0,
            sure_since: 0,
            refused: 0,
        }
    }

    /// A client has received this reply to an IAMAT or a FORGET from an incarnation of the server, which may be an earlier
    /// one.
    pub fn answered(&mut self, now: Time, incarnation: u32, is_current: bool, record: &Record) {
        // Without the disk, the statement may have been lost before its reply arrived.
        if incarnation >= self.sure_since && (is_current || self.sync == Sync::Always) {
            self.answered.push_back((now, record.clone()));
        }
    }

    /// The server knows that everything which it has is on the disk.
    pub fn all_is_on_disk(&mut self, content: &Content) {
        content.values().for_each(|record| add(&mut self.lasting, record));
        // Each of these has won or lost.
        self.answered.clear();
    }

    /// The disk fails from now on.
    pub fn trouble_begins(&mut self, now: Time) {
        (self.is_in_trouble, self.refuses_until) = (true, Time::MAX);
        self.begin_to_fail(now);
    }

    /// The process is paused.
    pub fn paused(&mut self, now: Time) {
        self.is_paused = true;
        self.begin_to_fail(now);
    }

    fn begin_to_fail(&mut self, now: Time) {
        let since = self.failing.filter(|failing| now < failing.1).map_or(now, |failing| failing.0);
        self.failing = Some((since, Time::MAX));
    }

    /// The disk works again.
    pub fn trouble_ends(&mut self, now: Time) {
        if self.refuses_until == Time::MAX {
            self.refuses_until = now + self.recovery();
        }
        self.is_in_trouble = false;
        self.may_recover(now);
    }

    /// The process goes on.
    pub fn resumed(&mut self, now: Time) {
        self.is_paused = false;
        self.may_recover(now);
    }

    fn may_recover(&mut self, now: Time) {
        if self.is_paused || self.is_in_trouble {
            return;
        }
        let until = now + self.recovery();
        self.failing = self.failing.map(|(since, end)| (since, if end == Time::MAX { until } else { end }));
    }

    /// The longest time from the end of a trouble to a store that has everything.
    pub fn recovery(&self) -> Time {
        RETRY_MAX + BATCHES * self.batch_max
    }

    /// The longest time from a reply to the sync of its statement.
    pub fn synced_within(&self) -> Time {
        SECOND + 4 * self.batch_max + MARGIN
    }

    /// Whether a statement that was sent at `since` may be refused.
    pub fn may_refuse(&self, since: Time) -> bool {
        self.sync == Sync::Always && self.refuses_until >= since
    }

    /// The process has ended.
    pub fn ended(&mut self, now: Time, ending: Ending) {
        let failing_since = self.failing.filter(|failing| now < failing.1).map(|failing| failing.0);
        let always = self.sync == Sync::Always;
        let synced = match always {
            true => now,
            false => failing_since.unwrap_or(now).saturating_sub(self.synced_within()),
        };
        let lasting = self.answered.partition_point(|(at, _)| *at <= synced);
        for (_, record) in self.answered.drain(..lasting) {
            add(&mut self.lasting, &record);
        }
        self.due = self.lasting.clone();
        if ending == Ending::Killed && failing_since.is_none() {
            let written = now.saturating_sub(100 * MILLISECOND + 3 * self.batch_max + MARGIN);
            let all = self.answered.iter().take_while(|(at, _)| *at <= written);
            all.for_each(|(_, record)| add(&mut self.due, record));
        }
        self.numbers = None;
    }

    /// The process ends in order, with this epoch and last change.
    pub fn ended_in_order(&mut self, now: Time, epoch: u64, sequence: u64) {
        if self.failing.is_none_or(|failing| now >= failing.1) {
            self.numbers = Some((epoch, sequence));
        }
    }

    /// The epoch and the last change, if the process has ended in order.
    pub fn numbers(&self) -> Option<(u64, u64)> {
        self.numbers
    }

    /// All that the server has must be there after the end.
    pub fn all_is_due(&mut self, content: &Content) {
        self.all_is_on_disk(content);
        self.due = self.lasting.clone();
    }

    /// A process has begun to write and has not started.
    pub fn start_failed(&mut self) {
        self.numbers = None;
    }

    /// The same, and it has died.
    pub fn start_died(&mut self, ending: Ending) {
        self.start_failed();
        // What the end before it may have lost is not there.
        let due = std::mem::take(&mut self.due);
        self.answered.retain(|(_, record)| due.get(&record.id).is_some_and(|due| !record.beats(due)));
        self.due = due;
        if ending == Ending::PowerLoss {
            // The process before it may have been killed before it synced them.
            self.answered.clear();
            self.due = self.lasting.clone();
        }
    }

    /// The disk was damaged after this incarnation of the server. Only this is left for sure.
    pub fn damaged(&mut self, left: &Content, incarnation: u32) {
        self.sure_since = incarnation + 1;
        let is_left = |record: &Record| left.get(&record.id).is_some_and(|left| !record.beats(left));
        self.lasting.retain(|_, record| is_left(record));
        self.answered.retain(|(_, record)| is_left(record));
        self.due = left.clone();
        self.numbers = None;
    }

    /// Nothing is left for sure of what this incarnation of the server and earlier ones wrote.
    pub fn forget(&mut self, incarnation: u32) {
        self.damaged(&Content::new(), incarnation);
    }

    /// Checks what a server has read, which has this epoch. `messages`: for the operator; `None`: it has served clients since.
    /// `may_lack`: a statement need not be there. The error says what is wrong.
    pub fn check(
        &mut self,
        (store, epoch): (&Store, u64),
        messages: Option<&[String]>,
        may_lack: impl Fn(&Record) -> bool,
    ) -> Result<(), String> {
        let has = |record: &Record| {
            let newest = store.newest(&record.id).and_then(Record::parse);
            newest.is_some_and(|newest| !record.beats(&newest))
        };
        if let Some(lost) = self.due.values().find(|record| !has(record) && !may_lack(record)) {
            let newest = store.newest(&lost.id).unwrap_or(b"nothing").escape_ascii().to_string();
            return Err(format!("has lost '{}' and has '{newest}'", lost.line.escape_ascii()));
        }
        if let Some((before, sequence)) = self.numbers.take()
            && match messages {
                Some(messages) => (epoch, store.sequence()) != (before, sequence) || !messages.is_empty(),
                None => epoch != before || store.sequence() < sequence,
            }
        {
            return Err(format!(
                "has ended in order at change {sequence} of epoch {before:016x}, and goes on at change {} of \
                 epoch {epoch:016x}, with {messages:?}",
                store.sequence()
            ));
        }
        self.answered.retain(|(_, record)| has(record));
        Ok(())
    }
}

/// Adds a statement, if it wins.
pub fn add(content: &mut Content, record: &Record) {
    if content.get(&record.id).is_none_or(|known| record.beats(known)) {
        content.insert(record.id.clone(), record.clone());
    }
}

/// The longest pause before another attempt, and the attempt that has just failed.
const RETRY_MAX: Time = 9 * SECOND;
/// Batches of a snapshot of everything that a simulated server has, and those before and after it.
const BATCHES: Time = 12;
/// The time of some turns, and of the pause of a batch.
const MARGIN: Time = 50 * MILLISECOND;
