//! `herd places`: the local Places server, and its places for people.

use super::arguments::{Arguments, CommandOption, Subcommand};
use super::failure::in_words;
use super::output::print;
use super::{Failure, end_with_parent};
use crate::config::{HostPort, LOCAL_PLACES_PORT, ParseError};
use crate::places::gazetteer::{Gazetteer, LocalPlaces, OwnPlaces};
use crate::places::question::Question;
use crate::service;
use crate::text::command::RADIUS_KM_MAX;
use crate::text::decimal::Decimal;
use crate::text::location::Location;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "places",
    usage: "places [OPTIONS]",
    summary: "the local Places server, without a key",
    help: HELP,
    options: &[CommandOption::LISTEN, NEAR, RADIUS, DATA],
    operands: &[],
    run,
};

/// `--near LOCATION`
const NEAR: CommandOption = CommandOption { name: "near", value: Some("LOCATION") };
/// `--radius KM`
const RADIUS: CommandOption = CommandOption { name: "radius", value: Some("KM") };
/// `--data FILE`
const DATA: CommandOption = CommandOption { name: "data", value: Some("FILE") };

/// The address of the local Places server without `-l`, at which the servers of a herd expect it.
pub(super) fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, LOCAL_PLACES_PORT).into()
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(location) = arguments.value(NEAR) {
        if arguments.has(CommandOption::LISTEN) {
            return Err(wrong("--near asks no server and runs none; remove -l"));
        }
        let radius = arguments.value(RADIUS).unwrap_or(DEFAULT_RADIUS_KM);
        let question = question(location, radius)?;
        return print(near(&places(arguments)?, &question).as_bytes()).map(drop);
    }
    if arguments.has(RADIUS) {
        return Err(wrong("--radius is for --near; add --near LOCATION"));
    }
    end_with_parent()?;
    let listen = match arguments.value(CommandOption::LISTEN) {
        Some(text) => listen(text)?,
        None => default_listen(),
    };
    service::places(listen, places(arguments)?).map_err(Failure::at_run_time)
}

fn wrong(problem: &str) -> Failure {
    Failure::usage(format!("{problem}; see herd places --help"))
}

/// The places of `--data FILE`, or the embedded ones.
fn places(arguments: &Arguments) -> Result<LocalPlaces, Failure> {
    let Some(file) = arguments.value(DATA) else {
        let embedded = Gazetteer::embedded();
        return embedded.map(LocalPlaces::Embedded).map_err(|error| Failure::at_run_time(error.to_string()));
    };
    let text = read(file).map_err(|error| Failure::usage(format!("{file}: {}", in_words(&error))))?;
    OwnPlaces::parse(&text).map(LocalPlaces::Own).map_err(|error| Failure::usage(format!("{file}:{error}")))
}

fn read(file: &str) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let length = File::open(file)?.take(DATA_MAX + 1).read_to_end(&mut text)?;
    if length as u64 > DATA_MAX {
        return Err(io::Error::other(format!("it has more than {} MiB", DATA_MAX >> 20)));
    }
    Ok(text)
}

fn question(location: &str, radius_km: &str) -> Result<Question, Failure> {
    let place = Location::parse(location.as_bytes()).ok_or_else(|| {
        wrong("--near LOCATION: expected degrees north and east with their signs, such as +34.068930-118.445127")
    })?;
    let is_radius = Decimal::parse(radius_km.as_bytes()).is_some_and(|radius| radius.at_most(RADIUS_KM_MAX));
    if !is_radius {
        return Err(wrong(&format!("--radius KM: expected kilometres from 0 to {RADIUS_KM_MAX}")));
    }
    Ok(Question::new(place.latitude(), place.longitude(), radius_km.as_bytes()))
}

/// The places around the location of a question, a line for each, and the source of the data.
fn near(places: &LocalPlaces, question: &Question) -> String {
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let found =
        places.near(number(question.latitude()), number(question.longitude()), number(question.radius_m()));
    let mut text = String::new();
    if found.is_empty() {
        let _ = writeln!(text, "no place within {} km", question.radius_km());
    }
    for place in found {
        let vicinity = place.vicinity.map(|vicinity| format!(", {vicinity}")).unwrap_or_default();
        let _ = writeln!(text, "{:4.1} km  {}{vicinity}", place.distance_m / 1e3, place.name);
    }
    if let Some(licence) = places.licence() {
        let _ = writeln!(text, "{licence}");
    }
    text
}

/// The radius of `--near` without `--radius`.
const DEFAULT_RADIUS_KM: &str = "10";
/// Bytes of a file of places: some millions of them.
const DATA_MAX: u64 = 256 * 1024 * 1024;

fn listen(text: &str) -> Result<SocketAddr, Failure> {
    text.parse()
        .and_then(|place: HostPort| place.to_listen())
        .map_err(|error: ParseError| Failure::usage(format!("-l HOST:PORT: {error}; see herd places --help")))
}

const HELP: &str = "\
herd places [OPTIONS]

Runs the local Places server. It answers over TLS, from towns and airports that
are built into this program, and needs no key and no network. It speaks three
dialects, by path: Google's Nearby Search (places.api google-legacy), Google's
Places API New (google) and Photon (photon). Servers ask it if their herd file
has no section places. herd run-all starts it.

It writes its root certificate to run/places-ca.pem in the current folder.
Servers read that file beside their herd file, so start it in that folder.
At a port P other than 12331 the file is run/places-ca-P.pem; then the section
places of the herd file must name the URL and the file, and key_env null.

Options
  -l HOST:PORT       the address to listen on; without it 127.0.0.1:12331, where
                     servers expect it
  --near LOCATION    prints the places around a location and runs no server:
                     the distance, the name and the vicinity of each
  --radius KM        0 to 50; without it 10
  --data FILE        your own places instead of the built-in ones
  -h, --help         this help

FILE is UTF-8 with a place a line, its fields separated by one TAB each:
  NAME LATITUDE LONGITUDE [TYPES [VICINITY]]
Latitude and longitude are decimal degrees. TYPES are separated by commas;
without them they are point_of_interest,establishment. Empty lines and lines
that begin with # are ignored.

Signals
  SIGINT (Ctrl-C), SIGTERM   shut down gracefully; so does SIGHUP from a
                             terminal that was closed

Example
  herd places --near +34.068930-118.445127 --radius 10
  herd places                          in one terminal
  curl --cacert run/places-ca.pem -G -d location=34.0689,-118.4451 \\
    -d radius=10000 https://localhost:12331/maps/api/place/nearbysearch/json

Exit status
  0  shut down gracefully, or the places are printed
  1  the port is taken, or another failure at run time
  2  the command line or a line of FILE is wrong
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

    #[test]
    fn places_are_printed_for_people() {
        let file = b"Far cafe\t34.10\t-118.40\tcafe\t12 Main St\nM\xc3\xbcnster\t34.07\t-118.445\n";
        let own = LocalPlaces::Own(OwnPlaces::parse(file).unwrap());
        let of = |radius: &str| near(&own, &question("+34.068930-118.445127", radius).unwrap());
        assert_eq!(of("10"), " 0.1 km  Münster\n 5.4 km  Far cafe, 12 Main St\n");
        assert_eq!(of("0.010"), "no place within 0.01 km\n");
    }

    #[test]
    fn a_bad_location_or_radius_is_explained() {
        for (location, radius, words) in [
            ("here", "1", "--near LOCATION: expected degrees"),
            ("+95.0+000.0", "1", "--near LOCATION"),
            ("+1+1", "51", "--radius KM: expected kilometres from 0 to 50"),
            ("+1+1", "-1", "--radius KM"),
            ("+1+1", "1e1", "--radius KM"),
        ] {
            let failure = question(location, radius).unwrap_err();
            assert!(failure.status == 2 && failure.to_string().starts_with(words), "{failure}");
        }
    }
}
