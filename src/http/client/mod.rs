//! The client side: writes requests and reads responses.

mod request;
mod response_collector;
mod response_error;
mod response_reader;

pub use request::write_get;
pub use response_collector::{Response, ResponseCollector};
pub use response_error::ResponseError;
pub use response_reader::{MAX_INTERIM, ResponseEvent, ResponseHead, ResponseReader};
