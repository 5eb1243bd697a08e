//! The settings of TLS for the links of a server, made from its keys (docs/protocol.md, section 4).

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::words::in_words;
use super::{Client, Server};
use crate::keys::ServerKeys;
use crate::protocol::{TlsKeys, TlsPeer, TlsSession, TlsSettings};

/// The settings of TLS for the links of a server, and for the clients on the same port. New keys need new settings,
/// with which sessions of the old ones cannot be resumed.
#[derive(Debug)]
pub struct LinkKeys {
    server: Arc<ServerConfig>,
    clients: Arc<dyn ClientCertVerifier>,
    client: Arc<ClientConfig>,
}

impl LinkKeys {
    /// The settings for these keys. The error is one of rustls about keys that were not checked.
    pub fn new(keys: &ServerKeys) -> Result<LinkKeys, String> {
        let provider = Arc::new(provider());
        let mut roots = RootCertStore::empty();
        for authority in &keys.authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| error.to_string())?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        let server = server_config(keys, &provider, clients.clone()).map_err(|error| error.to_string())?;
        let client = client_config(keys, provider, servers).map_err(|error| error.to_string())?;
        Ok(LinkKeys { server: Arc::new(server), clients, client: Arc::new(client) })
    }
}

/// The cryptography of links, named so that no other crate's features can change it. Key exchange is on curves
/// alone: each flight fits one packet, and a handshake that comes to nothing costs less.
fn provider() -> CryptoProvider {
    CryptoProvider { kx_groups: vec![X25519, SECP256R1, SECP384R1], ..aws_lc_rs::default_provider() }
}

fn server_config(
    keys: &ServerKeys,
    provider: &Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(keys.chain.clone(), keys.key.clone_key())?;
    // The peer keeps the session, its own certificate included, encrypted in a ticket.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // A redial uses one ticket and gets the next one.
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn client_config(
    keys: &ServerKeys,
    provider: Arc<CryptoProvider>,
    servers: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(servers)
        .with_client_auth_cert(keys.chain.clone(), keys.key.clone_key())?;
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    // The names of servers are nobody's business on the way, and the port has one certificate.
    config.enable_sni = false;
    Ok(config)
}

impl TlsKeys for LinkKeys {
    fn accepting(&self) -> Rc<dyn TlsSettings> {
        Rc::new(Server::of_links(self.server.clone()))
    }

    fn dialling(&self, name: &str) -> Rc<dyn TlsSettings> {
        match ServerName::try_from(name.to_owned()) {
            Ok(name @ ServerName::DnsName(_)) => Rc::new(Client::of_links(self.client.clone(), name)),
            _ => Rc::new(NoName(name.to_owned())),
        }
    }

    fn verify(&self, peer: &TlsPeer) -> io::Result<()> {
        let chain: Vec<_> = peer.certificates.iter().map(|der| CertificateDer::from_slice(der)).collect();
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(io::Error::other("it has shown no certificate"));
        };
        self.clients
            .verify_client_cert(leaf, intermediates, UnixTime::now())
            .map(drop)
            .map_err(|error| io::Error::other(in_words(&error)))
    }
}

/// Settings for a name that no certificate can have.
struct NoName(String);

impl TlsSettings for NoName {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        Err(io::Error::other(format!("'{}' cannot be a DNS name, so no certificate has it", self.0)))
    }
}

/// Tickets kept for redials: eight for each server of the largest herd, as rustls distributes them.
const SESSIONS_MAX: usize = 8 * 128;
