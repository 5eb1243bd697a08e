//! What `run-all` says when the herd is up: who is where, and a session to paste.

use super::super::check::{counted, logs};
use super::local_places::LocalPlaces;
use crate::config::{Herd, ServerSection};
use crate::log::Level;
use std::fmt::Write;
use std::net::SocketAddr;

/// Where everything is, and what to type. `has_key` says whether a variable of the environment is set.
pub(super) fn welcome(herd: &Herd, places: &LocalPlaces, has_key: impl Fn(&str) -> bool) -> String {
    let mut text = format!("\nThe herd {} is up: {}\n\n", herd.name, counted(herd.servers.len(), "server"));
    let name_width = herd.servers.iter().map(|server| server.name.chars().count()).max().unwrap_or(0);
    let place = |server: &ServerSection| server.listen.to_string();
    let place_width = herd.servers.iter().map(|server| place(server).len()).max().unwrap_or(0);
    for server in &herd.servers {
        let neighbours = match server.neighbours.as_slice() {
            [] => "talks to nobody".to_owned(),
            names => format!("talks to {}", names.join(", ")),
        };
        let place = place(server);
        let _ = writeln!(text, "  {:name_width$}  {place:place_width$}  {neighbours}", server.name);
    }
    let _ = write!(text, "\nPlaces  {}\nLogs    {}\n", places_line(herd, places, has_key), logs(herd));
    let first = &herd.servers[0];
    let _ = write!(
        text,
        "\nTell a server where you are, in another terminal:\n\n{}  {IAMAT}\n",
        telnet(first.listen)
    );
    match herd.servers.last().filter(|last| last.name != first.name) {
        Some(last) => {
            let _ = write!(text, "\nAsk another one what is near:\n\n{}  {WHATSAT}\n", telnet(last.listen));
        }
        None => {
            let _ = write!(text, "\nAsk what is near:\n\n  {WHATSAT}\n");
        }
    }
    let _ =
        write!(text, "\n(Ctrl-], then quit, leaves telnet.)\n\nCtrl-C ends it. {}\n\n", what_follows(herd));
    text
}

fn places_line(herd: &Herd, places: &LocalPlaces, has_key: impl Fn(&str) -> bool) -> String {
    let asked = herd.places_or_local();
    let url = &asked.url;
    match places {
        LocalPlaces::ToStart(_) => format!("{url}, the local Places server"),
        LocalPlaces::RunsAlready => {
            format!("{url}, a local Places server that ran already and ends with whoever started it")
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

fn what_follows(herd: &Herd) -> &'static str {
    match herd.log.level {
        Level::Off => "log.level is off, so there is nothing to show until then.",
        Level::Events => "Until then, what each server logs (UTC); log.level is events, so no messages.",
        Level::Traffic => "Until then, what each server logs (UTC):",
    }
}

fn telnet(listen: SocketAddr) -> String {
    format!("  telnet {} {}\n", listen.ip(), listen.port())
}

/// The example of the protocol: a phone at UCLA.
const IAMAT: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503";
const WHATSAT: &str = "WHATSAT kiwi.cs.ucla.edu 10 5";

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_built_in_herd_is_welcomed() {
        let expected = "
The herd bruins is up: 5 servers

  Riley     127.0.0.1:12326  talks to Jaquez, Juzang
  Jaquez    127.0.0.1:12327  talks to Riley, Bernard
  Juzang    127.0.0.1:12328  talks to Riley, Campbell, Bernard
  Campbell  127.0.0.1:12329  talks to Juzang, Bernard
  Bernard   127.0.0.1:12330  talks to Jaquez, Juzang, Campbell

Places  https://localhost:12331, the local Places server
Logs    logs/<server>.log (traffic)

Tell a server where you are, in another terminal:

  telnet 127.0.0.1 12326
  IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503

Ask another one what is near:

  telnet 127.0.0.1 12330
  WHATSAT kiwi.cs.ucla.edu 10 5

(Ctrl-], then quit, leaves telnet.)

Ctrl-C ends it. Until then, what each server logs (UTC):

";
        let places = LocalPlaces::ToStart("run/places-ca.pem".into());
        assert_eq!(welcome(&Herd::built_in(), &places, |_| false), expected);
    }

    #[test]
    fn a_herd_of_one_that_asks_google_and_keeps_no_log() {
        let text = r#"{ "herd": "h", "servers": { "A": { "listen": "[::1]:5" } },
            "places": { "key_env": "K" }, "log": { "level": "off" } }"#;
        let herd = Herd::parse(text, Path::new("herd.json")).unwrap();
        let text = |has_key: bool| welcome(&herd, &LocalPlaces::NotNeeded, |name| has_key && name == "K");
        assert!(
            text(true).contains("h is up: 1 server\n\n  A  [::1]:5  talks to nobody\n"),
            "{}",
            text(true)
        );
        assert!(text(true).contains("Places  https://maps.googleapis.com (google-legacy, key in $K)\n"));
        assert!(text(false).contains("(google-legacy), but $K has no key: WHATSAT is answered with"));
        assert!(text(true).contains("Logs    off\n") && text(true).contains("there is nothing to show"));
        assert!(text(true).contains("  telnet ::1 5\n") && text(true).contains("\nAsk what is near:\n"));
    }
}
