//! Metrics: histograms of durations, and the writer of the text that a monitoring system reads. It knows no metric of
//! this program; counters and gauges are plain integers where they are counted.

mod accept;
mod durations;
mod exposition;

pub use accept::Format;
pub use durations::Durations;
pub use exposition::{Exposition, Family, Kind, Seconds};
