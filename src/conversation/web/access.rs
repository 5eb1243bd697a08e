//! Who may ask: checked for every request before it is carried out (docs/protocol.md, section 8).

use std::net::IpAddr;

use super::response::Response;
use crate::conversation::Server;
use crate::http::server::RequestHead;

/// What a request may do.
#[derive(Clone, Debug)]
pub(super) struct Grant;

impl Grant {
    /// The grant of a server without tokens.
    pub(super) fn everything() -> Grant {
        Grant
    }

    /// Whether it may report the location of this client.
    pub(super) fn may_report(&self, _id: &[u8]) -> bool {
        true
    }

    /// Whether it may read about this client.
    pub(super) fn may_read(&self, _id: &[u8]) -> bool {
        true
    }

    /// Whether it may read about some clients.
    pub(super) fn may_read_some(&self) -> bool {
        true
    }

    /// Whether it may forget this client.
    pub(super) fn may_forget(&self, _id: &[u8]) -> bool {
        true
    }

    /// Whether it may ask Places.
    pub(super) fn may_ask_places(&self) -> bool {
        true
    }
}

/// Decides what a request may do: the one place where that is decided. The error is the response to one that may not even
/// be looked at.
pub(super) fn authorize(_server: &Server, head: &RequestHead<'_>) -> Result<std::rc::Rc<Grant>, Response> {
    let authority = authority(head)?;
    check_host(authority)?;
    check_origin(head, authority)?;
    Ok(std::rc::Rc::new(Grant::everything()))
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
        return address.parse::<std::net::Ipv6Addr>().is_ok_and(|address| {
            IpAddr::from(address).to_canonical().is_loopback()
        });
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Refuses a request of a web page of another site that can change something. A browser says so in these fields; other
/// programs send none of them.
fn check_origin(head: &RequestHead<'_>, authority: &str) -> Result<(), Response> {
    if matches!(head.method, "GET" | "HEAD" | "OPTIONS") {
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
    Err(Response::forbidden("the request comes from a web page of another site, which may change nothing here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::read_request_head;

    fn status(head: &str) -> u16 {
        let head = format!("{head}\r\n\r\n");
        let (head, _) = read_request_head(head.as_bytes()).unwrap().unwrap();
        let authority = authority(&head).and_then(|host| {
            check_host(host)?;
            check_origin(&head, host)
        });
        authority.map_or_else(|refusal| refusal.status.0, |()| 200)
    }

    #[test]
    fn a_host_that_is_not_this_machine_is_misdirected() {
        let host = |host: &str| status(&format!("GET / HTTP/1.1\r\nHost: {host}"));
        for own in
            ["localhost", "LocalHost:13326", "localhost.", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:80", ""]
        {
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
        for origin in
            ["https://evil.example", "null", "http://localhost:2", "http://localhost", "http://localhost:1.evil.example"]
        {
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
}
