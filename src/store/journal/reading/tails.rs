//! What the ends of files say before the files are read: the number up to which their changes go. A server that serves
//! clients while it reads gives its new changes greater ones.

use crate::store::journal::disk::Folder;
use crate::store::journal::frame::{Frame, Front, next_candidate};
use crate::store::journal::names::{Kind, Name};
use crate::store::journal::notes::State;

/// What the ends of the files of a store say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tails {
    /// The greatest number of a change.
    pub newest: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The generation of the last file.
    pub generation: u64,
    /// Bytes of the last log, up to the end of its last frame.
    pub last_log_bytes: u64,
    /// A last log that was only begun: it has no frame.
    pub leftover: Option<String>,
}

impl Tails {
    /// Looks at these files, which are in the order in which they are to be read. `None`: the end of one of them cannot be
    /// understood.
    pub fn read(folder: &dyn Folder, files: impl Iterator<Item = String>) -> Option<Tails> {
        let mut tails = Tails::default();
        let mut files = files.peekable();
        while let Some(file) = files.next() {
            let name = Name::parse(&file)?;
            let (length, bytes) = folder.read_end(&file, TAIL).ok()?;
            tails.bytes += length;
            match last_frame(&bytes) {
                Some((newest, end)) => {
                    tails.newest = tails.newest.max(newest);
                    tails.generation = name.generation;
                    if name.kind == Kind::Log {
                        tails.last_log_bytes = length - (bytes.len() - end) as u64;
                    }
                }
                None => {
                    let is_empty = length == bytes.len() as u64 && bytes.iter().all(|&byte| byte == 0);
                    if !is_empty || files.peek().is_some() || name.kind != Kind::Log {
                        return None;
                    }
                    tails.leftover = Some(file);
                }
            }
        }
        Some(tails)
    }
}

/// The greatest number in the frames of the end of a file, and where the last of these frames ends. `None`: there is no frame.
fn last_frame(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut found = None;
    let mut at = 0;
    while at < bytes.len() {
        match Frame::read(&bytes[at..]) {
            Front::Frame(frame, length) => {
                at += length;
                let noted = State::parse(frame.content).filter(|_| frame.number == 0);
                let number = frame.number.max(noted.map_or(0, |state| state.sequence));
                found = Some((found.map_or(number, |(newest, _)| number.max(newest)), at));
            }
            _ => match next_candidate(&bytes[at..]) {
                Some(candidate) => at += candidate,
                None => break,
            },
        }
    }
    found
}

/// Bytes of the end of a file that are looked at: more than a log is made longer before it is written
/// (`RESERVED_MAX` in the writer), and the longest frame.
const TAIL: u64 = 12 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::seal;
    use crate::store::journal::testing::MemoryFolder;
    use crate::text::peer_line::Epoch;

    fn frames(numbers: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &number in numbers {
            Frame { number, content: b"AT Riley +0.2 kiwi +34-118 5\n" }.write(&mut bytes);
        }
        seal(&mut bytes);
        bytes
    }

    fn end(sequence: u64) -> Vec<u8> {
        let (mut content, mut bytes) = (Vec::new(), Vec::new());
        State { is_end: true, epoch: Epoch(5), sequence, positions: Vec::new() }.write(&mut content);
        Frame { number: 0, content: &content }.write(&mut bytes);
        seal(&mut bytes);
        bytes
    }

    fn read(files: &[(&str, Vec<u8>)]) -> Option<Tails> {
        let folder = MemoryFolder::default();
        files.iter().for_each(|(name, bytes)| folder.put(name, bytes.clone()));
        Tails::read(&folder, files.iter().map(|(name, _)| (*name).to_owned()))
    }

    #[test]
    fn the_greatest_number_is_that_of_a_change_or_a_note() {
        let log = [frames(&[4, 5]), end(9)].concat();
        let (length, snapshot) = (log.len() as u64, frames(&[1, 7]));
        let bytes = length + snapshot.len() as u64;
        let tails = read(&[("00000002.snapshot", snapshot), ("00000002.log", log)]).unwrap();
        assert_eq!(tails, Tails { newest: 9, bytes, generation: 2, last_log_bytes: length, leftover: None });
        assert_eq!(read(&[("00000002.snapshot", frames(&[1, 7]))]).unwrap().newest, 7);
    }

    #[test]
    fn zeros_and_a_torn_frame_are_not_part_of_a_log() {
        let whole = frames(&[4, 5]);
        for more in [vec![0; 1000], frames(&[6])[..30].to_vec()] {
            let tails = read(&[("00000001.log", [whole.clone(), more].concat())]).unwrap();
            assert_eq!((tails.newest, tails.last_log_bytes), (5, whole.len() as u64));
        }
    }

    #[test]
    fn the_end_of_a_long_file_is_enough() {
        let mut log = vec![b'x'; TAIL as usize];
        log.extend(frames(&[7, 8]));
        assert_eq!(read(&[("00000001.log", log)]).unwrap().newest, 8);
    }

    #[test]
    fn a_last_log_that_was_only_begun_is_a_leftover() {
        for empty in [Vec::new(), vec![0; 100]] {
            let files = [("00000001.log", frames(&[3])), ("00000002.log", empty)];
            let tails = read(&files).unwrap();
            assert_eq!((tails.newest, tails.generation), (3, 1));
            assert_eq!(tails.leftover.as_deref(), Some("00000002.log"));
            assert_eq!(read(&[files[1].clone(), ("00000003.log", frames(&[3]))]), None, "not the last");
        }
    }

    #[test]
    fn an_end_that_cannot_be_understood_is_none() {
        assert_eq!(read(&[("00000001.log", vec![b'x'; 100])]), None);
        assert_eq!(read(&[("00000001.snapshot", Vec::new())]), None);
    }
}
