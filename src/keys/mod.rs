//! The keys of a herd: its certificate authority, and the certificate and private key of each server.
//!
//! They lie as PEM files in one folder, `run/keys/` beside the herd file: [`AUTHORITIES`] and [`AUTHORITY_KEY`] of
//! the authority, `NAME.pem` and `NAME.key` of the server NAME. Files of an authority of the operator work as well
//! as those that this program makes. The contract is section 4 of docs/protocol.md.

mod bundle;
mod certificate;
mod error;
mod examining;
mod files;
mod http_keys;
pub mod issuing;
mod making;
mod server_keys;
#[cfg(test)]
mod testing;
pub(crate) mod writing;

pub use bundle::bundle;
pub use certificate::Certificate;
pub use error::KeysError;
pub use examining::{Examination, Expiry, State, examine};
pub(crate) use files::read_private_text;
pub use files::{AUTHORITIES, AUTHORITY_KEY, FOLDER, certificate_file, key_file};
pub use http_keys::HttpKeys;
pub use making::{Made, Mode, Outcome, make};
pub use server_keys::ServerKeys;

use crate::config::HerdFile;
use rustls::pki_types::UnixTime;
use std::path::PathBuf;

/// The folder of the keys of a herd.
pub fn folder_of(herd: &HerdFile) -> PathBuf {
    herd.folder.join(FOLDER)
}

/// The keys of a server; `None` without `peers.tls`. A herd wholly on loopback makes what is missing of them, and
/// several servers may do so at the same time.
///
/// Errors: those of [`ServerKeys::load`] and of [`make`].
pub fn of_server(herd: &HerdFile, name: &str, now: UnixTime) -> Result<Option<ServerKeys>, KeysError> {
    if !herd.peers.tls {
        return Ok(None);
    }
    let folder = folder_of(herd);
    let files = [folder.join(AUTHORITIES), certificate_file(&folder, name), key_file(&folder, name)];
    if herd.is_on_loopback()
        && let Some(server) = herd.server(name)
        && files.iter().any(|file| !file.exists())
    {
        make(herd, &[server], Mode::Missing, now)?;
    }
    ServerKeys::load_at(&folder, name, now).map(Some)
}
