//! A client that accepts one certificate that it has, whatever name it was issued for, and otherwise what the roots of
//! the public web accept. For programs that ask a server by its address while its certificate has a public name.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The settings of such a client. `known`: `None`: it has no certificate of the server.
///
/// # Errors
///
/// When the provider of cryptography cannot be used.
pub fn client_that_knows(known: Option<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let public = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| error.to_string())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { known, public }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Verifier {
    known: Option<CertificateDer<'static>>,
    public: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // That the server has its private key is shown by the signature of the handshake.
        if self.known.as_ref() == Some(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.public.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.public.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.public.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.public.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Authority;
    use super::*;
    use rustls::{ClientConnection, ServerConnection};

    /// Whether the handshake of a client that has a certificate with a server that has another, or the same, succeeds.
    fn accepts(known: Option<CertificateDer<'static>>, server: Arc<rustls::ServerConfig>) -> bool {
        let name = ServerName::try_from("192.0.2.1").unwrap();
        let mut client = ClientConnection::new(client_that_knows(known).unwrap(), name).unwrap();
        let mut server = ServerConnection::new(server).unwrap();
        for _ in 0..4 {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            if server.process_new_packets().is_err() {
                return false;
            }
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        !client.is_handshaking()
    }

    #[test]
    fn the_known_certificate_is_accepted_under_any_name_and_no_other() {
        let authority = Authority::new();
        let (certificate, key) = authority.sign("herd.example.org");
        let config =
            || crate::places::trust::server_config(vec![certificate.clone()], key.clone_key()).unwrap();
        assert!(accepts(Some(certificate.clone()), config()));
        let (other, _) = authority.sign("herd.example.org");
        assert!(!accepts(Some(other), config()));
        assert!(!accepts(None, config()));
    }
}
