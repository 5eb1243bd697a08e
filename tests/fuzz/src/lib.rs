//! The bodies of the fuzz targets. Each passes arbitrary bytes to one module of the herd, and panics when the
//! result differs from that of an oracle.
//!
//! `tests/properties.rs` runs the same bodies with a stable compiler, on bytes from proptest and on every
//! file of `tests/fuzz/corpus`.

mod client_model;
mod conversation;
mod grammar;
mod herd_file;
mod http_response;
mod line;
mod peers;
mod pieces;
mod places_answer;
mod request;
mod web_model;

pub use client_model::client_stream;
pub use herd_file::herd_file;
pub use http_response::http_response;
pub use line::line;
pub use peers::peer_stream;
pub use places_answer::places_answer;
pub use request::request;
pub use web_model::web_stream;
