//! HTTP/1.1 by hand (RFC 9112), without sockets: bytes in, messages out, and the other way.
//!
//! Only what a herd needs: questions without a body, answers bounded in every part, no transfer
//! coding but chunked, no compression, no upgrades. What two readers could understand differently
//! (RFC 9112, section 11.2) is an error, not a guess.

pub mod client;
pub mod server;

mod chunked;
mod framing;
mod head;

pub use framing::FramingError;
pub use head::{MAX_HEAD, MAX_HEADERS};
