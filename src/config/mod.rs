//! The herd file, as typed and valid values.
//!
//! A [`Herd`] needs no further check. Each mistake in a file is an [`Error`] of one line that names its
//! place. Nothing here opens a socket or looks up a name.

mod built_in;
mod clients;
mod error;
mod graph;
mod herd_file;
mod host;
mod http;
mod limits;
mod log;
mod peers;
mod places;
mod places_url;
pub(crate) mod section;
mod server_names;
mod servers;
mod store;
#[cfg(test)]
mod testing;
pub(crate) mod words;

pub use clients::ClientsSection;
pub use error::{Error, ParseError};
pub use graph::Graph;
pub use herd_file::{DEFAULT_FILE, HerdFile};
pub use host::{Host, HostPort};
pub use http::{HttpCertificate, HttpSection};
pub use limits::Limits;
pub use log::LogSection;
pub use peers::PeersSection;
pub use places::{LOCAL_PLACES_PORT, PlacesSection, local_places_trust};
pub use places_url::PlacesUrl;
pub use servers::ServerSection;
pub use store::{StoreSection, Sync};
