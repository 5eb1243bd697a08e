//! The driver of the desk: turns its steps into commands.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::dialler::known_addresses;
use super::settings::PlacesSettings;
use super::{Command, Tag};
use crate::clock::Moment;
use crate::config::{Host, HostPort, PlacesUrl};
use crate::conversation::{Client, Conversation, Handle, PlacesDesk, PlacesRequest, Waiter};
use crate::places::desk::{QuestionId, Step};
use crate::places::dialect::Service;
use crate::places::trust::Trust;
use crate::protocol::{TlsDial, Work};
use crate::tls;

/// The driver of the desk.
#[derive(Debug)]
pub(super) struct PlacesDriver {
    settings: PlacesSettings,
    trust: Trust,
    /// The addresses of the host, and until when they are used.
    addresses: Option<(Vec<SocketAddr>, Moment)>,
    /// Questions that wait for the lookup of the host.
    resolving: Vec<QuestionId>,
    /// The lookup in progress; results of earlier ones are ignored.
    lookup: u64,
}

impl PlacesDriver {
    /// The driver of a desk, which asks the service of these settings from now on.
    pub(super) fn new(settings: PlacesSettings, desk: &mut PlacesDesk) -> PlacesDriver {
        let trust = Trust::new(settings.section.trust.clone());
        desk.change_service(service(&settings));
        PlacesDriver { settings, trust, addresses: None, resolving: Vec::new(), lookup: 0 }
    }

    /// Takes over other settings. Questions in flight are answered by the service that was asked.
    pub(super) fn apply(
        &mut self,
        settings: PlacesSettings,
        desk: &mut PlacesDesk,
        now: Moment,
    ) -> Vec<Command> {
        let mut commands = Vec::new();
        let bounds = settings.section.bounds.clone();
        desk.set_bounds(bounds.clone());
        self.settings.section.bounds = bounds;
        if settings != self.settings {
            desk.change_service(service(&settings));
            self.trust = Trust::new(settings.section.trust.clone());
            self.addresses = None;
            self.settings = settings;
            self.lookup += 1;
            for id in std::mem::take(&mut self.resolving) {
                commands.extend(self.connect(id, desk, now));
            }
        }
        commands
    }

    /// Carries out one step of the desk.
    pub(super) fn carry_out(
        &mut self,
        step: Step<Handle<PlacesRequest>, Waiter>,
        desk: &mut PlacesDesk,
        now: Moment,
    ) -> Option<Command> {
        match step {
            Step::Connect(id) => self.connect(id, desk, now),
            Step::Ask(connection, request) => {
                let call = Handle::call(move |own: &mut PlacesRequest, context| own.ask(context, &request));
                Some(Command::Deliver { to: connection.id(), call })
            }
            Step::Answer(waiter, answer) => {
                let call = Handle::call(move |client: &mut Client, context| {
                    client.answered(context, waiter.ticket, &answer);
                });
                Some(Command::Deliver { to: waiter.client.id(), call })
            }
            Step::Abort(connection) => Some(Command::Abort(connection.id())),
            Step::WakeAt(at) => Some(Command::Timer { at, tag: Tag::Desk }),
        }
    }

    /// The lookup of the host has ended.
    pub(super) fn resolved(
        &mut self,
        lookup: u64,
        addresses: std::io::Result<Vec<SocketAddr>>,
        desk: &mut PlacesDesk,
        now: Moment,
    ) -> Vec<Command> {
        if lookup != self.lookup {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.resolving);
        let addresses = match (addresses, &self.addresses) {
            (Ok(addresses), _) => {
                self.addresses = Some((addresses.clone(), now + LOOKUP_VALID));
                addresses
            }
            // An outdated address is better than none.
            (Err(_), Some((known, _))) => known.clone(),
            (Err(error), None) => {
                let reason = format!("its name cannot be looked up: {error}");
                waiting.into_iter().for_each(|id| desk.not_connected(now, id, &reason));
                return Vec::new();
            }
        };
        waiting.into_iter().filter_map(|id| self.dial(id, addresses.clone(), desk, now)).collect()
    }

    fn url(&self) -> &PlacesUrl {
        &self.settings.section.url
    }

    fn connect(&mut self, id: QuestionId, desk: &mut PlacesDesk, now: Moment) -> Option<Command> {
        let PlacesUrl { host, port, .. } = self.url().clone();
        let known = known_addresses(&HostPort { host: host.clone(), port }).or_else(|| {
            let (addresses, until) = self.addresses.as_ref()?;
            (*until > now).then(|| addresses.clone())
        });
        if let Some(addresses) = known {
            return self.dial(id, addresses, desk, now);
        }
        self.resolving.push(id);
        if self.resolving.len() > 1 {
            return None;
        }
        self.lookup += 1;
        let work = Work::Resolve { host: host.to_string(), port };
        Some(Command::Run { tag: Tag::PlacesLookup(self.lookup), work })
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

/// How long the result of a lookup is used.
const LOOKUP_VALID: Duration = Duration::from_secs(60);
