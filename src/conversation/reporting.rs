//! Statements of clients: how they are stored, why they are refused, and what the log says about that. It is the same for
//! lines and for HTTP.

use super::counts::Cause;
use super::{Context, Server};
use crate::store::{Origin, Outcome};
use crate::text::command::IamAt;
use crate::text::record::Statement;
use crate::text::refusal::{in_words, reason};
use crate::text::time::{SECOND_NS, Time};

/// Stores the statement of an IAMAT if it wins, and appends its AT line to `output`.
#[inline(always)]
pub(in crate::conversation) fn report_iam_at(
    server: &mut Server,
    iam_at: &IamAt<'_>,
    received: Time,
    output: &mut Vec<u8>,
) -> Result<Outcome, Refusal> {
    let start = output.len();
    let statement = Statement::of(iam_at, server.identity.name.as_bytes(), received);
    statement.write(output);
    let outcome = server.followers.report(&mut server.store, &statement, &output[start..], Origin::CLIENT);
    if outcome == Outcome::Full {
        output.truncate(start);
        return Err(Refusal::StoreFull);
    }
    server.counts.changes_of_clients += u64::from(outcome == Outcome::Stored);
    Ok(outcome)
}

/// Stores the GONE of a FORGET, and appends its line to `output`.
pub(in crate::conversation) fn report_forget(
    server: &mut Server,
    id: &[u8],
    received: Time,
    output: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let Some(known) = server.store.statement(id) else {
        return Err(Refusal::UnknownClient);
    };
    let (replaced, mut time_text, start) = (known.time, Vec::new(), output.len());
    let name = server.identity.name.as_bytes();
    let statement = Statement::gone(id, name, received, replaced, &mut time_text);
    statement.write(output);
    // It wins: its time is not less, and it is a GONE.
    let Server { followers, store, .. } = server;
    if followers.report(store, &statement, &output[start..], Origin::CLIENT) == Outcome::Full {
        output.truncate(start);
        return Err(Refusal::StoreFull);
    }
    server.counts.changes_of_clients += 1;
    Ok(())
}

/// Why a line gets the reply `? `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conversation) enum Refusal {
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
    /// The reason in words. `copy` is the copy of the line in the reply `? `.
    pub(in crate::conversation) fn reason(self, server: &Server, copy: &[u8]) -> String {
        match self {
            Refusal::Line | Refusal::UnknownClient => reason(copy),
            Refusal::TooLong => format!("limits.max_line: the line has more than {} bytes", copy.len()),
            Refusal::TooFarAhead { seconds } => {
                let hint = if seconds > CENTURY_S { " (is the time in milliseconds?)" } else { "" };
                format!("limits.max_future_s: {} ahead of this server's clock{hint}", in_words(seconds))
            }
            Refusal::DiskFails => {
                "store.sync: the disk fails, so that the statement could be lost".to_owned()
            }
            Refusal::Unread => "too many bytes of earlier answers were not read by clients".to_owned(),
            Refusal::StoreFull => {
                format!("limits.max_clients: the store is full with {}", server.store_contents())
            }
            Refusal::TooManyFollowers => {
                format!("limits.max_followers: {} connections follow already", server.followers.len())
            }
        }
    }

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
pub(in crate::conversation) fn log_refusal(context: &mut Context<'_>, copy: &[u8], refusal: Refusal) {
    let server = &mut *context.shared;
    server.counts.refusals[refusal.cause() as usize] += 1;
    let Some(not_logged) = server.refusals.admit(context.now) else { return };
    let reason = refusal.reason(server, copy);
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
pub(in crate::conversation) fn log_older_statement(context: &mut Context<'_>, iam_at: &IamAt<'_>) {
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
pub(in crate::conversation) const SHOWN_MAX: usize = 100;

/// The seconds by which the time of an IAMAT is ahead of this server's clock; `None`: no more than
/// `limits.max_future_s`.
pub(in crate::conversation) fn seconds_too_far_ahead(
    server: &Server,
    time: Time,
    received: Time,
) -> Option<u64> {
    let ahead_max_ns = i128::from(server.limits.max_future_s) * SECOND_NS;
    let ahead_ns = time.nanoseconds() - received.nanoseconds();
    (ahead_max_ns > 0 && ahead_ns > ahead_max_ns).then_some((ahead_ns / SECOND_NS) as u64)
}
