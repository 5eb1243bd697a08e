//! The start of a herd: its processes, and the wait until they accept connections.

use super::super::Failure;
use super::super::failure;
use super::super::places::default_listen;
use super::banner::banner;
use super::children::{Child, in_words};
use super::local_places::LocalPlaces;
use super::supervisor::{Activity, Member, PLACES, Stop, Supervisor, program_as_typed};
use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{self, Path};
use std::process::Command;
use std::time::{Duration, Instant};

impl Supervisor<'_> {
    /// Starts the local Places server, if it is needed, then all servers, and waits until they accept
    /// connections.
    pub(super) fn start(&mut self) -> Result<(), Stop> {
        let herd = &self.loaded.herd;
        if let LocalPlaces::Own(trust) = &self.places {
            let trust = trust.clone();
            self.start_places()?;
            self.wait_until_up(herd.servers.len(), PLACES, default_listen(), || trust.exists())?;
        }
        let file = match &self.loaded.file {
            Some(file) => Some(path::absolute(file).map_err(|error| {
                let reason = failure::in_words(&error);
                Failure::at_run_time(format!("{}: no absolute path: {reason}", file.display()))
            })?),
            None => None,
        };
        for (row, server) in herd.servers.iter().enumerate() {
            self.start_member(row, &server.name, |command| {
                command.arg("serve");
                if let Some(file) = &file {
                    command.arg("-c").arg(file);
                }
                // A name may begin with a dash.
                command.arg("--").arg(&server.name);
            })?;
        }
        for (row, server) in herd.servers.iter().enumerate() {
            self.wait_until_up(row, &server.name, server.listen, || true)?;
        }
        self.wait_until_quiet()?;
        self.is_up = true;
        let has_key = |name: &str| env::var_os(name).is_some_and(|key| !key.is_empty());
        let send = format!("{} send{}", program_as_typed(), self.option);
        self.print(&banner(herd, &self.places, &send, self.screen.columns(), has_key))
    }

    /// Starts the local Places server in the folder in which the servers expect its certificate.
    pub(super) fn start_places(&mut self) -> Result<(), Stop> {
        let herd = &self.loaded.herd;
        let folder = if herd.folder.as_os_str().is_empty() { Path::new(".") } else { &herd.folder };
        self.start_member(herd.servers.len(), PLACES, |command| {
            command.arg("places").current_dir(folder);
        })
    }

    fn start_member(&mut self, row: usize, name: &str, arguments: impl Fn(&mut Command)) -> Result<(), Stop> {
        let cannot =
            |error| Failure::at_run_time(format!("{name} cannot be started: {}", failure::in_words(&error)));
        let mut command = Command::new(env::current_exe().map_err(cannot)?);
        arguments(&mut command);
        let child = Child::start(name, &mut command).map_err(cannot)?;
        self.members.push(Member { child, row, end_was_reported: false });
        Ok(())
    }

    fn wait_until_up(
        &mut self,
        row: usize,
        name: &str,
        listen: SocketAddr,
        is_ready: impl Fn() -> bool,
    ) -> Result<(), Stop> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let accepts = TcpStream::connect_timeout(&reachable(listen), CONNECT_TIMEOUT).is_ok();
            let ended = self.members.iter_mut().position(|member| member.child.end().is_some());
            if let Some(index) = ended {
                if !(self.is_places(index) && self.share_places()) {
                    let child = &mut self.members[index].child;
                    let reason = child.end().map(in_words).unwrap_or_default();
                    return Err(not_started(child, &reason).into());
                }
                // Another herd has started one at the same time.
                if row == self.loaded.herd.servers.len() {
                    return Ok(());
                }
            }
            if accepts && is_ready() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let reason = format!("it does not accept connections on {listen} after {START_TIMEOUT:?}");
                let member = self.members.iter_mut().find(|member| member.row == row);
                return Err(match member {
                    Some(member) => not_started(&mut member.child, &reason).into(),
                    None => Failure::at_run_time(format!("{name} has not started: {reason}")).into(),
                });
            }
            self.turn()?;
        }
    }

    /// Waits until the neighbours are connected, so that the banner does not promise too much.
    fn wait_until_quiet(&mut self) -> Result<(), Stop> {
        let deadline = Instant::now() + QUIET_TIMEOUT;
        let mut quiet_since = Instant::now();
        while Instant::now() < deadline && quiet_since.elapsed() < QUIET {
            if self.turn()? == Activity::Active {
                quiet_since = Instant::now();
            }
        }
        Ok(())
    }
}

/// The failure of a start, with the standard error of the child, or else `reason`.
fn not_started(child: &mut Child, reason: &str) -> Failure {
    let lines = child.last_stderr().join("; ");
    let reason = if lines.is_empty() { reason } else { &lines };
    Failure::at_run_time(format!("{} could not be started, and the others were ended: {reason}", child.name))
}

/// The address to dial for a listener, which may listen on every address of this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A server takes milliseconds, Places as long as it makes its key. A busy machine may take seconds.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// On one machine a connection is accepted or refused at once.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Neighbours retry after at most a second; most connect within a tenth of that.
const QUIET: Duration = Duration::from_millis(250);
const QUIET_TIMEOUT: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_reached_on_this_machine() {
        let reached = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(reached("[::]:1"), "[::1]:1");
        assert_eq!(reached("127.0.0.2:1"), "127.0.0.2:1");
    }

    #[test]
    fn the_error_of_a_child_is_reported() {
        let failing = |script: &str| {
            let mut child = Child::start("Riley", Command::new("/bin/sh").args(["-c", script])).unwrap();
            child.wait();
            let end = in_words(child.end().unwrap());
            not_started(&mut child, &end).to_string()
        };
        assert_eq!(failing("exit 3"), "Riley could not be started, and the others were ended: exit status 3");
        assert_eq!(
            failing("echo herd: the key is gone >&2; exit 1"),
            "Riley could not be started, and the others were ended: the key is gone"
        );
    }
}
