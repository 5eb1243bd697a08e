//! The HTTP interface of a herd, as `herd check` reports it.

use super::drawing::{counted, tidy};
use crate::config::HerdFile;
use crate::service::HttpFiles;
use rustls::pki_types::UnixTime;
use std::fmt::Write;

/// What the HTTP interface requires of a request, and whether it is TLS; empty if no server has one.
pub(super) fn report(herd: &HerdFile, files: &HttpFiles, now: UnixTime) -> String {
    if herd.servers.iter().all(|server| server.http.is_none()) {
        return String::new();
    }
    let mut text = "HTTP    ".to_owned();
    match &herd.http.tokens {
        Some(file) => {
            let count = counted(files.tokens, "token");
            let _ = write!(text, "with a token of {} ({count})", tidy(file).display());
        }
        None => text.push_str("open to this machine"),
    }
    match (&herd.http.certificate, &files.certificate_end) {
        (Some(certificate), end) => {
            let _ = write!(text, ", TLS with {}", tidy(&certificate.chain).display());
            if let Some(end) = end {
                let _ = write!(text, ", valid to {}", end.last_day);
            }
        }
        (None, _) if herd.http.behind_proxy => text.push_str(", behind a proxy that ends TLS"),
        (None, _) => text.push_str(", plain text"),
    }
    text.push('\n');
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if let Some(when) = files.certificate_end.as_ref().and_then(|end| end.when_it_ends(seconds)) {
        let _ = writeln!(
            text,
            "        the certificate {when}; put another one there, and send SIGHUP to the servers"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Expiry;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn the_protection_of_http_is_said_in_one_line() {
        let said = |http: &str, tokens: usize, days_left: Option<i64>| {
            let server = r#"{ "listen": "127.0.0.1:1", "http": "127.0.0.1:2" }"#;
            let text = format!(r#"{{ "herd": "h", "servers": {{ "A": {server} }}, "http": {http} }}"#);
            let herd = HerdFile::parse(&text, Path::new("x/herd.json")).unwrap();
            let certificate_end = days_left.map(|days| Expiry {
                file: "web.pem".to_owned(),
                not_after: 1_000_000_000 + days * 86_400,
                last_day: "2001-09-09".to_owned(),
            });
            let now = UnixTime::since_unix_epoch(Duration::from_secs(1_000_000_000));
            report(&herd, &HttpFiles { tokens, certificate_end }, now)
        };
        assert_eq!(said("{}", 0, None), "HTTP    open to this machine, plain text\n");
        let proxy = r#"{ "tokens": "t.json", "behind_proxy": true }"#;
        assert_eq!(
            said(proxy, 1, None),
            "HTTP    with a token of x/t.json (1 token), behind a proxy that ends TLS\n"
        );
        let pair = r#"{ "tokens": "t.json", "certificate": "../web.pem", "key": "k" }"#;
        let line = "HTTP    with a token of x/t.json (2 tokens), TLS with web.pem, valid to 2001-09-09\n";
        assert_eq!(said(pair, 2, Some(90)), line);
        let remedy = "; put another one there, and send SIGHUP to the servers\n";
        assert_eq!(said(pair, 2, Some(2)), format!("{line}        the certificate ends in 2 days{remedy}"));
        assert_eq!(said(pair, 2, Some(-1)), format!("{line}        the certificate has ended{remedy}"));
        let none = HerdFile::parse(
            r#"{ "herd": "h", "servers": { "A": { "listen": "127.0.0.1:1" } } }"#,
            Path::new("x"),
        );
        let files = HttpFiles { tokens: 0, certificate_end: None };
        assert_eq!(report(&none.unwrap(), &files, UnixTime::now()), "");
    }
}
