//! The client side: writes requests and reads responses.

mod request;
mod response_collector;
mod response_error;
mod response_reader;

pub use request::write_request;
pub use response_collector::{Response, ResponseCollector};
pub use response_error::{MAX_INTERIM, ResponseError};
pub use response_reader::{ResponseEvent, ResponseHead, ResponseReader};
