//! The names of the files of keys, and how they are read.

use super::KeysError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The folder of keys, beside the herd file.
pub const FOLDER: &str = "run/keys";

/// The certificates of the authorities that a herd trusts: one, or two while the authority is changed.
pub const AUTHORITIES: &str = "herd-ca.pem";

/// The private key of the authority. No server reads it; only the machine on which `herd keys` runs needs it.
pub const AUTHORITY_KEY: &str = "herd-ca.key";

/// The file of the certificate of a server, which may hold intermediate certificates after it.
pub fn certificate_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

/// The file of the private key of a server.
pub fn key_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.key"))
}

/// Reads all certificates of a PEM file: at least one. Other sections of the file are ignored.
pub(super) fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, KeysError> {
    let (pem, _) = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| KeysError::new(file, format!("not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(KeysError::new(file, "holds no certificate in PEM form (BEGIN CERTIFICATE)"));
    }
    Ok(certificates)
}

/// Reads the private key of a PEM file that only its owner may read. PKCS #8, SEC 1 and PKCS #1 are understood.
pub(super) fn read_private_key(file: &Path) -> Result<PrivateKeyDer<'static>, KeysError> {
    let pem = read_private(file)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let is_encrypted = |line: &[u8]| line.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
        // The reason of the reader could repeat a part of the key.
        let problem = if pem.split(|&byte| byte == b'\n').any(is_encrypted) {
            "the private key has a passphrase; remove it, for example with openssl pkey"
        } else {
            "holds no private key in PEM form (BEGIN PRIVATE KEY)"
        };
        KeysError::new(file, problem)
    })
}

/// Reads a text file of secrets that only its owner may read, of at most 1 MiB.
pub(crate) fn read_private_text(file: &Path) -> Result<String, KeysError> {
    text(file, read_private(file)?)
}

/// Reads a text file of certificates.
pub(super) fn read_text(file: &Path) -> Result<String, KeysError> {
    text(file, read(file)?.0)
}

fn text(file: &Path, bytes: Vec<u8>) -> Result<String, KeysError> {
    String::from_utf8(bytes).map_err(|_| KeysError::new(file, "not UTF-8"))
}

fn read_private(file: &Path) -> Result<Vec<u8>, KeysError> {
    let (bytes, metadata) = read(file)?;
    check_private(file, &metadata)?;
    Ok(bytes)
}

/// Checks that neither the group nor others may do anything with a file of secrets.
fn check_private(file: &Path, metadata: &Metadata) -> Result<(), KeysError> {
    let mode = metadata.permissions().mode() & PERMISSIONS;
    if mode & OF_OTHERS == 0 {
        return Ok(());
    }
    Err(KeysError::new(
        file,
        format!(
            "others than its owner may use this file (mode {mode:03o}); run chmod 600 {}",
            file.display()
        ),
    ))
}

/// Reads a file. Its permissions are those of the file that was read, even if it is replaced at the same time.
fn read(file: &Path) -> Result<(Vec<u8>, Metadata), KeysError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => KeysError::missing(file),
        _ => KeysError::new(file, format!("cannot be read: {error}")),
    };
    let opened = File::open(file).map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    let mut bytes = Vec::new();
    opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(KeysError::new(file, format!("expected at most {MAX_FILE_BYTES} bytes, got more")));
    }
    Ok((bytes, metadata))
}

/// In the first line of a private key with a passphrase, or in a header after it.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// The permissions of the group and of others.
const OF_OTHERS: u32 = 0o077;

/// Bytes of a file of keys, far more than a long chain of certificates needs. A device that was named by mistake
/// is not read to its end.
const MAX_FILE_BYTES: u64 = 1 << 20;
