//! Asking Places: the pool of questions, put on the network.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::connection::Stream;
use super::links::{LOOKUP_KEPT, known_addresses};
use super::system::{Lookup, System};
use super::tls::{TlsStream, Trust, client_session};
use super::{ConnectionId, EventLoop, Moment, Timer};
use crate::config::{Host, PlacesSection, PlacesUrl};
use crate::places::answer::Answer;
use crate::places::google_legacy::target;
use crate::places::pool::{Failure, Outcome, Pool, QuestionId, Step};
use crate::places::question::Question;
use crate::protocol::{Conversation, Job, Message, PlacesRequest};

/// Whom a server asks what is near. The key is in none of its texts.
#[derive(Clone, PartialEq)]
pub struct PlacesSettings {
    /// Where Places is, and how it is asked.
    pub places: PlacesSection,
    /// The key, if there is one.
    pub key: Option<Rc<str>>,
}

impl std::fmt::Debug for PlacesSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {} key", self.places, if self.key.is_some() { "a" } else { "no" })
    }
}

/// Who waits for an answer: a connection, and its own number of the question.
type Waiter = (ConnectionId, u32);

/// The questions to Places.
pub(super) struct Asking {
    settings: PlacesSettings,
    trust: Trust,
    pool: Pool<ConnectionId, Waiter>,
    /// The addresses of Places' host, and until when they are good.
    addresses: Option<(Vec<SocketAddr>, Moment)>,
    /// Questions that wait until the name is looked up.
    resolving: Vec<QuestionId>,
}

impl Asking {
    pub(super) fn new(settings: PlacesSettings) -> Asking {
        let trust = Trust::new(settings.places.trust.clone());
        Asking { settings, trust, pool: Pool::default(), addresses: None, resolving: Vec::new() }
    }

    /// How many questions are asked or wait.
    pub(super) fn questions(&self) -> usize {
        self.pool.ids().count()
    }

    fn url(&self) -> &PlacesUrl {
        &self.settings.places.url
    }

    /// The HTTP of a question.
    fn job(&self, id: QuestionId) -> Option<Job> {
        let target = target(&self.url().path, self.pool.question(id)?, self.settings.key.as_deref());
        Some(Job { host: self.url().host_header(), target, key: self.settings.key.clone() })
    }

    /// What TLS needs to know of the other side, or nothing for plain text.
    fn tls(&mut self) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>, String> {
        let PlacesUrl { tls, host, .. } = self.url();
        if !tls {
            return Ok(None);
        }
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|error| format!("'{name}': {error}"))?
            }
        };
        Ok(Some((self.trust.client_config()?, name)))
    }

    /// What a client reads when there is no usable answer.
    fn explain(&self, reason: &str) -> Answer {
        let advice = if self.settings.places.needs_key() {
            ""
        } else {
            " (is the local Places server, herd places, running?)"
        };
        Answer::unknown_error(&format!("Places at {}: {reason}{advice}", self.url()))
    }
}

impl<S: System> EventLoop<S> {
    /// Takes over whom to ask. Questions that are under way are answered from where they were asked.
    pub(super) fn set_places(&mut self, settings: PlacesSettings) {
        if settings != self.asking.settings {
            for connection in self.asking.pool.renew() {
                self.abort(connection);
            }
            self.asking.trust = Trust::new(settings.places.trust.clone());
            self.asking.addresses = None;
            self.asking.settings = settings;
        }
        // Lookups of before are not listened to any longer.
        for id in std::mem::take(&mut self.asking.resolving) {
            self.resolve_places(id);
        }
        // Those that could not be asked anew have made room for others.
        self.take_steps();
    }

    pub(super) fn ask(&mut self, asker: ConnectionId, ticket: u32, question: Question) {
        let waiter = (asker, ticket);
        let places = &self.asking.settings.places;
        if let Some(variable) = places.key_env.as_ref().filter(|_| self.asking.settings.key.is_none()) {
            let message =
                format!("The environment variable {variable} of this server holds no key for Places.");
            self.answer(waiter, Answer::request_denied(&message));
        } else if self.stop.is_some() {
            self.answer(waiter, self.asking.explain("the server is ending"));
        } else {
            let deadline = self.now + places.timeout;
            match self.asking.pool.ask(question, waiter) {
                Ok(id) => self.timers.set(deadline, Timer::Question(id)),
                Err(waiter) => self.answer(waiter, self.asking.explain("too many questions wait already")),
            }
            self.take_steps();
        }
    }

    pub(super) fn withdraw(&mut self, asker: ConnectionId) {
        for connection in self.asking.pool.withdraw(|waiter| waiter.0 == asker) {
            self.abort(connection);
        }
        self.take_steps();
    }

    /// A connection is done with its question.
    pub(super) fn answered(&mut self, by: ConnectionId, result: Result<Answer, Failure>, reusable: bool) {
        match self.asking.pool.answered(by, result, reusable) {
            Outcome::Done(waiter, Ok(answer)) => self.answer(waiter, answer),
            Outcome::Done(waiter, Err(reason)) => self.answer(waiter, self.asking.explain(&reason)),
            Outcome::Forgotten | Outcome::AskedAgain => {}
        }
        self.take_steps();
    }

    pub(super) fn question_expired(&mut self, id: QuestionId) {
        let Some((waiter, connection)) = self.asking.pool.expire(id) else {
            return;
        };
        if let Some(connection) = connection {
            self.abort(connection);
        }
        let reason = format!("no answer within {:?}", self.asking.settings.places.timeout);
        self.answer(waiter, self.asking.explain(&reason));
        self.take_steps();
    }

    /// Answers every question with this reason.
    pub(super) fn refuse_questions(&mut self, reason: &str) {
        let ids: Vec<QuestionId> = self.asking.pool.ids().collect();
        for id in ids {
            if let Some((waiter, connection)) = self.asking.pool.expire(id) {
                self.answer(waiter, self.asking.explain(reason));
                if let Some(connection) = connection {
                    self.abort(connection);
                }
            }
        }
    }

    pub(super) fn places_connection_lost(&mut self, id: ConnectionId) {
        self.asking.pool.connection_lost(id);
    }

    pub(super) fn places_looked_up(&mut self, generation: u64, addresses: io::Result<Vec<SocketAddr>>) {
        if generation != self.generation {
            return;
        }
        let waiting = std::mem::take(&mut self.asking.resolving);
        let addresses = match (addresses, &self.asking.addresses) {
            (Ok(addresses), _) => {
                self.asking.addresses = Some((addresses.clone(), self.now + LOOKUP_KEPT));
                Ok(addresses)
            }
            // An address of yesterday is better than none.
            (Err(_), Some((known, _))) => Ok(known.clone()),
            (Err(error), None) => Err(format!("its name cannot be looked up: {error}")),
        };
        for id in waiting {
            match &addresses {
                Ok(addresses) => self.dial_places(id, addresses.clone()),
                Err(reason) => self.not_dialled(id, reason.clone()),
            }
        }
        self.take_steps();
    }

    fn answer(&mut self, (asker, ticket): Waiter, answer: Answer) {
        self.call(asker, |protocol, context| protocol.told(context, Message::Answer { ticket, answer }));
    }

    fn take_steps(&mut self) {
        while let Some(step) = self.asking.pool.next_step() {
            match step {
                Step::Reuse(connection, id) => {
                    let Some(job) = self.asking.job(id) else { continue };
                    let told =
                        self.call(connection, |protocol, context| protocol.told(context, Message::Ask(job)));
                    if told.is_none() {
                        // It ends with this turn. The pool makes a new one instead.
                        let reason = "the connection ended".to_owned();
                        let unasked = Err(Failure { nothing_came: true, reason });
                        self.asking.pool.answered(connection, unasked, false);
                    }
                }
                Step::Dial(id) => self.resolve_places(id),
            }
        }
    }

    fn resolve_places(&mut self, id: QuestionId) {
        let PlacesUrl { host, port, .. } = self.asking.url().clone();
        let known = known_addresses(&host, port).or_else(|| {
            let (addresses, until) = self.asking.addresses.as_ref()?;
            (*until > self.now).then(|| addresses.clone())
        });
        if let Some(addresses) = known {
            self.dial_places(id, addresses);
            return;
        }
        if self.asking.resolving.is_empty() {
            let lookup = Lookup::Places { generation: self.generation };
            self.system.resolve(&host.to_string(), port, lookup);
        }
        self.asking.resolving.push(id);
    }

    fn dial_places(&mut self, id: QuestionId, addresses: Vec<SocketAddr>) {
        // Nobody may wait for it any longer.
        let Some(job) = self.asking.job(id) else {
            return;
        };
        let conversation = Conversation::PlacesRequest(Box::new(PlacesRequest::new(job)));
        // Its question has no more time than that.
        let patience = self.asking.settings.places.timeout;
        let made = self.asking.tls().and_then(|tls| {
            let Some((config, name)) = tls else {
                return self
                    .connect(addresses, patience, conversation, Stream::Plain)
                    .map_err(|error| error.to_string());
            };
            let session = client_session(config, name).map_err(|error| error.to_string())?;
            let wrap = |stream| Stream::Tls(Box::new(TlsStream::over(session, stream)));
            self.connect(addresses, patience, conversation, wrap).map_err(|error| error.to_string())
        });
        match made {
            Ok(connection) => self.asking.pool.dialled(id, connection),
            Err(reason) => self.not_dialled(id, reason),
        }
    }

    fn not_dialled(&mut self, id: QuestionId, reason: String) {
        if let Outcome::Done(waiter, Err(reason)) = self.asking.pool.not_dialled(id, reason) {
            self.answer(waiter, self.asking.explain(&reason));
        }
    }
}
