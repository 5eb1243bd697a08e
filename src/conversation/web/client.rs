//! One client: what is known about it, a report of its location, and its end.

use super::representation::{Format, Representation, write_gone};
use super::response::{JSON, Response};
use super::statement::Report;
use super::{Outcome, Pending, State, Web};
use crate::conversation::reporting::{
    Refusal, log_older_statement, report_forget, report_iam_at, seconds_too_far_ahead,
};
use crate::conversation::{Context, Handle, receipt_time};
use crate::store;
use crate::text::command::IamAt;
use crate::text::location::Location;
use crate::text::time::Time;

/// GET: the newest statement of a client.
pub(super) fn get(context: &mut Context<'_>, id: &[u8], format: Format) -> Result<Outcome, Response> {
    let line = context.shared.store.get(id).ok_or_else(unknown)?;
    let mut body = Vec::with_capacity(4 * line.len());
    Representation::default().write(format, line, &mut body);
    Ok(Outcome::Response(Response::ok(format.content_type(), body)))
}

/// PUT: what an IAMAT does.
pub(super) fn put(context: &mut Context<'_>, id: &[u8], body: &[u8]) -> Result<Outcome, Response> {
    let received = receipt_time(context);
    let report = Report::parse(body).map_err(|error| Response::bad(&error))?;
    let mut now = Vec::new();
    let time_text = match &report.time {
        Some(time) => time.as_bytes(),
        None => {
            received.write(&mut now);
            &now
        }
    };
    let location = Location::parse(report.location.as_bytes()).ok_or_else(|| {
        wrong("location", "a form like +34.0689-118.4451, within 90 and 180 degrees", &report.location)
    })?;
    let time = Time::parse(time_text).ok_or_else(|| {
        let expected = "POSIX seconds like 1621464827.959, with at most 9 digits after the point";
        wrong("time", expected, &String::from_utf8_lossy(time_text))
    })?;
    let server = &mut *context.shared;
    let length =
        [b"IAMAT", id, location.text, time_text].iter().map(|field| field.len() + 1).sum::<usize>() - 1;
    if length > server.limits.max_line {
        let max = server.limits.max_line;
        return Err(Response::bad(&format!(
            "the ID of the client: expected an IAMAT of at most {max} bytes, got {length}"
        )));
    }
    if let Some(seconds) = seconds_too_far_ahead(server, time, received) {
        let reason = Refusal::TooFarAhead { seconds }.reason(server, &[]);
        return Err(Response::bad(&format!("time: {reason}")));
    }
    if server.durability.refuses() {
        return Err(unavailable(context, Refusal::DiskFails));
    }
    let iam_at = IamAt { id, location, time, time_text };
    let mut line = Vec::new();
    let outcome = match report_iam_at(server, &iam_at, received, &mut line) {
        Ok(outcome) => outcome,
        Err(refusal) => return Err(unavailable(context, refusal)),
    };
    if outcome == store::Outcome::Lost {
        log_older_statement(context, &iam_at);
    }
    let mut body = Vec::with_capacity(4 * line.len());
    let stored = Some(outcome == store::Outcome::Stored);
    Representation { stored, ..Representation::default() }.write(Format::Json, &line, &mut body);
    Ok(when_on_disk(context, Response::ok(JSON, body)))
}

/// DELETE: what a FORGET does.
pub(super) fn delete(context: &mut Context<'_>, id: &[u8]) -> Result<Outcome, Response> {
    let received = receipt_time(context);
    if context.shared.durability.refuses() {
        return Err(unavailable(context, Refusal::DiskFails));
    }
    let mut line = Vec::new();
    match report_forget(context.shared, id, received, &mut line) {
        Ok(()) => {}
        Err(Refusal::UnknownClient) => return Err(unknown()),
        Err(refusal) => return Err(unavailable(context, refusal)),
    }
    let mut body = Vec::new();
    write_gone(id, &line, &mut body);
    Ok(when_on_disk(context, Response::ok(JSON, body)))
}

/// Has the response to a statement wait for the disk, if it has to.
pub(super) fn when_on_disk(context: &mut Context<'_>, response: Response) -> Outcome {
    let server = &mut *context.shared;
    // A statement that has lost waits, too: for the one that it has lost against, or a later change.
    let sequence = server.store.sequence();
    if !server.durability.must_wait(sequence) {
        return Outcome::Response(response);
    }
    server.durability.wait(sequence, Handle::new(context.id));
    Outcome::Waits(Pending::Disk { sequence, response })
}

impl Web {
    /// The disk has the change that the response waits for, or it fails.
    pub(in crate::conversation) fn disk_reached(&mut self, context: &mut Context<'_>) {
        let (on_disk, fails) = (context.shared.durability.on_disk(), context.shared.durability.fails());
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Waiting(exchange, Pending::Disk { sequence, response }) if sequence <= on_disk => {
                self.respond_later(context, exchange, &response);
            }
            State::Waiting(exchange, Pending::Disk { .. }) if fails => {
                let refusal = unavailable(context, Refusal::DiskFails);
                self.respond_later(context, exchange, &refusal);
            }
            State::Waiting(exchange, Pending::Disk { sequence, response }) => {
                context.shared.durability.wait(sequence, Handle::new(context.id));
                self.state = State::Waiting(exchange, Pending::Disk { sequence, response });
            }
            other => self.state = other,
        }
    }
}

/// The response to a request that names a client that is not known.
pub(super) fn unknown() -> Response {
    Response::not_found("this client is unknown")
}

/// The response to a request that could be carried out at another time.
pub(super) fn unavailable(context: &Context<'_>, refusal: Refusal) -> Response {
    Response::unavailable(&refusal.reason(context.shared, &[]))
}

fn wrong(name: &str, expected: &str, got: &str) -> Response {
    super::query::wrong(name, expected, got.as_bytes())
}
