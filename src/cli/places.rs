//! `herd places`: the local Places server.

use super::arguments::{Command, Given, Takes};
use super::{Failure, end_with_parent};
use crate::config::{HostPort, LOCAL_PLACES_PORT, ParseError};
use crate::service;
use std::net::{Ipv4Addr, SocketAddr};

/// Its row in the table of commands.
pub(super) const COMMAND: Command = Command {
    name: "places",
    usage: "places [-l HOST:PORT]",
    summary: "the local Places server, without a key",
    help: HELP,
    option: Takes::Listen,
    operands: &[],
    run,
};

/// Where the local Places server listens if nobody says otherwise, and where servers look for it.
pub(super) fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, LOCAL_PLACES_PORT).into()
}

fn run(given: &Given) -> Result<(), Failure> {
    end_with_parent()?;
    let listen = match &given.option {
        Some(text) => listen(text)?,
        None => default_listen(),
    };
    service::places(listen).map_err(Failure::at_run_time)
}

fn listen(text: &str) -> Result<SocketAddr, Failure> {
    text.parse().and_then(|place: HostPort| place.to_listen()).map_err(|error: ParseError| {
        Failure::of_the_question(format!("-l HOST:PORT: {error}; see herd places --help"))
    })
}

const HELP: &str = "\
herd places [-l HOST:PORT]

Runs the local Places server: it answers Nearby Search as Google's does, over
TLS, from the towns and airports that this program carries with it, without a
key and without a network. Servers whose herd file has no section places ask
it. herd run-all starts it by itself.

It leaves the root of its certificate in run/places-ca.pem in the current
folder. Servers look for that beside their herd file, so start it there.
At another port P than 12331 it is run/places-ca-P.pem; a herd file names both
in its section places.

Options
  -l HOST:PORT   where to listen; without it 127.0.0.1:12331, where servers look
                 for it
  -h, --help     this help

Signals
  SIGINT (Ctrl-C), SIGTERM   end in order

Example
  herd places                          in one terminal
  curl --cacert run/places-ca.pem -G -d location=34.0689,-118.4451 \\
    -d radius=10000 https://localhost:12331/maps/api/place/nearbysearch/json

Exit status
  0  ended in order
  1  the port is taken, or the server failed otherwise
  2  the command line is wrong
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_explained() {
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
