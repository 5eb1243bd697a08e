//! What the log says about requests and responses. No token is ever in it.

use std::borrow::Cow;

use super::access::path_of;
use super::response::Response;
use crate::conversation::refusals::NotLogged;
use crate::conversation::reporting::SHOWN_MAX;
use crate::conversation::{Context, Server};
use crate::http::server::RequestHead;
use crate::protocol::Lost;

/// Logs a request: its method, its path and query, and its body, if it is not one of a phone. No other field of its head
/// is logged, because fields have tokens and passwords.
pub(super) fn received(context: &mut Context<'_>, head: &RequestHead<'_>, body: &[u8]) {
    let Server { log, web, .. } = &mut *context.shared;
    web.begin_request(head.method, &target(head));
    // A phone sends its configuration with passwords; so may a program that has taken a wrong path.
    let shown = if path_of(head).starts_with("/v1/") { body } else { &[] };
    log.received_request(web.request(), shown, context.address);
}

/// Logs a response: its status and its body; and why it is a refusal.
pub(super) fn sent(context: &mut Context<'_>, response: &Response) {
    let size = format!("{} bytes of the live map", response.body.len());
    let body = if response.file.is_none() { &response.body } else { size.as_bytes() };
    context.shared.log.sent_response(response.status.0, body);
    if response.is_error() {
        refused(context, response);
    }
    context.shared.web.end_request();
}

/// Logs the beginning or the end of a response that is written in portions.
pub(super) fn portions(context: &mut Context<'_>, text: &str) {
    context.shared.log.sent_to_client(text.as_bytes());
}

#[cold]
fn refused(context: &mut Context<'_>, response: &Response) {
    let server = &mut *context.shared;
    let Some(not_logged) = server.refusals.admit(context.now) else { return };
    if not_logged > 0 {
        server.log.event(format_args!("{not_logged} refusals before this one were not logged"));
    }
    let (host, port) = (context.address.ip(), context.address.port());
    let request = match server.web.request() {
        "" => "A request",
        request => request,
    };
    let shown = request.as_bytes()[..request.len().min(SHOWN_MAX)].escape_ascii();
    let status = response.status.0;
    let reason = match response.file {
        None => String::from_utf8_lossy(&response.body),
        Some(_) => Cow::Borrowed("no valid token; the page that asks for one was sent"),
    };
    let reason = reason.trim_end().trim_start_matches("{\"error\":").trim_end_matches('}').trim_matches('"');
    server.log.event(format_args!("'{shown}' from ({host}, {port}) is refused with {status}: {reason}"));
}

/// Logs that a TLS handshake has failed.
pub(super) fn handshake_failed(context: &mut Context<'_>, why: &Lost) {
    if let Lost::NotSecured(error) = why
        && let Some(not_logged) = context.shared.handshakes_failed.admit(context.now)
    {
        let (host, port) = (context.address.ip(), context.address.port());
        context.shared.log.event(format_args!(
            "The TLS handshake of ({host}, {port}) failed: {error}{}",
            NotLogged(not_logged)
        ));
    }
}

/// The path and the query of a request, without the token that stands after a segment `t` of its path.
pub(super) fn target<'a>(head: &RequestHead<'a>) -> Cow<'a, str> {
    let (path, query) = head.path_and_query();
    let hidden = hide_token(path);
    if let Cow::Borrowed(path) = hidden
        && !query.is_empty()
    {
        // Both are parts of one text.
        let start = head.target.len() - query.len() - 1 - path.len();
        return Cow::Borrowed(&head.target[start..]);
    }
    match query {
        "" => hidden,
        query => Cow::Owned(format!("{hidden}?{query}")),
    }
}

/// Replaces each segment after one that is `t`, in whatever spelling.
fn hide_token(path: &str) -> Cow<'_, str> {
    let is_t = |segment: &str| segment == "t" || percent_encoding::percent_decode_str(segment).eq([b't']);
    if !path.split('/').any(is_t) {
        return Cow::Borrowed(path);
    }
    let mut shown = String::with_capacity(path.len());
    let mut hides = false;
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            shown.push('/');
        }
        shown.push_str(if hides && !segment.is_empty() { "***" } else { segment });
        hides = if segment.is_empty() { hides } else { !hides && is_t(segment) };
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::read_request_head;

    #[test]
    fn tokens_in_paths_are_hidden() {
        for (asked, shown) in [
            ("/v1/clients/kiwi?a=b", "/v1/clients/kiwi?a=b"),
            ("/v1/clients/t", "/v1/clients/t"),
            ("/t/secret", "/t/***"),
            ("/t/secret/v1/clients?limit=1", "/t/***/v1/clients?limit=1"),
            ("//t//secret/x", "//t//***/x"),
            ("/%74/secret/", "/%74/***/"),
            ("/x/t/secret", "/x/t/***"),
            ("/t/t/x", "/t/***/x"),
            ("http://localhost/t/secret?x", "/t/***?x"),
            ("http://localhost/v1?x", "/v1?x"),
            ("*", "*"),
        ] {
            let head = format!("GET {asked} HTTP/1.1\r\nHost: a\r\n\r\n");
            let (head, _) = read_request_head(head.as_bytes()).unwrap().unwrap();
            assert_eq!(target(&head), shown, "{asked}");
        }
    }
}
