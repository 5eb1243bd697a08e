//! Makes what is missing of the keys of a herd, with an authority of its own.
//!
//! A process may end in the middle. A private key is therefore put into its place before its certificate, and a
//! key without a certificate gets one. So a certificate always has its key, and nothing is overwritten unless it
//! is to be renewed.

use super::certificate::Certificate;
use super::files::{
    AUTHORITIES, AUTHORITY_KEY, certificate_file, key_file, read_certificates, read_private_key,
    read_private_text,
};
use super::issuing::{Authority, Purpose, Subject, SubjectName, Validity};
use super::server_keys::read_authorities;
use super::writing::{Lock, NewFile};
use super::{KeysError, folder_of};
use crate::config::{HerdFile, Host, HostPort, ServerSection};
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::path::Path;

/// The files that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The missing ones.
    Missing,
    /// The missing ones, and new keys and certificates of the servers.
    RenewServers,
    /// The missing ones, and a new authority beside the present one, which stays trusted.
    RenewAuthority,
}

/// The result for one authority or server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The name of a server; `None`: the authority.
    pub server: Option<String>,
    /// The effect.
    pub outcome: Outcome,
    /// The last day of its certificate, in UTC: `2028-11-27`.
    pub last_day: String,
}

/// The effect on a certificate and its private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They were there.
    Kept,
    /// They are new.
    Made,
    /// They have replaced others.
    Renewed,
}

/// Makes the keys of these servers of a herd, and its authority if there is none. The results begin with the
/// authority.
///
/// Errors: a file cannot be read or written, the private key of the authority is missing although it is needed,
/// a certificate has no private key.
pub fn make(
    herd: &HerdFile,
    servers: &[&ServerSection],
    mode: Mode,
    now: UnixTime,
) -> Result<Vec<Made>, KeysError> {
    let folder = folder_of(herd);
    let maker = Maker { lock: Lock::take(&folder)?, folder: &folder, herd, now };
    let (authority, outcome) = maker.authority(mode)?;
    let mut made = vec![Made { server: None, outcome, last_day: maker.authority_last_day()? }];
    for server in servers {
        made.push(maker.server(server, authority.as_ref(), mode == Mode::RenewServers)?);
    }
    Ok(made)
}

struct Maker<'a> {
    lock: Lock,
    folder: &'a Path,
    herd: &'a HerdFile,
    now: UnixTime,
}

impl Maker<'_> {
    /// The authority. `None`: its private key is not in the folder.
    fn authority(&self, mode: Mode) -> Result<(Option<Authority>, Outcome), KeysError> {
        let (pem_file, key_file) = (self.folder.join(AUTHORITIES), self.folder.join(AUTHORITY_KEY));
        let (renew, renew_servers) = (mode == Mode::RenewAuthority, mode == Mode::RenewServers);
        let key = existing(read_key(&key_file))?;
        let known = existing(read_authorities(self.folder))?;
        match (known, key) {
            (None, key) => {
                if let Some(server) = self.signed_server().filter(|_| !renew_servers) {
                    let problem = format!(
                        "no such file, although {server}.pem is here; put it back, or run herd keys --renew for new keys"
                    );
                    return Err(KeysError::new(&pem_file, problem));
                }
                let key = match key {
                    Some(key) => key,
                    None => KeyPair::generate().map_err(|error| failed(&key_file, &error))?,
                };
                Ok((Some(self.new_authority(key, &[])?), Outcome::Made))
            }
            (Some(_), None) if renew => Err(KeysError::missing(&key_file)),
            (Some(_), None) => Ok((None, Outcome::Kept)),
            (Some(known), Some(_)) if renew => {
                if known.len() > 1 {
                    return Err(KeysError::new(
                        &pem_file,
                        "a change of the authority is under way; end it first: run herd keys --renew, bring the \
                         new files to all hosts, then remove every certificate but the first from this file",
                    ));
                }
                let key = KeyPair::generate().map_err(|error| failed(&key_file, &error))?;
                Ok((Some(self.new_authority(key, &known)?), Outcome::Renewed))
            }
            (Some(known), Some(key)) => {
                let public_key = key.subject_public_key_info();
                let is_of_key = |certificate: &Certificate| certificate.public_key() == public_key;
                let certificate =
                    known.into_iter().find(|der| Certificate::read(der).is_some_and(|c| is_of_key(&c)));
                let certificate = certificate.ok_or_else(|| {
                    let problem =
                        format!("fits no certificate in {AUTHORITIES}; put both of the same authority here");
                    KeysError::new(&key_file, problem)
                })?;
                let authority =
                    Authority::existing(certificate, key).map_err(|error| failed(&pem_file, &error))?;
                Ok((Some(authority), Outcome::Kept))
            }
        }
    }

    /// A server that has a certificate.
    fn signed_server(&self) -> Option<&str> {
        let mut names = self.herd.servers.iter().map(|server| server.name.as_str());
        names.find(|name| certificate_file(self.folder, name).exists())
    }

    /// Makes an authority with this key, before the `older` ones in its file.
    fn new_authority(&self, key: KeyPair, older: &[CertificateDer<'static>]) -> Result<Authority, KeysError> {
        let (pem_file, key_file) = (self.folder.join(AUTHORITIES), self.folder.join(AUTHORITY_KEY));
        let organization = Some(self.herd.name.as_str());
        let validity = self.validity(AUTHORITY_DAYS);
        let since = super::certificate::day(validity.from);
        let name = format!("authority of a herd, since {since}");
        let authority = Authority::self_signed(Subject { name: &name, organization }, validity, key)
            .map_err(|error| failed(&pem_file, &error))?;
        let mut pem = authority.pem().to_owned();
        if !older.is_empty() {
            // As it stands there, with what the operator may have written around it.
            pem += &super::files::read_text(&pem_file)?;
        }
        self.lock.put(&[NewFile::private(key_file, authority.key_pem()), NewFile::public(pem_file, pem)])?;
        Ok(authority)
    }

    fn server(
        &self,
        server: &ServerSection,
        authority: Option<&Authority>,
        renew: bool,
    ) -> Result<Made, KeysError> {
        let files = (certificate_file(self.folder, &server.name), key_file(self.folder, &server.name));
        let (pem_file, key_file) = &files;
        let certificate = existing(read_certificates(pem_file))?;
        let made = |outcome, last_day| Made { server: Some(server.name.clone()), outcome, last_day };
        let key = match &certificate {
            _ if renew => None,
            None => existing(read_key(key_file))?,
            Some(_) if existing(read_private_key(key_file))?.is_none() => {
                return Err(KeysError::new(
                    key_file,
                    "no such file beside its certificate; put it back, or run herd keys --renew for new ones",
                ));
            }
            Some(chain) => {
                let last_day = Certificate::read(&chain[0]).map(|certificate| certificate.last_day());
                return Ok(made(Outcome::Kept, last_day.unwrap_or_default()));
            }
        };
        let authority = authority.ok_or_else(|| self.without_authority(&server.name))?;
        let key = match key {
            Some(key) => key,
            None => KeyPair::generate().map_err(|error| failed(key_file, &error))?,
        };
        let subject = Subject { name: &server.name, organization: Some(&self.herd.name) };
        let validity = self.server_validity(authority)?;
        let issued = authority
            .issue(subject, subject_names(server), Purpose::BothSides, validity, &key)
            .map_err(|error| failed(pem_file, &error))?;
        self.lock.put(&[
            NewFile::private(key_file.clone(), key.serialize_pem()),
            NewFile::public(pem_file.clone(), issued.pem),
        ])?;
        let outcome = if certificate.is_some() { Outcome::Renewed } else { Outcome::Made };
        Ok(made(outcome, super::certificate::day(validity.until)))
    }

    fn without_authority(&self, server: &str) -> KeysError {
        KeysError::new(
            &self.folder.join(AUTHORITY_KEY),
            format!(
                "no such file, and only with it herd keys can make {server}.pem and {server}.key; run it where this \
                 file is, or put a pair of your own authority here"
            ),
        )
    }

    fn validity(&self, days: i64) -> Validity {
        let now = super::certificate::seconds(self.now);
        Validity { from: now - BACKDATED_S, until: now + days * super::certificate::SECONDS_OF_A_DAY }
    }

    /// No certificate outlasts its authority.
    fn server_validity(&self, authority: &Authority) -> Result<Validity, KeysError> {
        let file = self.folder.join(AUTHORITIES);
        let certificate = Certificate::read(authority.certificate())
            .ok_or_else(|| KeysError::new(&file, "the certificate of the authority is not well formed"))?;
        let end = "; run herd keys --renew --authority, then herd keys --renew";
        certificate.check_time(self.now).map_err(|problem| KeysError::new(&file, problem + end))?;
        let mut validity = self.validity(SERVER_DAYS);
        validity.until = validity.until.min(certificate.not_after());
        Ok(validity)
    }

    fn authority_last_day(&self) -> Result<String, KeysError> {
        let first = read_authorities(self.folder)?.into_iter().next();
        Ok(first.as_ref().and_then(Certificate::read).map(|first| first.last_day()).unwrap_or_default())
    }
}

/// The entries of subjectAltName: the name of the server, and the hosts of its addresses.
fn subject_names(server: &ServerSection) -> Vec<SubjectName> {
    let mut names = vec![SubjectName::Dns(server.name.clone())];
    let listens = server.listens_without_http().map(HostPort::from);
    for HostPort { host, .. } in std::iter::once(server.address.clone()).chain(listens) {
        let name = match host {
            Host::Address(ip) if ip.is_unspecified() => continue,
            Host::Address(ip) => SubjectName::Address(ip.to_canonical()),
            Host::Name(name) => SubjectName::Dns(name),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Reads a private key that this program can sign with.
fn read_key(file: &Path) -> Result<KeyPair, KeysError> {
    let pem = read_private_text(file)?;
    // The reason could repeat a part of the key.
    KeyPair::from_pem(&pem).map_err(|_| {
        KeysError::new(file, "holds no private key in PEM form that can sign (BEGIN PRIVATE KEY)")
    })
}

/// `None` for a file that does not exist.
fn existing<T>(read: Result<T, KeysError>) -> Result<Option<T>, KeysError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(file: &Path, error: &rcgen::Error) -> KeysError {
    KeysError::new(file, format!("cannot be made: {error}"))
}

/// Two years: a server is renewed at leisure once a year. A stolen key is of use for at most so long.
const SERVER_DAYS: i64 = 730;

/// Ten years: long enough that a change of the authority, which all hosts take part in, is rare.
const AUTHORITY_DAYS: i64 = 3650;

/// A certificate is valid from a day ago, so that a host whose clock or time zone is wrong takes it.
const BACKDATED_S: i64 = super::certificate::SECONDS_OF_A_DAY;

#[cfg(test)]
mod tests;
