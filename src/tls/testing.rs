//! Authorities and sessions for the tests of this module and of the event loop.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use crate::keys::ServerKeys;
use crate::places::trust::server_config;

/// An authority and the certificates that it signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Authority(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate with this name, and its private key.
    pub(crate) fn sign(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        self.sign_with(CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    /// A certificate with these parameters, and its private key.
    pub(crate) fn sign_with(
        &self,
        parameters: CertificateParams,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    /// The keys of the server of this name.
    pub(crate) fn keys(&self, name: &str) -> ServerKeys {
        let (certificate, key) = self.sign(name);
        ServerKeys { authorities: vec![self.certificate()], chain: vec![certificate], key }
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// The settings of a server that asks for no certificate.
    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(name);
        server_config(vec![certificate], key).unwrap()
    }

    /// The settings of a client that trusts this authority and shows no certificate.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::new(ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth())
    }

    /// The same, for a client that speaks nothing newer than TLS 1.2.
    pub(crate) fn old_client(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12]);
        Arc::new(builder.with_root_certificates(self.roots()).with_no_client_auth())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        roots
    }
}

/// A client of rustls whose bytes the test carries.
pub(crate) struct FarClient {
    session: ClientConnection,
    /// Plain text that it has received.
    pub(crate) received: Vec<u8>,
    /// The other side has ended with close_notify.
    pub(crate) is_closed: bool,
}

impl FarClient {
    pub(crate) fn new(config: Arc<ClientConfig>, name: &str) -> FarClient {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(config, name).unwrap();
        FarClient { session, received: Vec::new(), is_closed: false }
    }

    /// Bytes for the other side.
    pub(crate) fn output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut output).unwrap();
        }
        output
    }

    /// Takes bytes of the other side. The error is that of rustls.
    pub(crate) fn input(&mut self, mut bytes: &[u8]) -> Result<(), rustls::Error> {
        while !bytes.is_empty() {
            self.session.read_tls(&mut bytes).unwrap();
            let state = self.session.process_new_packets()?;
            self.is_closed |= state.peer_has_closed();
            let _ = self.session.reader().read_to_end(&mut self.received);
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, text: &[u8]) {
        self.session.writer().write_all(text).unwrap();
    }

    pub(crate) fn close(&mut self) {
        self.session.send_close_notify();
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }
}
