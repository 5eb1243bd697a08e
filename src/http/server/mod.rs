//! The server side: reads requests and writes responses.

mod date;
mod incoming_body;
mod request_error;
mod request_head;
mod response;

pub use date::HttpDate;
pub use incoming_body::{BodyError, IncomingBody};
pub use request_error::RequestError;
pub use request_head::{RequestHead, read_bodiless_request, read_request_head};
pub use response::{write_response, write_response_head};
