//! When records whose statements are over are removed: a pass through all records every second, a portion of it in a
//! turn. A server without records that can be over does nothing.

use std::time::Duration;

use super::{Command, Herd, Tag};
use crate::clock::Moment;

impl Herd {
    /// Has a pass begin in a second, if there are records that can be over and no pass is under way.
    pub(super) fn time_sweep(&mut self, now: Moment) {
        if !self.sweep_is_timed && self.server.store.must_sweep() {
            self.sweep_is_timed = true;
            self.commands.push_back(Command::Timer { at: now + PAUSE, tag: Tag::Sweep });
        }
    }

    /// Carries out a portion of a pass. The next one is due at once, in the next turn, until the pass is over.
    pub(super) fn sweep_timer_fired(&mut self, now: Moment) {
        self.sweep_is_timed = self.server.sweep();
        if self.sweep_is_timed {
            self.commands.push_back(Command::Timer { at: now, tag: Tag::Sweep });
        }
    }
}

/// The pause between two passes. A record is removed about so long after its statement is over.
const PAUSE: Duration = Duration::from_secs(1);
