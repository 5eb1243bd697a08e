//! The driver of the desk: turns its steps into commands.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::dialler::known_addresses;
use super::settings::PlacesSettings;
use super::{Command, Tag};
use crate::clock::Moment;
use crate::config::{Host, HostPort, PlacesUrl};
use crate::conversation::{Conversation, Handle, PlacesDesk, PlacesRequest, Waiter};
use crate::places::desk::{QuestionId, Step};
use crate::places::dialect::Service;
use crate::places::trust::Trust;
use crate::protocol::{Lane, TlsDial, Work};
use crate::tls;

/// The driver of the desk.
#[derive(Debug)]
pub(super) struct PlacesDriver {
    settings: PlacesSettings,
    trust: Trust,
    /// The addresses of the host, and until when they are up to date.
    addresses: Option<(Vec<SocketAddr>, Moment)>,
    /// Questions that wait for the lookup of the host.
    resolving: Vec<QuestionId>,
    /// The number of the last lookup; results of earlier ones are ignored.
    lookup: u64,
    state: LookupState,
}

/// The state of the last lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupState {
    /// It is over.
    Over,
    /// Questions wait for it.
    Running,
    /// It takes long: questions use outdated addresses, if there are some.
    Slow,
}

impl PlacesDriver {
    /// The driver of a desk, which asks the service of these settings from now on.
    pub(super) fn new(settings: PlacesSettings, desk: &mut PlacesDesk) -> PlacesDriver {
        let trust = Trust::new(settings.section.trust.clone());
        desk.change_service(service(&settings));
        let state = LookupState::Over;
        PlacesDriver { settings, trust, addresses: None, resolving: Vec::new(), lookup: 0, state }
    }

    /// Takes over other settings. Questions in flight are answered by the service that was asked.
    pub(super) fn apply(
        &mut self,
        settings: PlacesSettings,
        desk: &mut PlacesDesk,
        now: Moment,
        commands: &mut VecDeque<Command>,
    ) {
        let bounds = settings.section.bounds.clone();
        desk.set_bounds(bounds.clone());
        self.settings.section.bounds = bounds;
        if settings != self.settings {
            desk.change_service(service(&settings));
            self.trust = Trust::new(settings.section.trust.clone());
            self.addresses = None;
            self.settings = settings;
            self.lookup += 1;
            self.state = LookupState::Over;
            for id in std::mem::take(&mut self.resolving) {
                self.connect(id, desk, now, commands);
            }
        }
    }

    /// Carries out one step of the desk.
    pub(super) fn carry_out(
        &mut self,
        step: Step<Handle<PlacesRequest>, Waiter>,
        desk: &mut PlacesDesk,
        now: Moment,
        commands: &mut VecDeque<Command>,
    ) {
        commands.push_back(match step {
            Step::Connect(id) => return self.connect(id, desk, now, commands),
            Step::Ask(connection, request) => {
                let call = Handle::call(move |own: &mut PlacesRequest, context| own.ask(context, &request));
                Command::Deliver { to: connection.id(), call }
            }
            Step::Answer(waiter, answer) => {
                let call = Handle::call(move |conversation: &mut Conversation, context| {
                    conversation.answered(context, waiter.ticket, &answer);
                });
                Command::Deliver { to: waiter.conversation.id(), call }
            }
            Step::Abort(connection) => Command::Abort(connection.id()),
            Step::WakeAt(at) => Command::Timer { at, tag: Tag::Desk },
        });
    }

    /// The lookup of the host has ended.
    pub(super) fn resolved(
        &mut self,
        lookup: u64,
        addresses: std::io::Result<Vec<SocketAddr>>,
        desk: &mut PlacesDesk,
        now: Moment,
        commands: &mut VecDeque<Command>,
    ) {
        if lookup != self.lookup {
            return;
        }
        self.state = LookupState::Over;
        let error = match addresses {
            Ok(addresses) => {
                self.addresses = Some((addresses, now + LOOKUP_VALID));
                None
            }
            Err(error) => Some(error),
        };
        if !self.dial_waiting(desk, now, commands)
            && let Some(error) = error
        {
            let reason = format!("its name cannot be looked up: {error}");
            std::mem::take(&mut self.resolving)
                .into_iter()
                .for_each(|id| desk.not_connected(now, id, &reason));
        }
    }

    /// The time that questions wait for this lookup is over. Outdated addresses are better than none.
    pub(super) fn lookup_is_slow(
        &mut self,
        lookup: u64,
        desk: &mut PlacesDesk,
        now: Moment,
        commands: &mut VecDeque<Command>,
    ) {
        if lookup == self.lookup && self.state == LookupState::Running {
            self.state = LookupState::Slow;
            self.dial_waiting(desk, now, commands);
        }
    }

    /// Makes connections for the questions that wait for the lookup. Returns whether there are addresses, outdated or
    /// not.
    fn dial_waiting(&mut self, desk: &mut PlacesDesk, now: Moment, commands: &mut VecDeque<Command>) -> bool {
        let Some((known, _)) = self.addresses.clone() else { return false };
        for id in std::mem::take(&mut self.resolving) {
            commands.extend(self.dial(id, known.clone(), desk, now));
        }
        true
    }

    fn url(&self) -> &PlacesUrl {
        &self.settings.section.url
    }

    fn connect(
        &mut self,
        id: QuestionId,
        desk: &mut PlacesDesk,
        now: Moment,
        commands: &mut VecDeque<Command>,
    ) {
        let PlacesUrl { host, port, .. } = self.url().clone();
        let known = known_addresses(&HostPort { host: host.clone(), port }).or_else(|| {
            let (addresses, until) = self.addresses.as_ref()?;
            (*until > now || self.state == LookupState::Slow).then(|| addresses.clone())
        });
        if let Some(addresses) = known {
            return commands.extend(self.dial(id, addresses, desk, now));
        }
        self.resolving.push(id);
        if self.state == LookupState::Over {
            self.state = LookupState::Running;
            self.lookup += 1;
            let tag = Tag::PlacesLookup(self.lookup);
            let work = Work::Resolve { host: host.to_string(), port, lane: PLACES_NAMES };
            commands.push_back(Command::Run { tag, work });
            if self.addresses.is_some() {
                let patience = LOOKUP_PATIENCE.min(self.settings.section.bounds.timeout / 4);
                commands.push_back(Command::Timer { at: now + patience, tag });
            }
        }
    }

    fn dial(
        &mut self,
        id: QuestionId,
        addresses: Vec<SocketAddr>,
        desk: &mut PlacesDesk,
        now: Moment,
    ) -> Option<Command> {
        // The question may have expired during the lookup.
        desk.request(id)?;
        let tls = match self.tls() {
            Ok(tls) => tls,
            Err(reason) => {
                desk.not_connected(now, id, &reason);
                return None;
            }
        };
        Some(Command::Connect {
            tag: Tag::Question(id),
            addresses,
            // The desk ends the connection of a question whose time is over, so a shorter limit is not needed.
            patience: self.settings.section.bounds.timeout,
            tls,
            protocol: Conversation::PlacesRequest(Box::default()),
        })
    }

    fn tls(&mut self) -> Result<Option<TlsDial>, String> {
        let PlacesUrl { tls: uses_tls, host, .. } = self.url();
        if !uses_tls {
            return Ok(None);
        }
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|error| format!("'{name}': {error}"))?
            }
        };
        let settings = Rc::new(tls::Client::new(self.trust.client_config()?, name));
        Ok(Some(TlsDial { settings, handshake_max: self.settings.section.bounds.timeout }))
    }
}

/// The service of these settings.
pub(super) fn service(settings: &PlacesSettings) -> Service {
    let section = &settings.section;
    Service {
        dialect: section.api,
        url: section.url.to_string(),
        host: section.url.host_header(),
        base_path: section.url.path.clone(),
        key_env: section.key_env.clone(),
        key: settings.key.clone(),
        is_local: section.is_local(),
    }
}

/// How long the result of a lookup is up to date.
const LOOKUP_VALID: Duration = Duration::from_secs(60);
/// How long questions wait for a lookup, or a quarter of their time if that is less, before they use outdated addresses:
/// as long as for a silent address.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(1);
/// The lane of the lookup. A resolver that does not know the service must not delay the names of neighbours.
const PLACES_NAMES: Lane = Lane("places-names");
