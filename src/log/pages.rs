//! The pages of a log: buffers of whole lines that go to a writer and come back. This file neither formats lines
//! nor writes files.
//!
//! The memory of all pages is bounded. When the writer is slower than the log, the lines beyond that bound are
//! dropped and counted, and the next page carries their number.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memchr_iter;

use super::MESSAGE_MAX;
use crate::clock::Moment;

/// The destination of the lines of a log. May block.
pub trait Sink: Send {
    /// Appends `lines`, after a note about the `lost` lines before them, if there are any. Returns the number of
    /// lines that it could not write. `now` is the time at which the page was handed over.
    fn write(&mut self, lost: u64, lines: &[u8], now: Moment) -> u64;

    /// Reopens the destination, after log rotation has renamed or truncated it. Returns whether it is open.
    fn reopen(&mut self, now: Moment) -> bool;
}

/// A sink that pages carry to the thread that writes them.
pub type SharedSink = Arc<Mutex<dyn Sink>>;

/// Whole lines of a log, on their way to the sink.
pub struct Page {
    sink: SharedSink,
    /// The sink is reopened before the lines are written.
    reopens: bool,
    /// Lines that were dropped before those of this page.
    lost_before: u64,
    lines: Vec<u8>,
    handed_over: Moment,
    /// The lines of this page, once it was written.
    line_count: u64,
    /// Lines of this page that the sink could not write.
    not_written: u64,
    /// The sink could not be reopened, or not written to.
    has_failed: bool,
}

impl Page {
    /// Writes the page to its sink. May block.
    pub fn write(&mut self) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_failed = self.reopens && !sink.reopen(self.handed_over);
        // Counted here, so that the lines cost the loop nothing.
        self.line_count = memchr_iter(b'\n', &self.lines).count() as u64;
        if self.lost_before > 0 || !self.lines.is_empty() {
            self.not_written = sink.write(self.lost_before, &self.lines, self.handed_over);
            self.has_failed |= self.not_written > 0;
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({} bytes)", self.lines.len())
    }
}

/// The pages of one log, apart from the one that is being filled.
pub(super) struct Pages {
    /// `None`: lines stay in memory.
    sink: Option<SharedSink>,
    /// Full pages that were not handed over yet.
    full: VecDeque<Box<Page>>,
    /// Pages that are full or handed over.
    in_use: usize,
    #[expect(clippy::vec_box, reason = "a page travels as a boxed task, and its box is used again, too")]
    free: Vec<Box<Page>>,
    /// No page is left: lines are dropped.
    is_dropping: bool,
    /// Dropping has begun, and nothing has asked since.
    has_begun_to_drop: bool,
    /// The next page reopens the sink.
    reopens: bool,
    /// Lines that were dropped since the last page was full.
    lost: u64,
    /// Lines lost since the start, those included that the sink could not write.
    lost_in_all: u64,
    /// Lines written since the start.
    written: u64,
    /// Pages that could not be written whole, or could not reopen the sink.
    errors: u64,
    /// The sink could not be reopened or written to when that was tried last.
    is_failing: bool,
}

impl Pages {
    pub(super) fn new(sink: Option<SharedSink>) -> Pages {
        Pages {
            sink,
            full: VecDeque::new(),
            in_use: 0,
            free: Vec::new(),
            is_dropping: false,
            has_begun_to_drop: false,
            reopens: false,
            lost: 0,
            lost_in_all: 0,
            written: 0,
            errors: 0,
            is_failing: false,
        }
    }

    /// The buffer of the first page.
    pub(super) fn first(&self) -> Vec<u8> {
        Vec::with_capacity(if self.sink.is_some() { PAGE_CAPACITY } else { 0 })
    }

    /// The length of `lines` from which on [`Pages::make_room`] must be called before the next line.
    pub(super) fn end(&self) -> usize {
        match self.sink {
            None => usize::MAX,
            Some(_) if self.is_dropping => 0,
            Some(_) => PAGE_FULL,
        }
    }

    /// Makes room in `lines` for a line that is about to begin. When no page is left, that line is dropped: the
    /// call before the next line removes it.
    pub(super) fn make_room(&mut self, lines: &mut Vec<u8>) {
        if !self.is_dropping {
            self.close(lines);
        }
        if self.is_dropping {
            self.has_begun_to_drop |= self.lost == 0;
            lines.clear();
            self.lost += 1;
            self.lost_in_all += 1;
        }
    }

    /// Whether there is something to hand over, apart from full pages.
    pub(super) fn has_begun(&self, lines: &[u8]) -> bool {
        self.sink.is_some() && !self.is_dropping && (!lines.is_empty() || self.lost > 0 || self.reopens)
    }

    /// Makes `lines` a full page, which need not be full.
    pub(super) fn close(&mut self, lines: &mut Vec<u8>) {
        let Some(sink) = &self.sink else { return };
        if self.is_dropping {
            // A line that counts as lost.
            lines.clear();
        }
        if self.in_use >= PAGES_MAX || lines.is_empty() && self.lost == 0 && !self.reopens {
            return;
        }
        let mut page = self.free.pop().unwrap_or_else(|| {
            Box::new(Page {
                sink: sink.clone(),
                reopens: false,
                lost_before: 0,
                lines: Vec::with_capacity(PAGE_CAPACITY),
                handed_over: Moment::START,
                line_count: 0,
                not_written: 0,
                has_failed: false,
            })
        });
        page.reopens = std::mem::take(&mut self.reopens);
        page.lost_before = std::mem::take(&mut self.lost);
        std::mem::swap(&mut page.lines, lines);
        self.in_use += 1;
        // The last page is the one that the lines are formatted in; a further one carries a count, and no line.
        self.is_dropping |= self.in_use >= PAGES_MAX - 1;
        self.full.push_back(page);
    }

    /// Makes the next page reopen the sink before it is written.
    pub(super) fn reopen(&mut self) {
        self.reopens = self.sink.is_some();
    }

    /// Whether all pages that were full have been taken back.
    pub(super) fn are_written(&self) -> bool {
        self.in_use == 0
    }

    /// The number of full pages.
    pub(super) fn full(&self) -> usize {
        self.full.len()
    }

    /// Hands over the next full page.
    pub(super) fn hand_over(&mut self, now: Moment) -> Option<Box<Page>> {
        let mut page = self.full.pop_front()?;
        page.handed_over = now;
        Some(page)
    }

    /// Takes back a page that was written. Dropping ends when half of the pages are back, so that the lines lost
    /// in one trouble are few long gaps of the log, not many short ones.
    pub(super) fn take_back(&mut self, mut page: Box<Page>, lines: &mut Vec<u8>) {
        self.in_use -= 1;
        self.errors += u64::from(page.has_failed);
        // A page without lines does not prove that the sink works again.
        self.is_failing = page.has_failed || self.is_failing && page.lines.is_empty();
        let not_written = std::mem::take(&mut page.not_written);
        self.written += std::mem::take(&mut page.line_count).saturating_sub(not_written);
        self.lost_in_all += not_written;
        if page.lines.capacity() <= PAGE_CAPACITY {
            page.lines.clear();
            self.free.push(page);
        }
        if self.in_use == 0 {
            self.free.truncate(FREE_KEPT);
        }
        if self.is_dropping && self.in_use <= PAGES_MAX / 2 {
            self.is_dropping = false;
            lines.clear();
        }
    }

    /// Whether lines have begun to be dropped since the last call.
    pub(super) fn take_trouble(&mut self) -> bool {
        std::mem::take(&mut self.has_begun_to_drop)
    }

    pub(super) fn lost_in_all(&self) -> u64 {
        self.lost_in_all
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({} in use, {} lines lost)", self.in_use, self.lost_in_all)
    }
}

/// The greatest size of all pages of a log, in bytes: some 25,000 statements with their replies, which bridge a
/// pause of the disk of 20 ms at full load, and of seconds at a usual one. More memory would not help a disk that
/// is too slow.
pub const BYTES_MAX: usize = 8 * 1024 * 1024;
/// The capacity of a page in bytes: a write that is long compared with the cost of waking a thread, in memory that
/// stays in the processor's cache.
const PAGE_CAPACITY: usize = 256 * 1024;
/// The greatest number of pages, the one that is being filled included.
const PAGES_MAX: usize = BYTES_MAX / PAGE_CAPACITY;
/// The greatest length of a line: a message with each byte escaped as four, and the text around it.
const LINE_MAX: usize = 4 * MESSAGE_MAX + 4096;
/// The length from which on a page is full, in bytes: the last line that was begun before fits, too.
const PAGE_FULL: usize = PAGE_CAPACITY - LINE_MAX;
/// The number of free pages that are kept when the writer has caught up: more than are in use at full load on a
/// disk that keeps up.
const FREE_KEPT: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::{Level, Log};
    use super::*;

    /// A sink that keeps what it gets.
    #[derive(Default)]
    struct Kept {
        text: String,
        not_written: u64,
        is_closed: bool,
    }

    impl Sink for Kept {
        fn write(&mut self, lost: u64, lines: &[u8], _now: Moment) -> u64 {
            if lost > 0 {
                self.text += &format!("({lost})\n");
            }
            self.text += std::str::from_utf8(lines).unwrap();
            std::mem::take(&mut self.not_written)
        }

        fn reopen(&mut self, _now: Moment) -> bool {
            self.text += "(reopened)\n";
            !self.is_closed
        }
    }

    fn log() -> (Log, Arc<Mutex<Kept>>) {
        let kept = Arc::<Mutex<Kept>>::default();
        let mut log = Log::writing_to("Riley", Level::Traffic, kept.clone());
        log.set_time(0);
        (log, kept)
    }

    /// Hands over all full pages.
    fn hand_over(log: &mut Log) -> VecDeque<Box<Page>> {
        std::iter::from_fn(|| log.hand_over(Moment::START)).collect()
    }

    fn write_all(log: &mut Log, pages: impl IntoIterator<Item = Box<Page>>) {
        for mut page in pages {
            page.write();
            log.take_back(page);
        }
    }

    /// The numbers of the lines, and what stands between them.
    fn short(text: &str) -> Vec<String> {
        let short = |line: &str| match line.split_once('\'') {
            Some((_, rest)) => rest.trim_matches(['x', '\'']).to_owned(),
            None => line.to_owned(),
        };
        text.lines().map(short).collect()
    }

    fn send(log: &mut Log, number: usize) {
        log.sent_to_client(format!("{number}{}", "x".repeat(1000)).as_bytes());
    }

    #[test]
    fn pages_are_whole_lines_in_order_and_come_back_without_allocation_of_others() {
        let (mut log, kept) = log();
        let mut sent = 0;
        for _ in 0..3 * PAGES_MAX {
            while log.full_pages() == 0 {
                send(&mut log, sent);
                sent += 1;
            }
            let pages = hand_over(&mut log);
            assert!(pages.iter().all(|page| page.lines.ends_with(b"\n") && page.lines.len() >= PAGE_FULL));
            write_all(&mut log, pages);
        }
        assert!(log.pages.free.len() == 1, "one page is filled while the other is written");
        log.close_page();
        let pages = hand_over(&mut log);
        write_all(&mut log, pages);
        let expected: Vec<String> = (0..sent).map(|number| number.to_string()).collect();
        assert_eq!(short(&kept.lock().unwrap().text), expected);
        assert_eq!(log.lines_lost(), 0);
    }

    #[test]
    fn lines_without_room_are_dropped_and_their_number_stands_in_their_place() {
        let (mut log, kept) = log();
        let (mut sent, mut pages) = (0, VecDeque::new());
        while !log.take_trouble() {
            send(&mut log, sent);
            sent += 1;
            pages.extend(hand_over(&mut log));
        }
        let written = sent - 1;
        for _ in 0..9 {
            send(&mut log, sent);
            sent += 1;
        }
        let bytes: usize = pages.iter().map(|page| page.lines.capacity()).sum();
        assert!(bytes + log.lines.capacity() <= BYTES_MAX && pages.len() == PAGES_MAX - 1);
        assert_eq!((log.lines_lost(), log.full_pages()), (10, 0));
        assert!(!log.take_trouble() && !log.has_begun(), "one trouble, and nothing to hand over");
        let late = pages.split_off(PAGES_MAX / 2);
        write_all(&mut log, pages.drain(2..));
        send(&mut log, sent);
        sent += 1;
        assert_eq!(log.lines_lost(), 11, "the gap does not end with the first pages that are back");
        // Half of the pages are back: lines are logged again.
        write_all(&mut log, pages);
        send(&mut log, sent);
        assert_eq!((log.lines_lost(), log.has_begun()), (11, true));
        log.close_page();
        let last = hand_over(&mut log);
        write_all(&mut log, late);
        write_all(&mut log, last);
        // The first two pages were written after others.
        let text = kept.lock().unwrap().text.clone();
        let mut found = short(&text);
        assert_eq!(found.split_off(found.len() - 2), ["(11)".to_owned(), sent.to_string()]);
        found.sort_by_key(|number| number.parse::<usize>().unwrap());
        assert_eq!(found, (0..written).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn the_count_is_written_without_a_further_line_also_at_the_end() {
        for is_end in [false, true] {
            let (mut log, kept) = log();
            let mut pages = VecDeque::new();
            while !log.take_trouble() {
                send(&mut log, 0);
                pages.extend(hand_over(&mut log));
            }
            if is_end {
                log.close_page();
                pages.extend(hand_over(&mut log));
                assert_eq!(pages.len(), PAGES_MAX, "the count needs no memory for lines");
                // Nor does asking again.
                log.reopen();
                assert_eq!(log.full_pages(), 0);
                write_all(&mut log, pages);
            } else {
                write_all(&mut log, pages);
                assert!(log.has_begun());
                log.close_page();
                let pages = hand_over(&mut log);
                write_all(&mut log, pages);
            }
            assert!(kept.lock().unwrap().text.ends_with("'\n(1)\n"));
            assert!(log.pages.free.len() <= FREE_KEPT, "memory is freed when the writer has caught up");
        }
    }

    #[test]
    fn reopening_keeps_its_place_between_lines() {
        let (mut log, kept) = log();
        send(&mut log, 1);
        log.reopen();
        send(&mut log, 2);
        log.close_page();
        let pages = hand_over(&mut log);
        write_all(&mut log, pages);
        assert_eq!(short(&kept.lock().unwrap().text), ["1", "(reopened)", "2"]);
    }

    #[test]
    fn lines_that_the_sink_cannot_write_count_as_lost() {
        let (mut log, kept) = log();
        kept.lock().unwrap().not_written = 3;
        send(&mut log, 1);
        log.close_page();
        let pages = hand_over(&mut log);
        write_all(&mut log, pages);
        assert_eq!((log.lines_lost(), log.errors(), log.is_failing()), (3, 1, true));
        log.reopen();
        log.close_page();
        let pages = hand_over(&mut log);
        write_all(&mut log, pages);
        assert!(log.is_failing(), "a page without lines does not prove that the sink works");
        (0..5).for_each(|number| send(&mut log, number));
        log.close_page();
        let pages = hand_over(&mut log);
        write_all(&mut log, pages);
        assert_eq!((log.lines_written(), log.errors(), log.is_failing()), (5, 1, false));
        kept.lock().unwrap().is_closed = true;
        log.reopen();
        log.close_page();
        let pages = hand_over(&mut log);
        write_all(&mut log, pages);
        assert_eq!((log.errors(), log.is_failing()), (2, true), "it cannot be reopened");
    }

    #[test]
    fn the_longest_line_fits_a_page() {
        let (mut log, _) = log();
        while log.lines().len() < PAGE_FULL - 1200 {
            send(&mut log, 1);
        }
        while log.full_pages() == 0 {
            let before = log.lines().len();
            log.sent_to_server("Jaquez", &vec![0; 2 * MESSAGE_MAX]);
            assert!(before == 0 || log.lines().len() < before || log.lines().len() <= PAGE_CAPACITY);
        }
        assert!(hand_over(&mut log).iter().all(|page| page.lines.capacity() <= PAGE_CAPACITY));
    }
}
