//! The files of the live map: which request gets which of them, with a token and without.

use super::access::{BEARER, split_token};
use super::response::{OK, Response};
use crate::http::server::RequestHead;
use crate::map::{self, Asset};

/// The file that a request is for. `path` is its path without the token. `GET /` with a query belongs to a phone; and the
/// names in the page are relative to its folder, which `/t/TOKEN` without a slash at its end is not.
pub(super) fn file(path: &str, head: &RequestHead<'_>) -> Option<&'static Asset> {
    let (whole, query) = head.path_and_query();
    map::asset(path).filter(|_| query.is_empty() && whole.ends_with(path))
}

/// The response with a file, in the coding that the client accepts.
pub(super) fn get(asset: &'static Asset, accepts_gzip: bool) -> Response {
    let (body, coding) = asset.body(accepts_gzip);
    let field = coding.map(|coding| ("Content-Encoding", coding));
    let (content_type, file) = (asset.content_type(), Some(asset));
    Response { status: OK, content_type, file, field, body: body.into_owned() }
}

/// The response to a request without a valid token, which is `refusal` except for the page: it holds nothing secret,
/// comes with the status of the refusal, and asks for the token. The challenge is one for which a browser has no dialog of
/// its own.
pub(super) fn instead_of(refusal: Response, head: &RequestHead<'_>) -> Response {
    let (_, path) = split_token(head.path_and_query().0);
    let is_read = matches!(head.method, "GET" | "HEAD");
    match file(path, head) {
        Some(page) if is_read && refusal.status.0 == UNAUTHORIZED => {
            // The only field of its own is the challenge, and so the body is not compressed.
            let field = Some(("WWW-Authenticate", BEARER));
            Response { status: refusal.status, field, ..get(page, false) }
        }
        _ => refusal,
    }
}

/// Whether the client accepts a compressed body.
pub(super) fn accepts_gzip(head: &RequestHead<'_>) -> bool {
    map::accepts_gzip(head.fields.members("Accept-Encoding"))
}

/// The status of a request without a valid token.
const UNAUTHORIZED: u16 = 401;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::read_request_head;

    fn refused(status: u16, request: &str) -> Response {
        let text = format!("{request} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        let (head, _) = read_request_head(text.as_bytes()).unwrap().unwrap();
        instead_of(Response::error((status, "Refused"), "no token"), &head)
    }

    #[test]
    fn without_a_valid_token_the_page_asks_for_one() {
        for request in ["GET /", "HEAD /", "GET /t/wrong/"] {
            let response = refused(401, request);
            assert_eq!((response.status.0, response.field), (401, Some(("WWW-Authenticate", BEARER))));
            assert!(response.content_type.starts_with("text/html") && response.body.ends_with(b"</html>\n"));
            assert_eq!(response.file, map::asset("/"));
        }
    }

    #[test]
    fn everything_else_stays_refused() {
        for request in [
            "GET /v1/clients",
            "GET /?id=kiwi",
            "POST /",
            "GET /assets/",
            "GET /t/wrong/v1/herd",
            "GET /t/wrong",
        ] {
            assert_eq!(refused(401, request).content_type, "application/json", "{request}");
        }
        assert_eq!(refused(421, "GET /").content_type, "application/json");
    }
}
