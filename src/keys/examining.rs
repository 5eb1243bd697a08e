//! The state of all keys of a herd on this machine, for `herd check` and for the log.

use super::certificate::Certificate;
use super::files::{AUTHORITY_KEY, certificate_file, key_file, read_private_text};
use super::server_keys::read_authorities;
use super::{KeysError, ServerKeys, folder_of};
use crate::config::HerdFile;
use rustls::pki_types::UnixTime;

/// The state of all keys of a herd on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// The authority.
    pub authority: State,
    /// The number of trusted authorities: one, or more while the authority is changed.
    pub authorities: usize,
    /// Each server by its name, in the order of the herd file.
    pub servers: Vec<(String, State)>,
}

/// The state of the files of an authority or a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// They can be used until this certificate ends.
    Good(Expiry),
    /// There are none.
    Missing,
    /// They cannot be used.
    Wrong(KeysError),
}

/// The end of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The file of the certificate, as a person names it: `Riley.pem`.
    pub file: String,
    /// Its last second, in seconds since 1970.
    pub not_after: i64,
    /// Its last day, in UTC: `2028-11-27`.
    pub last_day: String,
}

impl Expiry {
    /// The earliest end of these certificates, which are in one file.
    pub(super) fn of<'a>(
        file: String,
        certificates: impl IntoIterator<Item = &'a Certificate>,
    ) -> Option<Expiry> {
        let first = certificates.into_iter().min_by_key(|certificate| certificate.not_after())?;
        Some(Expiry { file, not_after: first.not_after(), last_day: first.last_day() })
    }

    /// The end of the first certificate of a server's chain that ends.
    pub fn of_server(name: &str, keys: &ServerKeys) -> Option<Expiry> {
        let chain: Vec<Certificate> = keys.chain.iter().filter_map(Certificate::read).collect();
        Expiry::of(format!("{name}.pem"), &chain)
    }

    /// The warning within [`WARNING_DAYS`] of the end, at this second since 1970.
    pub fn warning(&self, now: i64) -> Option<String> {
        let (file, day) = (&self.file, &self.last_day);
        let when = self.when_it_ends(now)?;
        let said = match when.strip_prefix("ends ") {
            Some(when) => format!("{file} expires on {day}, {when}"),
            None => format!("{file} expired on {day}"),
        };
        Some(format!("{said}; run herd keys --renew"))
    }

    /// `ends in 3 days` or `has ended`, within [`WARNING_DAYS`] of the end, at this second since 1970.
    pub fn when_it_ends(&self, now: i64) -> Option<String> {
        let days = (self.not_after - now).div_euclid(super::certificate::SECONDS_OF_A_DAY);
        match days {
            ..0 => Some("has ended".to_owned()),
            0 => Some("ends within a day".to_owned()),
            1 => Some("ends in 1 day".to_owned()),
            2..WARNING_DAYS => Some(format!("ends in {days} days")),
            _ => None,
        }
    }
}

/// Examines the files of the authority and of all servers of a herd.
pub fn examine(herd: &HerdFile, now: UnixTime) -> Examination {
    let folder = folder_of(herd);
    let read = read_authorities(&folder);
    let authorities = read.as_ref().map_or(0, Vec::len);
    let authority = match read {
        Err(error) if error.is_missing() => State::Missing,
        Err(error) => State::Wrong(error),
        Ok(authorities) => match read_private_text(&folder.join(AUTHORITY_KEY)) {
            Err(error) if !error.is_missing() => State::Wrong(error),
            _ => {
                // While the authority is changed, the second one is on its way out.
                let first = authorities.first().and_then(Certificate::read);
                let expiry = Expiry::of(super::AUTHORITIES.to_owned(), &first);
                expiry.map_or(State::Missing, State::Good)
            }
        },
    };
    let state = |name: &str| {
        let files = [certificate_file(&folder, name), key_file(&folder, name)];
        if files.iter().all(|file| !file.exists()) {
            return State::Missing;
        }
        match ServerKeys::load_at(&folder, name, now) {
            Ok(keys) => Expiry::of_server(name, &keys).map_or(State::Missing, State::Good),
            Err(error) => State::Wrong(error),
        }
    };
    let servers = herd.servers.iter().map(|server| (server.name.clone(), state(&server.name))).collect();
    Examination { authority, authorities, servers }
}

/// Days before the end of a certificate from which on `herd check` and the log warn of it.
pub const WARNING_DAYS: i64 = 30;

#[cfg(test)]
mod tests {
    use super::super::testing::{DAY, NOW};
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_warned_of_for_30_days() {
        let expiry = Expiry {
            file: "A.pem".to_owned(),
            not_after: NOW + 100 * DAY,
            last_day: "2027-03-08".to_owned(),
        };
        let warning = |days_left: i64| expiry.warning(NOW + (100 - days_left) * DAY);
        assert_eq!((warning(100), warning(30)), (None, None));
        for (days, words) in [(29, "in 29 days"), (2, "in 2 days"), (1, "in 1 day"), (0, "within a day")] {
            let expected = format!("A.pem expires on 2027-03-08, {words}; run herd keys --renew");
            assert_eq!(warning(days), Some(expected));
        }
        let expired = "A.pem expired on 2027-03-08; run herd keys --renew";
        assert_eq!(warning(-1).as_deref(), Some(expired));
    }
}
