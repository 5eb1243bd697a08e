//! `herd run-all`: a whole herd as child processes, and what it does while it runs.
//!
//! One thread does everything in turns: it shows what the servers log and say, and looks after their
//! processes and its own signals. The children end with this process, however it ends.

mod children;
mod follow;
mod local_places;
mod screen;
mod shepherd;
mod starting;
mod welcome;

use super::Failure;
use super::arguments::{Command, Given, Takes};
use super::failure::in_words;
use super::which_herd::WhichHerd;
use local_places::LocalPlaces;
use shepherd::{Shepherd, Stop};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Its row in the table of commands.
pub(super) const COMMAND: Command = Command {
    name: "run-all",
    usage: "run-all [-c FILE]",
    summary: "the whole herd, until Ctrl-C",
    help: HELP,
    option: Takes::HerdFile,
    operands: &[],
    run,
};

fn run(given: &Given) -> Result<(), Failure> {
    let which = WhichHerd::find(given)?;
    // From here on Ctrl-C is a wish that is looked after, so that no child is left behind.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Failure::at_run_time(format!("signals cannot be handled: {}", in_words(&error))))?;
    for server in &which.herd.servers {
        require_free_port(&server.name, server.listen)?;
    }
    let places = LocalPlaces::look(&which.herd)?;
    let mut shepherd = Shepherd::new(&which, given, signals);
    let Err(stop) = shepherd.start(places).and_then(|()| shepherd.watch());
    shepherd.end();
    match stop {
        Stop::Wanted => Ok(()),
        Stop::Failed(failure) => Err(failure),
    }
}

/// A connection that is accepted says nothing about who accepts it, so the port must be free before.
fn require_free_port(name: &str, listen: SocketAddr) -> Result<(), Failure> {
    match TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(error) => {
            let cure = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "does this herd run already? end what listens there, or give the server another port in \
                     the herd file"
                }
                _ => "give the server another address in the herd file",
            };
            Err(Failure::at_run_time(format!(
                "{name} cannot listen on {listen}: {}; {cure}",
                in_words(&error)
            )))
        }
    }
}

const HELP: &str = "\
herd run-all [-c FILE]

Starts every server of the herd, and the local Places server if the herd file
names no other, and waits until all of them can be reached. Then says how to
talk to them, and shows what they log as it happens, each line with its time
(UTC) and the server's name. Ctrl-C ends all.

A server that fails does not stop the others: the herd goes on without it. Try
it: kill one, and look.

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help

Environment
  NO_COLOR     if it is set, names have no colours; nor have they where the
               output is no terminal

Signals
  SIGINT (Ctrl-C), SIGTERM   end all servers in order; a second one kills them
  SIGHUP                     is passed on: the servers read the herd file again

Example
  herd run-all                           the built-in herd of five
  telnet 127.0.0.1 12326                 in another terminal: talk to Riley
  herd run-all -c herds/report-003.json  another herd

Exit status
  0  ended in order
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
        let begin = format!("Riley cannot listen on {listen}: Address already in use; does this herd run");
        assert!(failure.to_string().starts_with(&begin), "{failure}");
        drop(other);
        // A process that another test starts keeps the port until its exec.
        let deadline = Instant::now() + Duration::from_secs(10);
        while require_free_port("Riley", listen).is_err() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(10));
        }
        // 192.0.2.0/24 is for examples, so no machine has it.
        let failure = require_free_port("Riley", "192.0.2.1:1".parse().unwrap()).unwrap_err();
        assert!(failure.to_string().contains("another address"), "{failure}");
    }
}
