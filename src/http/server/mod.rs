//! The server side: reads requests and writes responses.

mod request;
mod response;

pub use request::{Request, RequestError, read_request};
pub use response::write_response;
