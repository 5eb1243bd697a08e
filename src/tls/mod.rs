//! TLS with rustls: the sessions that the event loop runs, and their settings. All of rustls is in this module
//! and in `places::trust`.

mod session;
#[cfg(test)]
pub(crate) mod testing;

pub use session::{Client, Server};
