//! FOLLOW, from the side of its client: when its stream begins, what is written, and when it ends
//! (docs/protocol.md, section 1).

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use super::{Client, Standing};
use crate::clock::Moment;
use crate::conversation::counts::Verb;
use crate::conversation::followers::{FollowerId, Lines as LineEncoder};
use crate::conversation::lines::Lines;
use crate::conversation::reporting::{Refusal, SHOWN_MAX};
use crate::conversation::{Context, Server, receipt_time};
use crate::text::follow::Follow;
use crate::text::telnet::IAC;

/// The stream of a FOLLOW, pending or running.
#[derive(Debug)]
pub(super) struct Following {
    follower: FollowerId,
    /// The replies before it were sent.
    has_begun: bool,
    /// It ends as soon as everything was sent.
    is_ending: bool,
    /// The line that ends it is carried out although its LF is missing.
    line_is_due: bool,
    /// The line that ends it, if the input has ended with it.
    last_line: Option<Box<[u8]>>,
    /// When the last MARK was sent.
    marked_at: Moment,
    /// The operands, as the log shows them.
    whom: String,
    /// AT and LEFT lines that were written.
    lines: u64,
}

impl Client {
    /// Reserves the next reply for the stream of a FOLLOW.
    pub(super) fn follow(
        &mut self,
        context: &mut Context<'_>,
        follow: &Follow<'_>,
        line: &[u8],
    ) -> Result<(), Refusal> {
        let server = &mut *context.shared;
        if server.followers.len() >= server.limits.max_followers {
            return Err(Refusal::TooManyFollowers);
        }
        let follower = server.followers.add(context.id, follow);
        self.replies.add_stream();
        self.following = Some(Box::new(Following {
            follower,
            has_begun: false,
            is_ending: false,
            line_is_due: false,
            last_line: None,
            marked_at: Moment::NEVER,
            whom: line[..line.len().min(SHOWN_MAX)].escape_ascii().to_string(),
            lines: 0,
        }));
        server.counts.commands[Verb::Follow as usize].accepted += 1;
        self.standing = Standing::Following;
        self.begin_stream(context);
        Ok(())
    }

    /// Begins the stream, if the replies before it were sent.
    pub(super) fn begin_stream(&mut self, context: &mut Context<'_>) {
        if let Some(following) = &mut self.following
            && !following.has_begun
            && self.replies.stream_is_next()
        {
            following.has_begun = true;
            following.marked_at = context.now;
            context.shared.begin_following(following.follower);
            self.log_stream(context, "has begun");
        }
    }

    /// Looks at the line at the front of the input, while a stream is pending or running: it ends the stream, and stays
    /// in the input until then. Returns whether telnet commands were read, and another line may follow.
    pub(super) fn line_after_stream(&mut self, context: &mut Context<'_>, lines: &mut Lines<'_>) -> bool {
        if !context.transport.has_room() || !self.replies.has_room() {
            context.transport.pause_reading();
            return false;
        }
        if self.telnet.is_negotiating() || lines.rest().first() == Some(&IAC) {
            return self.telnet_received(context, lines);
        }
        let Some(line) = lines.peek() else { return false };
        let is_due = self.line_is_due && self.is_whole_command(context, line.text);
        if line.ended || is_due || line.text.len() > context.shared.limits.max_line {
            self.end_stream_soon(context);
            if let Some(following) = &mut self.following {
                following.line_is_due = is_due;
            }
            context.transport.pause_reading();
        }
        false
    }

    /// The input has ended with these bytes. Returns whether they are a line that waits for the end of a stream.
    pub(super) fn last_line_after_stream(&mut self, context: &mut Context<'_>, line: &[u8]) -> bool {
        let Some(following) = &mut self.following else { return false };
        following.last_line = Some(line.into());
        self.end_stream_soon(context);
        true
    }

    /// Has the stream end, if there is one, as soon as everything was sent.
    pub(super) fn end_stream_soon(&mut self, context: &mut Context<'_>) {
        if let Some(following) = &mut self.following {
            following.is_ending = true;
            context.shared.followers.wake(following.follower);
        }
    }

    /// Whether the stream is to end, and the line that ends it is not read again before.
    pub(super) fn stream_is_ending(&self) -> bool {
        self.following.as_ref().is_some_and(|following| following.is_ending)
    }

    /// The transport may have room again.
    pub(super) fn resume_stream(&mut self, context: &mut Context<'_>) {
        if let Some(following) = &self.following
            && context.transport.has_room()
        {
            context.shared.followers.resume(following.follower);
        }
    }

    /// Writes the next portion of the stream.
    pub fn follow_on(&mut self, context: &mut Context<'_>) {
        let Some(following) = self.following.as_mut().filter(|following| following.has_begun) else { return };
        let Server { followers, store, counts, identity, .. } = &mut *context.shared;
        let follower = following.follower;
        let served = followers.serve(follower, store, identity.epoch, context.transport, &mut LineEncoder);
        following.lines += served.lines;
        counts.lines_to_followers += served.lines;
        if served.is_lost {
            self.log_stream(
                context,
                "is cut off: more clients have expired than are remembered while it did not read",
            );
            return context.transport.abort();
        }
        let ends = served.is_current && (following.is_ending || followers.is_closing());
        let mark = if ends { followers.mark(following.follower, store) } else { served.mark };
        if let Some(sequence) = mark {
            self.write_mark(context, sequence);
        }
        if ends {
            return self.end_stream(context);
        }
        self.note_activity(context.now);
        if context.transport.has_room() {
            self.renew_deadline(context);
        }
    }

    /// Writes a MARK if it is time for one.
    pub(super) fn mark_stream(&mut self, context: &mut Context<'_>) {
        if context.now < self.mark_at() {
            return;
        }
        let Some(following) = &mut self.following else { return };
        following.marked_at = context.now;
        let server = &mut *context.shared;
        // Without room, the pending output serves as the sign of life.
        if context.transport.has_room()
            && let Some(sequence) = server.followers.mark(following.follower, &server.store)
        {
            self.write_mark(context, sequence);
        }
    }

    /// When the next MARK is due at the latest.
    pub(super) fn mark_at(&self) -> Moment {
        self.following.as_ref().map_or(Moment::NEVER, |following| following.marked_at + MARK_EVERY)
    }

    fn write_mark(&mut self, context: &mut Context<'_>, sequence: u64) {
        let epoch = context.shared.identity.epoch;
        // Writing into a buffer does not fail.
        let _ = writeln!(context.transport.output(), "MARK {epoch} {sequence}");
        if let Some(following) = &mut self.following {
            following.marked_at = context.now;
        }
    }

    /// Ends the stream, and goes on with the line that has ended it.
    fn end_stream(&mut self, context: &mut Context<'_>) {
        context.transport.write(b"\n");
        let Some(following) = self.leave_stream(context) else { return };
        self.replies.end_stream();
        self.line_is_due = following.line_is_due;
        if self.standing == Standing::Following {
            self.standing = Standing::Client;
        } else if let Some(line) = following.last_line {
            let received = receipt_time(context);
            self.line_received(context, &line, received);
            self.standing = Standing::Finished;
        }
        self.note_activity(context.now);
        self.send_replies(context);
    }

    /// Removes the follower. It may be gone with its connection.
    pub(super) fn leave_stream(&mut self, context: &mut Context<'_>) -> Option<Following> {
        if let Some(following) = &self.following {
            context.shared.followers.end(following.follower, &mut context.shared.store);
            if following.has_begun {
                let lines = following.lines;
                self.log_stream(context, format_args!("has ended after {lines} lines"));
            }
        }
        self.following.take().map(|following| *following)
    }

    #[cold]
    fn log_stream(&self, context: &mut Context<'_>, what: impl Display) {
        let Some(Following { whom, .. }) = self.following.as_deref() else { return };
        let (host, port) = (context.address.ip(), context.address.port());
        context.shared.log.event(format_args!("'{whom}' from ({host}, {port}) {what}"));
    }
}

/// The longest pause between two MARKs (docs/protocol.md, section 1): it shows a client that the stream is alive, and
/// the server that the client is.
const MARK_EVERY: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
