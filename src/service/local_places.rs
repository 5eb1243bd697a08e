//! The local Places server: an application of its own on the event loop.

use std::collections::VecDeque;
use std::fmt::Display;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::certificate::certificate;
use super::{cannot_listen, connections_max};
use crate::clock::Clocks;
use crate::config::{LOCAL_PLACES_PORT, Limits, local_places_trust};
use crate::conversation::PlacesServer;
use crate::event_loop::EventLoop;
use crate::event_loop::mio_system::MioSystem;
use crate::herd::shutdown::{self, Shutdown};
use crate::places::gazetteer::LocalPlaces;
use crate::protocol::{
    Admission, Application, Arrival, Command, ListenerTag, Notice, Quota, TlsListener, WaterMarks,
};
use crate::tls;

/// Runs the local Places server with these places until SIGTERM or SIGINT. Its root certificate is written to the
/// [`local_places_trust`] of its port.
pub fn run(listen: SocketAddr, places: LocalPlaces) -> Result<(), String> {
    let failed = |error: &dyn Display| format!("the local Places server cannot start: {error}");
    let mut system = MioSystem::new().map_err(|error| failed(&error))?;
    let listener = system
        .listen(listen, ListenerTag(0))
        .map_err(|error| cannot_listen("the local Places server", listen, &error))?;
    let (tls, root) = certificate(listen).map_err(|error| failed(&error))?;
    let root_file = local_places_trust(listen.port());
    write_root(&root_file, &root)
        .map_err(|error| format!("{} cannot be written: {error}", root_file.display()))?;
    if listen.port() == LOCAL_PLACES_PORT
        && let Some(shared) = shared_root_file()
    {
        // Without it, only herds of the same folder can use this server.
        let _ = write_root(&shared, &root);
    }
    let connections_max = connections_max(Limits::default().max_connections, 0);
    let application = PlacesApplication {
        places: Rc::new(places),
        shared: (),
        shutdown: Shutdown::default(),
        commands: VecDeque::new(),
    };
    let mut event_loop = EventLoop::new(system, application, WaterMarks::default());
    let settings = Rc::new(tls::Server::new(tls));
    let tls = TlsListener { settings, handshake_max: HANDSHAKE_MAX, with_plain_text: false };
    event_loop.add_listener(listener, Some(tls), Quota { connections_max, spare: 0, per_address: 0 });
    super::run(&mut event_loop, |_| {})
}

/// The copy of the root certificate of the usual port, for the herds of other folders of the same user: in a
/// folder that no other user can write. `None`: there is no such folder.
pub fn shared_root_file() -> Option<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("herd-places-{user}"));
    // Fails if the folder exists already.
    let _ = fs::DirBuilder::new().mode(0o700).create(&folder);
    let found = fs::symlink_metadata(&folder).ok()?;
    let is_own = found.is_dir() && found.uid() == user && found.mode() & WRITABLE_BY_OTHERS == 0;
    is_own.then(|| folder.join("places-ca.pem"))
}

struct PlacesApplication {
    places: Rc<LocalPlaces>,
    shared: (),
    shutdown: Shutdown,
    commands: VecDeque<Command<PlacesServer, Tag>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    DrainingOver,
    ClosingOver,
}

impl PlacesApplication {
    fn shut_down(&mut self, step: Option<shutdown::Step>) {
        match step {
            None => {}
            Some(shutdown::Step::DrainUntil(at)) => {
                self.commands.push_back(Command::Timer { at, tag: Tag::DrainingOver });
                self.commands.push_back(Command::Drain);
            }
            Some(shutdown::Step::CloseUntil(at)) => {
                self.commands.push_back(Command::Timer { at, tag: Tag::ClosingOver });
                self.commands.push_back(Command::ShutDown);
            }
            Some(shutdown::Step::Exit) => self.commands.push_back(Command::Exit),
        }
    }
}

impl Application for PlacesApplication {
    type Shared = ();
    type Protocol = PlacesServer;
    type Tag = Tag;

    fn shared(&mut self) -> &mut () {
        &mut self.shared
    }

    fn accepted(&mut self, _clocks: Clocks, arrival: &Arrival) -> Option<PlacesServer> {
        (arrival.admission == Admission::Admitted).then(|| PlacesServer::new(self.places.clone()))
    }

    fn notice(&mut self, clocks: Clocks, notice: Notice<Tag>) {
        match notice {
            Notice::Stop => {
                let step = self.shutdown.request(clocks.now);
                self.shut_down(Some(step));
            }
            Notice::Drained | Notice::Timer(Tag::DrainingOver) => {
                let step = self.shutdown.drained(clocks.now);
                self.shut_down(step);
            }
            Notice::Timer(Tag::ClosingOver) => self.commands.push_back(Command::Exit),
            Notice::AcceptFailed(_) | Notice::Connecting { .. } | Notice::Done { .. } => {}
        }
    }

    fn next_command(&mut self, _clocks: Clocks) -> Option<Command<PlacesServer, Tag>> {
        self.commands.pop_front()
    }
}

/// Writes a root certificate. Replaces the file in one step, so that no reader sees half of it.
pub fn write_root(file: &Path, pem: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("pem.new");
    fs::write(&new, pem)?;
    fs::rename(new, file)
}

/// The time limit of a TLS handshake, from the start of the connection: several round trips and lost packets.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The permissions to write for the group and for all.
const WRITABLE_BY_OTHERS: u32 = 0o022;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_file_lies_in_a_folder_of_this_user() {
        let file = shared_root_file().expect("the folder for temporary files can be written");
        let folder = fs::symlink_metadata(file.parent().unwrap()).unwrap();
        assert_eq!(folder.uid(), rustix::process::getuid().as_raw());
        assert_eq!(folder.mode() & WRITABLE_BY_OTHERS, 0);
    }
}
