//! The files of a store, read a second time (docs/protocol.md, section 8). This uses no code of the program, so that it and
//! the simulator do not make the same mistake.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::disk::SimulatedDisk;
use crate::promises::{Content, add};
use crate::rules::Record;

/// A statement in a file: where it stands.
#[derive(Clone, Debug)]
pub struct Frame {
    pub range: Range<usize>,
    pub line: Vec<u8>,
}

/// The frames at the front of a file.
pub fn frames(file: &[u8]) -> Vec<Frame> {
    let (mut frames, mut start) = (Vec::new(), 0);
    while let Some(header) = file.get(start..start + 16) {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let checksum = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let range = start..start + 16 + length;
        let Some(frame) = file.get(range.clone()).filter(|_| length > 0) else { break };
        if crc32c::crc32c(&[&frame[..4], &frame[8..]].concat()) != checksum {
            break;
        }
        start = range.end;
        frames.push(Frame { range, line: frame[16..].to_vec() });
    }
    frames
}

/// The winners in all files that are read: those from the last snapshot on.
pub fn winners(files: &BTreeMap<String, Vec<Frame>>) -> Content {
    let last = files.keys().filter(|name| name.ends_with(".snapshot")).max();
    let generation = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let first = last.map(|name| generation(name));
    let mut content = Content::new();
    for (name, frames) in files {
        let is_read = first.as_ref().is_none_or(|first| generation(name) >= *first);
        for frame in frames.iter().filter(|_| is_read && is_file(name)) {
            if let Some(record) = Record::parse(&frame.line) {
                add(&mut content, &record);
            }
        }
    }
    content
}

/// Whether a file is one of a log or of a complete snapshot.
pub fn is_file(name: &str) -> bool {
    name.ends_with(".log") || name.ends_with(".snapshot")
}

/// The files of a disk, each with its length and its statements.
pub fn show_files(disk: &SimulatedDisk) -> String {
    let show = |name: String| {
        let content = disk.content(&name).unwrap_or_default();
        let lines: Vec<String> =
            frames(&content).iter().map(|frame| frame.line.trim_ascii().escape_ascii().to_string()).collect();
        format!("\n    {name} of {} bytes: {}", content.len(), lines.join(" | "))
    };
    disk.names().into_iter().map(show).collect()
}
