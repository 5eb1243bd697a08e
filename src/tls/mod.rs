//! TLS with rustls: the sessions that the event loop runs, and the keys of a server for its links.

mod known_certificate;
mod link_keys;
mod session;
#[cfg(test)]
pub(crate) mod testing;
mod words;

pub use known_certificate::client_that_knows;
pub use link_keys::LinkKeys;
pub use session::{Client, Server};

#[cfg(test)]
mod tests;
