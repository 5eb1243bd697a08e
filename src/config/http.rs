//! The section `http`, and what it has to say for the addresses of HTTP.

use super::error::Error;
use super::host::HostPort;
use super::section::Section;
use super::servers::ServerSection;
use std::path::{Path, PathBuf};

/// Access to the HTTP interface of each server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSection {
    /// The file of the access tokens, which `herd token` writes, relative to the current folder. `None`: no request
    /// needs a token.
    pub tokens: Option<PathBuf>,
    /// The certificate of HTTP over TLS. `None`: plain text.
    pub certificate: Option<HttpCertificate>,
    /// A proxy in front of the servers ends TLS, so that their address may be off loopback without a certificate.
    pub behind_proxy: bool,
}

/// The PEM files of HTTP over TLS, relative to the current folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCertificate {
    /// The certificate, and intermediate certificates after it.
    pub chain: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

impl HttpSection {
    pub(super) const KEYS: [&str; 4] = ["tokens", "certificate", "key", "behind_proxy"];

    /// Reads the section of a file in `herd_folder`, and checks that it protects each address of `servers` off
    /// loopback.
    pub(super) fn read(
        section: &Section<'_>,
        servers: &[ServerSection],
        herd_folder: &Path,
    ) -> Result<HttpSection, Error> {
        let path = |key| section.get(key).map(|item| item.path(herd_folder)).transpose();
        let certificate = match (path("certificate")?, path("key")?) {
            (Some(chain), Some(key)) => Some(HttpCertificate { chain, key }),
            (None, None) => None,
            (Some(_), None) => return Err(Error::new("http.key", missing_half("certificate", "web.key"))),
            (None, Some(_)) => return Err(Error::new("http.certificate", missing_half("key", "web.pem"))),
        };
        let http = HttpSection {
            tokens: path("tokens")?,
            certificate,
            behind_proxy: section.get("behind_proxy").map_or(Ok(false), |item| item.flag())?,
        };
        servers.iter().try_for_each(|server| http.check_protects(server))?;
        Ok(http)
    }

    /// Off loopback, locations of people must neither be open to all nor cross a network as plain text.
    fn check_protects(&self, server: &ServerSection) -> Result<(), Error> {
        let Some(address) = server.http else { return Ok(()) };
        if HostPort::from(address).host.is_loopback() {
            return Ok(());
        }
        let (key, remedy) = if self.tokens.is_none() {
            (
                "http.tokens",
                "write \"http\": { \"tokens\": \"tokens.json\" }, and make tokens with herd token",
            )
        } else if self.certificate.is_none() && !self.behind_proxy {
            (
                "http.certificate",
                "write \"certificate\" and \"key\" in the section http, or \"behind_proxy\": true if a proxy ends TLS",
            )
        } else {
            return Ok(());
        };
        Err(Error::new(
            key,
            format!(
                "is missing, and servers.{}.http, {address}, is not a loopback address; {remedy}",
                server.name
            ),
        ))
    }
}

fn missing_half(other: &str, example: &str) -> String {
    format!("is missing, and http.{other} is there; write for example \"{example}\"")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};
    use super::*;

    fn http(section: &str) -> HttpSection {
        parse(&with(&format!(r#", "http": {section}"#))).unwrap().http
    }

    /// A file with one server that has this address of HTTP, and this section.
    fn at(address: &str, section: &str) -> String {
        let server = format!(r#"{{ "listen": "127.0.0.1:1", "http": "{address}" }}"#);
        format!(r#"{{ "herd": "h", "servers": {{ "A": {server} }}, "http": {section} }}"#)
    }

    #[test]
    fn paths_are_relative_to_the_herd_file() {
        assert_eq!(parse(&with("")).unwrap().http, HttpSection::default());
        assert_eq!(http("{}"), HttpSection::default());
        let all = r#"{ "tokens": "t.json", "certificate": "web.pem", "key": "/etc/web.key", "behind_proxy": true }"#;
        let certificate = HttpCertificate { chain: "some/folder/web.pem".into(), key: "/etc/web.key".into() };
        let expected = HttpSection {
            tokens: Some("some/folder/t.json".into()),
            certificate: Some(certificate),
            behind_proxy: true,
        };
        assert_eq!(http(all), expected);
    }

    #[test]
    fn off_loopback_tokens_and_tls_are_required() {
        let pair = r#""certificate": "web.pem", "key": "web.key""#;
        for address in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"] {
            let wrong = |section: &str, place: &str, words: &str| wrong(&at(address, section), place, words);
            let said = format!("servers.A.http, {address}, is not a loopback address; write \"http\": {{");
            wrong("{}", "http.tokens", &said);
            wrong(r#"{ "behind_proxy": true }"#, "http.tokens", "is missing");
            wrong(&format!("{{ {pair} }}"), "http.tokens", "herd token");
            wrong(r#"{ "tokens": "t" }"#, "http.certificate", "or \"behind_proxy\": true");
            wrong(r#"{ "tokens": "t", "behind_proxy": false }"#, "http.certificate", "is missing");
            for good in [
                format!(r#"{{ "tokens": "t", {pair} }}"#),
                r#"{ "tokens": "t", "behind_proxy": true }"#.into(),
            ] {
                let herd = parse(&at(address, &good)).unwrap();
                assert_eq!(herd.servers[0].http.unwrap().to_string(), address);
                assert!(herd.is_on_loopback(), "the address of HTTP has no bearing on the links");
            }
        }
        for address in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.9.9.9:8080"] {
            assert!(parse(&at(address, "{}")).is_ok(), "{address}");
        }
    }

    #[test]
    fn mistakes_in_http() {
        let wrong = |section: &str, place: &str, words: &str| {
            wrong(&with(&format!(r#", "http": {section}"#)), place, words);
        };
        wrong(r#"{ "token": "x" }"#, "http.token", "did you mean tokens?");
        wrong(r#"{ "tokens": 5 }"#, "http.tokens", "expected a string, got 5");
        wrong(r#"{ "tokens": "" }"#, "http.tokens", "expected a path");
        wrong(r#"{ "behind_proxy": "yes" }"#, "http.behind_proxy", "expected true or false, got \"yes\"");
        wrong(r#"{ "certificate": "x" }"#, "http.key", "is missing, and http.certificate is there");
        wrong(r#"{ "key": "x" }"#, "http.certificate", "is missing, and http.key is there");
        wrong(r#"{ "certificate": true, "key": "x" }"#, "http.certificate", "expected a string, got true");
        wrong("[]", "http", "expected an object");
    }
}
