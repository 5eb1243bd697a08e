//! The stream of changes: what FOLLOW sends, as server-sent events (WHATWG HTML, section 9.2).
//!
//! It is the last response of its connection, and ends with it. While the server shuts down a stream ends and is not
//! refused: a browser makes no further attempt after a status other than 200.

use std::rc::Rc;
use std::time::Duration;

use super::representation::{EventEncoder, write_mark};
use super::response::{Exchange, OK, Response, write_head};
use super::routes::Request;
use super::{Outcome, State, Web, log};
use crate::access::Grant;
use crate::clock::Moment;
use crate::conversation::followers::FollowerId;
use crate::conversation::reporting::Refusal;
use crate::conversation::{Context, Server};
use crate::http::Framing;
use crate::text::follow::{Follow, Position, Whom};
use crate::text::location::{AREA_RADIUS_KM_MAX, Location};

/// The stream of a follower.
#[derive(Debug)]
pub(super) struct Stream {
    follower: FollowerId,
    grant: Rc<Grant>,
    /// The version of the tokens with which the grant was found to hold.
    access_version: u64,
    /// It ends as soon as everything was sent.
    is_ending: bool,
    /// When the next comment is due.
    comment_at: Moment,
    /// Events `at` and `left` that were written.
    events: u64,
}

/// Begins a stream.
pub(super) fn stream(context: &mut Context<'_>, request: &Request<'_>) -> Result<Outcome, Response> {
    let query = request.query;
    let (id, prefix, area) = (query.id("id")?, query.id("prefix")?, query.location()?);
    if [id.is_some(), prefix.is_some(), area.is_some()].into_iter().filter(|&is_there| is_there).count() > 1 {
        return Err(Response::bad(
            "id: expected only one of id, prefix, or latitude and longitude, got several",
        ));
    }
    let radius_km = if area.is_some() { query.kilometres(AREA_RADIUS_KM_MAX)? } else { b"".into() };
    let from = query.get("from")?;
    let whom = if let Some(id) = &id {
        if id.is_empty() {
            return Err(Response::bad("id: expected the ID of a client, got none"));
        }
        if !request.grant.may_read(id) {
            return Err(Response::forbidden("the token does not permit to read about this client"));
        }
        Whom::Client(id)
    } else if let Some(centre) = area.as_deref().and_then(Location::parse) {
        if from.is_some() {
            return Err(Response::bad("from: expected none, because an area is always sent whole, got one"));
        }
        Whom::Area { centre, radius_km: &radius_km }
    } else {
        Whom::Prefix(prefix.as_deref().unwrap_or_default())
    };
    let asked = match &from {
        Some(from) => Some(position(from).ok_or_else(|| super::query::wrong("from", "EPOCH-NUMBER", from))?),
        None => None,
    };
    // The field is newer than the parameter: a browser repeats the parameter when it reconnects.
    let from = request.last_event_id.and_then(position).or(asked);
    let from = if area.is_some() { None } else { from };
    let server = &mut *context.shared;
    if server.followers.len() >= server.limits.max_followers && !server.is_ending {
        return Err(super::client::unavailable(context, Refusal::TooManyFollowers));
    }
    let follower = server.followers.add(context.id, &Follow { whom, from });
    Ok(Outcome::Streams(Box::new(Stream {
        follower,
        grant: Rc::clone(&request.grant),
        access_version: server.access.version(),
        is_ending: false,
        comment_at: context.now + COMMENT_EVERY,
        events: 0,
    })))
}

/// The position of an event's ID, `EPOCH-NUMBER`; `None`: it is of another form.
fn position(id: &[u8]) -> Option<Position> {
    let hyphen = id.iter().rposition(|&byte| byte == b'-')?;
    let (epoch, number) = (&id[..hyphen], &id[hyphen + 1..]);
    if number.is_empty() { None } else { Position::parse(epoch, number) }
}

impl Stream {
    /// When the next comment is due.
    pub(super) fn comment_at(&self) -> Moment {
        self.comment_at
    }

    /// Removes the follower.
    pub(super) fn end(&self, context: &mut Context<'_>) {
        let Server { followers, store, .. } = &mut *context.shared;
        followers.end(self.follower, store);
        let (host, port) = (context.address.ip(), context.address.port());
        let events = self.events;
        context
            .shared
            .log
            .event(format_args!("The event stream of ({host}, {port}) has ended after {events} events"));
    }
}

impl Web {
    /// Writes the beginning of a stream.
    pub(super) fn begin_stream(
        &mut self,
        context: &mut Context<'_>,
        exchange: Exchange,
        stream: Box<Stream>,
    ) {
        let fields = [
            ("Content-Type", "text/event-stream"),
            // No proxy compresses the stream, or waits for more of it.
            ("Cache-Control", "no-store, no-transform"),
            ("X-Accel-Buffering", "no"),
        ];
        write_head(context, OK, &fields, Framing::UntilClose, false);
        let (host, port) = (context.address.ip(), context.address.port());
        let server = &mut *context.shared;
        server.log.event(format_args!(
            "The event stream '{}' of ({host}, {port}) has begun",
            server.web.request().as_bytes().escape_ascii()
        ));
        if exchange.is_head {
            stream.end(context);
            return self.finish(context);
        }
        context.transport.write(b"retry: 1000\n\n");
        context.shared.begin_following(stream.follower);
        self.state = State::Streaming(stream);
        log::portions(context, "200 (event stream)");
    }

    /// Ends the stream if its token does not allow any more what it did. Returns whether it goes on.
    fn is_still_granted(&mut self, context: &mut Context<'_>) -> bool {
        let State::Streaming(stream) = &mut self.state else { return false };
        let access = &context.shared.access;
        if stream.access_version != access.version() {
            if !access.still_has(&stream.grant) {
                stream.end(context);
                self.finish(context);
                return false;
            }
            stream.access_version = access.version();
        }
        true
    }

    /// Writes the next portion of the stream.
    pub(in crate::conversation) fn follow_on(&mut self, context: &mut Context<'_>) {
        if !self.is_still_granted(context) {
            return;
        }
        let State::Streaming(stream) = &mut self.state else { return };
        let Server { followers, store, identity, counts, web, .. } = &mut *context.shared;
        let grant = &stream.grant;
        let mut encoder = EventEncoder { may_read: |id: &[u8]| grant.may_read(id), events: &mut web.events };
        let follower = stream.follower;
        let served = followers.serve(follower, store, identity.epoch, context.transport, &mut encoder);
        stream.events += served.lines;
        counts.lines_to_followers += served.lines;
        if served.is_lost {
            let (host, port) = (context.address.ip(), context.address.port());
            context.shared.log.event(format_args!(
                "The event stream of ({host}, {port}) is cut off: more clients have expired than are remembered while it \
                 did not read"
            ));
            return context.transport.abort();
        }
        let ends = served.is_current && (stream.is_ending || followers.is_closing());
        let mark = if ends { followers.mark(stream.follower, store) } else { served.mark };
        if let Some(sequence) = mark {
            write_mark(&identity.epoch.to_string(), sequence, context.transport.output());
        }
        if ends {
            stream.end(context);
            self.finish(context);
        }
    }

    /// Has the stream end as soon as everything was sent.
    pub(super) fn end_stream_soon(&mut self, context: &mut Context<'_>) {
        if let State::Streaming(stream) = &mut self.state {
            stream.is_ending = true;
            context.shared.followers.wake(stream.follower);
        }
    }

    /// The transport may have room again.
    pub(super) fn resume_stream(&mut self, context: &mut Context<'_>) {
        if let State::Streaming(stream) = &self.state
            && context.transport.has_room()
        {
            context.shared.followers.resume(stream.follower);
        }
    }

    /// Writes a comment, so that no proxy takes the stream for dead, and a mark, so that the position from which it is
    /// resumed advances.
    pub(super) fn comment(&mut self, context: &mut Context<'_>) {
        if !self.is_still_granted(context) {
            return;
        }
        let State::Streaming(stream) = &mut self.state else { return };
        stream.comment_at = context.now + COMMENT_EVERY;
        // Without room, the pending output serves as the sign of life.
        if context.transport.has_room() {
            context.transport.write(b":\n");
            let server = &mut *context.shared;
            if let Some(sequence) = server.followers.mark(stream.follower, &server.store) {
                write_mark(&server.identity.epoch.to_string(), sequence, context.transport.output());
            }
        }
        let at = stream.comment_at;
        context.transport.set_deadline(at);
    }
}

/// The pause between two comments (docs/protocol.md, section 8): proxies end connections that are silent for a minute.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
