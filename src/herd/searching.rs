//! When the searches of NEAR that are not over go on: a portion in each turn.

use super::{Command, Herd, Tag};
use crate::clock::Moment;
use crate::conversation::{Conversation, Handle};

impl Herd {
    /// Begins a turn of the searches. If some are not over, they go on in the next turn, which begins at once.
    pub(super) fn time_searches(&mut self, now: Moment) {
        if self.server.searches.begin_turn() && !self.searches_are_timed {
            self.searches_are_timed = true;
            self.commands.push_back(Command::Timer { at: now, tag: Tag::Searches });
        }
    }

    /// Goes on with the searches, and hands over the replies of those that are over.
    pub(super) fn advance_searches(&mut self) {
        self.searches_are_timed = false;
        for (waiter, reply) in self.server.searches.advance(&mut self.server.store) {
            let call = Handle::call(move |conversation: &mut Conversation, context| {
                conversation.found(context, waiter.ticket, reply);
            });
            self.commands.push_back(Command::Deliver { to: waiter.conversation.id(), call });
        }
    }
}
