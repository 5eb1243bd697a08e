//! Authorities, certificates and folders of keys for the unit tests.

use super::{AUTHORITIES, certificate_file, key_file};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// 2026-11-28 00:00:00 UTC.
pub(super) const NOW: i64 = 1795824000;
pub(super) const DAY: i64 = 86_400;

pub(super) fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()))
}

/// An authority of an operator.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        Authority(CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap())
    }

    /// An authority whose certificate this one has signed.
    pub(super) fn intermediate(&self, name: &str, key: KeyPair) -> Authority {
        Authority(CertifiedIssuer::signed_by(authority(name), key, &self.0).unwrap())
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        self.0.der()
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn issue(&self, parameters: CertificateParams) -> (CertificateDer<'static>, String) {
        let certificate = parameters.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap();
        (certificate.der().clone(), certificate.pem())
    }

    pub(super) fn sign(&self, parameters: CertificateParams, key: &KeyPair) -> String {
        parameters.signed_by(key, &self.0).unwrap().pem()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters
}

/// A certificate with these names, valid from a day before [`NOW`] to 90 days after it.
pub(super) fn issued(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    set_validity(&mut parameters, NOW - DAY, NOW + 90 * DAY);
    parameters
}

pub(super) fn set_validity(parameters: &mut CertificateParams, from: i64, to: i64) {
    parameters.not_before = time::OffsetDateTime::from_unix_timestamp(from).unwrap();
    parameters.not_after = time::OffsetDateTime::from_unix_timestamp(to).unwrap();
}

/// A folder that exists as long as this value.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(test: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("herd-keys-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn put_authorities(&self, pem: &str) {
        fs::write(self.0.join(AUTHORITIES), pem).unwrap();
    }

    pub(super) fn put(&self, name: &str, certificate: &str, key: &str) {
        fs::write(certificate_file(&self.0, name), certificate).unwrap();
        let file = key_file(&self.0, name);
        fs::write(&file, key).unwrap();
        set_mode(&file, 0o600);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}
