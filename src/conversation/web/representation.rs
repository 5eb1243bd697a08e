//! Clients as JSON and as GeoJSON (RFC 7946), and the events of a stream.

use super::query::encode;
use crate::conversation::followers::{Encoder, id_of};
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
pub(super) struct EventEncoder<F>(pub(super) F);

impl<F: Fn(&[u8]) -> bool> Encoder for EventEncoder<F> {
    fn at(&mut self, line: &[u8], output: &mut Vec<u8>) -> u64 {
        if !id_of(line).is_some_and(|id| (self.0)(id)) {
            return 0;
        }
        output.extend_from_slice(b"event: at\ndata: ");
        Representation::default().write(Format::Json, line, output);
        output.extend_from_slice(b"\n\n");
        1
    }

    fn left(&mut self, id: &[u8], output: &mut Vec<u8>) -> u64 {
        if !(self.0)(id) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
        EventEncoder(|_: &[u8]| true).left(b"\xff", &mut output);
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "{\"id\":\"\u{fffd}\",\"line\":\"GONE Riley +0.000000000 \u{fffd} 5.000000000\",\"path\":\"%FF\"}event: left\n\
             data: {\"id\":\"\u{fffd}\",\"path\":\"%FF\"}\n\n"
        );
    }

    #[test]
    fn events_have_the_form_of_server_sent_events() {
        let mut output = Vec::new();
        let mut encoder = EventEncoder(|id: &[u8]| id != b"b");
        let line = b"AT Riley +0.000000000 a +1+2 5\n";
        assert_eq!((encoder.at(line, &mut output), encoder.left(b"a", &mut output)), (1, 1));
        assert_eq!(
            (encoder.at(b"AT Riley +0.000000000 b +1+2 5\n", &mut output), encoder.left(b"b", &mut output)),
            (0, 0)
        );
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
}
