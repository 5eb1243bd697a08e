//! The keys of a herd: its certificate authority, and the certificate and private key of each server.
//!
//! They lie as PEM files in one folder, `run/keys/` beside the herd file: [`AUTHORITIES`] and [`AUTHORITY_KEY`] of
//! the authority, `NAME.pem` and `NAME.key` of the server NAME. Files of an authority of the operator work as well
//! as those that this program makes. The contract is section 4 of docs/protocol.md.

mod certificate;
mod error;
mod files;
mod server_keys;
#[cfg(test)]
mod testing;

pub use certificate::Certificate;
pub use error::KeysError;
pub use files::{AUTHORITIES, AUTHORITY_KEY, FOLDER, certificate_file, key_file};
pub use server_keys::ServerKeys;
