//! Parsers and writers of everything that goes over a connection as text: pure functions over bytes,
//! without state, sockets or clock.

pub mod command;
pub mod decimal;
pub mod fields;
pub mod follow;
pub mod json;
pub mod location;
pub mod peer_line;
pub mod prefixes;
pub mod record;
pub mod refusal;
pub mod request_line;
pub mod simd;
pub mod system_error;
pub mod telnet;
pub mod time;
