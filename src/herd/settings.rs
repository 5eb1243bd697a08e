//! The settings of a server: everything that may change while it runs.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::access::Tokens;
use crate::config::{HostPort, Limits, PlacesSection};
use crate::keys::Expiry;
use crate::log::Level;
use crate::protocol::{TlsKeys, TlsSettings};

/// Everything about a server that may change while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The limits of the herd file.
    pub limits: Limits,
    /// Accepted connections: `limits.max_connections`, or fewer if there are fewer file descriptors.
    pub connections_max: usize,
    /// A link on which nothing arrives for this time is dropped.
    pub silence: Duration,
    /// The neighbours, and the addresses at which they are dialled.
    pub neighbours: Vec<(String, HostPort)>,
    /// The links between servers.
    pub links: LinkSettings,
    /// The HTTP interface.
    pub web: WebSettings,
    /// The service that answers WHATSAT.
    pub places: PlacesSettings,
    /// The level of the log.
    pub log_level: Level,
}

/// The links between servers.
#[derive(Clone, Debug, Default)]
pub struct LinkSettings {
    /// The keys of mutual TLS; `None`: links are plain text, from loopback addresses only.
    pub keys: Option<Rc<dyn TlsKeys>>,
    /// The end of the server's own certificate.
    pub certificate_end: Option<Expiry>,
    /// Neighbours have a port of their own, that of the second listener.
    pub have_own_port: bool,
}

/// The HTTP interface.
#[derive(Clone, Default)]
pub struct WebSettings {
    /// There is a listener for HTTP.
    pub has_listener: bool,
    /// The tokens that it accepts; `None`: no request needs one.
    pub tokens: Option<Tokens>,
    /// TLS; `None`: plain text.
    pub tls: Option<Rc<dyn TlsSettings>>,
    /// The end of its certificate, in seconds since 1970.
    pub certificate_end: Option<i64>,
}

impl fmt::Debug for WebSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, tls) = (self.tokens.is_some(), self.tls.is_some());
        f.debug_struct("WebSettings").field("has_tokens", &tokens).field("has_tls", &tls).finish()
    }
}

/// The service that answers WHATSAT.
#[derive(Clone, PartialEq)]
pub struct PlacesSettings {
    /// Its section of the herd file.
    pub section: PlacesSection,
    /// The key; `None`: there is none.
    pub key: Option<Rc<str>>,
}

impl fmt::Debug for PlacesSettings {
    /// Writes the settings without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} key", self.section, if self.key.is_some() { "a" } else { "no" })
    }
}
