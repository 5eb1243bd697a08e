//! The keys that one server works with.

use super::KeysError;
use super::certificate::Certificate;
use super::files::{AUTHORITIES, certificate_file, key_file, read_certificates, read_private_key};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The authorities that a server trusts, and its own certificate and private key, all of them checked.
pub struct ServerKeys {
    /// The certificates of the herd's authorities: one, or two while the authority is changed.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The server's certificate, and the intermediate certificates between it and an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the certificate.
    pub key: PrivateKeyDer<'static>,
}

impl ServerKeys {
    /// Reads the keys of the server `name` in this folder.
    ///
    /// The error names the file: one that is missing, a private key that others may use or that does not fit its
    /// certificate, a certificate of another authority, without the server's name as a DNS name, expired, not
    /// valid yet, or not for both sides of a link.
    pub fn load(folder: &Path, name: &str) -> Result<ServerKeys, KeysError> {
        ServerKeys::load_at(folder, name, UnixTime::now())
    }

    /// [`ServerKeys::load`] at this time.
    pub fn load_at(folder: &Path, name: &str, now: UnixTime) -> Result<ServerKeys, KeysError> {
        let (chain_file, key_file) = (certificate_file(folder, name), key_file(folder, name));
        let keys = ServerKeys {
            authorities: read_authorities(folder)?,
            chain: read_certificates(&chain_file)?,
            key: read_private_key(&key_file)?,
        };
        let certificate = keys.certificate().ok_or_else(|| {
            KeysError::new(&chain_file, "the first certificate is not well formed (RFC 5280)")
        })?;
        let remedy = "put both files of the same pair here, or run herd keys --renew";
        check_pair(&keys.chain, &keys.key, remedy).map_err(|problem| KeysError::new(&key_file, problem))?;
        keys.check_chain(&certificate, name, now).map_err(|problem| KeysError::new(&chain_file, problem))?;
        Ok(keys)
    }

    /// The server's certificate.
    pub fn certificate(&self) -> Option<Certificate> {
        self.chain.first().and_then(Certificate::read)
    }

    fn check_chain(&self, certificate: &Certificate, name: &str, now: UnixTime) -> Result<(), String> {
        if !certificate.is_of(name) {
            return Err(format!(
                "is not the certificate of {name}: expected the DNS name {name} in subjectAltName, got {}",
                match certificate.names() {
                    [] => "none".to_owned(),
                    names => names.join(", "),
                }
            ));
        }
        certificate.check_time(now).map_err(|problem| format!("{problem}; run herd keys --renew"))?;
        verify(&self.authorities, &self.chain, name, now)
    }
}

impl fmt::Debug for ServerKeys {
    /// The private key is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self.certificate();
        let names = certificate.as_ref().map(Certificate::names);
        f.debug_struct("ServerKeys").field("names", &names).finish_non_exhaustive()
    }
}

/// Checks that a private key is that of the first certificate of a chain.
pub(super) fn check_pair(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    remedy: &str,
) -> Result<(), String> {
    let pair = CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider());
    pair.map(drop).map_err(|error| match error {
        Error::InconsistentKeys(_) => format!("does not fit the certificate beside it; {remedy}"),
        _ => "holds no private key that TLS can use: expected ECDSA (P-256, P-384, P-521), RSA or Ed25519"
            .to_owned(),
    })
}

/// Reads the certificates of the authorities. One that may not sign others is an error: TLS would trust it as an
/// authority, so that a server's certificate in this file could forge all others.
pub(super) fn read_authorities(folder: &Path) -> Result<Vec<CertificateDer<'static>>, KeysError> {
    let file = folder.join(AUTHORITIES);
    let authorities = read_certificates(&file)?;
    let is_authority = |der| Certificate::read(der).is_some_and(|certificate| certificate.is_authority());
    match authorities.iter().position(|der| !is_authority(der)) {
        None => Ok(authorities),
        Some(index) => Err(KeysError::new(
            &file,
            format!("certificate {} is not that of an authority (CA:TRUE); remove it", index + 1),
        )),
    }
}

/// Checks a chain as both sides of a link do: an authority has signed it, for TLS servers and for TLS clients.
fn verify(
    authorities: &[CertificateDer<'static>],
    chain: &[CertificateDer<'static>],
    name: &str,
    now: UnixTime,
) -> Result<(), String> {
    let in_words = |error: Error| explain(&error);
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(in_words)?;
    }
    let roots = Arc::new(roots);
    let (leaf, intermediates) = chain.split_first().ok_or("holds no certificate")?;
    let name = ServerName::try_from(name).map_err(|_| format!("{name} cannot be a DNS name"))?;
    let as_server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
        .build()
        .map_err(|error| error.to_string())?;
    as_server.verify_server_cert(leaf, intermediates, &name, &[], now).map_err(in_words)?;
    let as_client = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| error.to_string())?;
    as_client.verify_client_cert(leaf, intermediates, now).map_err(in_words)?;
    Ok(())
}

fn explain(error: &Error) -> String {
    let Error::InvalidCertificate(reason) = error else { return error.to_string() };
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate is of another authority than {AUTHORITIES}; put both from the same herd here, or run \
             herd keys --renew"
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            format!("an intermediate certificate has expired or is not valid yet: {error}")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not for both sides of a link: expected serverAuth and clientAuth in \
             extendedKeyUsage"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// The cryptography provider, named so that no other crate's features can change it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, DAY, Folder, NOW, at, issued, set_mode, set_validity};
    use super::*;
    use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
    use std::fs;

    /// A folder with an authority and the keys of A.
    fn folder(test: &str) -> (Folder, Authority) {
        let (folder, authority) = (Folder::new(test), Authority::new("herd"));
        folder.put_authorities(&authority.pem());
        put(&folder, &authority, "A", &["A", "127.0.0.1"]);
        (folder, authority)
    }

    fn put(folder: &Folder, authority: &Authority, name: &str, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        folder.put(name, &authority.sign(issued(names), &key), &key.serialize_pem());
    }

    fn load(folder: &Folder) -> Result<ServerKeys, String> {
        load_on_day(folder, 0)
    }

    fn load_on_day(folder: &Folder, day: i64) -> Result<ServerKeys, String> {
        let loaded = ServerKeys::load_at(folder.path(), "A", at(NOW + day * DAY));
        loaded.map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(folder: &Folder, file: &str, words: &str) {
        let error = load(folder).expect_err(words);
        let file = folder.path().join(file).display().to_string();
        assert!(error.starts_with(&format!("{file}: ")) && error.contains(words), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn good_keys_are_loaded_and_the_private_key_is_not_shown() {
        let (folder, authority) = folder("good");
        let keys = load(&folder).unwrap();
        assert_eq!(keys.authorities, [authority.certificate().clone()]);
        assert!(keys.certificate().unwrap().is_of("A"));
        let shown = format!("{keys:?}");
        assert_eq!(shown, "ServerKeys { names: Some([\"A\"]), .. }");
    }

    #[test]
    fn a_private_key_that_others_may_use_is_refused() {
        let (folder, _) = folder("mode");
        let file = key_file(folder.path(), "A");
        for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644] {
            set_mode(&file, mode);
            refused(&folder, "A.key", &format!("(mode {mode:03o}); run chmod 600 "));
        }
        for mode in [0o400, 0o600, 0o700] {
            set_mode(&file, mode);
            assert!(load(&folder).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn missing_keys_are_named() {
        for (test, file) in [("none-ca", "herd-ca.pem"), ("none-pem", "A.pem"), ("none-key", "A.key")] {
            let (folder, _) = folder(test);
            fs::remove_file(folder.path().join(file)).unwrap();
            refused(&folder, file, "no such file; herd keys makes ");
            assert!(ServerKeys::load_at(folder.path(), "A", at(NOW)).unwrap_err().is_missing());
        }
    }

    #[test]
    fn a_certificate_of_another_authority_is_refused() {
        let (folder, _) = folder("foreign");
        // The other authority has the same name, so that only the signature differs.
        put(&folder, &Authority::new("herd"), "A", &["A"]);
        refused(&folder, "A.pem", "of another authority than herd-ca.pem");
        put(&folder, &Authority::new("other"), "A", &["A"]);
        refused(&folder, "A.pem", "of another authority than herd-ca.pem");
    }

    #[test]
    fn a_certificate_without_the_name_of_the_server_is_refused() {
        let (folder, authority) = folder("name");
        put(&folder, &authority, "A", &["B", "127.0.0.1", "a.example.org"]);
        refused(&folder, "A.pem", "expected the DNS name A in subjectAltName, got B, a.example.org");
        put(&folder, &authority, "A", &[]);
        refused(&folder, "A.pem", "subjectAltName, got none");
        put(&folder, &authority, "A", &["x", "a"]);
        assert!(load(&folder).is_ok());
    }

    #[test]
    fn a_certificate_is_refused_before_and_after_its_time() {
        let (folder, _) = folder("time");
        assert!(load_on_day(&folder, 90).is_ok());
        let error = load_on_day(&folder, 91).unwrap_err();
        assert!(error.contains("A.pem: the certificate expired on 2027-02-26; run herd keys"), "{error}");
        let error = load_on_day(&folder, -2).unwrap_err();
        assert!(error.contains("A.pem: the certificate is not valid before 2026-11-27"), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (folder, authority) = folder("pair");
        let other = KeyPair::generate().unwrap();
        folder.put("A", &authority.issue(issued(&["A"])).1, &other.serialize_pem());
        refused(&folder, "A.key", "does not fit the certificate beside it");
    }

    #[test]
    fn files_without_keys_are_refused() {
        let (folder, authority) = folder("wrong");
        let key = KeyPair::generate().unwrap();
        let certificate = authority.sign(issued(&["A"]), &key);
        folder.put("A", &certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n");
        refused(&folder, "A.key", "the private key has a passphrase");
        folder.put("A", &certificate, &certificate);
        refused(&folder, "A.key", "holds no private key");
        folder.put("A", &certificate, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        refused(&folder, "A.key", "no private key that TLS can use");
        folder.put("A", "", &key.serialize_pem());
        refused(&folder, "A.pem", "holds no certificate");
        folder.put(
            "A",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            &key.serialize_pem(),
        );
        refused(&folder, "A.pem", "not well formed");
        folder.put("A", &certificate, &key.serialize_pem());
        folder.put_authorities("");
        refused(&folder, "herd-ca.pem", "holds no certificate");
        folder.put_authorities(&(authority.pem() + &certificate));
        refused(&folder, "herd-ca.pem", "certificate 2 is not that of an authority");
        fs::remove_file(folder.path().join(AUTHORITIES)).unwrap();
        fs::create_dir(folder.path().join(AUTHORITIES)).unwrap();
        refused(&folder, "herd-ca.pem", "cannot be read");
    }

    #[test]
    fn a_certificate_for_one_side_of_a_link_is_refused() {
        let (folder, authority) = folder("purpose");
        for purpose in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
            let mut parameters = issued(&["A"]);
            parameters.extended_key_usages = vec![purpose];
            let key = KeyPair::generate().unwrap();
            folder.put("A", &authority.sign(parameters, &key), &key.serialize_pem());
            refused(&folder, "A.pem", "not for both sides of a link");
        }
        let mut parameters = issued(&["A"]);
        parameters.extended_key_usages = Vec::new();
        let key = KeyPair::generate().unwrap();
        folder.put("A", &authority.sign(parameters, &key), &key.serialize_pem());
        assert!(load(&folder).is_ok());
    }

    #[test]
    fn two_authorities_are_trusted_while_one_replaces_the_other() {
        let (folder, old) = folder("two");
        let new = Authority::new("herd");
        folder.put_authorities(&(new.pem() + &old.pem()));
        assert!(load(&folder).is_ok());
        put(&folder, &new, "A", &["A"]);
        assert_eq!(load(&folder).unwrap().authorities.len(), 2);
        folder.put_authorities(&old.pem());
        refused(&folder, "A.pem", "of another authority");
    }

    #[test]
    fn keys_of_an_operator_work() {
        let (folder, root) = folder("operator");
        let keys = [
            KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(),
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        ];
        for key in keys {
            folder.put("A", &root.sign(issued(&["A"]), &key), &key.serialize_pem());
            load(&folder).unwrap();
        }
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let intermediate = root.intermediate("intermediate", key);
        let key = KeyPair::generate().unwrap();
        let certificate = intermediate.sign(issued(&["A"]), &key);
        folder.put("A", &(certificate.clone() + &intermediate.pem()), &key.serialize_pem());
        assert_eq!(load(&folder).unwrap().chain.len(), 2);
        folder.put("A", &certificate, &key.serialize_pem());
        refused(&folder, "A.pem", "of another authority");
    }

    #[test]
    fn an_authority_may_be_older_than_its_certificates() {
        let (folder, authority) = folder("long");
        let mut parameters = issued(&["A"]);
        set_validity(&mut parameters, NOW, NOW + 1000 * DAY);
        let key = KeyPair::generate().unwrap();
        folder.put("A", &authority.sign(parameters, &key), &key.serialize_pem());
        assert_eq!(load(&folder).unwrap().certificate().unwrap().days_left(at(NOW)), 1000);
    }
}
