//! The programs that run on the event loop: a server of a herd, and the local Places server. Joins the
//! operating system, the event loop and the application, with settings from the herd file.

mod certificate;
mod http_check;
mod local_places;
mod places_check;
mod process;

use std::fmt::Display;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::UnixTime;

use crate::config;
use crate::conversation::{Identity, Server};
use crate::event_loop::mio_system::MioSystem;
use crate::event_loop::system::System;
use crate::event_loop::{EventLoop, Turn};
use crate::herd::{Herd, JournalDriver, LinkSettings, PlacesSettings, Reads, Settings, WebSettings};
use crate::keys::{self, Expiry};
use crate::log::{Log, LogFile, warn};
use crate::protocol::{Application, ListenerTag, WaterMarks};
use crate::store::journal::{self, disk::OsFolder};
use crate::text::peer_line::Epoch;
use crate::tls::LinkKeys;

pub use crate::text::system_error::in_words;
pub use local_places::{run as places, shared_root_file, write_root};

/// Checks the key and the root certificates of Places, as a server does when it starts. The error is one line
/// without the key.
pub fn check_places(herd: &config::HerdFile) -> Result<(), String> {
    places_check::key(herd)?;
    places_check::trust(herd)
}

/// Checks the folders of the stores on disk that are here: whether they belong to these servers, and to no later version.
/// The error is one line.
pub fn check_stores(herd: &config::HerdFile) -> Result<(), String> {
    let Some(section) = &herd.store else { return Ok(()) };
    herd.servers.iter().try_for_each(|server| check_store(section, &herd.name, &server.name))
}

/// The files of the section `http`, as they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpFiles {
    /// The number of tokens.
    pub tokens: usize,
    /// The end of the certificate; `None`: HTTP is plain text.
    pub certificate_end: Option<Expiry>,
}

/// Checks the files of the section `http`, as a server with HTTP does when it starts. The error is one line.
pub fn check_http(herd: &config::HerdFile) -> Result<HttpFiles, String> {
    if herd.servers.iter().all(|server| server.http.is_none()) {
        return Ok(HttpFiles::default());
    }
    let (settings, certificate_end) = http_check::read(herd)?;
    Ok(HttpFiles { tokens: settings.tokens.map_or(0, |tokens| tokens.len()), certificate_end })
}

/// Runs the server `name` of a herd until SIGTERM or SIGINT. `file` is the herd file that was named; SIGHUP
/// reads it again. The error is one line for the operator.
pub fn serve(herd: &config::HerdFile, name: &str, file: Option<PathBuf>) -> Result<(), String> {
    let settings = settings(herd, name)?;
    let listen = listen_address(herd, name)?;
    let log_file = LogFile::new(&herd.log.folder, name);
    let log_path = log_file.path().to_owned();
    let mut system = MioSystem::new().map_err(|error| format!("{name} cannot start: {error}"))?;
    let listener =
        system.listen(listen, ListenerTag(0)).map_err(|error| cannot_listen(name, listen, &error))?;
    let for_neighbours = match peers_address(herd, name) {
        None => None,
        Some(address) => Some(
            system.listen(address, ListenerTag(1)).map_err(|error| cannot_listen(name, address, &error))?,
        ),
    };
    let for_web = match http_address(herd, name) {
        None => None,
        Some(address) => {
            let tag = ListenerTag(if for_neighbours.is_some() { 2 } else { 1 });
            Some(system.listen(address, tag).map_err(|error| cannot_listen(name, address, &error))?)
        }
    };
    let epoch = Epoch(system.random());
    let identity = Identity { herd: herd.name.as_str().into(), name: name.into(), epoch };
    let log = Log::writing_to(name, herd.log.level, Arc::new(Mutex::new(log_file)));
    let mut server = Server::new(identity, herd.limits.clone(), herd.peers.silence, log);
    let (quota, clocks) =
        (Herd::quota(settings.connections_max, herd.limits.max_connections_per_address), system.clocks());
    server.set_time(clocks.wall);
    server.read_process = Some(process::read);
    let journal = match &herd.store {
        Some(section) => Some(open_store(section, &mut server, clocks.wall)?),
        None => None,
    };
    let application = Herd::new(server, settings, journal, system.random(), clocks);
    let mut event_loop = EventLoop::new(system, application, WaterMarks::default());
    // TLS on the listeners, if there is any, is among the first commands of the application.
    event_loop.add_listener(listener, None, quota);
    if let Some(listener) = for_neighbours {
        event_loop.add_listener(listener, None, Herd::quota_of_neighbours());
    }
    if let Some(listener) = for_web {
        event_loop.add_listener(listener, None, Herd::quota_of_web(quota));
    }
    // Before the first line is written, so that the operator learns at once that the log cannot be written.
    event_loop.update(Herd::reopen_log);
    run(&mut event_loop, |event_loop| {
        let read = config::HerdFile::find(file.as_deref()).map_err(|error| error.to_string());
        let read = read.and_then(|changed| changed_settings(herd, &changed, name));
        if let Err(why) = &read {
            warn(format_args!("{name} keeps its settings: {why}"));
        }
        event_loop.update(|herd, clocks| herd.reload(read, clocks));
    })?;
    let (patience, store) = match &herd.store {
        Some(section) => (LAST_BATCHES_MAX, format!(" or {}", section.folder.join(name).display())),
        None => (LAST_LINES_MAX, String::new()),
    };
    if !event_loop.finish(patience).map_err(|error| format!("poll failed: {error}"))? {
        warn(format_args!(
            "{name} has ended before everything was written: {}{store} took nothing for {patience:?}, or a second signal \
             came",
            log_path.display()
        ));
    }
    Ok(())
}

/// Reads the store of a server from its folder, and begins to write there.
fn open_store(
    section: &config::StoreSection,
    server: &mut Server,
    wall: u64,
) -> Result<JournalDriver, String> {
    let name = server.identity.name.clone();
    let path = section.folder.join(&*name);
    let cannot = |problem: &dyn Display| cannot_use(&name, &path, problem);
    // Before the lock is made: nothing is changed in the folder of another server.
    check_store(section, &server.identity.herd, &name)?;
    let folder = OsFolder::to_write(&path).map_err(|error| cannot(&in_words(&error)))?;
    let in_use = "another server has it, perhaps the same one: end that, or give this one another store.dir";
    let folder = Box::new(folder.ok_or_else(|| cannot(&in_use))?);
    let opened = JournalDriver::open(folder, section.sync, server, wall / NANOSECONDS, Reads::default());
    let (journal, messages) = opened.map_err(|problem| cannot(&problem))?;
    for message in messages {
        warn(format_args!("store of {name}: {message}"));
    }
    Ok(journal)
}

fn check_store(section: &config::StoreSection, herd: &str, name: &str) -> Result<(), String> {
    let path = section.folder.join(name);
    if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    let checked = journal::check(&OsFolder::to_read(&path), herd, name);
    checked.map_err(|refused| cannot_use(name, &path, &refused))
}

fn cannot_use(name: &str, path: &Path, problem: &dyn Display) -> String {
    format!("the store of {name} in {} cannot be used: {problem}", path.display())
}

/// Runs a loop until it is over.
fn run<A: Application>(
    event_loop: &mut EventLoop<MioSystem, A>,
    reload: impl Fn(&mut EventLoop<MioSystem, A>),
) -> Result<(), String> {
    loop {
        match event_loop.turn() {
            Ok(Turn::Done) => {}
            Ok(Turn::Reload) => reload(event_loop),
            Ok(Turn::Over) => return Ok(()),
            Err(error) => return Err(format!("poll failed: {error}")),
        }
    }
}

fn settings(herd: &config::HerdFile, name: &str) -> Result<Settings, String> {
    let server =
        herd.server(name).ok_or_else(|| format!("there is no server {name} in the herd {}", herd.name))?;
    let address = |name: &String| herd.server(name).map(|server| (name.clone(), server.address.clone()));
    let neighbours: Vec<_> = server.neighbours.iter().filter_map(address).collect();
    let section = herd.places_or_local();
    let key = places_check::key(herd)?.map(Rc::from);
    places_check::trust(herd)?;
    // The listeners for lines and for HTTP have as many connections each.
    let listeners = if server.http.is_some() { 2 } else { 1 };
    let kept = 4 * neighbours.len() + 2 * section.bounds.connections;
    Ok(Settings {
        connections_max: (connections_max(listeners * herd.limits.max_connections, kept) / listeners).max(1),
        limits: herd.limits.clone(),
        silence: herd.peers.silence,
        neighbours,
        links: link_settings(herd, name, server.peers.is_some())?,
        web: match server.http {
            Some(_) => http_check::read(herd)?.0,
            None => WebSettings::default(),
        },
        places: PlacesSettings { section, key },
        log_level: herd.log.level,
    })
}

/// The settings of the links of a server. A herd on loopback makes missing keys.
fn link_settings(herd: &config::HerdFile, name: &str, have_own_port: bool) -> Result<LinkSettings, String> {
    let keys = keys::of_server(herd, name, UnixTime::now()).map_err(|error| error.to_string())?;
    let Some(keys) = keys else {
        return Ok(LinkSettings { have_own_port, ..LinkSettings::default() });
    };
    let certificate_end = Expiry::of_server(name, &keys);
    let keys = LinkKeys::new(&keys).map_err(|error| format!("the keys of {name} cannot be used: {error}"))?;
    Ok(LinkSettings { keys: Some(Rc::new(keys)), certificate_end, have_own_port })
}

/// The settings of a changed herd file. The error names the key that a running server cannot change.
fn changed_settings(
    herd: &config::HerdFile,
    changed: &config::HerdFile,
    name: &str,
) -> Result<Settings, String> {
    let what = if changed.name != herd.name {
        "herd"
    } else if listen_address(changed, name)? != listen_address(herd, name)? {
        "listen"
    } else if peers_address(changed, name) != peers_address(herd, name) {
        "peers"
    } else if http_address(changed, name) != http_address(herd, name) {
        "http"
    } else if changed.http.certificate.is_some() != herd.http.certificate.is_some() {
        "http.certificate"
    } else if changed.peers.tls != herd.peers.tls {
        "peers.tls"
    } else if changed.log.folder != herd.log.folder {
        "log.dir"
    } else if store_folder(changed) != store_folder(herd) {
        "store.dir"
    } else if changed.store != herd.store {
        "store.sync"
    } else {
        return settings(changed, name);
    };
    Err(format!("`{what}` cannot change while the server runs; stop it and start it again"))
}

fn listen_address(herd: &config::HerdFile, name: &str) -> Result<SocketAddr, String> {
    let server =
        herd.server(name).ok_or_else(|| format!("there is no server {name} in the herd {}", herd.name))?;
    Ok(server.listen)
}

fn peers_address(herd: &config::HerdFile, name: &str) -> Option<SocketAddr> {
    herd.server(name).and_then(|server| server.peers)
}

fn http_address(herd: &config::HerdFile, name: &str) -> Option<SocketAddr> {
    herd.server(name).and_then(|server| server.http)
}

fn store_folder(herd: &config::HerdFile) -> Option<&Path> {
    herd.store.as_ref().map(|store| &*store.folder)
}

/// The error of a port that cannot be bound, as one line.
pub fn cannot_listen(program: &str, address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has that port, perhaps the same herd: end it, or choose another port"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    };
    format!("{program} cannot listen on {address}: {}{advice}", in_words(error))
}

/// The connections that may be accepted, so that this many file descriptors are left for neighbours and Places.
fn connections_max(wanted: usize, kept: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // The soft limit exists for programs that use select(2); this one does not.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let descriptors = if raised.is_ok() { maximum } else { current };
    let descriptors =
        descriptors.map_or(usize::MAX, |descriptors| usize::try_from(descriptors).unwrap_or(usize::MAX));
    let reserve = kept + OWN_DESCRIPTORS;
    wanted.min(descriptors.saturating_sub(reserve).max(descriptors / 4)).max(1)
}

/// How long a server that ends waits for its last log lines to be written: a disk that works needs milliseconds, and
/// one that hangs must not keep the process.
const LAST_LINES_MAX: Duration = Duration::from_secs(2);
/// The same with a store on disk: a disk that has fallen behind has at most the newest statement of each client to write, and
/// what is not written then has to come from the neighbours.
const LAST_BATCHES_MAX: Duration = Duration::from_secs(10);
/// Nanoseconds of a second.
const NANOSECONDS: u64 = 1_000_000_000;
/// Descriptors for the poll, the listener, signals, the log, the herd file while it is read, and the spare
/// connections of the listener.
const OWN_DESCRIPTORS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_changed_too_much_is_refused() {
        let herd = config::HerdFile::built_in();
        let changed = |change: &dyn Fn(&mut config::HerdFile)| {
            let mut changed = herd.clone();
            change(&mut changed);
            changed_settings(&herd, &changed, "Riley").map(|settings| settings.neighbours.len())
        };
        assert_eq!(changed(&|_| {}), Ok(2));
        assert!(changed(&|herd| herd.name = "x".into()).unwrap_err().contains("`herd`"));
        assert!(changed(&|herd| herd.servers[0].listen.set_port(1)).unwrap_err().contains("`listen`"));
        let peers = Some("127.0.0.1:9".parse().unwrap());
        assert!(changed(&|herd| herd.servers[0].peers = peers).unwrap_err().contains("`peers`"));
        let http = Some("127.0.0.1:9".parse().unwrap());
        assert!(changed(&|herd| herd.servers[0].http = http).unwrap_err().contains("`http`"));
        let certificate = config::HttpCertificate { chain: "x".into(), key: "y".into() };
        let over_tls = changed(&|herd| herd.http.certificate = Some(certificate.clone()));
        assert!(over_tls.unwrap_err().contains("`http.certificate`"));
        let missing = changed(&|herd| herd.http.tokens = Some("no such folder/x".into()));
        assert!(missing.unwrap_err().starts_with("http.tokens: no such folder/x: no such file"));
        assert!(changed(&|herd| herd.peers.tls ^= true).unwrap_err().contains("`peers.tls`"));
        assert!(changed(&|herd| herd.log.folder = "x".into()).unwrap_err().contains("`log.dir`"));
        assert!(changed(&|herd| herd.servers[0].name = "x".into()).unwrap_err().contains("no server Riley"));
    }

    #[test]
    fn the_store_on_disk_stays_as_it_is_while_the_server_runs() {
        let store = |folder: &str, sync| Some(config::StoreSection { folder: folder.into(), sync });
        let with = |store| config::HerdFile { store, ..config::HerdFile::built_in() };
        let (every_second, always) = (config::Sync::EverySecond, config::Sync::Always);
        let refused = |old, new| changed_settings(&with(old), &with(new), "Riley").err().unwrap_or_default();
        assert_eq!(refused(store("x", always), store("x", always)), "");
        assert!(refused(store("x", always), store("y", always)).contains("`store.dir`"));
        assert!(refused(store("x", always), None).contains("`store.dir`"));
        assert!(refused(None, store("x", every_second)).contains("`store.dir`"));
        assert!(refused(store("x", every_second), store("x", always)).contains("`store.sync`"));
    }

    #[test]
    fn descriptors_are_kept_for_neighbours_and_places() {
        assert!(connections_max(usize::MAX, 144) < usize::MAX);
        assert_eq!(connections_max(1, 144), 1);
        assert_eq!(connections_max(usize::MAX, 10), connections_max(usize::MAX, 20) + 10);
    }
}
