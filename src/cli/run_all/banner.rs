//! The text that `run-all` prints when the herd is up: the servers, and a session to paste.

use super::super::check::{counted, logs};
use super::local_places::LocalPlaces;
use crate::config::{HerdFile, ServerSection};
use crate::log::Level;
use std::fmt::Write;
use std::net::SocketAddr;

/// The servers, Places and logs, and an example session. `has_key` returns whether an environment variable
/// is set.
pub(super) fn banner(herd: &HerdFile, places: &LocalPlaces, has_key: impl Fn(&str) -> bool) -> String {
    let mut text = format!("\nThe herd {} is up: {}\n\n", herd.name, counted(herd.servers.len(), "server"));
    let name_width = herd.servers.iter().map(|server| server.name.chars().count()).max().unwrap_or(0);
    let listen = |server: &ServerSection| server.listen.to_string();
    let listen_width = herd.servers.iter().map(|server| listen(server).len()).max().unwrap_or(0);
    for server in &herd.servers {
        let neighbours = match server.neighbours.as_slice() {
            [] => "no neighbours".to_owned(),
            names => format!("talks to {}", names.join(", ")),
        };
        let listen = listen(server);
        let _ = writeln!(text, "  {:name_width$}  {listen:listen_width$}  {neighbours}", server.name);
    }
    let _ = write!(text, "\nPlaces  {}\nLogs    {}\n", places_line(herd, places, has_key), logs(herd));
    let first = &herd.servers[0];
    let _ = write!(
        text,
        "\nReport a location to a server, in another terminal:\n\n{}  {IAMAT}\n",
        telnet(first.listen)
    );
    match herd.servers.last().filter(|last| last.name != first.name) {
        Some(last) => {
            let _ =
                write!(text, "\nAsk another server what is near:\n\n{}  {WHATSAT}\n", telnet(last.listen));
        }
        None => {
            let _ = write!(text, "\nAsk what is near:\n\n  {WHATSAT}\n");
        }
    }
    let _ = write!(
        text,
        "\n(Ctrl-], then quit, leaves telnet.)\n\nCtrl-C ends the herd. {}\n\n",
        what_follows(herd)
    );
    text
}

fn places_line(herd: &HerdFile, places: &LocalPlaces, has_key: impl Fn(&str) -> bool) -> String {
    let asked = herd.places_or_local();
    let url = &asked.url;
    match places {
        LocalPlaces::Stopped(_) => format!("{url}, the local Places server"),
        LocalPlaces::Running => {
            format!("{url}, a local Places server that another program has started and will end")
        }
        LocalPlaces::NotNeeded => match &asked.key_env {
            Some(variable) if has_key(variable) => {
                format!("{url} ({}, key in ${variable})", asked.api.name())
            }
            Some(variable) => format!(
                "{url} ({}), but ${variable} has no key: WHATSAT is answered with REQUEST_DENIED",
                asked.api.name()
            ),
            None => format!("{url} ({})", asked.api.name()),
        },
    }
}

fn what_follows(herd: &HerdFile) -> &'static str {
    match herd.log.level {
        Level::Off => "log.level is off, so nothing is shown until then.",
        Level::Events => {
            "Until then, the logs of all servers (UTC), without messages, because log.level is events."
        }
        Level::Traffic => "Until then, the logs of all servers (UTC):",
    }
}

fn telnet(listen: SocketAddr) -> String {
    format!("  telnet {} {}\n", listen.ip(), listen.port())
}

/// The example of docs/protocol.md: a phone at UCLA.
const IAMAT: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503";
const WHATSAT: &str = "WHATSAT kiwi.cs.ucla.edu 10 5";

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_banner_of_the_built_in_herd() {
        let expected = "
The herd bruins is up: 5 servers

  Riley     127.0.0.1:12326  talks to Jaquez, Juzang
  Jaquez    127.0.0.1:12327  talks to Riley, Bernard
  Juzang    127.0.0.1:12328  talks to Riley, Campbell, Bernard
  Campbell  127.0.0.1:12329  talks to Juzang, Bernard
  Bernard   127.0.0.1:12330  talks to Jaquez, Juzang, Campbell

Places  https://localhost:12331, the local Places server
Logs    logs/<server>.log (traffic)

Report a location to a server, in another terminal:

  telnet 127.0.0.1 12326
  IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503

Ask another server what is near:

  telnet 127.0.0.1 12330
  WHATSAT kiwi.cs.ucla.edu 10 5

(Ctrl-], then quit, leaves telnet.)

Ctrl-C ends the herd. Until then, the logs of all servers (UTC):

";
        let places = LocalPlaces::Stopped("run/places-ca.pem".into());
        assert_eq!(banner(&HerdFile::built_in(), &places, |_| false), expected);
    }

    #[test]
    fn the_banner_of_one_server_with_google_and_without_logs() {
        let text = r#"{ "herd": "h", "servers": { "A": { "listen": "[::1]:5" } },
            "places": { "key_env": "K" }, "log": { "level": "off" } }"#;
        let herd = HerdFile::parse(text, Path::new("herd.json")).unwrap();
        let text = |has_key: bool| banner(&herd, &LocalPlaces::NotNeeded, |name| has_key && name == "K");
        assert!(text(true).contains("h is up: 1 server\n\n  A  [::1]:5  no neighbours\n"), "{}", text(true));
        assert!(text(true).contains("Places  https://maps.googleapis.com (google-legacy, key in $K)\n"));
        assert!(text(false).contains("(google-legacy), but $K has no key: WHATSAT is answered with"));
        assert!(text(true).contains("Logs    off\n") && text(true).contains("nothing is shown"));
        assert!(text(true).contains("  telnet ::1 5\n") && text(true).contains("\nAsk what is near:\n"));
    }
}
