//! What follows when replies can be sent: reading, the deadline, the end.

use super::{Client, Context, Server, Standing};
use crate::clock::Moment;

impl Client {
    /// Sends replies that no longer wait for Places, and resumes reading if that made room.
    pub(super) fn send_replies(&mut self, context: &mut Context<'_>) {
        let last = self.standing == Standing::Finished;
        let Server { log, unread_answer_bytes, .. } = &mut *context.shared;
        self.replies.send(context.transport, log, unread_answer_bytes, last);
        self.begin_stream(context);
        self.resume_stream(context);
        if last && self.replies.is_empty() {
            context.transport.close();
        }
        if context.transport.has_room() && self.replies.has_room() {
            if !self.stream_is_ending() {
                context.transport.resume_reading();
            }
            self.renew_deadline(context);
        }
    }

    /// Sets the deadline anew when nothing was received.
    pub(super) fn renew_deadline(&mut self, context: &mut Context<'_>) {
        if self.standing == Standing::Finished {
            context.transport.set_deadline(self.mark_at());
        } else {
            // A discarded line leaves no input that is offered again and restarts the limit.
            self.set_deadline(context, self.is_discarding() || self.line_since != Moment::NEVER);
        }
    }

    /// Takes no further command. Closes the connection after the pending replies.
    pub(super) fn finish(&mut self, context: &mut Context<'_>) {
        self.standing = Standing::Finished;
        self.end_stream_soon(context);
        self.send_replies(context);
    }
}
