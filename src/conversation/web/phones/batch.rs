//! The points of a request, carried out as if each had come alone. A large batch is read and stored in portions, so that it
//! delays no other connection.

use std::rc::Rc;

use super::friends::friends;
use super::point::{NoPosition, Position};
use super::sender::Sender;
use super::{App, Parts, sender_of};
use crate::access::Grant;
use crate::conversation::reporting::{Refusal, log_older_statement, report_iam_at, seconds_too_far_ahead};
use crate::conversation::web::client::{unavailable, when_on_disk};
use crate::conversation::web::response::{Exchange, Response};
use crate::conversation::web::{Outcome, State, Web};
use crate::conversation::{Context, Server, receipt_time};
use crate::http::server::RequestHead;
use crate::log::Level;
use crate::store;
use crate::text::command::IamAt;
use crate::text::location::Location;
use crate::text::time::Time;

/// The points of a request that are being carried out.
#[derive(Debug)]
pub(in crate::conversation::web) struct Batch {
    app: App,
    sender: Sender,
    grant: Rc<Grant>,
    /// What the phone gets when everything is stored.
    answer: Response,
    /// The time at which the server got the message.
    received: Time,
    parts: Parts,
    /// Parts that were read.
    read: usize,
    /// The points to be stored.
    points: Vec<(Vec<u8>, Position)>,
    /// Points that were stored, or have lost.
    applied: usize,
    /// A part has an ID.
    has_id: bool,
    /// A part is a point without an ID.
    lacks_id: bool,
    /// A new client found no room in the store.
    is_full: bool,
    /// Bytes of its body that are counted as being received.
    held: usize,
}

/// Carries out a request of a phone. The error is the response to one that is refused; then nothing of it is stored.
pub(in crate::conversation::web) fn report(
    context: &mut Context<'_>,
    app: App,
    head: &RequestHead<'_>,
    path: &str,
    grant: &Rc<Grant>,
    body: &[u8],
) -> Result<Outcome, Response> {
    let answer = app.answer(head.fields.get("User-Agent"));
    if head.method == "HEAD" {
        return Ok(Outcome::Response(answer));
    }
    if context.shared.durability.refuses() {
        return Err(unavailable(context, Refusal::DiskFails));
    }
    let mut batch = Batch {
        app,
        sender: sender_of(head, path, grant),
        grant: Rc::clone(grant),
        answer,
        received: receipt_time(context),
        parts: Parts::of(app, head.fields.get("Content-Type"), body)?,
        read: 0,
        points: Vec::new(),
        applied: 0,
        has_id: false,
        lacks_id: false,
        is_full: false,
        held: 0,
    };
    if batch.go_on(context)? {
        return batch.finish(context);
    }
    batch.held = batch.parts.body.len();
    context.shared.web.body_bytes += batch.held;
    Ok(Outcome::Reports(Box::new(batch)))
}

impl Batch {
    /// Goes on for a portion. Returns whether everything is stored. The error is the refusal of the request.
    fn go_on(&mut self, context: &mut Context<'_>) -> Result<bool, Response> {
        let mut work = PORTION_WORK;
        while self.read < self.parts.len() {
            if work == 0 {
                return Ok(false);
            }
            self.read_next(context.shared, &mut work)?;
        }
        if self.lacks_id && !self.has_id && self.app != App::OwnTracks {
            return Err(Response::bad("id: expected the ID of the client, or of the device, got none"));
        }
        while let Some((id, position)) = self.points.get(self.applied) {
            if work == 0 {
                return Ok(false);
            }
            work = work.saturating_sub(WORK_OF_A_POINT);
            self.is_full |= apply(context, id, position, self.received);
            self.applied += 1;
        }
        Ok(true)
    }

    fn read_next(&mut self, server: &mut Server, work: &mut usize) -> Result<(), Response> {
        let (start, end) = self.parts.bounds[self.read];
        let spent = WORK_OF_A_PART + (end - start) / BYTES_OF_WORK;
        *work = work.saturating_sub(spent);
        server.web.budget = server.web.budget.saturating_sub(spent);
        let point = self.parts.read(self.app, self.read, &self.sender);
        self.read += 1;
        match (point.id, point.position) {
            (Some(id), _) if !self.grant.may_report(&id) => {
                return Err(Response::forbidden("the token does not permit to report this client"));
            }
            (Some(id), position) => {
                self.has_id = true;
                match position {
                    Ok(position) => self.points.push((id, position)),
                    Err(why) => server.web.phones.note_no_position(why),
                }
            }
            (None, Err(NoPosition::OtherMessage)) => {
                server.web.phones.note_no_position(NoPosition::OtherMessage)
            }
            (None, _) => self.lacks_id = true,
        }
        Ok(())
    }

    /// The answer, after everything was stored.
    fn finish(mut self, context: &mut Context<'_>) -> Result<Outcome, Response> {
        if self.app == App::OwnTracks {
            // Its own position is known to the phone.
            if let Some(readable) = context.shared.access.needs_token().then_some(&self.grant)
                && self.answer.body == b"[]"
            {
                let own = self.points.last().map_or(&b""[..], |(id, _)| id);
                self.answer.body = friends(&context.shared.store, readable, own);
            }
        } else if self.is_full {
            return Err(unavailable(context, Refusal::StoreFull));
        }
        Ok(when_on_disk(context, self.answer))
    }

    /// Gives back what it holds.
    pub(in crate::conversation::web) fn end(&self, server: &mut Server) {
        server.web.body_bytes -= self.held;
    }
}

/// Stores a point, if it wins. Returns whether the store has no room for its client.
fn apply(context: &mut Context<'_>, id: &[u8], position: &Position, received: Time) -> bool {
    let mut now = Vec::new();
    let time_text = match &position.time {
        Some(time) => time.as_bytes(),
        None => {
            received.write(&mut now);
            &now
        }
    };
    let server = &mut *context.shared;
    let parsed = (Location::parse(position.location.as_bytes()), Time::parse(time_text));
    let (Some(location), Some(time)) = parsed else { return false };
    let length =
        [b"IAMAT", id, location.text, time_text].iter().map(|field| field.len() + 1).sum::<usize>() - 1;
    if length > server.limits.max_line {
        server.web.phones.note_no_position(NoPosition::BadLocation);
        return false;
    }
    if seconds_too_far_ahead(server, time, received).is_some() {
        server.web.phones.note_no_position(NoPosition::BadTime);
        return false;
    }
    let iam_at = IamAt { id, location, time, time_text };
    let mut line = Vec::new();
    match report_iam_at(server, &iam_at, received, &mut line) {
        Ok(outcome) => {
            let is_stored = outcome == store::Outcome::Stored;
            server.web.phones.note_point(is_stored);
            if server.log.level() >= Level::Traffic {
                server.log.sent_to_client(line.strip_suffix(b"\n").unwrap_or(&line));
            }
            if !is_stored {
                log_older_statement(context, &iam_at);
            }
            false
        }
        Err(_) => true,
    }
}

impl Web {
    /// Begins to carry out a batch that takes more than a portion.
    pub(in crate::conversation::web) fn begin_batch(
        &mut self,
        context: &mut Context<'_>,
        exchange: Exchange,
        batch: Box<Batch>,
    ) {
        self.state = State::Reporting(exchange, batch);
        context.shared.web.wake(context.id);
    }

    /// Goes on with a batch, if there is one.
    pub(in crate::conversation) fn report_on(&mut self, context: &mut Context<'_>) {
        let State::Reporting(exchange, batch) = &mut self.state else { return };
        let exchange = *exchange;
        let refusal = match batch.go_on(context) {
            Ok(false) => return context.shared.web.wake(context.id),
            Ok(true) => None,
            Err(refusal) => Some(refusal),
        };
        let State::Reporting(_, batch) = std::mem::replace(&mut self.state, State::Reading) else { return };
        batch.end(context.shared);
        let outcome = match refusal {
            Some(refusal) => Outcome::Response(refusal),
            None => batch.finish(context).unwrap_or_else(Outcome::Response),
        };
        match outcome {
            Outcome::Waits(pending) => self.state = State::Waiting(exchange, pending),
            Outcome::Response(response) => self.respond_later(context, exchange, &response),
            // A batch ends with a response.
            Outcome::Lists(_) | Outcome::Streams(_) | Outcome::Reports(_) => {}
        }
    }
}

/// What phones have sent, since the server runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhoneCounts {
    /// Points that were stored.
    pub stored: u64,
    /// Points that have lost against a newer statement: late, out of order, or sent again.
    pub older: u64,
    /// Messages of types that have no position, and those that are in no form of their app.
    pub other_messages: u64,
    /// Messages that say only that the phone is there.
    pub heartbeats: u64,
    /// Points that are not on the globe, or whose line would be too long.
    pub bad_locations: u64,
    /// Points whose time is in none of the forms, or too far ahead.
    pub bad_times: u64,
}

impl PhoneCounts {
    /// All counts with their names.
    pub fn named(&self) -> [(&'static str, u64); 6] {
        let PhoneCounts { stored, older, other_messages, heartbeats, bad_locations, bad_times } = *self;
        [
            ("stored", stored),
            ("outdated", older),
            ("no_position", other_messages),
            ("heartbeat", heartbeats),
            ("bad_location", bad_locations),
            ("bad_time", bad_times),
        ]
    }

    fn note_point(&mut self, is_stored: bool) {
        *(if is_stored { &mut self.stored } else { &mut self.older }) += 1;
    }

    fn note_no_position(&mut self, why: NoPosition) {
        *match why {
            NoPosition::OtherMessage => &mut self.other_messages,
            NoPosition::Heartbeat => &mut self.heartbeats,
            NoPosition::BadLocation => &mut self.bad_locations,
            NoPosition::BadTime => &mut self.bad_times,
        } += 1;
    }
}

/// The work of a portion, in steps of about 0.1 µs: half a millisecond.
const PORTION_WORK: usize = if cfg!(test) { 200 } else { 5000 };
/// The work of reading a part, and of so many bytes of it.
const WORK_OF_A_PART: usize = 20;
const BYTES_OF_WORK: usize = 16;
/// The work of storing a point.
const WORK_OF_A_POINT: usize = 40;
