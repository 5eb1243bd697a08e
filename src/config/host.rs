//! Hosts and ports in text form: `127.0.0.1:12326`, `[::1]:12326`, `localhost:12326`.

use super::error::ParseError;
use super::words::quoted;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A machine: an address, or a name for the resolver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
    /// A host name of 1 to 253 bytes; upper and lower case as in the text.
    Name(String),
}

impl Host {
    /// Whether connections to this host stay on this machine. `localhost` is the only such name.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Address(address) => address.to_canonical().is_loopback(),
            Host::Name(name) => name.eq_ignore_ascii_case(LOCALHOST),
        }
    }
}

impl FromStr for Host {
    type Err = ParseError;

    /// Reads an IPv4 address, an IPv6 address in brackets, or a name.
    fn from_str(text: &str) -> Result<Host, ParseError> {
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
            return address.map(|address| Host::Address(address.into())).ok_or_else(|| {
                ParseError(format!("{} is not an IPv6 address in brackets, such as [::1]", quoted(text)))
            });
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(ParseError(format!("an IPv6 address needs brackets; write [{text}]")));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Host::Address(address.into()));
        }
        if is_name(text) {
            return Ok(Host::Name(text.to_owned()));
        }
        Err(ParseError(format!("{} is neither an IP address nor a host name", quoted(text))))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// An address that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The machine.
    pub host: Host,
    /// The port: 1 to 65535 if parsed from text.
    pub port: u16,
}

impl HostPort {
    /// The address to bind. `localhost` is 127.0.0.1; other names are errors, because a server binds an
    /// address of this machine.
    pub fn to_listen(&self) -> Result<SocketAddr, ParseError> {
        match &self.host {
            Host::Address(address) => Ok(SocketAddr::new(*address, self.port)),
            Host::Name(_) if self.host.is_loopback() => Ok((Ipv4Addr::LOCALHOST, self.port).into()),
            Host::Name(name) => Err(ParseError(format!(
                "{} is a host name, and a server listens on an IP address; write for example 127.0.0.1:{}",
                quoted(name),
                self.port
            ))),
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> HostPort {
        HostPort { host: Host::Address(address.ip()), port: address.port() }
    }
}

impl FromStr for HostPort {
    type Err = ParseError;

    /// Reads `HOST:PORT`, the port from 1 to 65535.
    fn from_str(text: &str) -> Result<HostPort, ParseError> {
        let (host, port) = split(text)?;
        let Some(port) = port else {
            return Err(ParseError(format!(
                "{} has no port; write for example 127.0.0.1:12326",
                quoted(text)
            )));
        };
        Ok(HostPort { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads `HOST` or `HOST:PORT`.
pub(super) fn split(text: &str) -> Result<(Host, Option<u16>), ParseError> {
    // The colons inside an IPv6 address do not precede a port.
    let host_end = if text.starts_with('[') { text.find(']').map_or(text.len(), |at| at + 1) } else { 0 };
    match text[host_end..].rfind(':') {
        Some(colon) if text.parse::<Ipv6Addr>().is_err() => {
            let colon = host_end + colon;
            Ok((text[..colon].parse()?, Some(port(&text[colon + 1..])?)))
        }
        _ => Ok((text.parse()?, None)),
    }
}

fn port(text: &str) -> Result<u16, ParseError> {
    // `parse` alone would accept `+80`.
    let number = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().unwrap_or(0) } else { 0 };
    if number == 0 {
        return Err(ParseError(format!("expected a port from 1 to 65535, got {}", quoted(text))));
    }
    Ok(number)
}

/// Whether `text` is a host name: letters, digits, `-` and `_` (common in private names) in parts of at
/// most 63 bytes (RFC 1035, section 2.3.1).
fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        (1..=MAX_NAME_PART_BYTES).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    // A last part of digits only is a mistyped IPv4 address: 127.0.0.256, 10.1.
    let is_mistyped = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= MAX_NAME_BYTES && text.split('.').all(is_part) && !is_mistyped
}

/// The name that every resolver maps to a loopback address (RFC 6761, section 6.3).
pub(super) const LOCALHOST: &str = "localhost";

/// Bytes of a host name: 255 on the wire (RFC 1035, section 2.3.4), two of which are not in the text.
const MAX_NAME_BYTES: usize = 253;

/// Bytes of a part of a host name (RFC 1035, section 2.3.4).
const MAX_NAME_PART_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_shown_as_they_are_parsed() {
        for text in ["127.0.0.1:1", "[::1]:65535", "localhost:80", "a-b.example_x.org:12326"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        let address = Host::Address(Ipv6Addr::LOCALHOST.into());
        assert_eq!("[::1]:9".parse(), Ok(HostPort { host: address, port: 9 }));
        assert_eq!("x.org:9".parse(), Ok(HostPort { host: Host::Name("x.org".into()), port: 9 }));
    }

    #[test]
    fn a_wrong_host_or_port_is_explained() {
        for (text, why) in [
            ("127.0.0.1", "\"127.0.0.1\" has no port; write for example 127.0.0.1:12326"),
            ("[::1]", "\"[::1]\" has no port; write for example 127.0.0.1:12326"),
            ("127.0.0.1:99999", "expected a port from 1 to 65535, got \"99999\""),
            ("127.0.0.1:0", "expected a port from 1 to 65535, got \"0\""),
            ("127.0.0.1:", "expected a port from 1 to 65535, got \"\""),
            ("127.0.0.1:+80", "expected a port from 1 to 65535, got \"+80\""),
            ("::1", "an IPv6 address needs brackets; write [::1]"),
            ("2001:db8::1:2:80", "an IPv6 address needs brackets; write [2001:db8::1:2:80]"),
            ("[::1:80", "\"[::1:80\" is not an IPv6 address in brackets, such as [::1]"),
            ("[127.0.0.1]:80", "\"[127.0.0.1]\" is not an IPv6 address in brackets, such as [::1]"),
            ("[::1]x:80", "\"[::1]x\" is not an IPv6 address in brackets, such as [::1]"),
            ("127.0.0.256:80", "\"127.0.0.256\" is neither an IP address nor a host name"),
            ("12326:80", "\"12326\" is neither an IP address nor a host name"),
            (":80", "\"\" is neither an IP address nor a host name"),
            ("a..b:80", "\"a..b\" is neither an IP address nor a host name"),
            ("a b:80", "\"a b\" is neither an IP address nor a host name"),
            ("a-:80", "\"a-\" is neither an IP address nor a host name"),
            ("-a:80", "\"-a\" is neither an IP address nor a host name"),
        ] {
            assert_eq!(text.parse::<HostPort>().map_err(|e| e.to_string()), Err(why.into()), "{text}");
        }
        assert!("a".repeat(63).parse::<Host>().is_ok());
        assert!("a".repeat(64).parse::<Host>().is_err());
        assert!(["a"; 127].join(".").parse::<Host>().is_ok());
        assert!(["a"; 128].join(".").parse::<Host>().is_err());
    }

    #[test]
    fn loopback_hosts_are_recognized() {
        for host in ["127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LocalHost"] {
            assert!(host.parse::<Host>().unwrap().is_loopback(), "{host}");
        }
        for host in ["0.0.0.0", "10.0.0.1", "[::]", "[fe80::1]", "example.org", "localhost.example.org"] {
            assert!(!host.parse::<Host>().unwrap().is_loopback(), "{host}");
        }
    }

    #[test]
    fn a_server_listens_on_an_address() {
        let listen = |text: &str| text.parse::<HostPort>().unwrap().to_listen();
        assert_eq!(listen("localhost:80"), Ok("127.0.0.1:80".parse().unwrap()));
        assert_eq!(listen("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        assert_eq!(
            listen("x.org:80").map_err(|e| e.to_string()),
            Err("\"x.org\" is a host name, and a server listens on an IP address; write for example 127.0.0.1:80"
                .into())
        );
    }
}
