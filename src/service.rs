//! A server of the herd, and the local Places server, as a program runs them: the loop on the real
//! network, with settings from the herd file.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::PrivateKeyDer;

use crate::config::{Herd, LOCAL_PLACES_PORT, LOCAL_PLACES_TRUST, PlacesSection};
use crate::event_loop::mio_system::MioSystem;
use crate::event_loop::system::System;
use crate::event_loop::tls::server_config;
use crate::event_loop::{Acceptor, EventLoop, PlacesSettings, Settings, Turn};
use crate::log::{Level, Log, LogFile, warn};
use crate::places::gazetteer::Gazetteer;
use crate::places::pool::RUNNING_MAX;
use crate::protocol::{Identity, Server, WaterMarks};
use crate::text::peer_line::Epoch;

/// Runs the server `name` of a herd until it is told to end. `file` is the herd file that was named,
/// which is read again on SIGHUP. The error says what failed and why.
pub fn serve(herd: &Herd, name: &str, file: Option<PathBuf>) -> Result<(), String> {
    let settings = settings(herd, name)?;
    let listen = listen_address(herd, name)?;
    let log_file = LogFile::new(&herd.log.folder, name);
    let mut network = MioSystem::new(log_file).map_err(|error| format!("{name} cannot start: {error}"))?;
    let listener = network.listen(listen).map_err(|error| cannot_listen(name, listen, &error))?;
    if herd.log.level > Level::Off {
        // Before there is something to write: whoever starts a server wants to know now that it cannot.
        network.open_log();
    }
    let epoch = Epoch(network.random());
    let identity = Identity { herd: herd.name.as_str().into(), name: name.into(), epoch };
    let log = Log::new(name, herd.log.level);
    let server = Server::new(identity, herd.limits.clone(), herd.peers.silence, log);
    let event_loop =
        EventLoop::new(network, listener, Acceptor::Herd, server, settings, WaterMarks::default());
    run(event_loop, |event_loop| {
        let read = Herd::find(file.as_deref()).map_err(|error| error.to_string());
        match read.and_then(|changed| changed_settings(herd, &changed, name)) {
            Ok(settings) => event_loop.apply(settings),
            Err(why) => warn(format_args!("{name} keeps its settings: {why}")),
        }
        if event_loop.server().log.level() > Level::Off {
            event_loop.system().open_log();
        }
    })
}

/// Runs the local Places server until it is told to end. Its root certificate is written to the
/// [`root_file`] of its port.
pub fn places(listen: SocketAddr) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("the local Places server cannot start: {error}");
    let gazetteer = Rc::new(Gazetteer::embedded().map_err(|error| failed(&error))?);
    let mut network =
        MioSystem::new(LogFile::new(Path::new(""), "places")).map_err(|error| failed(&error))?;
    let listener =
        network.listen(listen).map_err(|error| cannot_listen("the local Places server", listen, &error))?;
    let (tls, root) = certificate(listen).map_err(|error| failed(&error))?;
    let root_file = root_file(listen.port());
    write_root(&root_file, &root)
        .map_err(|error| format!("{} cannot be written: {error}", root_file.display()))?;
    let identity = Identity { herd: "places".into(), name: "places".into(), epoch: Epoch(0) };
    let herd = Herd::built_in();
    let log = Log::new("places", Level::Off);
    let server = Server::new(identity, herd.limits.clone(), herd.peers.silence, log);
    let settings = Settings {
        connections_max: connections_max(herd.limits.max_connections, 0),
        limits: herd.limits,
        silence: herd.peers.silence,
        neighbours: Vec::new(),
        places: PlacesSettings { places: PlacesSection::default(), key: None },
        log_level: Level::Off,
    };
    let acceptor = Acceptor::Places { gazetteer, tls: Some(tls) };
    run(EventLoop::new(network, listener, acceptor, server, settings, WaterMarks::default()), |_| {})
}

/// Where the local Places server that listens at this port writes its root certificate, from the
/// current folder: `run/places-ca.pem` where servers look for it, `run/places-ca-PORT.pem` elsewhere, so
/// that one that is tried beside a herd does not take its place.
pub fn root_file(port: u16) -> PathBuf {
    match port {
        LOCAL_PLACES_PORT => LOCAL_PLACES_TRUST.into(),
        _ => format!("run/places-ca-{port}.pem").into(),
    }
}

fn run(
    mut event_loop: EventLoop<MioSystem>,
    reload: impl Fn(&mut EventLoop<MioSystem>),
) -> Result<(), String> {
    loop {
        match event_loop.turn() {
            Ok(Turn::Done) => {}
            Ok(Turn::Reload) => reload(&mut event_loop),
            Ok(Turn::Over) => return Ok(()),
            Err(error) => return Err(format!("the system cannot tell what happens on the network: {error}")),
        }
    }
}

fn settings(herd: &Herd, name: &str) -> Result<Settings, String> {
    let server =
        herd.server(name).ok_or_else(|| format!("there is no server {name} in the herd {}", herd.name))?;
    let address = |name: &String| herd.server(name).map(|server| (name.clone(), server.address.clone()));
    let neighbours: Vec<_> = server.neighbours.iter().filter_map(address).collect();
    let places = herd.places_or_local();
    // A variable that is set to nothing holds no key.
    let key = places
        .key_env
        .as_ref()
        .and_then(|variable| std::env::var(variable).ok())
        .filter(|key| !key.is_empty())
        .map(Rc::from);
    Ok(Settings {
        connections_max: connections_max(herd.limits.max_connections, neighbours.len()),
        limits: herd.limits.clone(),
        silence: herd.peers.silence,
        neighbours,
        places: PlacesSettings { places, key },
        log_level: herd.log.level,
    })
}

/// The settings of a herd file that has changed, if a running server can take them over.
fn changed_settings(herd: &Herd, changed: &Herd, name: &str) -> Result<Settings, String> {
    let settings = settings(changed, name)?;
    let what = if changed.name != herd.name {
        "herd"
    } else if listen_address(changed, name)? != listen_address(herd, name)? {
        "listen"
    } else if changed.log.folder != herd.log.folder {
        "log.dir"
    } else {
        return Ok(settings);
    };
    Err(format!("`{what}` cannot change while it runs; end it and start it anew"))
}

fn listen_address(herd: &Herd, name: &str) -> Result<SocketAddr, String> {
    let server =
        herd.server(name).ok_or_else(|| format!("there is no server {name} in the herd {}", herd.name))?;
    Ok(server.listen)
}

fn cannot_listen(who: &str, address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program has that port, perhaps the same server",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    };
    format!("{who} cannot listen at {address}: {error}{advice}")
}

/// How many connections may be accepted so that neighbours and Places never lack a descriptor.
fn connections_max(wanted: usize, neighbours: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // The soft limit is a courtesy to programs that use select(); a server takes what it may.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let descriptors = if raised.is_ok() { maximum } else { current };
    let descriptors =
        descriptors.map_or(usize::MAX, |descriptors| usize::try_from(descriptors).unwrap_or(usize::MAX));
    let reserve = 4 * neighbours + 2 * RUNNING_MAX + DESCRIPTORS_OF_ITS_OWN;
    wanted.min(descriptors.saturating_sub(reserve).max(descriptors / 4)).max(1)
}

/// Descriptors for the poll, the listener, signals, the log, a herd file that is read, and newcomers
/// beyond the limit.
const DESCRIPTORS_OF_ITS_OWN: usize = 32;

/// A certificate for this machine under an authority of its own, and that authority's root as PEM.
/// The authority's key never leaves this function.
fn certificate(
    listen: SocketAddr,
) -> Result<(std::sync::Arc<rustls::ServerConfig>, String), Box<dyn std::error::Error>> {
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.distinguished_name.push(DnType::CommonName, "herd places, made when it started");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.push(listen.ip().to_string());
    names.dedup();
    let mut parameters = CertificateParams::new(names)?;
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Ok((server_config(certificate.der().clone(), key)?, authority.pem()))
}

/// Replaces the file in one step, so that nobody reads half of it.
fn write_root(file: &Path, pem: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("pem.new");
    fs::write(&new, pem)?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_changed_too_much_is_refused() {
        let herd = Herd::built_in();
        let changed = |change: &dyn Fn(&mut Herd)| {
            let mut changed = herd.clone();
            change(&mut changed);
            changed_settings(&herd, &changed, "Riley").map(|settings| settings.neighbours.len())
        };
        assert_eq!(changed(&|_| {}), Ok(2));
        assert!(changed(&|herd| herd.name = "x".into()).unwrap_err().contains("`herd`"));
        assert!(changed(&|herd| herd.servers[0].listen.set_port(1)).unwrap_err().contains("`listen`"));
        assert!(changed(&|herd| herd.log.folder = "x".into()).unwrap_err().contains("`log.dir`"));
        assert!(changed(&|herd| herd.servers[0].name = "x".into()).unwrap_err().contains("no server Riley"));
    }

    #[test]
    fn only_where_servers_look_for_it_has_it_the_name_that_they_look_for() {
        assert_eq!(root_file(12331), Path::new("run/places-ca.pem"));
        assert_eq!(root_file(9000), Path::new("run/places-ca-9000.pem"));
    }

    #[test]
    fn descriptors_are_kept_for_neighbours_and_places() {
        assert!(connections_max(usize::MAX, 4) < usize::MAX);
        assert_eq!(connections_max(1, 4), 1);
    }
}
