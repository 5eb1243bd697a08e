//! What a server says about itself to operators: metrics, readiness, and the herd as it sees it. Functions over the
//! [`Server`] that write the body of a response.

mod families;
mod herd_page;
mod metrics_page;
mod process;
mod readiness;

pub use families::FAMILIES;
pub use herd_page::herd_page;
pub use metrics_page::metrics_page;
pub use process::ProcessFigures;
pub use readiness::{Course, Readiness, readiness};
