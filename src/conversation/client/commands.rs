//! The commands of a client.

use super::near::nearby;
use super::{Client, Port, Standing};
use crate::clock::Moment;
use crate::conversation::counts::{Cause, Rejection, Verb};
use crate::conversation::refusals::NotLogged;
use crate::conversation::{Context, Handle, Server, Waiter};
use crate::places::question::Question;
use crate::store::{Origin, Outcome};
use crate::text::command::{ClientCommand, Forget, IamAt, WhatsAt};
use crate::text::fields::trim;
use crate::text::record::Statement;
use crate::text::refusal::{in_words, reason};
use crate::text::request_line::RequestLine;
use crate::text::time::{SECOND_NS, Time};

impl Client {
    /// Carries out a line without LF, if it is a whole valid command. Returns whether it is.
    pub(super) fn whole_command_received(&mut self, context: &mut Context<'_>, line: &[u8]) -> bool {
        let is_valid = self.is_whole_command(context, line);
        if is_valid {
            let received = self.last_byte_at(context);
            self.line_since = Moment::NEVER;
            self.line_received(context, line, received);
        }
        is_valid
    }

    /// The time of receipt of the last byte, by the wall clock.
    fn last_byte_at(&self, context: &Context<'_>) -> Time {
        let idle = self.timing.as_ref().and_then(|timing| timing.idle.as_ref());
        Time::from_nanoseconds(idle.map_or(context.wall, |idle| idle.received().wall))
    }

    /// Whether a line without LF is a whole valid command.
    pub(super) fn is_whole_command(&self, context: &Context<'_>, line: &[u8]) -> bool {
        let server = &*context.shared;
        match ClientCommand::parse(line) {
            ClientCommand::IamAt(IamAt { id, time, .. }) => {
                seconds_too_far_ahead(server, time, self.last_byte_at(context)).is_none()
                    && server.store.has_room_for(id)
            }
            ClientCommand::WhatsAt(WhatsAt { id, .. }) | ClientCommand::Forget(Forget { id }) => {
                server.store.get(id).is_some()
            }
            ClientCommand::Near(near) => nearby(server, &near).is_some(),
            // The place of a stream that it ends becomes free.
            ClientCommand::Follow(_) => {
                self.following.is_some() || server.followers.len() < server.limits.max_followers
            }
            _ => false,
        }
    }

    /// Carries out one line, without its LF.
    pub(super) fn line_received(&mut self, context: &mut Context<'_>, line: &[u8], received: Time) {
        let command = ClientCommand::parse(line);
        if command == ClientCommand::Blank {
            return;
        }
        if self.standing == Standing::PeersOnly {
            return self.reject(context);
        }
        self.standing = Standing::Client;
        context.shared.log.received(line, context.address);
        let result = match command {
            ClientCommand::IamAt(_) | ClientCommand::Forget(_) if context.shared.durability.refuses() => {
                Err(Refusal::DiskFails)
            }
            ClientCommand::IamAt(iam_at) => self.iam_at(context, &iam_at, line, received),
            ClientCommand::WhatsAt(whats_at) => self.whats_at(context, &whats_at),
            ClientCommand::Follow(follow) => self.follow(context, &follow, trim(line)),
            ClientCommand::Near(near) => self.near(context, &near, trim(line)),
            ClientCommand::Forget(forget) => self.forget(context, &forget, line, received),
            ClientCommand::HttpRequest => {
                self.standing = Standing::Finished;
                Err(Refusal::Line)
            }
            ClientCommand::Blank | ClientCommand::Invalid => Err(Refusal::Line),
        };
        if let Err(refusal) = result {
            context.shared.counts.commands[Verb::of(&command) as usize].refused += 1;
            self.reply_invalid(context, trim(line), refusal);
        }
    }

    /// Counts a reply that leaves in this turn.
    #[inline]
    fn count_reply(&self, server: &mut Server) {
        server.counts.replies_of_turn += u64::from(self.replies.is_empty());
    }

    /// Answers an IAMAT, and stores it if it wins.
    fn iam_at(
        &mut self,
        context: &mut Context<'_>,
        iam_at: &IamAt<'_>,
        line: &[u8],
        received: Time,
    ) -> Result<(), Refusal> {
        let server = &mut *context.shared;
        if let Some(seconds) = seconds_too_far_ahead(server, iam_at.time, received) {
            return Err(Refusal::TooFarAhead { seconds });
        }
        let output = self.replies.output(context.transport);
        let start = output.len();
        let statement = Statement::of(iam_at, server.identity.name.as_bytes(), received);
        statement.write(output);
        let outcome =
            server.followers.report(&mut server.store, &statement, &output[start..], Origin::CLIENT);
        if outcome == Outcome::Full {
            output.truncate(start);
            return Err(Refusal::StoreFull);
        }
        if server.durability.must_wait(server.store.sequence()) {
            self.wait_for_disk(context, start, line);
        } else {
            server.log.sent_to_client(&output[start..]);
            self.count_reply(server);
        }
        let tally = &mut context.shared.counts.commands[Verb::IamAt as usize];
        if outcome == Outcome::Stored {
            tally.accepted += 1;
        } else {
            tally.outdated += 1;
        }
        if outcome == Outcome::Lost {
            log_older_statement(context, iam_at);
        }
        Ok(())
    }

    /// Answers a FORGET, and stores the GONE.
    fn forget(
        &mut self,
        context: &mut Context<'_>,
        forget: &Forget<'_>,
        line: &[u8],
        received: Time,
    ) -> Result<(), Refusal> {
        let server = &mut *context.shared;
        let Some(known) = server.store.statement(forget.id) else {
            return Err(Refusal::UnknownClient);
        };
        let (replaced, mut time_text) = (known.time, Vec::new());
        let name = server.identity.name.as_bytes();
        let statement = Statement::gone(forget.id, name, received, replaced, &mut time_text);
        let output = self.replies.output(context.transport);
        let start = output.len();
        statement.write(output);
        // It wins: its time is not less, and it is a GONE.
        let Server { followers, store, .. } = server;
        if followers.report(store, &statement, &output[start..], Origin::CLIENT) == Outcome::Full {
            output.truncate(start);
            return Err(Refusal::StoreFull);
        }
        if server.durability.must_wait(server.store.sequence()) {
            self.wait_for_disk(context, start, line);
        } else {
            server.log.sent_to_client(&output[start..]);
            self.count_reply(server);
        }
        context.shared.counts.commands[Verb::Forget as usize].accepted += 1;
        Ok(())
    }

    /// Has the reply to a statement, which was written to the output from `start` on, wait for the disk.
    #[cold]
    fn wait_for_disk(&mut self, context: &mut Context<'_>, start: usize, line: &[u8]) {
        // A statement that has lost waits, too: for the one that it has lost against, or a later change.
        let sequence = context.shared.store.sequence();
        let refusal = [b"? ", trim(line), b"\n"];
        if self.replies.wait_for_disk(context.transport, start, sequence, &refusal) {
            context.shared.durability.wait(sequence, Handle::new(context.id));
        }
    }

    /// The disk has changes that replies of this client wait for, or it fails.
    pub fn disk_reached(&mut self, context: &mut Context<'_>) {
        self.note_activity(context.now);
        let durability = &context.shared.durability;
        let (on_disk, fails) = (durability.on_disk(), durability.fails());
        let first = self.replies.disk_reached(on_disk, fails, |reply, is_refusal| {
            context.shared.log.sent_to_client(reply);
            if is_refusal {
                log_refusal(context, &reply[b"? ".len()..reply.len() - 1], Refusal::DiskFails);
            }
        });
        if let Some(sequence) = first {
            context.shared.durability.wait(sequence, Handle::new(context.id));
        }
        self.send_replies(context);
    }

    /// Asks Places about the location of a client.
    fn whats_at(&mut self, context: &mut Context<'_>, whats_at: &WhatsAt<'_>) -> Result<(), Refusal> {
        let store = &context.shared.store;
        let statement = store.statement(whats_at.id);
        let (Some(line), Some(location)) =
            (store.get(whats_at.id), statement.and_then(|known| known.location))
        else {
            return Err(Refusal::UnknownClient);
        };
        let question = Question::new(location.latitude(), location.longitude(), whats_at.radius_km);
        let ticket = self.replies.reserve(line.to_vec(), whats_at.bound);
        let waiter = Waiter { client: Handle::new(context.id), ticket };
        context.shared.desk.ask(context.now, question, waiter);
        context.shared.counts.commands[Verb::WhatsAt as usize].accepted += 1;
        Ok(())
    }

    /// Answers the beginning of an over-long line.
    pub(super) fn over_long_line_received(&mut self, context: &mut Context<'_>, beginning: &[u8]) {
        if self.standing == Standing::PeersOnly {
            return self.reject(context);
        }
        self.standing = Standing::Client;
        let copy = &beginning[..context.shared.limits.max_line];
        context.shared.log.received(copy, context.address);
        context.shared.counts.commands[Verb::Invalid as usize].refused += 1;
        self.reply_invalid(context, copy, Refusal::TooLong);
    }

    /// Finishes the conversation if the over-long line was an HTTP request: nothing after it is carried out.
    pub(super) fn over_long_line_ended(&mut self, line: &RequestLine) {
        if line.is_http_request() {
            self.standing = Standing::Finished;
        }
    }

    /// Ends a connection that proves not to be a neighbour's, where only neighbours may stay.
    pub(super) fn reject(&mut self, context: &mut Context<'_>) {
        self.standing = Standing::Finished;
        let is_for_neighbours = self.port == Port::Neighbours;
        let rejection = if is_for_neighbours { Rejection::NotANeighbour } else { Rejection::Full };
        context.shared.counts.rejected[rejection as usize] += 1;
        if let Some(not_logged) = context.shared.connections_refused.admit(context.now) {
            let (host, port) = (context.address.ip(), context.address.port());
            let why = if is_for_neighbours {
                "it showed no certificate of a neighbour, or sent no HELLO, to the port of neighbours"
            } else {
                "the server is full (limits.max_connections)"
            };
            context.shared.log.event(format_args!(
                "Connection from ({host}, {port}) is closed: {why}{}",
                NotLogged(not_logged)
            ));
        }
        context.transport.abort();
    }

    pub(super) fn reply_invalid(&mut self, context: &mut Context<'_>, copy: &[u8], refusal: Refusal) {
        let output = self.replies.output(context.transport);
        let start = output.len();
        output.extend_from_slice(b"? ");
        output.extend_from_slice(copy);
        output.push(b'\n');
        context.shared.log.sent_to_client(&output[start..]);
        self.count_reply(context.shared);
        log_refusal(context, copy, refusal);
    }
}

/// Why a line gets the reply `? `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The line is no valid command.
    Line,
    /// The command names a client that is not known.
    UnknownClient,
    /// The line is longer than `limits.max_line`.
    TooLong,
    /// The time of an IAMAT is further ahead of this server's clock than `limits.max_future_s`.
    TooFarAhead { seconds: u64 },
    /// The store is full: the client is new, or the line of its statement finds no room.
    StoreFull,
    /// The reply would have to wait for a disk that fails.
    DiskFails,
    /// As many connections follow as `limits.max_followers` allows.
    TooManyFollowers,
    /// A NEAR has a large reply, and too many earlier answers were not read.
    Unread,
}

impl Refusal {
    fn cause(self) -> Cause {
        match self {
            Refusal::Line => Cause::Invalid,
            Refusal::UnknownClient => Cause::UnknownClient,
            Refusal::TooLong => Cause::TooLong,
            Refusal::TooFarAhead { .. } => Cause::TooFarAhead,
            Refusal::StoreFull => Cause::StoreFull,
            Refusal::DiskFails => Cause::Disk,
            Refusal::TooManyFollowers => Cause::Followers,
            Refusal::Unread => Cause::Unread,
        }
    }
}

/// Counts a refused line, and logs why. `copy` is its copy in the reply.
#[cold]
pub(super) fn log_refusal(context: &mut Context<'_>, copy: &[u8], refusal: Refusal) {
    let server = &mut *context.shared;
    server.counts.refusals[refusal.cause() as usize] += 1;
    let Some(not_logged) = server.refusals.admit(context.now) else { return };
    let reason = match refusal {
        Refusal::Line | Refusal::UnknownClient => reason(copy),
        Refusal::TooLong => format!("limits.max_line: the line has more than {} bytes", copy.len()),
        Refusal::TooFarAhead { seconds } => {
            let hint = if seconds > CENTURY_S { " (is the time in milliseconds?)" } else { "" };
            format!("limits.max_future_s: {} ahead of this server's clock{hint}", in_words(seconds))
        }
        Refusal::DiskFails => "store.sync: the disk fails, so that the statement could be lost".to_owned(),
        Refusal::Unread => "too many bytes of earlier answers were not read by clients".to_owned(),
        Refusal::StoreFull => {
            format!("limits.max_clients: the store is full with {}", server.store_contents())
        }
        Refusal::TooManyFollowers => {
            format!("limits.max_followers: {} connections follow already", server.followers.len())
        }
    };
    if not_logged > 0 {
        server.log.event(format_args!("{not_logged} refusals before this one were not logged"));
    }
    let (host, port) = (context.address.ip(), context.address.port());
    let shown = copy[..copy.len().min(SHOWN_MAX)].escape_ascii();
    server.log.event(format_args!("'{shown}' from ({host}, {port}) is refused: {reason}"));
}

/// Logs that an IAMAT lost because it is older than the stored statement, or not later than a FORGET, once an hour for
/// each client.
#[cold]
fn log_older_statement(context: &mut Context<'_>, iam_at: &IamAt<'_>) {
    let server = &mut *context.shared;
    let newest = server.store.newest(iam_at.id).and_then(|line| Statement::parse(line.strip_suffix(b"\n")?));
    let Some(stored) = newest else { return };
    let (older_ns, is_gone) = (stored.time.nanoseconds() - iam_at.time.nanoseconds(), stored.is_gone());
    if older_ns <= 0 && !is_gone || !server.older_statements.admit(iam_at.id, context.now) {
        return;
    }
    let order = match (older_ns, (older_ns / SECOND_NS) as u64) {
        (0, _) => "not after".to_owned(),
        (_, 0) => "less than a second before".to_owned(),
        (_, seconds) => format!("{} before", in_words(seconds)),
    };
    let of = if is_gone { "the FORGET of that client" } else { "the stored statement" };
    let (host, port) = (context.address.ip(), context.address.port());
    let id = iam_at.id[..iam_at.id.len().min(SHOWN_MAX)].escape_ascii();
    server.log.event(format_args!(
        "An IAMAT of '{id}' from ({host}, {port}) is answered, but not stored: its time is {order} that of {of}"
    ));
}

/// A time that is so far ahead has another unit: milliseconds of today are in the year 50000.
const CENTURY_S: u64 = 100 * 365 * 86_400;
/// Bytes of a line or an ID that are quoted in the log.
pub(super) const SHOWN_MAX: usize = 100;

/// The seconds by which the time of an IAMAT is ahead of this server's clock; `None`: no more than
/// `limits.max_future_s`.
fn seconds_too_far_ahead(server: &Server, time: Time, received: Time) -> Option<u64> {
    let ahead_max_ns = i128::from(server.limits.max_future_s) * SECOND_NS;
    let ahead_ns = time.nanoseconds() - received.nanoseconds();
    (ahead_max_ns > 0 && ahead_ns > ahead_max_ns).then_some((ahead_ns / SECOND_NS) as u64)
}
