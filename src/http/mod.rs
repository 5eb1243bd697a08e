//! HTTP/1.1 (RFC 9110, RFC 9112) without sockets: parsers and writers over bytes.
//!
//! [`client`] writes requests and reads responses, [`server`] reads requests and writes responses.
//! Both share heads, framing and bodies. Bodies stream: readers hand out slices of their input and
//! keep none of it, so their memory does not depend on the length of a body.
//!
//! The only transfer coding is chunked; there is no compression and no upgrade. A message that two
//! implementations could understand differently (RFC 9112, section 11.2) is an error.

pub mod client;
pub mod server;

mod body;
mod chunked;
mod framing;
mod head;

pub use body::BodyReader;
pub use chunked::{ChunkedError, write_chunk, write_last_chunk};
pub use framing::{Framing, FramingError};
pub use head::{HeaderFields, MAX_HEAD, MAX_HEADERS};
