//! Requests as they arrive: their heads, and their bodies.

use super::response::Response;
use super::{Web, log, routes};
use crate::conversation::Context;
use crate::http::Framing;
use crate::http::server::{BodyError, IncomingBody, RequestHead, read_request_head};

impl Web {
    /// Reads the head of a request, and its body if that is there. Returns how many bytes were used.
    pub(super) fn head_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let (head, length) = match read_request_head(data) {
            Ok(Some(read)) => read,
            Ok(None) => return 0,
            Err(error) => {
                self.refuse(context, Response::error(error.status(), &error.to_string()));
                return data.len();
            }
        };
        let body_length = match head.framing {
            Framing::Length(0) => 0,
            _ => {
                if let Some(refusal) = self.refusal_before_body(context, &head) {
                    log::received(context, &head, &[]);
                    self.refuse_request(context, &head, refusal);
                    return data.len();
                }
                match head.framing {
                    Framing::Length(body) => usize::try_from(body).unwrap_or(usize::MAX),
                    _ => usize::MAX,
                }
            }
        };
        if let Some(body) = data[length..].get(..body_length) {
            let used = length + body_length;
            self.has_more = used < data.len();
            self.request_received(context, &head, body);
            return used;
        }
        match IncomingBody::new(&head, &data[..length], BODY_MAX) {
            Ok(body) => {
                if head.expects_continue() && data.len() == length {
                    context.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                self.incoming = Some(body);
                length
            }
            Err(error) => {
                log::received(context, &head, &[]);
                self.refuse_request(context, &head, of_body_error(error));
                data.len()
            }
        }
    }

    /// Reads a part of a body, and carries out the request if it is the last one. Returns how many bytes were used.
    pub(super) fn body_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let Some(mut incoming) = self.incoming.take() else { return 0 };
        let before = incoming.len();
        let received = incoming.data_received(data);
        let used = match received {
            Ok(used) => used,
            Err(error) => {
                context.shared.web.body_bytes -= before;
                self.refuse(context, of_body_error(error));
                return data.len();
            }
        };
        if !incoming.is_complete() {
            context.shared.web.body_bytes += incoming.len() - before;
            if context.shared.web.body_bytes > BODIES_OF_ALL_MAX {
                context.shared.web.body_bytes -= incoming.len();
                self.refuse(
                    context,
                    Response::unavailable("the bodies of other requests take all memory for them"),
                );
                return data.len();
            }
            self.incoming = Some(incoming);
            return used;
        }
        context.shared.web.body_bytes -= before;
        self.has_more = used < data.len();
        if let Some((head, body)) = incoming.request() {
            self.request_received(context, &head, body);
        }
        used
    }

    /// The response to a request that is refused whatever its body is.
    fn refusal_before_body(&self, context: &Context<'_>, head: &RequestHead<'_>) -> Option<Response> {
        if let Framing::Length(length) = head.framing
            && length > BODY_MAX as u64
        {
            return Some(of_body_error(BodyError::TooLarge));
        }
        routes::admit(context.shared, head).err()
    }

    /// Drops the part of a body that was received.
    pub(super) fn forget_body(&mut self, context: &mut Context<'_>) {
        if let Some(incoming) = self.incoming.take() {
            context.shared.web.body_bytes -= incoming.len();
        }
    }
}

fn of_body_error(error: BodyError) -> Response {
    match error {
        BodyError::TooLarge => Response::error(
            (413, "Content Too Large"),
            &format!("the body has more than {} MiB", BODY_MAX >> 20),
        ),
        BodyError::Chunked(_) => Response::bad(&error.to_string()),
    }
}

/// Bytes of the body of a request: what phones send at most after a week without a network.
pub(super) const BODY_MAX: usize = 1024 * 1024;
/// Bytes of the bodies that are being received from all connections: many connections that send slowly must not
/// exhaust the machine's memory.
pub(super) const BODIES_OF_ALL_MAX: usize = 64 * 1024 * 1024;
