//! Who may ask: checked for every request before it is carried out (docs/protocol.md, section 8).

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;

use super::phones::App;
use super::response::Response;
use crate::access::Grant;
use crate::conversation::Server;
use crate::http::server::RequestHead;
use crate::map;

/// A request that may be looked at.
#[derive(Debug)]
pub(super) struct Admitted<'a> {
    /// What it may do.
    pub(super) grant: Rc<Grant>,
    /// Its path without the token.
    pub(super) path: &'a str,
}

/// Decides what a request may do: the one place where that is decided. The error is the response to one that may not even
/// be looked at.
pub(super) fn authorize<'a>(server: &Server, head: &RequestHead<'a>) -> Result<Admitted<'a>, Response> {
    let authority = authority(head)?;
    if !server.access.needs_token() {
        check_host(authority)?;
    }
    let (whole, query) = head.path_and_query();
    let (in_path, path) = split_token(whole);
    check_origin(head, authority, changes(head.method, path, query))?;
    if is_open(path) {
        return Ok(Admitted { grant: Rc::default(), path });
    }
    let token = in_path.or_else(|| in_authorization(head));
    match server.access.grant_of(token.as_deref()) {
        Some(grant) => Ok(Admitted { grant: grant.clone(), path }),
        None => Err(unauthorized(path, token.is_some())),
    }
}

/// The token of a path `/t/TOKEN/…`, and the rest of the path.
pub(super) fn split_token(path: &str) -> (Option<Cow<'_, [u8]>>, &str) {
    let Some(rest) = path.strip_prefix("/t/") else { return (None, path) };
    let (token, rest) = match rest.find('/') {
        Some(slash) => (&rest[..slash], &rest[slash..]),
        None => (rest, "/"),
    };
    (Some(percent_decode_str(token).into()), rest)
}

/// The token of the field Authorization: that of Bearer (RFC 6750), or the password of Basic (RFC 7617). Some phones
/// send `Basic TOKEN:` without encoding it.
fn in_authorization<'a>(head: &RequestHead<'a>) -> Option<Cow<'a, [u8]>> {
    let (scheme, value) = authorization(head)?;
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return (!value.is_empty()).then_some(Cow::Borrowed(value));
    }
    if scheme.eq_ignore_ascii_case(b"Basic")
        && let Some(token) = value.strip_suffix(b":")
    {
        return Some(Cow::Borrowed(token));
    }
    Some(Cow::Owned(basic(head)?.1))
}

/// The user of Basic, if there is one.
pub(super) fn basic_user(head: &RequestHead<'_>) -> Option<Vec<u8>> {
    basic(head).map(|(user, _)| user).filter(|user| !user.is_empty())
}

/// The user and the password of Basic (RFC 7617).
fn basic(head: &RequestHead<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, value) = authorization(head)?;
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let mut user = BASE64.decode(value).ok()?;
    let colon = user.iter().position(|&byte| byte == b':')?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

/// The path of a request without its token.
pub(super) fn path_of<'a>(head: &RequestHead<'a>) -> &'a str {
    split_token(head.path_and_query().0).1
}

/// The scheme and the value of the field Authorization; `None`: there is none, or more than one.
fn authorization<'a>(head: &RequestHead<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let mut fields = head.fields.values("Authorization");
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    let space = field.iter().position(|&byte| byte == b' ')?;
    Some((&field[..space], field[space..].trim_ascii()))
}

/// Whether a resource is for everyone: the health of the server and the files of the live map tell nothing about
/// clients.
fn is_open(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/healthz") || map::is_public(path)
}

/// The response to a request without a token, or with one that is not known.
fn unauthorized(path: &str, has_token: bool) -> Response {
    let text = if has_token {
        "this token is not known here; herd token NAME makes one"
    } else {
        "a token is needed: Authorization: Bearer TOKEN, or TOKEN as the password of Basic, or /t/TOKEN before the path"
    };
    // A browser asks for a password when it is challenged for Basic, which a page that asks for JSON does not want.
    let challenge = if path.starts_with("/v1/") { BEARER } else { BASIC };
    Response { field: Some(("WWW-Authenticate", challenge)), ..Response::error((401, "Unauthorized"), text) }
}

/// The host that the request is for, and its port; empty: HTTP/1.0 names none.
fn authority<'a>(head: &RequestHead<'a>) -> Result<&'a str, Response> {
    if let Some(authority) = head.authority() {
        return Ok(authority);
    }
    let host = head.fields.get("Host").unwrap_or_default();
    str::from_utf8(host).map_err(|_| Response::bad("Host: expected a name or an address, got other bytes"))
}

/// Refuses a host that is not this machine. A web page of another site can have its own name lead to this machine (DNS
/// rebinding); its browser then sends that name.
fn check_host(authority: &str) -> Result<(), Response> {
    if authority.is_empty() || is_loopback(authority) {
        return Ok(());
    }
    let text = "the Host is not this machine; expected localhost or a loopback address. Servers for other machines have \
                http.tokens in the herd file";
    Err(Response::error((421, "Misdirected Request"), text))
}

/// Whether an authority, `HOST` or `HOST:PORT`, is a name or an address of loopback.
fn is_loopback(authority: &str) -> bool {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => authority,
    };
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address
            .parse::<std::net::Ipv6Addr>()
            .is_ok_and(|address| IpAddr::from(address).to_canonical().is_loopback());
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a request can change something. A phone reports with GET, too.
fn changes(method: &str, path: &str, query: &str) -> bool {
    match method {
        "HEAD" | "OPTIONS" => false,
        "GET" => App::of(path, method, query).is_some(),
        _ => true,
    }
}

/// Refuses a request of a web page of another site that `changes` something. A browser says so in these fields; other
/// programs send none of them.
fn check_origin(head: &RequestHead<'_>, authority: &str, changes: bool) -> Result<(), Response> {
    if !changes {
        return Ok(());
    }
    let is_own = |origin: &[u8]| {
        let text = str::from_utf8(origin).unwrap_or_default();
        let own = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        own.is_some_and(|own| own.eq_ignore_ascii_case(authority))
    };
    let is_cross_site =
        head.fields.values("Sec-Fetch-Site").any(|site| site.eq_ignore_ascii_case(b"cross-site"));
    if !is_cross_site && head.fields.values("Origin").all(is_own) {
        return Ok(());
    }
    Err(Response::forbidden(
        "the request comes from a web page of another site, which may change nothing here",
    ))
}

/// What a client may try (RFC 9110, section 11.6.1).
pub(super) const BEARER: &str = "Bearer realm=\"herd\"";
const BASIC: &str = "Basic realm=\"herd\", charset=\"UTF-8\"";
/// Base64 with or without padding: some clients leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Digest, Entry, Scope, Tokens};
    use crate::conversation::Conversation;
    use crate::conversation::testing::Bench;
    use crate::http::server::read_request_head;
    use crate::store::Origin;

    fn status(head: &str) -> u16 {
        let head = format!("{head}\r\n\r\n");
        let (head, _) = read_request_head(head.as_bytes()).unwrap().unwrap();
        let authority = authority(&head).and_then(|host| {
            check_host(host)?;
            let (path, query) = head.path_and_query();
            check_origin(&head, host, changes(head.method, path, query))
        });
        authority.map_or_else(|refusal| refusal.status.0, |()| 200)
    }

    #[test]
    fn a_host_that_is_not_this_machine_is_misdirected() {
        let host = |host: &str| status(&format!("GET / HTTP/1.1\r\nHost: {host}"));
        for own in [
            "localhost",
            "LocalHost:13326",
            "localhost.",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]",
            "[::1]:80",
            "",
        ] {
            assert_eq!(host(own), 200, "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:13326",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evillocalhost",
            "192.0.2.1",
            "0.0.0.0",
            "[::]",
            "[::2]:80",
            "::1",
            "localhost:",
            "localhost:80:80",
            "localhost@evil.example",
            "127.1",
            "2130706433",
        ] {
            assert_eq!(host(other), 421, "{other}");
        }
        assert_eq!(status("GET / HTTP/1.0"), 200, "HTTP/1.0 needs no Host");
        assert_eq!(status("GET http://evil.example/ HTTP/1.1\r\nHost: localhost"), 421);
        assert_eq!(status("GET http://localhost/ HTTP/1.1\r\nHost: evil.example"), 200);
    }

    #[test]
    fn a_page_of_another_site_may_change_nothing() {
        let with = |method: &str, fields: &str| {
            status(&format!("{method} / HTTP/1.1\r\nHost: localhost:1\r\n{fields}"))
        };
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost:2",
            "http://localhost",
            "http://localhost:1.evil.example",
        ] {
            let field = format!("Origin: {origin}");
            for method in ["PUT", "POST", "DELETE", "PATCH"] {
                assert_eq!(with(method, &field), 403, "{method} {origin}");
            }
            assert_eq!((with("GET", &field), with("HEAD", &field)), (200, 200));
        }
        assert_eq!(with("PUT", "Origin: http://localhost:1"), 200);
        assert_eq!(with("PUT", "Origin: http://localhost:1\r\nOrigin: http://evil.example"), 403);
        assert_eq!((with("PUT", "Sec-Fetch-Site: cross-site"), with("PUT", "A: b")), (403, 200));
        assert_eq!(with("PUT", "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost:1"), 200);
    }

    #[test]
    fn a_page_of_another_site_may_not_pass_for_a_phone() {
        let with = |target: &str| {
            status(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site"))
        };
        for target in ["/?id=x&lat=1&lon=2", "/osmand?id=x", "/traccar/?id=x", "/gpslogger"] {
            assert_eq!(with(target), 403, "{target}");
        }
        assert_eq!((with("/"), with("/v1/clients?prefix=x")), (200, 200));
    }

    /// The token of a request, and the path that is left.
    fn token(target: &str, fields: &str) -> (Option<String>, String) {
        let text = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
        let text = text.replace("\r\n\r\n\r\n", "\r\n\r\n");
        let (head, _) = read_request_head(text.as_bytes()).unwrap().unwrap();
        let (in_path, path) = split_token(head.path_and_query().0);
        let token = in_path.or_else(|| in_authorization(&head));
        (token.map(|token| String::from_utf8_lossy(&token).into_owned()), path.to_owned())
    }

    #[test]
    fn a_token_is_in_the_path_or_in_authorization() {
        let found = |target: &str, fields: &str| token(target, fields).0;
        for field in
            ["Bearer TOKEN", "bearer   TOKEN", "Basic YWRhOlRPS0VO", "BASIC OlRPS0VO", "Basic TOKEN:"]
        {
            assert_eq!(found("/x", &format!("Authorization: {field}")), Some("TOKEN".to_owned()), "{field}");
        }
        assert_eq!(found("/x", "Authorization: Basic YWRhOmE6Yg=="), Some("a:b".to_owned()));
        assert_eq!(found("/x", "Authorization: Basic YWRhOmE6Yg"), Some("a:b".to_owned()), "without padding");
        for field in ["Bearer", "Bearer ", "Basic", "Basic YWRh", "Basic !", "Digest TOKEN", "TOKEN", ""] {
            assert_eq!(found("/x", &format!("Authorization: {field}")), None, "{field}");
        }
        let twice = "Authorization: Bearer TOKEN\r\nAuthorization: Bearer OTHER";
        assert_eq!(found("/x", twice), None);
        assert_eq!(found("/x", ""), None);
        assert_eq!(
            token("/t/TOKEN/v1/clients", "Authorization: Bearer OTHER"),
            (Some("TOKEN".into()), "/v1/clients".into())
        );
        assert_eq!(token("/t/TOKEN?id=x", ""), (Some("TOKEN".into()), "/".into()));
        assert_eq!(token("/t/TOKEN/", ""), (Some("TOKEN".into()), "/".into()));
        assert_eq!(token("/t/%54OKEN/x", ""), (Some("TOKEN".into()), "/x".into()));
        assert_eq!(token("/t//x", ""), (Some(String::new()), "/x".into()));
        assert_eq!(token("/t", ""), (None, "/t".into()));
    }

    #[test]
    fn a_stream_ends_with_its_token() {
        let mut bench = Bench::new(Conversation::Web(Box::default()));
        let entry = |name: &str, token: &str| {
            let scopes = vec![Scope::Read(String::new())];
            Entry { name: name.to_owned(), digest: Digest::of(token.as_bytes()), scopes }
        };
        let replace = |bench: &mut Bench, entries: &[Entry]| {
            bench.server.access.replace(Some(Tokens::of(entries)));
        };
        replace(&mut bench, &[entry("ada", "1")]);
        bench.receive(b"GET /t/1/v1/changes HTTP/1.1\r\nHost: x\r\n\r\n");
        bench.follow_on();
        bench.sent();
        replace(&mut bench, &[entry("ada", "1"), entry("bob", "2")]);
        bench.report("kiwi", 5, Origin::CLIENT);
        bench.follow_on();
        assert!(bench.sent().contains("event: at") && bench.closing().is_none());
        replace(&mut bench, &[entry("ada", "3"), entry("bob", "2")]);
        bench.report("plum", 5, Origin::CLIENT);
        bench.follow_on();
        assert!(!bench.sent().contains("plum") && bench.closing().is_some());
        assert_eq!(bench.server.followers.len(), 0);
    }

    #[test]
    fn a_silent_stream_ends_with_its_token_too() {
        let mut bench = Bench::new(Conversation::Web(Box::default()));
        bench.receive(b"GET /v1/changes HTTP/1.1\r\nHost: localhost\r\n\r\n");
        bench.follow_on();
        bench.time_out();
        assert!(bench.closing().is_none());
        bench.server.access.replace(Some(Tokens::default()));
        bench.time_out();
        assert!(bench.closing().is_some() && bench.server.followers.is_empty());
    }
}
