//! `herd run-all`: a whole herd as child processes, with a live view of their logs.
//!
//! One thread polls the logs, the standard error and the state of the children, and its own signals. The
//! children end when this process ends, even by SIGKILL.

mod banner;
mod children;
mod local_places;
mod narration;
mod places_reply;
mod screen;
mod starting;
mod supervisor;
mod tail;

use super::Failure;
use super::arguments::{Arguments, CommandOption, Subcommand};
use super::failure::in_words;
use super::loaded_herd::LoadedHerd;
use crate::event_loop::terminal::Terminal;
use crate::service::cannot_listen;
use local_places::LocalPlaces;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::{SocketAddr, TcpListener};
use supervisor::{Stop, Supervisor};

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "run-all",
    usage: "run-all [-c FILE]",
    summary: "the whole herd, until Ctrl-C",
    help: HELP,
    options: &[CommandOption::HERD_FILE],
    operands: &[],
    run,
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = LoadedHerd::find(arguments)?;
    let terminal = Terminal::at_start();
    // From here on Ctrl-C does not end this process at once, so that every child is ended first.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Failure::at_run_time(format!("signals cannot be handled: {}", in_words(&error))))?;
    for server in &loaded.herd.servers {
        require_free_port(&server.name, server.listen)?;
    }
    let places = LocalPlaces::find(&loaded.herd)?;
    let mut supervisor = Supervisor::new(&loaded, arguments, signals, terminal, places);
    let Err(stop) = supervisor.start().and_then(|()| supervisor.watch());
    supervisor.end();
    match stop {
        Stop::Requested => Ok(()),
        Stop::Failed(failure) => Err(failure),
    }
}

/// Checks that a port is free before a server is started. Later a connection to it would not show which
/// process accepted it.
fn require_free_port(name: &str, listen: SocketAddr) -> Result<(), Failure> {
    match TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::at_run_time(cannot_listen(name, listen, &error))),
    }
}

const HELP: &str = "\
herd run-all [-c FILE]

Starts every server of the herd, and the local Places server if the herd file
names no other and none runs yet, and waits until they accept connections.
Then prints how to talk to them, and shows live what happens: commands and
replies, flooding (kiwi → Jaquez, Juzang), servers that come and go. Each row
has its time (UTC) and the name of the server. The logs have the rest. Ctrl-C
ends all.

If a server fails, the others go on without it. Try it: kill one.

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help

Environment
  NO_COLOR     if it is set, names have no colours; outside a terminal they
               never have

Signals
  SIGINT (Ctrl-C), SIGTERM   shut down all servers gracefully; a second one
                             kills them
  SIGHUP                     is forwarded: the servers read the herd file again;
                             from a terminal that was closed, it ends the herd

Example
  herd run-all                           the built-in herd of five
  telnet 127.0.0.1 12326                 in another terminal: talk to Riley
  herd run-all -c herds/report-003.json  another herd

Exit status
  0  shut down gracefully
  1  a server could not be started, or all of them ended by themselves
  2  the command line or the herd file is wrong
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn a_taken_port_is_an_error() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = other.local_addr().unwrap();
        let failure = require_free_port("Riley", listen).unwrap_err();
        assert_eq!(failure.status, 1);
        let begin = format!("Riley cannot listen on {listen}: Address already in use; another program has");
        assert!(failure.to_string().starts_with(&begin), "{failure}");
        drop(other);
        // A process that another test starts keeps the port until its exec.
        let deadline = Instant::now() + Duration::from_secs(10);
        while require_free_port("Riley", listen).is_err() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(10));
        }
        // No machine has an address of 192.0.2.0/24, which is for documentation (RFC 5737).
        let failure = require_free_port("Riley", "192.0.2.1:1".parse().unwrap()).unwrap_err();
        assert!(failure.to_string().contains("does not have that address"), "{failure}");
    }
}
