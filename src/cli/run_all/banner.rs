//! The text that `run-all` prints when the herd is up: the servers, and a session to paste.

use super::super::check::{counted, logs, stores};
use super::super::loaded_herd::as_operand;
use super::local_places::LocalPlaces;
use super::screen::wrapped;
use crate::config::{HerdFile, ServerSection};
use crate::log::Level;
use std::fmt::Write;

/// The address of the live map, the servers, Places and logs, and an example session, for a terminal of so many columns. `send` is the
/// command that sends a line; `has_key` returns whether an environment variable is set.
pub(super) fn banner(
    herd: &HerdFile,
    places: &LocalPlaces,
    send: &str,
    columns: Option<usize>,
    has_key: impl Fn(&str) -> bool,
) -> String {
    let wide = columns.unwrap_or(WIDE).clamp(1, WIDE);
    let count = counted(herd.servers.len(), "server");
    let mut text =
        live_map(herd).map_or_else(String::new, |url| wrapped(&format!("Live map: {url}"), "", wide));
    text += &wrapped(&format!("The herd {} is up: {count}. Ctrl-C ends it.", herd.name), "", wide);
    text.push('\n');
    let name_width = herd.servers.iter().map(|server| server.name.chars().count()).max().unwrap_or(0);
    let listen = |server: &ServerSection| server.listen.to_string();
    let listen_width = herd.servers.iter().map(|server| listen(server).len()).max().unwrap_or(0);
    for server in &herd.servers {
        let neighbours = match server.neighbours.as_slice() {
            [] => "no neighbours".to_owned(),
            names => format!("talks to {}", names.join(", ")),
        };
        let listen = listen(server);
        let row = format!("  {:name_width$}  {listen:listen_width$}", server.name);
        if row.chars().count() + GAP + neighbours.chars().count() <= columns.unwrap_or(usize::MAX) {
            let _ = writeln!(text, "{row}  {neighbours}");
        } else {
            let _ = writeln!(text, "{}", row.trim_end());
            text += &wrapped(&format!("    {neighbours}"), "      ", wide);
        }
    }
    text.push('\n');
    text += &wrapped(&format!("Places  {}", places_line(herd, places, has_key)), "        ", wide);
    text += &wrapped(&format!("Logs    {}", logs(herd)), "        ", wide);
    if let Some(stores) = stores(herd) {
        text += &wrapped(&format!("Stores  {stores}"), "        ", wide);
    }
    let (first, last) = (&herd.servers[0], herd.servers.last().unwrap_or(&herd.servers[0]));
    let asked = if first.name == last.name { "what" } else { "another server what" };
    text.push('\n');
    text += &wrapped(&format!("In another terminal report a location, then ask {asked} is near:"), "", wide);
    let _ = write!(
        text,
        "\n  {send} {} '{IAMAT}'\n  {send} {} '{WHATSAT}'\n\n",
        as_operand(&first.name),
        as_operand(&last.name)
    );
    let telnet = format!("telnet {} {}", first.listen.ip(), first.listen.port());
    text +=
        &wrapped(&format!("Or by {telnet} (Ctrl-], then quit, leaves it). {}", what_follows(herd)), "", wide);
    text.push('\n');
    text
}

/// The address of the live map of the first server that has one.
fn live_map(herd: &HerdFile) -> Option<String> {
    let address = herd.servers.iter().find_map(|server| server.http)?;
    let scheme = if herd.http.certificate.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{address}/"))
}

fn places_line(herd: &HerdFile, places: &LocalPlaces, has_key: impl Fn(&str) -> bool) -> String {
    let asked = herd.places_or_local();
    let url = &asked.url;
    match places {
        LocalPlaces::Own(_) => format!("{url}, the local Places server"),
        LocalPlaces::Shared(_) => format!("{url}, the local Places server of another herd"),
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
        Level::Off => "log.level is off, so nothing is shown here.",
        Level::Events => "Below: servers that come and go (UTC); no commands, because log.level is events.",
        Level::Traffic => "What happens is shown below (UTC); the logs have all of it.",
    }
}

/// The example of docs/protocol.md: a phone at UCLA.
const IAMAT: &str = "IAMAT kiwi +34.068930-118.445127 now";
const WHATSAT: &str = "WHATSAT kiwi 10 5";

/// The width of a text without a terminal.
const WIDE: usize = 80;

/// Columns between an address and the neighbours.
const GAP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_banner_of_the_built_in_herd() {
        let expected = "\
Live map: http://127.0.0.1:13326/
The herd bruins is up: 5 servers. Ctrl-C ends it.

  Riley     127.0.0.1:12326  talks to Jaquez, Juzang
  Jaquez    127.0.0.1:12327  talks to Riley, Bernard
  Juzang    127.0.0.1:12328  talks to Riley, Campbell, Bernard
  Campbell  127.0.0.1:12329  talks to Juzang, Bernard
  Bernard   127.0.0.1:12330  talks to Jaquez, Juzang, Campbell

Places  https://localhost:12331, the local Places server
Logs    logs/<server>.log (traffic)

In another terminal report a location, then ask another server what is near:

  target/release/herd send Riley 'IAMAT kiwi +34.068930-118.445127 now'
  target/release/herd send Bernard 'WHATSAT kiwi 10 5'

Or by telnet 127.0.0.1 12326 (Ctrl-], then quit, leaves it). What happens is
shown below (UTC); the logs have all of it.

";
        let places = LocalPlaces::Own("run/places-ca.pem".into());
        let banner =
            |columns| banner(&HerdFile::built_in(), &places, "target/release/herd send", columns, |_| false);
        assert_eq!(banner(Some(80)), expected);
        assert_eq!(banner(None), expected);
        let narrow = banner(Some(40));
        for line in narrow.lines().filter(|line| !line.contains(" send ")) {
            assert!(line.chars().count() <= 40, "{line}");
        }
        let juzang = "  Juzang    127.0.0.1:12328\n    talks to Riley, Campbell, Bernard\n";
        assert!(narrow.contains(juzang), "{narrow}");
    }

    #[test]
    fn the_banner_of_one_server_with_google_and_without_logs() {
        let text = r#"{ "herd": "h", "servers": { "A": { "listen": "[::1]:5" } },
            "places": { "key_env": "K" }, "log": { "level": "off" }, "store": { "dir": "st" } }"#;
        let herd = HerdFile::parse(text, Path::new("herd.json")).unwrap();
        let text = |has_key: bool| {
            banner(&herd, &LocalPlaces::NotNeeded, "herd send", None, |name| has_key && name == "K")
        };
        assert!(text(true).contains("h is up: 1 server. Ctrl-C ends it.\n\n  A  [::1]:5  no neighbours\n"));
        assert!(text(true).contains("Places  https://maps.googleapis.com (google-legacy, key in $K)\n"));
        let denied = text(false).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(denied.contains("(google-legacy), but $K has no key: WHATSAT is answered with"), "{denied}");
        assert!(text(true).contains("Logs    off\nStores  st/<server> (every second)\n"));
        assert!(text(true).contains("log.level is off"));
        assert!(text(true).contains("telnet ::1 5 ") && text(true).contains("ask what is near:\n"));
    }
}
