//! The times of a client that neither ends its lines nor half-closes: the section `clients` of the herd file
//! (docs/protocol.md, section 1).

use std::time::Duration;

use crate::clock::{Clocks, Moment};
use crate::config::ClientsSection;

/// The silence of one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleTimes {
    /// The last byte of input.
    received: Clocks,
    /// The last byte in either direction, as far as is known.
    active_at: Moment,
    /// The line that has begun was looked at, and no byte has arrived since.
    line_was_tried: bool,
    /// Output was written that the turn may send: the first look follows.
    is_written: bool,
    /// Output was unsent at the last look, so that its last byte may have left since.
    output_was_unsent: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The line that has begun must be carried out, if it is a whole valid command.
    Line,
    /// The connection must be closed.
    Close,
}

impl IdleTimes {
    /// The times of a client whose last byte arrived at this moment.
    pub(super) fn new(clocks: Clocks) -> IdleTimes {
        IdleTimes {
            received: clocks,
            active_at: clocks.now,
            line_was_tried: false,
            is_written: false,
            output_was_unsent: false,
        }
    }

    /// The times of receipt of the last byte.
    pub(super) fn received(&self) -> Clocks {
        self.received
    }

    /// Input has arrived.
    pub(super) fn note_input(&mut self, clocks: Clocks) {
        self.received = clocks;
        self.active_at = clocks.now;
        self.line_was_tried = false;
    }

    /// Output was written or sent.
    pub(super) fn note_activity(&mut self, now: Moment) {
        self.active_at = now;
    }

    /// The next moment at which something may be due. `has_begun`: a line has begun. `is_answered`: no reply is
    /// pending. `unsent`: there is output that was not sent.
    pub(super) fn deadline(
        &mut self,
        settings: &ClientsSection,
        now: Moment,
        has_begun: bool,
        is_answered: bool,
        unsent: bool,
    ) -> Moment {
        self.is_written = unsent;
        let line = has_begun && !self.line_was_tried;
        let line_at = self.after(line, self.received.now, settings.end_line_after);
        let close_at = if self.output_was_unsent {
            self.after(is_answered, now, settings.close_after / LOOKS)
        } else if unsent {
            self.after(is_answered, now, FIRST_LOOK.min(settings.close_after / LOOKS))
        } else {
            self.after(is_answered, self.active_at, settings.close_after)
        };
        line_at.min(close_at)
    }

    fn after(&self, counts: bool, since: Moment, time: Duration) -> Moment {
        if counts && time > Duration::ZERO { since + time } else { Moment::NEVER }
    }

    /// The deadline has passed. `unsent`: there is output that was not sent.
    pub(super) fn due(
        &mut self,
        settings: &ClientsSection,
        now: Moment,
        has_begun: bool,
        is_answered: bool,
        unsent: bool,
    ) -> Option<Due> {
        let line = has_begun && !self.line_was_tried;
        if now >= self.after(line, self.received.now, settings.end_line_after) {
            self.line_was_tried = true;
            return Some(Due::Line);
        }
        if std::mem::replace(&mut self.output_was_unsent, unsent) || self.is_written {
            // The last byte was sent after the look before this one.
            self.active_at = now;
        }
        let close_at = self.after(is_answered, self.active_at, settings.close_after);
        (!unsent && now >= close_at).then_some(Due::Close)
    }
}

/// Looks during the time of `clients.close_after_ms` at output that is not sent yet. A protocol does not learn
/// when its last byte leaves, so that a connection is closed late by up to this part of the time.
const LOOKS: u32 = 8;
/// The time of the first look, at output that was just written: after the end of the turn, which sends it if the
/// client reads.
const FIRST_LOOK: Duration = Duration::from_millis(5);
