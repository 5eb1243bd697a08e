//! Hosts and ports as people write them: `127.0.0.1:12326`, `[::1]:12326`, `localhost:12326`.

use super::error::{Unreadable, quoted};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A machine: an address, or a name that the resolver has to look up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
    /// A host name of 1 to 253 bytes, as it was written.
    Name(String),
}

impl Host {
    /// Whether this host is this machine for sure, so that nobody else hears what is said to it.
    /// Of names only `localhost` is.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Address(address) => address.to_canonical().is_loopback(),
            Host::Name(name) => name.eq_ignore_ascii_case(LOCALHOST),
        }
    }
}

impl FromStr for Host {
    type Err = Unreadable;

    /// Reads an IPv4 address, an IPv6 address in brackets, or a name.
    fn from_str(text: &str) -> Result<Host, Unreadable> {
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
            return address.map(|address| Host::Address(address.into())).ok_or_else(|| {
                Unreadable(format!("{} is not an IPv6 address in brackets, such as [::1]", quoted(text)))
            });
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(Unreadable(format!("an IPv6 address stands in brackets; write [{text}]")));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Host::Address(address.into()));
        }
        if is_name(text) {
            return Ok(Host::Name(text.to_owned()));
        }
        Err(Unreadable(format!("{} is neither an IP address nor a host name", quoted(text))))
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

/// A place that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The machine.
    pub host: Host,
    /// 1 to 65535 if it was read from a text.
    pub port: u16,
}

impl HostPort {
    /// The address to bind: a server binds an address of this machine, so of names only `localhost` will
    /// do, which is 127.0.0.1 here.
    pub fn to_listen(&self) -> Result<SocketAddr, Unreadable> {
        match &self.host {
            Host::Address(address) => Ok(SocketAddr::new(*address, self.port)),
            Host::Name(_) if self.host.is_loopback() => Ok((Ipv4Addr::LOCALHOST, self.port).into()),
            Host::Name(name) => Err(Unreadable(format!(
                "{} is a name, and a server listens on an address; write for example 127.0.0.1:{}",
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
    type Err = Unreadable;

    /// Reads `HOST:PORT`, the port from 1 to 65535.
    fn from_str(text: &str) -> Result<HostPort, Unreadable> {
        let (host, port) = split(text)?;
        let Some(port) = port else {
            return Err(Unreadable(format!(
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
pub(super) fn split(text: &str) -> Result<(Host, Option<u16>), Unreadable> {
    // An IPv6 address has colons of its own, and none of them is the one before the port.
    let host_end = if text.starts_with('[') { text.find(']').map_or(text.len(), |at| at + 1) } else { 0 };
    match text[host_end..].rfind(':') {
        Some(colon) if text.parse::<Ipv6Addr>().is_err() => {
            let colon = host_end + colon;
            Ok((text[..colon].parse()?, Some(port(&text[colon + 1..])?)))
        }
        _ => Ok((text.parse()?, None)),
    }
}

fn port(text: &str) -> Result<u16, Unreadable> {
    // Without the first condition `+80` would do.
    let number = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().unwrap_or(0) } else { 0 };
    if number == 0 {
        return Err(Unreadable(format!("port {} is not a number from 1 to 65535", quoted(text))));
    }
    Ok(number)
}

/// Whether `text` is a host name: letters, digits, `-` and `_` in parts of at most 63 bytes (RFC 1035).
fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        (1..=MAX_NAME_PART_BYTES).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    // A last part of digits only is an IPv4 address with a slip in it: 127.0.0.256, 10.1.
    let slipped = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= MAX_NAME_BYTES && text.split('.').all(is_part) && !slipped
}

/// The one name that is this machine wherever it is looked up.
pub(super) const LOCALHOST: &str = "localhost";

/// RFC 1035: 255 bytes on the wire, two of which the text does not have.
const MAX_NAME_BYTES: usize = 253;

/// RFC 1035: the length of a part has six bits.
const MAX_NAME_PART_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read_and_shown_alike() {
        for text in ["127.0.0.1:1", "[::1]:65535", "localhost:80", "a-b.example_x.org:12326"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        let address = Host::Address(Ipv6Addr::LOCALHOST.into());
        assert_eq!("[::1]:9".parse(), Ok(HostPort { host: address, port: 9 }));
        assert_eq!("x.org:9".parse(), Ok(HostPort { host: Host::Name("x.org".into()), port: 9 }));
    }

    #[test]
    fn what_is_no_host_and_port_is_explained() {
        for (text, why) in [
            ("127.0.0.1", "\"127.0.0.1\" has no port; write for example 127.0.0.1:12326"),
            ("[::1]", "\"[::1]\" has no port; write for example 127.0.0.1:12326"),
            ("127.0.0.1:99999", "port \"99999\" is not a number from 1 to 65535"),
            ("127.0.0.1:0", "port \"0\" is not a number from 1 to 65535"),
            ("127.0.0.1:", "port \"\" is not a number from 1 to 65535"),
            ("127.0.0.1:+80", "port \"+80\" is not a number from 1 to 65535"),
            ("::1", "an IPv6 address stands in brackets; write [::1]"),
            ("2001:db8::1:2:80", "an IPv6 address stands in brackets; write [2001:db8::1:2:80]"),
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
    fn loopback_is_what_never_leaves_the_machine() {
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
            Err("\"x.org\" is a name, and a server listens on an address; write for example 127.0.0.1:80"
                .into())
        );
    }
}
