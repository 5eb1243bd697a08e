//! The base URL of a Places service, taken apart.

use super::error::{Unreadable, quoted};
use super::host::{self, Host};
use std::fmt;
use std::str::FromStr;

/// Where a Places service is: `https://maps.googleapis.com`, `http://127.0.0.1:8080/fake`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlacesUrl {
    /// `https`. Without it the host is this machine.
    pub tls: bool,
    /// Whom to dial, and whose certificate to expect.
    pub host: Host,
    /// The port as written, or 443 or 80.
    pub port: u16,
    /// What stands in front of the path of every question: without a slash at its end, empty for none.
    pub path: String,
}

impl PlacesUrl {
    /// The value of the `Host` header: without the port if it is the scheme's own.
    pub fn host_header(&self) -> String {
        if self.port == default_port(self.tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for PlacesUrl {
    type Err = Unreadable;

    /// Reads a base URL.
    ///
    /// It has no user, no query and no fragment: the one secret of a herd, the key, never stands in a
    /// file. That is also why a URL which seems to hold one is not repeated in the error.
    fn from_str(text: &str) -> Result<PlacesUrl, Unreadable> {
        let unreadable = |why: &str| Err(Unreadable(why.to_owned()));
        if text.len() > MAX_URL_BYTES {
            return Err(Unreadable(format!("is longer than {MAX_URL_BYTES} bytes")));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return unreadable("is no URL; write for example https://maps.googleapis.com");
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return unreadable("begins with neither https:// nor (for a loopback address) http://"),
        };
        if rest.contains(['?', '#']) {
            return unreadable("is a base URL without query and fragment; the key stands in the environment");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return unreadable("holds a user name, which no Places service wants; remove all up to the @");
        }
        let (host, port) = host::split(authority)?;
        if !tls && !host.is_loopback() {
            return Err(Unreadable(format!(
                "plain http is for a loopback address only: everybody on the way could read the key; \
                 write https://{host}"
            )));
        }
        if !is_path(path) {
            return Err(Unreadable(format!(
                "the path {} holds a byte that stands in no URL; percent-encode it",
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

/// Whether `path` goes as it is into the first line of an HTTP request (RFC 3986, section 3.3).
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

/// The least that every part of the web carries; a longer base URL is a slip, and would go out with
/// every question.
const MAX_URL_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PlacesUrl, String> {
        text.parse().map_err(|e: Unreadable| e.to_string())
    }

    #[test]
    fn a_url_is_taken_apart() {
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
            ("maps.googleapis.com", "is no URL; write for example"),
            ("ftp://x.org", "begins with neither https:// nor"),
            ("http://places.example", "plain http is for a loopback address only"),
            ("https://x.org?key=S3cret", "without query and fragment"),
            ("https://x.org/#S3cret", "without query and fragment"),
            ("https://me:S3cret@x.org", "holds a user name"),
            ("https://x.org:0", "port \"0\" is not a number"),
            ("https://", "\"\" is neither an IP address nor a host name"),
            ("https://x.org/a b", "the path \"/a b\" holds a byte"),
            ("https://x.org/%4", "the path \"/%4\" holds a byte"),
            ("https://x.org/\r\nX: y", "holds a byte"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("S3cret"), "{text}: {error}");
        }
        assert!(read(&format!("https://x.org/{}", "a".repeat(2034))).is_ok());
        assert!(read(&format!("https://x.org/{}", "a".repeat(2035))).unwrap_err().contains("2048 bytes"));
    }
}
