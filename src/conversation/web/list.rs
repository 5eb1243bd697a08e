//! The list of clients, in the order of their changes. It is written in portions from a cursor, so that a list of millions
//! of clients delays no other connection, and none is kept for a client that reads slowly.

use std::rc::Rc;
use std::time::Duration;

use super::representation::{Format, Representation};
use super::response::{Exchange, OK, Response, write_head};
use super::routes::Request;
use super::{Outcome, State, Web, log};
use crate::access::Grant;
use crate::clock::Moment;
use crate::conversation::followers::id_of;
use crate::conversation::{Context, Server};
use crate::http::{Framing, write_last_chunk};
use crate::store::Cursor;
use crate::text::simd::EIGHT;
use crate::text::time::write_integer;

/// A list that is being written.
#[derive(Debug)]
pub(super) struct List {
    /// `None`: there are no changes after the number that was asked for.
    cursor: Option<Cursor>,
    prefix: Box<[u8]>,
    format: Format,
    grant: Rc<Grant>,
    /// Clients that may still be written.
    left: usize,
    /// Clients that were written.
    written: usize,
    /// The number of the change of the last one.
    last: u64,
    /// It is among those that go on in this turn or the next.
    is_due: bool,
    /// When a part of it was written last.
    written_at: Moment,
}

/// Begins a list.
pub(super) fn list(context: &mut Context<'_>, request: &Request<'_>) -> Result<Outcome, Response> {
    let query = request.query;
    let prefix = query.id("prefix")?.unwrap_or_default();
    let since = query.integer("since", u64::MAX, 0)?;
    let left = query.integer("limit", LIMIT_MAX, LIMIT_DEFAULT)? as usize;
    if left == 0 {
        return Err(super::query::wrong("limit", &format!("an integer from 1 to {LIMIT_MAX}"), b"0"));
    }
    let server = &mut *context.shared;
    if server.course.store_read.is_some() {
        // What is read later has smaller numbers.
        return Err(Response::unavailable(
            "the store is being read from the disk; try again in some seconds",
        ));
    }
    if server.web.lists >= LISTS_MAX {
        return Err(Response::unavailable("too many lists of clients are being read at the same time"));
    }
    server.web.lists += 1;
    let cursor = (since < server.store.sequence()).then(|| server.store.follow(since));
    Ok(Outcome::Lists(Box::new(List {
        cursor,
        prefix: prefix.into(),
        format: request.format,
        grant: Rc::clone(&request.grant),
        left,
        written: 0,
        last: since,
        is_due: false,
        written_at: context.now,
    })))
}

/// What a portion of a list has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Portion {
    /// The list is whole; with the number from which the next page goes on, if there is one.
    Complete(Option<u64>),
    /// More changes are to be looked at.
    Partial,
    /// The transport has no room.
    Blocked,
}

impl Web {
    /// Writes the beginning of a list.
    pub(super) fn begin_list(&mut self, context: &mut Context<'_>, exchange: Exchange, list: Box<List>) {
        let framing = if exchange.knows_chunks { Framing::Chunked } else { Framing::UntilClose };
        let keep_alive = exchange.keep_alive && exchange.knows_chunks;
        let exchange = Exchange { keep_alive, ..exchange };
        let fields = [("Content-Type", list.format.content_type()), ("Cache-Control", "no-store")];
        write_head(context, OK, &fields, framing, keep_alive);
        if exchange.is_head {
            list.end(context.shared);
            return self.end_exchange(context, keep_alive);
        }
        let (epoch, sequence) = (context.shared.identity.epoch, context.shared.store.sequence());
        let numbers = format!("\"epoch\":\"{epoch}\",\"sequence\":{sequence}");
        let start = match list.format {
            Format::Json => format!("{{{numbers},\"clients\":["),
            Format::GeoJson => format!("{{\"type\":\"FeatureCollection\",{numbers},\"features\":["),
        };
        write_part(context, exchange, |_, output| output.extend_from_slice(start.as_bytes()));
        self.state = State::Listing(exchange, list);
        if context.shared.web.budget > 0 {
            self.list_on(context);
        } else if let State::Listing(_, list) = &mut self.state {
            list.is_due = true;
            context.shared.web.wake(context.id);
        }
    }

    /// Goes on with a list, if there is one.
    pub(in crate::conversation) fn list_on(&mut self, context: &mut Context<'_>) {
        let State::Listing(exchange, list) = &mut self.state else { return };
        let exchange = *exchange;
        list.is_due = false;
        list.written_at = context.now;
        let portion = list.write_portion(context, exchange);
        let next = match portion {
            Portion::Complete(next) => next,
            Portion::Partial | Portion::Blocked => {
                if portion == Portion::Partial {
                    list.is_due = true;
                    context.shared.web.wake(context.id);
                }
                let deadline = list.deadline();
                return context.transport.set_deadline(deadline);
            }
        };
        let State::Listing(_, list) = std::mem::replace(&mut self.state, State::Reading) else { return };
        write_part(context, exchange, |_, output| {
            output.extend_from_slice(b"],\"next\":");
            match next {
                Some(next) => write_integer(next, output),
                None => output.extend_from_slice(b"null"),
            }
            output.extend_from_slice(b"}\n");
        });
        if exchange.knows_chunks {
            write_last_chunk(context.transport.output());
        }
        log::portions(context, &format!("200 ({} clients)", list.written));
        list.end(context.shared);
        self.end_exchange(context, exchange.keep_alive);
        self.resume(context);
    }
}

impl List {
    /// When the connection is given up, because its client does not read.
    pub(super) fn deadline(&self) -> Moment {
        self.written_at + STALL_MAX
    }

    /// Gives the place of the list to another.
    pub(super) fn end(&self, server: &mut Server) {
        server.web.lists -= 1;
        if let Some(cursor) = self.cursor {
            server.store.unfollow(cursor);
        }
    }

    fn write_portion(&mut self, context: &mut Context<'_>, exchange: Exchange) -> Portion {
        write_part(context, exchange, |server, output| {
            let start = output.len();
            let mut looked_at = 0;
            let portion = loop {
                if output.len() - start >= PORTION_BYTES {
                    break Portion::Partial;
                }
                if looked_at >= PORTION_LOOKS {
                    break Portion::Partial;
                }
                if let Some(portion) = self.write_next(server, output, &mut looked_at) {
                    break portion;
                }
            };
            server.web.budget = server.web.budget.saturating_sub(looked_at);
            portion
        })
        .filter_blocked(context)
    }

    /// Looks at the next change. Returns what the portion has come to, if it ends.
    fn write_next(
        &mut self,
        server: &mut Server,
        output: &mut Vec<u8>,
        looked_at: &mut usize,
    ) -> Option<Portion> {
        let Some(cursor) = self.cursor else { return Some(Portion::Complete(None)) };
        *looked_at += 1;
        let store = &mut server.store;
        let Some(change) = store.next_change(cursor) else {
            if !store.is_searching(cursor) && store.seen(cursor) == store.sequence() {
                return Some(Portion::Complete(None));
            }
            *looked_at += SEARCH_LOOKS;
            return None;
        };
        let id = id_of(change.line).unwrap_or_default();
        if change.is_gone || !id.starts_with(&self.prefix) || !self.grant.may_read(id) {
            return None;
        }
        if self.left == 0 {
            return Some(Portion::Complete(Some(self.last)));
        }
        if self.written > 0 {
            output.push(b',');
        }
        Representation::default().write(self.format, change.line, output);
        self.left -= 1;
        self.written += 1;
        self.last = change.sequence;
        *looked_at += LOOKS_OF_A_CLIENT;
        None
    }
}

impl Portion {
    fn filter_blocked(self, context: &Context<'_>) -> Portion {
        match self {
            Portion::Partial if !context.transport.has_room() => Portion::Blocked,
            other => other,
        }
    }
}

/// Appends a part of the body: a chunk, if the client knows chunks.
fn write_part<R>(
    context: &mut Context<'_>,
    exchange: Exchange,
    write: impl FnOnce(&mut Server, &mut Vec<u8>) -> R,
) -> R {
    let output = context.transport.output();
    let start = output.len();
    if exchange.knows_chunks {
        // The size is known afterwards. Zeros before its digits do not change it (RFC 9112, section 7.1).
        output.extend_from_slice(CHUNK_SIZE);
    }
    let data = output.len();
    let result = write(context.shared, output);
    let length = output.len() - data;
    if length == 0 {
        output.truncate(start);
    } else if exchange.knows_chunks {
        let size = format!("{length:08x}");
        output[start..start + EIGHT].copy_from_slice(size.as_bytes());
        output.extend_from_slice(b"\r\n");
    }
    result
}

/// The clients of a page, if no limit is asked for, and at most.
const LIMIT_DEFAULT: u64 = 1000;
const LIMIT_MAX: u64 = 10_000;
/// Lists that are written at the same time. Each has a cursor, which the others pass.
const LISTS_MAX: usize = 256;
/// Changes that are looked at for one portion.
const PORTION_LOOKS: usize = if cfg!(test) { 16 } else { 4096 };
/// Bytes of a portion, from which on no further client is written.
const PORTION_BYTES: usize = 16 * 1024;
/// The work of a step of a cursor that searches for its place, as looks.
const SEARCH_LOOKS: usize = if cfg!(test) { 2 } else { 128 };
/// The work of writing a client, as looks.
const LOOKS_OF_A_CLIENT: usize = 8;
/// How long a client may read nothing of a list: its place is needed for others.
const STALL_MAX: Duration = Duration::from_secs(30);
/// The place of the size of a chunk.
const CHUNK_SIZE: &[u8] = b"00000000\r\n";
