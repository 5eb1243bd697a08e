//! The names of herds and servers.

use super::error::Error;
use super::host::Host;
use super::section::Item;
use super::servers::ServerSection;
use super::words::quoted;
use crate::text::fields::is_field;
use rustls::pki_types::DnsName;

/// Whether `name` can be the name of a herd or a server, or the reason why not. A name is one field of a
/// line and one part of a path.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        return Err("expected a name, got \"\"".to_owned());
    } else if !is_field(name.as_bytes()) {
        "has white space; write a name of one word"
    } else if name.chars().any(char::is_control) {
        "has a control character; remove it"
    } else if name.contains('/') || name == "." || name == ".." {
        "cannot be the name of a file; a name has no / and is not . or .."
    } else if name.len() > MAX_NAME_BYTES {
        return Err(format!("expected a name of at most {MAX_NAME_BYTES} bytes, got {}", name.len()));
    } else {
        return Ok(());
    };
    Err(format!("{} {problem}", quoted(name)))
}

/// Checks that each server can have a certificate: its name is a DNS name there, and DNS names that differ in
/// upper and lower case only are the same (RFC 4343).
pub(super) fn check_certificate_names(servers: &[(String, Item<'_>)]) -> Result<(), Error> {
    for (index, (name, item)) in servers.iter().enumerate() {
        let earlier = &servers[..index];
        let problem = if name.eq_ignore_ascii_case(AUTHORITY) {
            "is the name of the files of the herd's authority".to_owned()
        } else if DnsName::try_from(name.as_str()).is_err() || name.ends_with('.') {
            "cannot be the DNS name in a certificate (letters, digits, - and _, at most 63)".to_owned()
        } else if let Some((other, _)) = earlier.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            format!(
                "differs from {other} in upper and lower case only, so that each could pass for the other"
            )
        } else {
            continue;
        };
        return Err(item.error(format!(
            "{} {problem}; choose another name, or write \"peers\": {{ \"tls\": false }} in a herd on loopback",
            quoted(name)
        )));
    }
    Ok(())
}

/// Checks that the host of no address is the name of another server. Both are DNS names in the certificate, so
/// that this server could pass for the other one.
pub(super) fn check_hosts(entries: &[(String, Item<'_>)], servers: &[ServerSection]) -> Result<(), Error> {
    for (server, (_, item)) in servers.iter().zip(entries) {
        let Host::Name(host) = &server.address.host else { continue };
        let is_of_host = |other: &&ServerSection| other.name.eq_ignore_ascii_case(host);
        if let Some(other) = servers.iter().filter(|other| other.name != server.name).find(is_of_host) {
            return Err(item.error(format!(
                "is dialled at the host {host}, which is the name of the server {}, so that each could pass for the \
                 other; choose another name for that server",
                other.name
            )));
        }
    }
    Ok(())
}

/// Beside `herd-ca.pem` and `herd-ca.key` no server can have files of this name.
const AUTHORITY: &str = "herd-ca";

/// With `.log` a name fits the limit of file systems for a file name (255 bytes), and two names fit a HELLO
/// (1 KiB).
const MAX_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};

    #[test]
    fn mistakes_in_names() {
        let named = |name: &str| with("").replace(r#""h""#, name);
        wrong(&named("5"), "herd", "expected a string, got 5");
        wrong(&named(r#""""#), "herd", "expected a name, got \"\"");
        wrong(&named(r#""two words""#), "herd", "has white space");
        wrong(&named(r#""a\u0007""#), "herd", "control character");
        wrong(&named(r#""a\u0000""#), "herd", "control character");
        wrong(&named(r#""..""#), "herd", "cannot be the name of a file");
        wrong(&with("").replace(r#""A""#, r#""a/b""#), "servers.a/b", "cannot be the name of a file");
        wrong(&with("").replace(r#""B""#, r#""B\n""#), "servers.B\\n", "has white space");
        let later = r#"{ "herd": "h", "servers": { "A": { "listen": "127.0.0.1:1", "talks_to": ["C"] }, "B\n": {} } }"#;
        wrong(later, "servers.B\\n", "has white space");
        let long = |length| with("").replace(r#""h""#, &format!("{:?}", "n".repeat(length)));
        assert!(parse(&long(64)).is_ok());
        wrong(&long(65), "herd", "at most 64 bytes, got 65");
    }

    #[test]
    fn the_name_of_a_server_with_tls_is_a_dns_name() {
        let named = |name: &str, tls: bool| {
            let servers = format!(
                r#"{{ "A": {{ "listen": "127.0.0.1:1" }}, "{name}": {{ "listen": "127.0.0.1:2" }} }}"#
            );
            format!(r#"{{ "herd": "h", "servers": {servers}, "peers": {{ "tls": {tls} }} }}"#)
        };
        for (name, words) in [
            ("Lönely", "cannot be the DNS name in a certificate"),
            ("b c".replace(' ', "!").as_str(), "cannot be the DNS name"),
            ("-b", "cannot be the DNS name"),
            ("b.", "cannot be the DNS name"),
            ("17", "cannot be the DNS name"),
            (&"b".repeat(64), "cannot be the DNS name"),
            ("a", "differs from A in upper and lower case only"),
            ("Herd-CA", "is the name of the files of the herd's authority"),
        ] {
            wrong(&named(name, true), &format!("servers.{name}"), words);
            assert!(parse(&named(name, false)).is_ok(), "{name}");
        }
        let host = |name: &str| named(name, true).replace(r#":1" }"#, r#":1", "address": "B.example:1" }"#);
        wrong(
            &host("b.example"),
            "servers.A",
            "is dialled at the host B.example, which is the name of the server",
        );
        assert!(parse(&host("b.example.org")).is_ok());
        for name in ["B", "b_1", "b-1", "b.example", "1b"] {
            assert!(parse(&named(name, true)).is_ok(), "{name}");
        }
    }
}
