//! The files of the live map: which request gets which of them, with a token and without.

use super::response::{OK, Response};
use crate::http::server::RequestHead;
use crate::map::{self, Asset};

/// The file at a path, without the query. `GET /` with a query belongs to a phone.
pub(super) fn file(path: &str, query: &str) -> Option<&'static Asset> {
    map::asset(path).filter(|_| query.is_empty())
}

/// The response with a file, in the coding that the client accepts.
pub(super) fn get(asset: &'static Asset, accepts_gzip: bool) -> Response {
    let (body, coding) = asset.body(accepts_gzip);
    let field = coding.map(|coding| ("Content-Encoding", coding));
    let (content_type, fields) = (asset.content_type(), asset.fields());
    Response { status: OK, content_type, fields, field, body: body.into_owned() }
}

/// The response to a request without a valid token, which is `refusal` except for the files of the page: they hold
/// nothing secret. The page itself comes with the status of the refusal, and asks for the token.
pub(super) fn instead_of(refusal: Response, head: &RequestHead<'_>) -> Response {
    let (path, query) = head.path_and_query();
    let is_read = matches!(head.method, "GET" | "HEAD");
    let Some(asset) = file(path, query).filter(|_| is_read && refusal.status.0 == UNAUTHORIZED) else {
        return refusal;
    };
    if map::is_public(path) {
        return get(asset, accepts_gzip(head));
    }
    let Response { status, field, .. } = refusal;
    // The refusal has a field of its own, and so the body is not compressed.
    Response { status, field, ..get(asset, false) }
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

    const CHALLENGE: (&str, &str) = ("WWW-Authenticate", "Bearer");

    fn refused(status: u16, request: &str) -> Response {
        let text = format!("{request} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        let (head, _) = read_request_head(text.as_bytes()).unwrap().unwrap();
        let refusal = Response { field: Some(CHALLENGE), ..Response::error((status, "Refused"), "no token") };
        instead_of(refusal, &head)
    }

    fn style() -> String {
        let page = get(file("/", "").unwrap(), false);
        let page = String::from_utf8(page.body).unwrap();
        let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"").unwrap();
        format!("/{}", rest.split('"').next().unwrap())
    }

    #[test]
    fn without_a_token_the_page_asks_for_one() {
        for method in ["GET", "HEAD"] {
            let response = refused(401, &format!("{method} /"));
            assert_eq!((response.status.0, response.field), (401, Some(CHALLENGE)));
            assert!(response.content_type.starts_with("text/html") && response.body.ends_with(b"</html>\n"));
            assert!(response.fields.iter().any(|(name, _)| *name == "Content-Security-Policy"));
        }
    }

    #[test]
    fn the_files_of_the_page_need_no_token() {
        let response = refused(401, &format!("GET {}", style()));
        assert_eq!((response.status.0, response.field), (200, Some(("Content-Encoding", "gzip"))));
        assert!(response.content_type.starts_with("text/css"));
    }

    #[test]
    fn everything_else_stays_refused() {
        let style = style();
        for request in ["GET /v1/clients", "GET /?id=kiwi", "POST /", "GET /assets/", "GET /t/x/"] {
            assert_eq!(refused(401, request).content_type, "application/json", "{request}");
        }
        for request in ["GET /".to_owned(), format!("GET {style}")] {
            assert_eq!(refused(421, &request).content_type, "application/json", "{request}");
        }
    }
}
