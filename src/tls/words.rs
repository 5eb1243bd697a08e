//! The errors of TLS on a link, in words that an operator can act on.

use rustls::{AlertDescription, CertificateError, Error};

use crate::keys::AUTHORITIES;

/// The reason why a link, or a handshake that could have become one, failed. It names the peer as "it". It is
/// the same for the same reason at all times, so that the log repeats none.
pub(super) fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate_in_words(error),
        Error::AlertReceived(alert) => alert_in_words(*alert),
        Error::NoCertificatesPresented => "it has shown no certificate".to_owned(),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "it does not speak TLS; is peers.tls the same in both herd files, and is it a server of a herd?"
                .to_owned()
        }
        Error::PeerIncompatible(_) => "it does not speak TLS 1.3".to_owned(),
        error => error.to_string(),
    }
}

fn certificate_in_words(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!("its certificate is of no authority in {AUTHORITIES}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; run herd keys --renew".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; compare the clocks of both machines".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate has another name".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for this side of a link; it needs serverAuth and clientAuth".to_owned()
        }
        error => format!("its certificate is not valid: {error}"),
    }
}

fn alert_in_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            format!(
                "it does not accept this server's certificate: no authority in its {AUTHORITIES} has signed it"
            )
        }
        AlertDescription::CertificateExpired => {
            "it does not accept this server's certificate, which has expired there".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRequired => {
            format!("it does not accept this server's certificate ({alert:?})")
        }
        AlertDescription::ProtocolVersion => "it does not speak TLS 1.3".to_owned(),
        alert => format!("it ended TLS with the alert {alert:?}"),
    }
}
