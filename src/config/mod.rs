//! `herd.json` to typed, validated values.
//!
//! Whoever holds a [`Herd`] need not check it again. Every mistake of a file is an [`Error`] that names its
//! place in one line. Nothing here opens a socket or looks up a name.

mod built_in;
mod error;
mod graph;
mod herd;
mod host;
mod json;
mod limits;
mod places;
mod places_url;
mod section;
mod servers;
#[cfg(test)]
mod testing;

pub use error::{Error, Unreadable};
pub use graph::Graph;
pub use herd::Herd;
pub use host::{Host, HostPort};
pub use limits::{Limits, Log, Peers};
pub use places::{LOCAL_PLACES_PORT, LOCAL_PLACES_TRUST, PlacesApi, PlacesSection};
pub use places_url::PlacesUrl;
pub use servers::ServerSection;
