//! The way of the log's pages to the System and back: when they are handed over, and the warning about lines that
//! are lost. It opens no file.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::time::Duration;

use super::{Command, Tag};
use crate::clock::Moment;
use crate::log::{self, Log, Page};
use crate::protocol::{Lane, Task, Work};

/// The driver of the log.
#[derive(Debug)]
pub(super) struct LogDriver {
    /// When the lines that have begun a page are handed over; [`Moment::NEVER`]: there are none.
    due: Moment,
    /// Until when lines that are dropped belong to a trouble that was reported.
    reported_until: Moment,
}

impl LogDriver {
    pub(super) fn new() -> LogDriver {
        LogDriver { due: Moment::NEVER, reported_until: Moment::START }
    }

    /// Hands over the full pages, and the lines that have waited for [`DELAY`] or are the last ones. As long as pages
    /// are being written, a page waits until it is full: otherwise a slow disk would have all pages with few lines
    /// in each.
    pub(super) fn hand_over(
        &mut self,
        log: &mut Log,
        now: Moment,
        is_last: bool,
        commands: &mut VecDeque<Command>,
    ) {
        if now >= self.due && log.is_written() || is_last {
            self.due = Moment::NEVER;
            log.close_page();
        } else if self.due == Moment::NEVER && log.has_begun() {
            self.due = now + DELAY;
            commands.push_back(Command::Timer { at: self.due, tag: Tag::Log });
        }
        while let Some(page) = log.hand_over(now) {
            commands.push_back(Command::Run { tag: Tag::Log, work: Work::Run(page) });
        }
        if log.take_trouble() {
            if now >= self.reported_until {
                commands.push_back(Command::Run { tag: Tag::Log, work: Work::Run(Box::new(FallsBehind)) });
            }
            self.reported_until = now + TROUBLE_OVER;
        }
    }

    /// A task of the log has run.
    pub(super) fn ran(&mut self, log: &mut Log, task: Box<dyn Task>) {
        if let Ok(page) = (task as Box<dyn Any>).downcast() {
            log.take_back(page);
        }
    }
}

impl Task for Page {
    fn lane(&self) -> Lane {
        LOG
    }

    fn run(&mut self) {
        self.write();
    }
}

/// A warning on standard error, which may block, too: the log falls behind.
struct FallsBehind;

impl Debug for FallsBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FallsBehind")
    }
}

impl Task for FallsBehind {
    fn lane(&self) -> Lane {
        WARNINGS
    }

    fn run(&mut self) {
        log::warn(format_args!(
            "the log falls behind: {} MiB of it wait for the disk; the server goes on, and drops and counts log \
             lines until the disk has caught up; a faster disk or `log.level` \"events\" helps",
            log::BYTES_MAX / (1024 * 1024)
        ));
    }
}

/// The lane that writes the log.
pub const LOG: Lane = Lane("log");
/// The lane that writes to standard error.
pub(super) const WARNINGS: Lane = Lane("warnings");
/// The longest time that log lines wait for others, so that a server that has little to do writes them together,
/// after the replies, unless earlier ones are still being written. A reader who follows the log does not notice it.
const DELAY: Duration = Duration::from_millis(10);
/// Lines that are dropped within this time after others belong to the same trouble, which is reported once.
const TROUBLE_OVER: Duration = Duration::from_secs(60);
