//! What phone apps need to report with a token, as text and as QR codes.

use super::super::Failure;
use crate::config::{HerdFile, Host, HostPort, ParseError, PlacesUrl};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;

/// The URL at which phones reach a server, without a slash at its end: `given`, or that of the first server with
/// HTTP.
pub(super) fn base(herd: &HerdFile, given: Option<&str>) -> Result<String, Failure> {
    if let Some(given) = given {
        let url: PlacesUrl =
            given.parse().map_err(|problem: ParseError| Failure::usage(format!("--url URL: {problem}")))?;
        return Ok(url.to_string());
    }
    let wrong = |problem: String| Failure::usage(format!("--qr: {problem}; see herd token --help"));
    let with_http = herd.servers.iter().find_map(|server| Some((server, server.http?)));
    let Some((server, http)) = with_http else {
        return Err(wrong("no server of this herd has HTTP: write servers.NAME.http first".to_owned()));
    };
    if herd.http.behind_proxy && herd.http.certificate.is_none() {
        return Err(wrong(
            "phones reach the proxy (http.behind_proxy), not a server: write --url URL".to_owned(),
        ));
    }
    let host = match HostPort::from(http).host {
        Host::Address(ip) if ip.is_unspecified() && server.address.host.is_loopback() => {
            return Err(wrong(format!("{http} stands for every address of a machine: write --url URL")));
        }
        Host::Address(ip) if ip.is_unspecified() => server.address.host.clone(),
        host => host,
    };
    let scheme = if herd.http.certificate.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{host}:{}", http.port()))
}

/// The settings of each app, and a QR code for those that read one.
pub(super) fn settings(base: &str, name: &str, token: &str) -> Result<String, Failure> {
    let id = utf8_percent_encode(name, RESERVED);
    let with_token = format!("{base}/t/{token}/");
    let owntracks = format!("{base}/owntracks");
    let overland = format!("{base}/overland");
    let configuration = json!({
        "_type": "configuration", "mode": 3, "url": owntracks, "auth": true, "username": name, "password": token,
    });
    let codes = [
        ("Traccar Client", format!("{with_token}?id={id}")),
        (
            "OwnTracks",
            format!(
                "owntracks:///config?inline={}",
                utf8_percent_encode(&BASE64_STANDARD.encode(configuration.to_string()), RESERVED)
            ),
        ),
        (
            "Overland",
            format!(
                "overland://setup?url={}&token={token}&device_id={id}",
                utf8_percent_encode(&overland, RESERVED)
            ),
        ),
    ];
    let mut text = format!(
        "{token}

This token is shown once. What the app on a phone needs:

OwnTracks        mode HTTP, URL {owntracks}
                 user {name}, password {token}
Traccar Client   server URL {with_token}
                 device identifier {name}
OsmAnd           online tracking, web address
                 {with_token}?id={id}&lat={{0}}&lon={{1}}&timestamp={{2}}
GPSLogger        log to custom URL
                 {with_token}?id={id}&lat=%LAT&lon=%LON&timestamp=%TIMESTAMP
Overland         receiver endpoint URL {overland}
                 access token {token}, device ID {name}

docs/phones.md says more about each of them.
"
    );
    for (app, code) in codes {
        let drawn = QrCode::new(&code)
            .map_err(|_| Failure::at_run_time("the URL is too long for a QR code; leave out --qr"))?
            .render::<Dense1x2>()
            // Terminals are mostly dark, and readers want dark on light.
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build();
        text += &format!("\n{app}: scan this on the phone\n{drawn}\n");
    }
    Ok(text)
}

/// Bytes that have no meaning of their own in a query stay (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn herd(server: &str, http: &str) -> HerdFile {
        let text = format!(
            r#"{{ "herd": "h", "servers": {{ "A": {{ "listen": "127.0.0.1:1" }}, "B": {{ {server} }} }}, "http": {http} }}"#
        );
        HerdFile::parse(&text, Path::new("herd.json")).unwrap()
    }

    #[test]
    fn the_url_is_that_of_the_first_server_with_http() {
        let listen = r#""listen": "127.0.0.1:2""#;
        let (pair, proxy) = (
            r#"{ "tokens": "t", "certificate": "c", "key": "k" }"#,
            r#"{ "tokens": "t", "behind_proxy": true }"#,
        );
        let at =
            |server: &str, http: &str| base(&herd(server, http), None).map_err(|failure| failure.to_string());
        let with = |address: &str| format!(r#"{listen}, "http": "{address}""#);
        assert_eq!(at(&with("127.0.0.1:8080"), "{}").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(at(&with("[2001:db8::1]:8443"), pair).unwrap(), "https://[2001:db8::1]:8443");
        let named = r#""listen": "0.0.0.0:2", "address": "b.example.org:2", "http": "0.0.0.0:8443""#;
        assert_eq!(at(named, pair).unwrap(), "https://b.example.org:8443");
        for (server, http, words) in [
            (listen.to_owned(), "{}", "no server of this herd has HTTP"),
            (
                with("0.0.0.0:8443"),
                pair,
                "0.0.0.0:8443 stands for every address of a machine: write --url URL",
            ),
            (with("127.0.0.1:8080"), proxy, "phones reach the proxy"),
        ] {
            let problem = at(&server, http).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        let given = |url: &str| base(&herd(&with("127.0.0.1:8080"), proxy), Some(url));
        assert_eq!(given("https://herd.example.org/x/").unwrap(), "https://herd.example.org/x");
        assert_eq!(given("ftp://x").unwrap_err().status, 2);
    }

    /// The values of each app are in the text, and what a QR code says is in the code: compared with one drawn from
    /// the expected text.
    #[test]
    fn the_settings_name_what_each_app_needs() {
        let text = settings("https://h.example", "ada's", "TOKEN").unwrap();
        assert!(text.starts_with("TOKEN\n\n"), "{text}");
        for line in [
            "URL https://h.example/owntracks\n                 user ada's, password TOKEN\n",
            "server URL https://h.example/t/TOKEN/\n",
            "https://h.example/t/TOKEN/?id=ada%27s&lat={0}&lon={1}&timestamp={2}\n",
            "https://h.example/t/TOKEN/?id=ada%27s&lat=%LAT&lon=%LON&timestamp=%TIMESTAMP\n",
            "receiver endpoint URL https://h.example/overland\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let code = |content: &str| {
            let code = QrCode::new(content).unwrap();
            let width = code.width();
            let dark = |x: usize, y: usize| code[(x, y)] == qrcode::Color::Dark;
            // Two rows of modules are one line; the quiet zone has 4 modules on each side.
            (0..width.div_ceil(2))
                .map(|row| {
                    let pair = |x: usize| (dark(x, 2 * row), 2 * row + 1 < width && dark(x, 2 * row + 1));
                    let sign = |x: usize| match pair(x) {
                        (true, true) => ' ',
                        (true, false) => '▄',
                        (false, true) => '▀',
                        (false, false) => '█',
                    };
                    (0..width).map(sign).collect::<String>()
                })
                .collect::<Vec<_>>()
        };
        let json = r#"{"_type":"configuration","mode":3,"url":"https://h.example/owntracks","auth":true,"username":"ada's","password":"TOKEN"}"#;
        let inline = BASE64_STANDARD.encode(json).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        for content in [
            "https://h.example/t/TOKEN/?id=ada%27s".to_owned(),
            format!("owntracks:///config?inline={inline}"),
            "overland://setup?url=https%3A%2F%2Fh.example%2Foverland&token=TOKEN&device_id=ada%27s"
                .to_owned(),
        ] {
            for row in code(&content) {
                assert!(text.contains(&row), "{content}: {row}");
            }
        }
    }

    #[test]
    fn a_url_that_no_code_can_hold_is_refused() {
        assert!(settings(&format!("https://h.example/{}", "x".repeat(3000)), "ada", "TOKEN").is_err());
    }
}
