//! Certificates made by this program: an authority, and what it signs. Nothing here touches a file.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use time::OffsetDateTime;

/// The first and the last second of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: i64,
    /// The last second.
    pub until: i64,
}

impl Validity {
    fn set(self, parameters: &mut CertificateParams) -> Result<(), Error> {
        let time = |at| OffsetDateTime::from_unix_timestamp(at).map_err(|_| Error::Time);
        (parameters.not_before, parameters.not_after) = (time(self.from)?, time(self.until)?);
        Ok(())
    }
}

/// The subject of a certificate, for people who look at it: the program compares none of it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The common name: at most 64 characters.
    pub name: &'a str,
    /// The organization: at most 64 characters.
    pub organization: Option<&'a str>,
}

impl Subject<'_> {
    fn to_distinguished_name(self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        if let Some(organization) = self.organization {
            name.push(DnType::OrganizationName, organization);
        }
        name.push(DnType::CommonName, self.name);
        name
    }
}

/// The sides of a TLS connection that a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The server's side.
    Server,
    /// Both sides, as for links between servers.
    BothSides,
}

/// A certificate authority with its private key, ECDSA P-256 if it is made here.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    /// Makes a self-signed certificate for this key.
    pub fn self_signed(subject: Subject<'_>, validity: Validity, key: KeyPair) -> Result<Authority, Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject.to_distinguished_name();
        validity.set(&mut parameters)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key)?;
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        Ok(Authority { issuer: Issuer::new(parameters, key), certificate, pem })
    }

    /// An authority with this certificate and the private key that belongs to it.
    pub fn existing(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Authority, Error> {
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Authority { issuer, certificate, pem: String::new() })
    }

    /// Its certificate as PEM; empty for an existing authority.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its private key as PEM.
    pub(super) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a certificate for the public key of `key`.
    pub fn issue(
        &self,
        subject: Subject<'_>,
        names: Vec<SubjectName>,
        purpose: Purpose,
        validity: Validity,
        key: &KeyPair,
    ) -> Result<Issued, Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject.to_distinguished_name();
        validity.set(&mut parameters)?;
        parameters.subject_alt_names =
            names.into_iter().map(SubjectName::into_alternative).collect::<Result<_, _>>()?;
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if purpose == Purpose::BothSides {
            parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        let certificate = parameters.signed_by(key, &self.issuer)?;
        Ok(Issued { pem: certificate.pem(), certificate: certificate.der().clone() })
    }
}

/// A certificate that an [`Authority`] has signed.
pub struct Issued {
    /// The certificate as PEM.
    pub pem: String,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
}

/// An entry of subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Address(IpAddr),
}

impl SubjectName {
    fn into_alternative(self) -> Result<SanType, Error> {
        Ok(match self {
            SubjectName::Dns(name) => SanType::DnsName(name.try_into()?),
            SubjectName::Address(address) => SanType::IpAddress(address),
        })
    }
}

/// The private key in the form that TLS takes.
pub fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}
