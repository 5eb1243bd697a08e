//! The JSON of clients, made a second time from their lines.

use crate::rules::{Record, coordinates};
use crate::web_requests::json_degrees;

/// A text as JSON. IDs of the simulation have no byte that would have to be escaped.
pub fn id_json(id: &[u8]) -> String {
    format!("\"{}\"", String::from_utf8_lossy(id))
}

/// The line of an object, with its LF.
pub fn line_of(object: &str) -> Result<Vec<u8>, String> {
    let line = object.split_once("\"line\":\"").and_then(|(_, rest)| rest.split_once('"'));
    let (line, _) = line.ok_or("it has no line")?;
    Ok(format!("{line}\n").into_bytes())
}

/// The object of a client.
pub fn client_json(record: &Record) -> String {
    format!("{{{}}}", members(record, true))
}

/// The same with a further member.
pub fn client_json_with(record: &Record, name: &str, value: &str) -> String {
    format!("{{{},\"{name}\":{value}}}", members(record, true))
}

/// The GeoJSON of a client.
pub fn geojson(record: &Record) -> String {
    let (latitude, longitude) = degrees(record);
    format!(
        "{{\"type\":\"Feature\",\"id\":{},\"geometry\":{{\"type\":\"Point\",\"coordinates\":[{longitude},{latitude}]}},\
         \"properties\":{{{}}}}}",
        id_json(&record.id),
        members(record, false)
    )
}

fn degrees(record: &Record) -> (String, String) {
    match coordinates(&record.location) {
        Some(_) => json_degrees(&String::from_utf8_lossy(&record.location)),
        None => (String::new(), String::new()),
    }
}

fn members(record: &Record, has_coordinates: bool) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = text(&record.line);
    let line = line.trim_end();
    let skew = line.split(' ').nth(2).unwrap_or_default();
    let place = match has_coordinates {
        true => {
            let (latitude, longitude) = degrees(record);
            format!("\"latitude\":{latitude},\"longitude\":{longitude},")
        }
        false => String::new(),
    };
    format!(
        "\"id\":{},{place}\"time\":\"{}\",\"server\":\"{}\",\"skew\":\"{skew}\",\"line\":\"{line}\"",
        id_json(&record.id),
        text(&record.time_text),
        text(&record.server)
    )
}

/// The objects of clients that stand side by side in an array.
pub fn objects(array: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let mut rest = array;
    while !rest.is_empty() {
        let end = rest.find('}').ok_or("an object has no end")? + 1;
        found.push(&rest[..end]);
        rest = &rest[end..];
        match rest.strip_prefix(',') {
            Some(after) if !after.is_empty() => rest = after,
            None if rest.is_empty() => {}
            _ => return Err("the array has another form".into()),
        }
    }
    Ok(found)
}

/// What stands in a text between these two parts of it.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(after)
}
