//! The certificates that a TLS client trusts, and the settings of TLS made from them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The only version of HTTP that the program speaks.
const ALPN: &[u8] = b"http/1.1";

/// The root certificates that a TLS client trusts, and its settings, made on first use.
#[derive(Debug, Default)]
pub struct Trust {
    /// A file of root certificates; `None`: those of the public web.
    file: Option<PathBuf>,
    made: Option<(Option<Stamp>, Arc<ClientConfig>)>,
}

/// The version of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
}

impl Trust {
    /// Trusts the root certificates of this file; `None`: those of the public web.
    pub fn new(file: Option<PathBuf>) -> Trust {
        Trust { file, made: None }
    }

    /// The settings of a client. A file that has changed is read again, since the local Places server makes a
    /// new root certificate each time it starts. The error names the file and the reason.
    pub fn client_config(&mut self) -> Result<Arc<ClientConfig>, String> {
        let stamp = self.file.as_deref().map(stamp).transpose()?;
        if let Some((made_for, config)) = &self.made
            && *made_for == stamp
        {
            return Ok(config.clone());
        }
        let roots = match &self.file {
            Some(file) => read_roots(file)?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let config = Arc::new(config);
        self.made = Some((stamp, config.clone()));
        Ok(config)
    }
}

/// Checks that the file holds root certificates. The error names the file and the reason.
pub fn check_roots(file: &Path) -> Result<(), String> {
    stamp(file)?;
    read_roots(file).map(drop)
}

/// The settings of a server with this certificate, intermediate ones after it, and its private key.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The cryptography provider, named so that no other crate's features can change it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn stamp(file: &Path) -> Result<Stamp, String> {
    let read = || {
        let metadata = fs::metadata(file)?;
        // Reading a pipe or a device may take for ever.
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if metadata.len() > FILE_MAX {
            return Err(io::Error::other(format!("it has more than {} MiB", FILE_MAX >> 20)));
        }
        Ok(Stamp { modified: metadata.modified()?, length: metadata.len() })
    };
    read().map_err(|error: io::Error| unreadable(file, &error))
}

fn read_roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let content = fs::read(file).map_err(|error| unreadable(file, &error))?;
    // Editors on Windows may write a byte order mark.
    let pem = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| match error {
            pem::Error::MissingSectionEnd { .. } => unreadable(file, &"a certificate has no END line"),
            error => unreadable(file, &error),
        })?;
        roots.add(certificate).map_err(|error| unreadable(file, &error))?;
    }
    if roots.is_empty() {
        let is_der = content.first() == Some(&DER_SEQUENCE);
        let hint =
            if is_der { ": it looks like DER, and openssl x509 -inform der makes PEM of it" } else { "" };
        return Err(format!("{} holds no certificate{hint}", file.display()));
    }
    Ok(roots)
}

/// Bytes of a file of root certificates: ten times all those of the public web.
const FILE_MAX: u64 = 4 * 1024 * 1024;
/// The first byte of a certificate that is not in PEM.
const DER_SEQUENCE: u8 = 0x30;

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("the root certificates in {} cannot be read: {error}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("herd-tls-{}-{name}", std::process::id()))
    }

    fn root(name: &str) -> rcgen::Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.self_signed(&key).unwrap()
    }

    #[test]
    fn a_file_that_is_no_list_of_roots_is_refused_with_the_reason() {
        let (file, certificate) = (temporary("kinds"), root("a"));
        let pem = certificate.pem();
        let bad_second = format!("{pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        for (content, words) in [
            (&b""[..], "holds no certificate"),
            (certificate.der(), "it looks like DER"),
            (&pem.as_bytes()[..100], "a certificate has no END line"),
            (bad_second.as_bytes(), "cannot be read"),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate"),
        ] {
            fs::write(&file, content).unwrap();
            let problem = check_roots(&file).unwrap_err();
            assert!(problem.contains(words) && problem.contains(file.to_str().unwrap()), "{problem}");
        }
        for content in [pem.replace('\n', "\r\n"), format!("\u{feff}{pem}")] {
            fs::write(&file, content).unwrap();
            assert_eq!(check_roots(&file), Ok(()), "files of Windows");
        }
        fs::File::options().write(true).open(&file).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert!(check_roots(&file).unwrap_err().contains("more than 4 MiB"));
        fs::remove_file(&file).unwrap();
        for device in ["/dev/zero", "/tmp"] {
            assert!(check_roots(Path::new(device)).unwrap_err().contains("not a regular file"), "{device}");
        }
    }

    #[test]
    fn a_file_of_roots_is_read_again_when_it_changed() {
        let file = temporary("roots");
        let mut trust = Trust::new(Some(file.clone()));
        assert!(trust.client_config().unwrap_err().contains("cannot be read"));
        assert!(check_roots(&file).unwrap_err().contains("No such file"));
        fs::write(&file, "no certificate").unwrap();
        assert!(trust.client_config().unwrap_err().contains("holds no certificate"));
        assert!(check_roots(&file).unwrap_err().contains("holds no certificate"));
        fs::write(&file, root("a").pem()).unwrap();
        assert_eq!(check_roots(&file), Ok(()));
        let first = trust.client_config().unwrap();
        assert!(Arc::ptr_eq(&first, &trust.client_config().unwrap()));
        fs::write(&file, root("a much longer name than before").pem()).unwrap();
        assert!(!Arc::ptr_eq(&first, &trust.client_config().unwrap()));
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn the_roots_of_the_public_web() {
        assert!(Trust::new(None).client_config().is_ok());
    }
}
