//! What waits until the store was read from the disk.

use super::{Command, Herd, Tag};
use crate::clock::Moment;

impl Herd {
    /// The store was read from the disk: what has waited for it begins.
    pub(super) fn store_was_read(&mut self, now: Moment) {
        for id in self.server.neighbours.ids() {
            if self.server.neighbours.get(id).present {
                let dialler = &mut self.diallers[id.0];
                let address = dialler.address().clone();
                let step = dialler.want(&address);
                self.dial(id, step, now);
            }
        }
        if self.server.followers.store_was_read() {
            self.commands.push_back(Command::Timer { at: now, tag: Tag::Followers });
        }
    }
}
