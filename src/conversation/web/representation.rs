//! Clients as JSON and as GeoJSON (RFC 7946), and the events of a stream.

use super::query::encode;
use crate::conversation::followers::{Encoder, id_of};
use crate::store::Change;
use crate::text::json::{write_coordinate, write_string};
use crate::text::record::Statement;
use crate::text::time::write_integer;

/// The form of clients in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    GeoJson,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Json => super::response::JSON,
            Format::GeoJson => "application/geo+json",
        }
    }
}

/// The JSON of a client, and of what is known about it besides its statement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Representation<'a> {
    /// The distance in kilometres, as text.
    pub(super) km: Option<&'a [u8]>,
    /// Whether the statement was stored.
    pub(super) stored: Option<bool>,
}

impl Representation<'_> {
    /// Appends the client of an AT line, with or without LF, in this form.
    pub(super) fn write(&self, format: Format, line: &[u8], output: &mut Vec<u8>) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // A stored line is always an AT.
        let Some(statement) = Statement::parse(line) else { return };
        match format {
            Format::Json => {
                output.push(b'{');
                self.write_members(&statement, line, true, output);
            }
            Format::GeoJson => {
                output.extend_from_slice(b"{\"type\":\"Feature\",\"id\":");
                write_string(statement.id, output);
                output.extend_from_slice(b",\"geometry\":{\"type\":\"Point\",\"coordinates\":[");
                if let Some(location) = statement.location {
                    write_coordinate(location.longitude(), output);
                    output.push(b',');
                    write_coordinate(location.latitude(), output);
                }
                output.extend_from_slice(b"]},\"properties\":{");
                self.write_members(&statement, line, false, output);
                output.push(b'}');
            }
        }
    }

    /// Appends the members of the object and its end.
    fn write_members(
        &self,
        statement: &Statement<'_>,
        line: &[u8],
        has_coordinates: bool,
        output: &mut Vec<u8>,
    ) {
        output.extend_from_slice(b"\"id\":");
        write_string(statement.id, output);
        if let Some(location) = statement.location
            && has_coordinates
        {
            output.extend_from_slice(b",\"latitude\":");
            write_coordinate(location.latitude(), output);
            output.extend_from_slice(b",\"longitude\":");
            write_coordinate(location.longitude(), output);
        }
        output.extend_from_slice(b",\"time\":");
        write_string(statement.time_text, output);
        output.extend_from_slice(b",\"server\":");
        write_string(statement.server, output);
        output.extend_from_slice(b",\"skew\":\"");
        statement.skew.write(output);
        output.extend_from_slice(b"\",\"line\":");
        write_string(line, output);
        write_path(statement.id, line, output);
        if let Some(km) = self.km {
            output.extend_from_slice(b",\"km\":");
            output.extend_from_slice(km);
        }
        if let Some(stored) = self.stored {
            output.extend_from_slice(if stored { b",\"stored\":true" } else { b",\"stored\":false" });
        }
        output.push(b'}');
    }
}

/// Appends a member `path` with the percent-encoded ID, if the ID or the line is not UTF-8: then no other member says the
/// ID exactly.
fn write_path(id: &[u8], line: &[u8], output: &mut Vec<u8>) {
    if str::from_utf8(line).is_err() {
        output.extend_from_slice(b",\"path\":\"");
        encode(id, output);
        output.push(b'"');
    }
}

/// Appends the object of a client that was forgotten.
pub(super) fn write_gone(id: &[u8], line: &[u8], output: &mut Vec<u8>) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    output.extend_from_slice(b"{\"id\":");
    write_string(id, output);
    output.extend_from_slice(b",\"line\":");
    write_string(line, output);
    write_path(id, line, output);
    output.push(b'}');
}

/// The lines of a stream as server-sent events (WHATWG HTML, section 9.2), for a reader who may read about the clients that
/// `may_read` says.
pub(super) struct EventEncoder<'a, F> {
    pub(super) may_read: F,
    pub(super) events: &'a mut Events,
}

/// The last events that were written, by the numbers of their changes: a thousand readers are sent the same ones.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<(u64, Vec<u8>)>);

impl Events {
    /// The event of a change.
    fn of(&mut self, change: &Change<'_>) -> &[u8] {
        if self.0.is_empty() {
            self.0.resize_with(EVENTS_KEPT, Default::default);
        }
        let (sequence, event) = &mut self.0[change.sequence as usize % EVENTS_KEPT];
        // Changes are counted from 1.
        if *sequence != change.sequence {
            *sequence = change.sequence;
            event.clear();
            event.extend_from_slice(b"event: at\ndata: ");
            Representation::default().write(Format::Json, change.line, event);
            event.extend_from_slice(b"\n\n");
        }
        event
    }
}

impl<F: Fn(&[u8]) -> bool> Encoder for EventEncoder<'_, F> {
    /// Most events are copied, and have three times the bytes of a line.
    const LOOKS: usize = 2;

    fn at(&mut self, change: &Change<'_>, output: &mut Vec<u8>) -> u64 {
        if !id_of(change.line).is_some_and(|id| (self.may_read)(id)) {
            return 0;
        }
        output.extend_from_slice(self.events.of(change));
        1
    }

    fn left(&mut self, id: &[u8], output: &mut Vec<u8>) -> u64 {
        if !(self.may_read)(id) {
            return 0;
        }
        output.extend_from_slice(b"event: left\ndata: {\"id\":");
        write_string(id, output);
        write_path(id, id, output);
        output.extend_from_slice(b"}\n\n");
        1
    }
}

/// Appends the event of a MARK. Its ID is the position from which a stream is resumed.
pub(super) fn write_mark(epoch: &str, sequence: u64, output: &mut Vec<u8>) {
    output.extend_from_slice(b"id: ");
    output.extend_from_slice(epoch.as_bytes());
    output.push(b'-');
    write_integer(sequence, output);
    output.extend_from_slice(b"\nevent: mark\ndata: {\"epoch\":\"");
    output.extend_from_slice(epoch.as_bytes());
    output.extend_from_slice(b"\",\"sequence\":");
    write_integer(sequence, output);
    output.extend_from_slice(b"}\n\n");
}

/// Events that are kept, as many as the changes that a group of followers keeps. With IDs as long as they can be by default
/// they have 6 MiB.
const EVENTS_KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Origin, Store};

    const LINE: &[u8] = b"AT Riley +0.263873386 kiwi +034.0689-08.50 1621464827.5\n";

    fn written(representation: Representation<'_>, format: Format, line: &[u8]) -> String {
        let mut output = Vec::new();
        representation.write(format, line, &mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_client_is_an_object_with_its_own_digits() {
        let line = b"AT Riley +0.263873386 kiwi +04.0689-008.50 1621464827.5\n";
        assert_eq!(
            written(Representation::default(), Format::Json, line),
            r#"{"id":"kiwi","latitude":4.0689,"longitude":-8.50,"time":"1621464827.5","server":"Riley","skew":"+0.263873386","line":"AT Riley +0.263873386 kiwi +04.0689-008.50 1621464827.5"}"#
        );
        let more = Representation { km: Some(b"0.412"), stored: Some(true) };
        assert!(written(more, Format::Json, line).ends_with(r#" 1621464827.5","km":0.412,"stored":true}"#));
        assert_eq!(written(more, Format::Json, LINE), "", "three digits of latitude are no location");
    }

    #[test]
    fn a_feature_has_the_longitude_first() {
        let line = b"AT Riley -0.000000001 a +01.50+02 5";
        assert_eq!(
            written(Representation::default(), Format::GeoJson, line),
            r#"{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[2,1.50]},"properties":{"id":"a","time":"5","server":"Riley","skew":"-0.000000001","line":"AT Riley -0.000000001 a +01.50+02 5"}}"#
        );
    }

    #[test]
    fn an_id_that_is_not_utf_8_has_a_path() {
        let json = written(Representation::default(), Format::Json, b"AT Riley +0.000000000 \xffa/ +1+2 5\n");
        assert!(json.contains("\"id\":\"\u{fffd}a/\"") && json.ends_with(",\"path\":\"%FFa%2F\"}"), "{json}");
        let mut output = Vec::new();
        write_gone(b"\xff", b"GONE Riley +0.000000000 \xff 5.000000000\n", &mut output);
        EventEncoder { may_read: |_: &[u8]| true, events: &mut Events::default() }.left(b"\xff", &mut output);
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "{\"id\":\"\u{fffd}\",\"line\":\"GONE Riley +0.000000000 \u{fffd} 5.000000000\",\"path\":\"%FF\"}event: left\n\
             data: {\"id\":\"\u{fffd}\",\"path\":\"%FF\"}\n\n"
        );
    }

    /// The changes of a store that was told these lines.
    fn with_changes(lines: &[&str], mut each: impl FnMut(&Change<'_>)) {
        let mut store = Store::new(10);
        let cursor = store.follow(0);
        for line in lines {
            let statement = Statement::parse(line.as_bytes()).unwrap();
            store.report(&statement, format!("{line}\n").as_bytes(), Origin::CLIENT);
            each(&store.next_change(cursor).unwrap());
        }
    }

    #[test]
    fn events_have_the_form_of_server_sent_events() {
        let (mut output, mut events) = (Vec::new(), Events::default());
        let lines = ["AT Riley +0.000000000 a +1+2 5", "AT Riley +0.000000000 b +1+2 5"];
        let mut counts = Vec::new();
        with_changes(&lines, |change| {
            let mut encoder = EventEncoder { may_read: |id: &[u8]| id != b"b", events: &mut events };
            let id = id_of(change.line).unwrap();
            counts.push((encoder.at(change, &mut output), encoder.left(id, &mut output)));
        });
        assert_eq!(counts, [(1, 1), (0, 0)], "nothing about b");
        write_mark("00000000000000ee", 7, &mut output);
        let text = String::from_utf8(output).unwrap();
        let expected = concat!(
            "event: at\ndata: {\"id\":\"a\",\"latitude\":1,\"longitude\":2,\"time\":\"5\",\"server\":\"Riley\",",
            "\"skew\":\"+0.000000000\",\"line\":\"AT Riley +0.000000000 a +1+2 5\"}\n\n",
            "event: left\ndata: {\"id\":\"a\"}\n\n",
            "id: 00000000000000ee-7\nevent: mark\ndata: {\"epoch\":\"00000000000000ee\",\"sequence\":7}\n\n",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn an_event_is_that_of_its_change() {
        let lines: Vec<String> =
            (0..3 * EVENTS_KEPT).map(|n| format!("AT Riley +0.000000000 a +1+2 {n}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut events = Events::default();
        with_changes(&lines, |change| {
            for _ in 0..2 {
                let mut expected = b"event: at\ndata: ".to_vec();
                Representation::default().write(Format::Json, change.line, &mut expected);
                expected.extend_from_slice(b"\n\n");
                assert_eq!(events.of(change), expected);
            }
        });
    }
}
