//! The base URL of a Places service.

use super::error::ParseError;
use super::host::{self, Host};
use super::words::quoted;
use std::fmt;
use std::str::FromStr;

/// The base URL of a Places service: `https://maps.googleapis.com`, `http://127.0.0.1:8080/fake`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlacesUrl {
    /// `https`. `false` (`http`) only if the host is a loopback address.
    pub tls: bool,
    /// The host to dial, whose name the certificate must have.
    pub host: Host,
    /// The port; without one in the text 443 or 80.
    pub port: u16,
    /// The prefix of the path of every request, without a slash at its end; may be empty.
    pub path: String,
}

impl PlacesUrl {
    /// The value of the `Host` header, without the default port of the scheme.
    pub fn host_header(&self) -> String {
        if self.port == default_port(self.tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for PlacesUrl {
    type Err = ParseError;

    /// Parses a base URL, which has no user, query and fragment.
    ///
    /// A wrong URL may contain the key, so that no error repeats it.
    fn from_str(text: &str) -> Result<PlacesUrl, ParseError> {
        let wrong = |problem: &str| Err(ParseError(problem.to_owned()));
        if text.len() > MAX_URL_BYTES {
            return Err(ParseError(format!(
                "expected a URL of at most {MAX_URL_BYTES} bytes, got {}",
                text.len()
            )));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return wrong("is not a URL; write for example https://maps.googleapis.com");
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return wrong("expected a URL with https://, or with http:// for a loopback address"),
        };
        if rest.contains(['?', '#']) {
            return wrong(
                "a base URL has no query and no fragment; remove them, and name the key in places.key_env",
            );
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("a base URL has no user name; remove everything up to the @");
        }
        let (host, port) = host::split(authority)?;
        if !tls && !host.is_loopback() {
            return Err(ParseError(format!(
                "http is for loopback addresses only, because it shows the key to the network; write \
                 https://{host}"
            )));
        }
        if !is_path(path) {
            return Err(ParseError(format!(
                "the path {} has a byte that is not allowed in a URL; percent-encode it",
                quoted(path)
            )));
        }
        let path = path.trim_end_matches('/').to_owned();
        Ok(PlacesUrl { tls, host, port: port.unwrap_or(default_port(tls)), path })
    }
}

impl fmt::Display for PlacesUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host_header(), self.path)
    }
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Whether `path` is valid in a request line as it is (RFC 3986, section 3.3).
fn is_path(path: &str) -> bool {
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let good = match byte {
            b'%' => [rest.next(), rest.next()].iter().all(|b| b.is_some_and(|b| b.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte),
        };
        if !good {
            return false;
        }
    }
    true
}

/// It is sent with every request. A longer one is a mistake.
const MAX_URL_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PlacesUrl, String> {
        text.parse().map_err(|e: ParseError| e.to_string())
    }

    #[test]
    fn a_url_is_parsed() {
        let google = read("https://maps.googleapis.com").unwrap();
        let host = Host::Name("maps.googleapis.com".into());
        assert_eq!(google, PlacesUrl { tls: true, host, port: 443, path: String::new() });
        let fake = read("HTTP://[::1]:8080/a/b//").unwrap();
        let host = Host::Address("::1".parse().unwrap());
        assert_eq!(fake, PlacesUrl { tls: false, host, port: 8080, path: "/a/b".into() });
    }

    #[test]
    fn the_default_port_is_not_shown() {
        for (text, shown, host_header) in [
            ("https://x.org:443/", "https://x.org", "x.org"),
            ("https://x.org:80/p%2F", "https://x.org:80/p%2F", "x.org:80"),
            ("http://localhost:80", "http://localhost", "localhost"),
            ("http://[::1]:443", "http://[::1]:443", "[::1]:443"),
        ] {
            let url = read(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.host_header().as_str()), (shown, host_header));
        }
    }

    #[test]
    fn a_wrong_url_is_explained() {
        for (text, why) in [
            ("maps.googleapis.com", "is not a URL; write for example"),
            ("ftp://x.org", "expected a URL with https://"),
            ("http://places.example", "http is for loopback addresses only"),
            ("https://x.org?key=S3cret", "no query and no fragment"),
            ("https://x.org/#S3cret", "no query and no fragment"),
            ("https://me:S3cret@x.org", "has no user name"),
            ("https://x.org:0", "got \"0\""),
            ("https://", "\"\" is neither an IP address nor a host name"),
            ("https://x.org/a b", "the path \"/a b\" has a byte"),
            ("https://x.org/%4", "the path \"/%4\" has a byte"),
            ("https://x.org/\r\nX: y", "has a byte"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("S3cret"), "{text}: {error}");
        }
        assert!(read(&format!("https://x.org/{}", "a".repeat(2034))).is_ok());
        assert!(
            read(&format!("https://x.org/{}", "a".repeat(2035)))
                .unwrap_err()
                .contains("at most 2048 bytes, got 2049")
        );
    }
}
