//! Responses: their heads, and how they are written.

use crate::conversation::Context;
use crate::http::Framing;
use crate::http::server::{RequestHead, write_response_head};
use crate::map::Asset;
use crate::text::json;

/// A status code and its reason phrase (RFC 9110, section 15).
pub(super) type Status = (u16, &'static str);

/// What the response to a request depends on, besides what is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// The method is HEAD: the response has no body.
    pub(super) is_head: bool,
    /// The connection persists after the response.
    pub(super) keep_alive: bool,
    /// The client knows HTTP/1.1, and so chunked bodies.
    pub(super) knows_chunks: bool,
}

impl Exchange {
    /// The exchange of something that is no request: the last one of its connection.
    pub(super) const LAST: Exchange = Exchange { is_head: false, keep_alive: false, knows_chunks: true };

    pub(super) fn of(head: &RequestHead<'_>) -> Exchange {
        Exchange {
            is_head: head.method == "HEAD",
            keep_alive: head.keep_alive,
            knows_chunks: head.minor_version >= 1,
        }
    }
}

/// A response with a whole body.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: Status,
    pub(super) content_type: &'static str,
    /// The file of the live map that it has; `None`: it has data.
    pub(super) file: Option<&'static Asset>,
    /// A field of this response: Allow, Retry-After, Content-Encoding.
    pub(super) field: Option<(&'static str, &'static str)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// A response with status 200. `body` has no line end; it gets one, for people with a terminal.
    pub(super) fn ok(content_type: &'static str, mut body: Vec<u8>) -> Response {
        body.push(b'\n');
        Response { status: OK, content_type, file: None, field: None, body }
    }

    /// A response with this body, which has its line end.
    pub(super) fn whole(status: Status, content_type: &'static str, body: String) -> Response {
        Response { status, content_type, file: None, field: None, body: body.into_bytes() }
    }

    /// An error: `{"error":"…"}`, which says what was wrong and what was expected.
    pub(super) fn error(status: Status, text: &str) -> Response {
        let mut body = b"{\"error\":".to_vec();
        json::write_string(text.as_bytes(), &mut body);
        body.extend_from_slice(b"}\n");
        Response { status, content_type: JSON, file: None, field: None, body }
    }

    /// The error of a bad value.
    pub(super) fn bad(text: &str) -> Response {
        Response::error(BAD_REQUEST, text)
    }

    /// The error of a request that could be carried out at another time.
    pub(super) fn unavailable(text: &str) -> Response {
        let field = Some(("Retry-After", RETRY_AFTER_S));
        Response { field, ..Response::error(UNAVAILABLE, text) }
    }

    /// The error of a token that does not permit what is asked.
    pub(super) fn forbidden(text: &str) -> Response {
        Response::error((403, "Forbidden"), text)
    }

    /// The error of something that is not there.
    pub(super) fn not_found(text: &str) -> Response {
        Response::error((404, "Not Found"), text)
    }

    /// Whether the request was refused.
    pub(super) fn is_error(&self) -> bool {
        self.status.0 >= 400
    }

    /// Appends the response to the output, and logs it.
    pub(super) fn write(&self, context: &mut Context<'_>, exchange: Exchange, keep_alive: bool) {
        let framing = Framing::Length(self.body.len() as u64);
        let mut fields = vec![("Content-Type", self.content_type)];
        fields.extend(self.file.map_or(NOT_KEPT, Asset::fields).iter().chain(&self.field));
        write_head(context, self.status, &fields, framing, keep_alive);
        if !exchange.is_head {
            context.transport.write(&self.body);
        }
        super::log::sent(context, self);
    }
}

/// Appends the head of a response with the fields that every response has.
pub(super) fn write_head(
    context: &mut Context<'_>,
    status: Status,
    fields: &[(&str, &str)],
    framing: Framing,
    keep_alive: bool,
) {
    context.shared.counts.responses[usize::from(status.0 / 100).min(5)] += 1;
    let date = context.shared.web.date.at(context.wall / NANOSECONDS);
    let common = [("Date", date), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")];
    let fields = common.iter().chain(fields).copied();
    write_response_head(context.transport.output(), status.0, status.1, fields, framing, keep_alive);
}

/// The fields of data: the next request may get other data.
const NOT_KEPT: &[(&str, &str)] = &[("Cache-Control", "no-store")];
pub(super) const OK: Status = (200, "OK");
pub(super) const UNAVAILABLE: Status = (503, "Service Unavailable");
pub(super) const BAD_REQUEST: Status = (400, "Bad Request");
pub(super) const JSON: &str = "application/json";
/// When a client may ask again, in seconds.
const RETRY_AFTER_S: &str = "1";
const NANOSECONDS: u64 = 1_000_000_000;
