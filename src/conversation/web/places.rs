//! What is near a client: what a WHATSAT asks.

use super::client::unknown;
use super::response::{JSON, Response};
use super::routes::Request;
use super::{Outcome, Pending, State, Web};
use crate::conversation::Context;
use crate::conversation::reporting::Refusal;
use crate::conversation::unread::has_room_for;
use crate::places::answer::Answer;
use crate::places::question::Question;
use crate::text::command::{RADIUS_KM_MAX, RESULTS_MAX};

/// Asks Places about the location of a client.
pub(super) fn ask(
    web: &mut Web,
    context: &mut Context<'_>,
    id: &[u8],
    request: &Request<'_>,
) -> Result<Outcome, Response> {
    let radius_km = request.query.kilometres(RADIUS_KM_MAX)?;
    let bound = request.query.integer("limit", RESULTS_MAX, RESULTS_MAX)? as usize;
    let statement = context.shared.store.statement(id);
    let location = statement.and_then(|known| known.location).ok_or_else(unknown)?;
    let question = Question::new(location.latitude(), location.longitude(), &radius_km);
    let ticket = web.next_ticket();
    let waiter = web.waiter(context, ticket);
    context.shared.desk.ask(context.now, question, waiter);
    Ok(Outcome::Waits(Pending::Places { ticket, bound }))
}

impl Web {
    /// Places has answered, or cannot answer, the question with this ticket.
    pub(in crate::conversation) fn answered(
        &mut self,
        context: &mut Context<'_>,
        ticket: u32,
        answer: &Answer,
    ) {
        match self.state {
            State::Waiting(exchange, Pending::Places { ticket: own, bound }) if own == ticket => {
                let mut body = Vec::new();
                answer.cut(bound, &mut body);
                let response = self.or_unread(context, Response::ok(JSON, body));
                self.respond_later(context, exchange, &response);
            }
            _ => {}
        }
    }

    /// A response, or the refusal in its place if too many bytes of earlier ones were not read.
    pub(super) fn or_unread(&self, context: &Context<'_>, response: Response) -> Response {
        let length = response.body.len();
        if length <= FEW_BYTES || has_room_for(self.held.bytes(), length, context.shared.unread_answer_bytes)
        {
            return response;
        }
        super::client::unavailable(context, Refusal::Unread)
    }
}

/// Bytes of a response for which there is always room: those of some clients.
const FEW_BYTES: usize = 4096;
