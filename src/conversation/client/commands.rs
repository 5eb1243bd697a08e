//! The commands of a client.

use super::{Client, Standing};
use crate::clock::Moment;
use crate::conversation::{Context, Handle, Server, Waiter};
use crate::places::question::Question;
use crate::store::{Origin, Outcome};
use crate::text::command::{ClientCommand, IamAt, WhatsAt};
use crate::text::fields::trim;
use crate::text::record::Statement;
use crate::text::time::{SECOND_NS, Time};

impl Client {
    /// Carries out a line without LF, if it is a whole valid command. Returns whether it is.
    pub(super) fn whole_command_received(&mut self, context: &mut Context<'_>, line: &[u8]) -> bool {
        let received = Time::from_nanoseconds(self.idle.received().wall);
        let server = &*context.shared;
        let is_valid = match ClientCommand::parse(line) {
            ClientCommand::IamAt(IamAt { id, time, .. }) => {
                let has_room = server.store.len() < server.limits.max_clients;
                seconds_too_far_ahead(server, time, received).is_none()
                    && (has_room || server.store.get(id).is_some())
            }
            ClientCommand::WhatsAt(whats_at) => server.store.get(whats_at.id).is_some(),
            _ => false,
        };
        if is_valid {
            self.line_since = Moment::NEVER;
            self.line_received(context, line, received);
        }
        is_valid
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
        let valid = match command {
            ClientCommand::IamAt(iam_at) => self.iam_at(context, &iam_at, received),
            ClientCommand::WhatsAt(whats_at) => self.whats_at(context, &whats_at),
            ClientCommand::HttpRequest => {
                self.standing = Standing::Finished;
                false
            }
            ClientCommand::Blank | ClientCommand::Invalid => false,
        };
        if !valid {
            self.reply_invalid(context, trim(line));
        }
    }

    /// Answers an IAMAT, and stores it if it wins. False: its time is too far in the future, or the store is
    /// full.
    fn iam_at(&mut self, context: &mut Context<'_>, iam_at: &IamAt<'_>, received: Time) -> bool {
        let server = &mut *context.shared;
        if seconds_too_far_ahead(server, iam_at.time, received).is_some() {
            return false;
        }
        let output = self.replies.output(context.transport);
        let start = output.len();
        let statement = Statement::of(iam_at, server.identity.name.as_bytes(), received);
        statement.write(output);
        if server.store.report(&statement, &output[start..], Origin::CLIENT) == Outcome::Full {
            output.truncate(start);
            return false;
        }
        server.log.sent_to_client(&output[start..]);
        true
    }

    /// Asks Places about the location of a client. False: that client is unknown.
    fn whats_at(&mut self, context: &mut Context<'_>, whats_at: &WhatsAt<'_>) -> bool {
        let store = &context.shared.store;
        let (Some(line), Some(statement)) = (store.get(whats_at.id), store.statement(whats_at.id)) else {
            return false;
        };
        let location = statement.location;
        let question = Question::new(location.latitude, location.longitude, whats_at.radius_km);
        let ticket = self.replies.reserve(line.to_vec(), whats_at.bound);
        let waiter = Waiter { client: Handle::new(context.id), ticket };
        context.shared.desk.ask(context.now, question, waiter);
        true
    }

    pub(super) fn reply_invalid(&mut self, context: &mut Context<'_>, copy: &[u8]) {
        let output = self.replies.output(context.transport);
        let start = output.len();
        output.extend_from_slice(b"? ");
        output.extend_from_slice(copy);
        output.push(b'\n');
        context.shared.log.sent_to_client(&output[start..]);
    }
}

/// The seconds by which the time of an IAMAT is ahead of this server's clock; `None`: no more than
/// `limits.max_future_s`.
fn seconds_too_far_ahead(server: &Server, time: Time, received: Time) -> Option<u64> {
    let ahead_max_ns = i128::from(server.limits.max_future_s) * SECOND_NS;
    let ahead_ns = time.nanoseconds() - received.nanoseconds();
    (ahead_max_ns > 0 && ahead_ns > ahead_max_ns).then_some((ahead_ns / SECOND_NS) as u64)
}
