//! The effect of SIGHUP: settings and keys that were read again, and the log file opened again.

use std::rc::Rc;
use std::time::Duration;

use super::dialler::Dialler;
use super::{Command, HANDSHAKE_MAX, Herd, LISTENER, NEIGHBOURS, Settings, WebSettings};
use crate::clock::Clocks;
use crate::conversation::Conversation;
use crate::log::Level;
use crate::protocol::{Application, Delivery, TlsKeys, TlsListener};

impl Herd {
    /// Takes over the settings that were read again, or keeps its own for the reason why they cannot be used, and
    /// reopens the log. The log says which, so that the operator sees the effect of SIGHUP there.
    pub fn reload(&mut self, read: Result<Settings, String>, clocks: Clocks) {
        let kept = match read {
            Ok(settings) => {
                self.apply(settings, clocks);
                None
            }
            Err(why) => Some(why),
        };
        self.reopen_log(clocks);
        if self.shutdown.has_begun() {
            return;
        }
        self.server.set_time(clocks.wall);
        let name = &self.server.identity.name;
        match (kept, self.certificate_end.last_day()) {
            (Some(why), _) => self.server.log.event(format_args!("{name} keeps its settings: {why}")),
            (None, None) => self.server.log.event(format_args!("{name} has read its settings again")),
            (None, Some(day)) => self.server.log.event(format_args!(
                "{name} has read its settings and keys again; its certificate is valid to {day}"
            )),
        }
    }

    /// Takes over other keys: later connections use them, and links whose certificate they do not accept end.
    pub(super) fn apply_keys(&mut self, keys: Option<Rc<dyn TlsKeys>>) {
        if let Some(keys) = &keys {
            let tls = TlsListener {
                settings: keys.accepting(),
                handshake_max: HANDSHAKE_MAX,
                with_plain_text: true,
            };
            self.commands.push_back(Command::SetTls(LISTENER, Some(tls.clone())));
            if self.have_own_port {
                self.commands.push_back(Command::SetTls(NEIGHBOURS, Some(tls)));
            }
            for id in self.server.neighbours.ids() {
                let outbound = self.diallers.get(id.0).and_then(Dialler::connection);
                for to in self.server.neighbours.get(id).inbound.into_iter().chain(outbound) {
                    let keys = keys.clone();
                    let call: Delivery<_> =
                        Box::new(move |link: &mut Conversation, context| link.verify_peer(context, &*keys));
                    self.commands.push_back(Command::Deliver { to, call });
                }
            }
        }
        self.server.keys = keys;
    }

    /// Takes over other tokens and another certificate of the HTTP interface: later requests need these tokens, later
    /// connections get this certificate.
    pub(super) fn apply_web(&mut self, web: WebSettings) {
        if let Some(settings) = web.tls {
            let tls = TlsListener { settings, handshake_max: WEB_HANDSHAKE_MAX, with_plain_text: false };
            self.commands.push_back(Command::SetTls(self.web_listener(), Some(tls)));
        }
        self.server.certificate_ends.http = web.certificate_end;
        self.server.access.replace(web.tokens);
    }

    /// Reopens the log, after log rotation has renamed or truncated it: lines logged before go to the old file, lines
    /// logged later to the new one. Nothing is opened when the log is off.
    pub fn reopen_log(&mut self, clocks: Clocks) {
        if self.server.log.level() > Level::Off {
            self.server.log.reopen();
            self.turn_ended(clocks, false);
        }
    }
}

/// The time limit of a handshake over HTTP: a phone at the edge of a network needs seconds for a few packets.
const WEB_HANDSHAKE_MAX: Duration = Duration::from_secs(10);
