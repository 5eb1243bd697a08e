//! The parts of a certificate that the herd looks at.

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The parts of a certificate (RFC 5280) that the herd looks at. Its signature is not checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The DNS names in subjectAltName. The common name is not looked at.
    names: Vec<String>,
    is_authority: bool,
    public_key: Vec<u8>,
    not_before: i64,
    not_after: i64,
}

impl Certificate {
    /// Reads a certificate. `None`: it is not well formed.
    pub fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok()?;
        let names = alternatives.map(|names| &*names.value.general_names).unwrap_or_default().iter();
        let dns_name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        let validity = certificate.validity();
        Some(Certificate {
            names: names.filter_map(dns_name).collect(),
            is_authority: certificate.is_ca(),
            public_key: certificate.public_key().raw.to_vec(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// Whether subjectAltName has this server's name as a DNS name. Upper and lower case are the same, as in all
    /// DNS names (RFC 4343). A wildcard stands for no server.
    pub fn is_of(&self, server: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(server))
    }

    /// The DNS names in subjectAltName.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it may sign other certificates (basicConstraints).
    pub fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// The SubjectPublicKeyInfo, in DER form.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The day of its last second, in UTC: `2028-11-27`.
    pub fn last_day(&self) -> String {
        day(self.not_after)
    }

    /// Its last second, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whole days that are left; negative after the end.
    pub fn days_left(&self, now: UnixTime) -> i64 {
        (self.not_after - seconds(now)).div_euclid(SECONDS_OF_A_DAY)
    }

    /// Checks that it is valid now. The error names the day.
    pub(super) fn check_time(&self, now: UnixTime) -> Result<(), String> {
        if seconds(now) > self.not_after {
            Err(format!("the certificate expired on {}", self.last_day()))
        } else if seconds(now) < self.not_before {
            Err(format!("the certificate is not valid before {}", day(self.not_before)))
        } else {
            Ok(())
        }
    }
}

pub(super) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

pub(super) fn day(timestamp: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(timestamp) {
        Ok(at) => format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day()),
        Err(_) => format!("second {timestamp}"),
    }
}

pub(super) const SECONDS_OF_A_DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, DAY, NOW, at, issued};
    use super::*;

    #[test]
    fn the_name_of_a_server_is_a_dns_name_in_any_case() {
        let authority = Authority::new("a");
        let certificate = |names: &[&str]| {
            let (chain, _) = authority.issue(issued(names));
            Certificate::read(&chain).unwrap()
        };
        let riley = certificate(&["Riley", "127.0.0.1"]);
        assert!(riley.is_of("Riley") && riley.is_of("riley") && !riley.is_of("Riley2"));
        assert_eq!((riley.names(), riley.is_authority()), (&["Riley".to_owned()][..], false));
        assert!(!certificate(&["*.herd", "*"]).is_of("x.herd"));
        assert!(!certificate(&[]).is_of(""));
        assert!(Certificate::read(authority.certificate()).unwrap().is_authority());
        assert_eq!(Certificate::read(&CertificateDer::from(vec![0x30, 0])), None);
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_to_its_last_second() {
        let (chain, _) = Authority::new("a").issue(issued(&["A"]));
        let certificate = Certificate::read(&chain).unwrap();
        let at = |offset| certificate.check_time(at(NOW + offset));
        assert_eq!((at(-DAY), at(90 * DAY)), (Ok(()), Ok(())));
        assert_eq!(at(-DAY - 1), Err("the certificate is not valid before 2026-11-27".to_owned()));
        assert_eq!(at(90 * DAY + 1), Err("the certificate expired on 2027-02-26".to_owned()));
        let days = |offset| certificate.days_left(super::super::testing::at(NOW + offset));
        assert_eq!((days(0), days(1), days(90 * DAY), days(90 * DAY + 1)), (90, 89, 0, -1));
    }
}
