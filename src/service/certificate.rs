//! The certificate of the local Places server.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::ServerConfig;

use crate::keys::issuing::{Authority, Purpose, Subject, SubjectName, Validity, private_key};
use crate::places::trust::server_config;

/// The settings of TLS with a certificate for this machine, and its root certificate as PEM. The authority is
/// made for this one certificate; its key never leaves this function.
pub(super) fn certificate(listen: SocketAddr) -> Result<(Arc<ServerConfig>, String), Box<dyn Error>> {
    let subject = Subject { name: "herd places, made when it started", organization: None };
    let authority = Authority::self_signed(subject, VALIDITY, KeyPair::generate()?)?;
    let mut addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if !addresses.contains(&listen.ip()) {
        addresses.push(listen.ip());
    }
    let mut names = vec![SubjectName::Dns("localhost".to_owned())];
    names.extend(addresses.into_iter().map(SubjectName::Address));
    let key = KeyPair::generate()?;
    let subject = Subject { name: "herd places", organization: None };
    let issued = authority.issue(subject, names, Purpose::Server, VALIDITY, &key)?;
    Ok((server_config(vec![issued.certificate], private_key(&key))?, authority.pem().to_owned()))
}

/// From 1975 to 4095: a certificate that ends with the process needs no end of its own, and a wrong clock does
/// not matter to it.
const VALIDITY: Validity = Validity { from: 157_766_400, until: 67_090_118_399 };
