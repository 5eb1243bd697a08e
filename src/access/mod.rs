//! Access to the HTTP interface: tokens, what each of them allows, and their file.
//!
//! A token is a text of 192 random bits. The file of `http.tokens` has its SHA-256 only, so that a copy of the file
//! opens nothing. [`Access`] finds what a token allows, the [`Grant`]; [`TokensFile`] is the file as `herd token`
//! changes it. The contract is "Access" in docs/protocol.md.

mod grant;
mod scope;
mod token;
mod tokens;
mod tokens_file;

pub use grant::Grant;
pub use scope::Scope;
pub use token::{Digest, Token};
pub use tokens::{Access, Tokens};
pub use tokens_file::{Entry, TokensFile};
