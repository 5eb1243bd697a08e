//! `herd places`: the local Places server.

use super::arguments::{Arguments, CommandOption, Subcommand};
use super::{Failure, end_with_parent};
use crate::config::{HostPort, LOCAL_PLACES_PORT, ParseError};
use crate::service;
use std::net::{Ipv4Addr, SocketAddr};

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "places",
    usage: "places [-l HOST:PORT]",
    summary: "the local Places server, without a key",
    help: HELP,
    options: &[CommandOption::LISTEN],
    operands: &[],
    run,
};

/// The address of the local Places server without `-l`, at which the servers of a herd expect it.
pub(super) fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, LOCAL_PLACES_PORT).into()
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    end_with_parent()?;
    let listen = match arguments.value(CommandOption::LISTEN) {
        Some(text) => listen(text)?,
        None => default_listen(),
    };
    service::places(listen).map_err(Failure::at_run_time)
}

fn listen(text: &str) -> Result<SocketAddr, Failure> {
    text.parse()
        .and_then(|place: HostPort| place.to_listen())
        .map_err(|error: ParseError| Failure::usage(format!("-l HOST:PORT: {error}; see herd places --help")))
}

const HELP: &str = "\
herd places [-l HOST:PORT]

Runs the local Places server. It answers Nearby Search requests in Google's
format over TLS, from towns and airports that are built into this program. It
needs no key and no network. Servers ask it if their herd file has no section
places. herd run-all starts it.

It writes its root certificate to run/places-ca.pem in the current folder.
Servers read that file beside their herd file, so start it in that folder.
At a port P other than 12331 the file is run/places-ca-P.pem; then the section
places of the herd file must name the URL and the file, and key_env null.

Options
  -l HOST:PORT   the address to listen on; without it 127.0.0.1:12331, where
                 servers expect it
  -h, --help     this help

Signals
  SIGINT (Ctrl-C), SIGTERM   shut down gracefully; so does SIGHUP from a
                             terminal that was closed

Example
  herd places                          in one terminal
  curl --cacert run/places-ca.pem -G -d location=34.0689,-118.4451 \\
    -d radius=10000 https://localhost:12331/maps/api/place/nearbysearch/json

Exit status
  0  shut down gracefully
  1  the port is taken, or another failure at run time
  2  the command line is wrong
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_to_listen_on_is_parsed() {
        assert_eq!(default_listen().to_string(), "127.0.0.1:12331");
        assert_eq!(listen("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        let failure = listen("127.0.0.1").unwrap_err();
        assert_eq!(failure.status, 2);
        assert_eq!(
            failure.to_string(),
            "-l HOST:PORT: \"127.0.0.1\" has no port; write for example 127.0.0.1:12326; \
             see herd places --help"
        );
    }
}
