//! The clients near a client or a location: what NEAR finds.

use super::client::unknown;
use super::representation::{Format, Representation};
use super::response::Response;
use super::routes::Request;
use super::{Outcome, Pending, State, Web};
use crate::conversation::client::near::nearby;
use crate::conversation::{Context, Progress};
use crate::store::Nearby;
use crate::text::command::{NEAR_RESULTS_MAX, Near, NearCentre};
use crate::text::location::{AREA_RADIUS_KM_MAX, Location};

/// Searches for the clients near a client or a location.
pub(super) fn near(
    web: &mut Web,
    context: &mut Context<'_>,
    request: &Request<'_>,
) -> Result<Outcome, Response> {
    let query = request.query;
    let (id, text) = (query.id("id")?, query.location()?);
    let centre = match (&id, &text) {
        (Some(id), None) if request.grant.may_read(id) => NearCentre::Client(id),
        (Some(_), None) => {
            return Err(Response::forbidden("the token does not permit to read about this client"));
        }
        // Checked before.
        (None, Some(text)) => NearCentre::Location(Location::parse(text).ok_or_else(unknown)?),
        (None, None) => return Err(Response::bad("id: expected id, or latitude and longitude, got none")),
        (Some(_), Some(_)) => {
            return Err(Response::bad("id: expected either id, or latitude and longitude, got both"));
        }
    };
    let radius_km = query.kilometres(AREA_RADIUS_KM_MAX)?;
    let bound = query.integer("limit", NEAR_RESULTS_MAX, NEAR_RESULTS_MAX)? as usize;
    let near = Near { centre, radius_km: &radius_km, bound };
    let ticket = web.next_ticket();
    let waiter = web.waiter(context, ticket);
    let server = &mut *context.shared;
    let nearby = Nearby { only: request.grant.readable(), ..nearby(server, &near).ok_or_else(unknown)? };
    let format = request.format;
    match server.searches.begin(&mut server.store, &nearby, waiter, true) {
        Progress::Over(search) => {
            let mut lines = Vec::new();
            server.store.end_search(search, &mut lines);
            server.searches.note_reply(lines.len());
            Ok(Outcome::Response(web.or_unread(context, response(&lines, format))))
        }
        Progress::Runs | Progress::Waits => Ok(Outcome::Waits(Pending::Search { ticket, format })),
    }
}

impl Web {
    /// Takes the lines that a search has found, which has gone on in later turns.
    pub(in crate::conversation) fn found(&mut self, context: &mut Context<'_>, ticket: u32, lines: &[u8]) {
        match self.state {
            State::Waiting(exchange, Pending::Search { ticket: own, format }) if own == ticket => {
                let response = self.or_unread(context, response(lines, format));
                self.respond_later(context, exchange, &response);
            }
            _ => {}
        }
    }
}

/// The response with the clients of these lines: each has the distance, a space and an AT line. An empty line ends them.
fn response(lines: &[u8], format: Format) -> Response {
    let mut body = Vec::with_capacity(4 * lines.len() + 64);
    body.extend_from_slice(match format {
        Format::Json => &b"{\"clients\":["[..],
        Format::GeoJson => b"{\"type\":\"FeatureCollection\",\"features\":[",
    });
    let start = body.len();
    for line in lines.split(|&byte| byte == b'\n') {
        let Some(space) = line.iter().position(|&byte| byte == b' ') else { continue };
        if body.len() > start {
            body.push(b',');
        }
        let (km, line) = (&line[..space], &line[space + 1..]);
        Representation { km: Some(km), stored: None }.write(format, line, &mut body);
    }
    body.extend_from_slice(b"]}");
    Response::ok(format.content_type(), body)
}
