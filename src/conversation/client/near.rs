//! NEAR: the clients near a client or a location.

use super::Client;
use crate::conversation::counts::Verb;
use crate::conversation::reporting::{Refusal, log_refusal};
use crate::conversation::{Context, Handle, Progress, Server, Waiter};
use crate::geo::{self, Centre};
use crate::store::Nearby;
use crate::text::command::{Near, NearCentre};
use crate::text::fields::trim;
use crate::text::location::Location;

impl Client {
    /// Answers with the clients near a client or a location: at once, or when the search is over. `line` is the
    /// command without white space around it.
    pub(super) fn near(
        &mut self,
        context: &mut Context<'_>,
        near: &Near<'_>,
        line: &[u8],
    ) -> Result<(), Refusal> {
        let server = &mut *context.shared;
        let nearby = nearby(server, near).ok_or(Refusal::UnknownClient)?;
        let waiter = Waiter { conversation: Handle::new(context.id), ticket: self.replies.next_ticket() };
        let may_run = !self.replies.is_searching();
        let progress = server.searches.begin(&mut server.store, &nearby, waiter, may_run);
        let Progress::Over(search) = progress else {
            server.counts.commands[Verb::Near as usize].accepted += 1;
            let refusal = [REFUSED, line, b"\n"].concat();
            self.replies.reserve_search(refusal, progress == Progress::Runs);
            return Ok(());
        };
        let output = self.replies.output(context.transport);
        let start = output.len();
        server.store.end_search(search, output);
        output.push(b'\n');
        let length = output.len() - start;
        server.searches.note_reply(length);
        if length > FEW_BYTES && !self.replies.has_room_for(length, server.unread_answer_bytes) {
            self.replies.output(context.transport).truncate(start);
            return Err(Refusal::Unread);
        }
        let output = self.replies.output(context.transport);
        server.log.sent_to_client(&output[start..]);
        server.counts.commands[Verb::Near as usize].accepted += 1;
        server.counts.replies_of_turn += u64::from(self.replies.is_empty());
        self.replies.note_output(context.transport, &mut server.unread_answer_bytes);
        Ok(())
    }

    /// Takes the reply to a NEAR whose search has gone on in later turns.
    pub fn found(&mut self, context: &mut Context<'_>, ticket: u32, reply: Vec<u8>) {
        self.note_activity(context.now);
        let refusal = self.replies.found(ticket, reply, &mut context.shared.unread_answer_bytes);
        if let Some(line) = refusal {
            log_refusal(context, trim(&line[REFUSED.len()..]), Refusal::Unread);
        }
        self.send_replies(context);
    }

    /// Withdraws the questions to Places, the searches and the wait for the disk of a client that is gone.
    pub(super) fn withdraw(&self, context: &mut Context<'_>) {
        let Server { desk, searches, store, durability, .. } = &mut *context.shared;
        durability.withdraw(self.replies.listed_for(), Handle::new(context.id));
        for ticket in self.replies.waiting() {
            let waiter = Waiter { conversation: Handle::new(context.id), ticket };
            desk.withdraw(&waiter);
            if self.replies.is_searching() {
                searches.withdraw(store, &waiter);
            }
        }
    }
}

/// The search of a NEAR; `None`: its client is unknown.
pub(in crate::conversation) fn nearby<'a>(server: &Server, near: &Near<'a>) -> Option<Nearby<'a>> {
    let centre = |location: &Location<'_>| {
        let (latitude, longitude) = geo::degrees(location);
        Centre::new(latitude, longitude)
    };
    let (centre, left_out) = match near.centre {
        NearCentre::Location(location) => (centre(&location), None),
        NearCentre::Client(id) => (centre(&server.store.statement(id)?.location?), Some(id)),
    };
    let radius_km = str::from_utf8(near.radius_km).ok()?.parse().ok()?;
    Some(Nearby { centre, radius_km, bound: near.bound, left_out, only: None })
}

/// The beginning of the reply to a line that is refused.
const REFUSED: &[u8] = b"? ";
/// Bytes of a reply for which there is always room: those of some lines.
pub(in crate::conversation) const FEW_BYTES: usize = 4096;
