//! The certificate and private key of the HTTP interface.

use super::certificate::Certificate;
use super::files::{read_certificates, read_private_key};
use super::server_keys::check_pair;
use super::{Expiry, KeysError};
use crate::config::HttpCertificate;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;

/// The certificate and private key of the HTTP interface. They belong together; whether clients accept the
/// certificate, its end included, is theirs to say.
pub struct HttpKeys {
    /// The certificate, and intermediate certificates after it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the certificate.
    pub key: PrivateKeyDer<'static>,
    /// The end of the first certificate of the chain that ends.
    pub end: Option<Expiry>,
}

impl HttpKeys {
    /// Reads the files of `http.certificate` and `http.key`.
    ///
    /// The error is one line that names the key of the herd file and the file: one that is missing, a private key that
    /// others may use or that does not fit the certificate.
    pub fn load(files: &HttpCertificate) -> Result<HttpKeys, String> {
        let failed = |key: &str, error: KeysError| {
            let file = error.file().display().to_string();
            let remedy = if error.is_missing() { "; name a PEM file that is there" } else { "" };
            format!("http.{key}: {file}: {}{remedy}", error.problem())
        };
        let chain = read_certificates(&files.chain).map_err(|error| failed("certificate", error))?;
        let key = read_private_key(&files.key).map_err(|error| failed("key", error))?;
        let remedy = "name the two files of one pair as http.certificate and http.key";
        check_pair(&chain, &key, remedy).map_err(|why| failed("key", KeysError::new(&files.key, why)))?;
        let all: Vec<Certificate> = chain.iter().filter_map(Certificate::read).collect();
        let end = Expiry::of(files.chain.display().to_string(), &all);
        Ok(HttpKeys { chain, key, end })
    }
}

impl fmt::Debug for HttpKeys {
    /// The private key is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpKeys").field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Folder, issued, set_mode};
    use super::super::{certificate_file, key_file};
    use super::*;
    use rcgen::KeyPair;
    use std::fs;

    #[test]
    fn a_pair_is_loaded_or_the_file_is_named() {
        let (folder, authority) = (Folder::new("http"), Authority::new("a"));
        let files = HttpCertificate {
            chain: certificate_file(folder.path(), "web"),
            key: key_file(folder.path(), "web"),
        };
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = authority.sign(issued(&["herd.example.org"]), &key);
        let refused = |place: &str, words: &str| {
            let error = HttpKeys::load(&files).unwrap_err();
            assert!(error.starts_with(place) && error.contains(words) && !error.contains('\n'), "{error}");
        };
        refused("http.certificate: ", "web.pem: no such file; name a PEM file that is there");
        folder.put("web", &(certificate.clone() + &authority.pem()), &key.serialize_pem());
        let loaded = HttpKeys::load(&files).unwrap();
        assert_eq!(loaded.chain.len(), 2);
        assert!(loaded.end.as_ref().unwrap().file.ends_with("web.pem"));
        assert!(!format!("{loaded:?}").contains("PrivateKey"));
        set_mode(&files.key, 0o640);
        refused("http.key: ", "others than its owner may use this file (mode 640); run chmod 600");
        folder.put("web", &certificate, &other.serialize_pem());
        refused("http.key: ", "does not fit the certificate beside it; name the two files of one pair");
        folder.put("web", "nothing", &key.serialize_pem());
        refused("http.certificate: ", "holds no certificate");
        fs::remove_file(&files.key).unwrap();
        folder.put("web", &certificate, &key.serialize_pem());
        fs::remove_file(&files.key).unwrap();
        refused("http.key: ", "web.key: no such file");
    }
}
