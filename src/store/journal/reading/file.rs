//! Reads one file of a store: which changes it has, which note about the server's numbers counts, and what is damaged.

use std::io::Read;

use super::input::Input;
use super::{Problem, Reading};
use crate::store::journal::frame::{Frame, Front};
use crate::store::journal::names::{Kind, Name};
use crate::store::journal::notes::{Header, State, WHOLE};

/// A file that is being read.
pub(super) struct FileReading {
    file: Name,
    is_last: bool,
    input: Input,
    unreadable: Option<Unreadable>,
    /// The last note about the server's numbers that counts.
    state: Option<State>,
    /// Nothing was lost before the place that is being read.
    was_whole: bool,
    /// No frame was read.
    is_first: bool,
    /// A snapshot has its last frame.
    is_whole: bool,
}

/// The bytes of a file that are no records.
#[derive(Clone, Copy)]
struct Unreadable {
    /// The offset of the first of them.
    at: u64,
    bytes: u64,
    /// Records follow them.
    are_followed: bool,
}

impl FileReading {
    pub(super) fn new(
        file: Name,
        is_last: bool,
        input: Box<dyn Read + Send>,
        reading: &Reading,
    ) -> FileReading {
        FileReading {
            file,
            is_last,
            input: Input::new(input),
            unreadable: None,
            state: None,
            was_whole: reading.damage.is_empty(),
            is_first: true,
            is_whole: false,
        }
    }

    pub(super) fn name(&self) -> Name {
        self.file
    }

    /// Bytes that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.input.offset
    }

    /// Reads one frame, or passes what is none. A change is appended to `changes`. Returns false at the end of the file.
    pub(super) fn step(&mut self, reading: &mut Reading, changes: &mut Vec<u8>) -> bool {
        let FileReading { file, input, unreadable, state, was_whole, is_first, is_whole, .. } = self;
        let at = input.offset;
        match input.front() {
            Front::Frame(frame, length) => {
                let is_known = match frame.number {
                    0 if *is_first => {
                        let header = Header::parse(frame.content);
                        let before = header.as_ref().map_or(0, |header| header.before);
                        let follows_a_log = file.kind == Kind::Log && reading.logs > 0;
                        if follows_a_log && *was_whole && before > reading.last_log_bytes {
                            reading.note(Name::of(file.generation - 1, Kind::Log), Problem::Cut);
                            *was_whole = false;
                        }
                        header.is_some()
                    }
                    0 if frame.content == WHOLE && file.kind == Kind::Snapshot => {
                        *is_whole = true;
                        true
                    }
                    0 => {
                        let note = State::parse(frame.content);
                        let is_known = note.is_some();
                        // Later notes cover changes that were lost.
                        if unreadable.is_none() && *was_whole {
                            *state = note.or(state.take());
                        }
                        is_known
                    }
                    _ => append(frame, changes),
                };
                if let Some(unreadable) = unreadable {
                    unreadable.are_followed = true;
                }
                // A change after the note of an end: another program has written here.
                if frame.number > 0 && state.as_ref().is_some_and(|state| state.is_end) {
                    *state = None;
                }
                if !is_known || *is_first && frame.number > 0 {
                    extend(unreadable, at, if is_known { 0 } else { length as u64 }, true);
                }
                input.take(length);
            }
            Front::End => match input.pass_zeros() {
                None => return false,
                // Zeros before something else.
                Some(zeros) => extend(unreadable, at, zeros, false),
            },
            Front::Part | Front::Damage => {
                let passed = input.pass_damage();
                extend(unreadable, at, passed, false);
            }
        }
        self.is_first = false;
        true
    }

    /// The file was read to its end.
    pub(super) fn finish(self, reading: &mut Reading) {
        let FileReading { file, is_last, input, mut unreadable, state, is_first, is_whole, .. } = self;
        let is_last_log = is_last && file.kind == Kind::Log;
        if is_first && input.failure.is_none() {
            if is_last_log {
                // Not even a header: it was begun right before the server ended.
                reading.leftovers.push(file.to_string());
                return;
            }
            extend(&mut unreadable, 0, 0, false);
        }
        let bytes = input.offset;
        if let Some(error) = input.failure {
            reading.note(file, Problem::Failed(error.to_string()));
        } else if let Some(Unreadable { at, bytes, are_followed }) = unreadable {
            let is_torn = is_last_log && !are_followed;
            let problem = if is_torn { Problem::Torn { bytes } } else { Problem::Unreadable { at, bytes } };
            reading.note(file, problem);
        } else if file.kind == Kind::Snapshot && !is_whole {
            reading.note(file, Problem::Cut);
        }
        if file.kind == Kind::Log {
            reading.logs += 1;
            reading.log_bytes += bytes;
            reading.last_log_bytes = bytes;
            // A server that was started again and wrote nothing more has not ended in order.
            let ended_before = reading.state.take().map(|state| State { is_end: false, ..state });
            reading.state = state.or(ended_before);
        } else {
            reading.snapshot_bytes += bytes;
        }
        reading.was_read(file);
    }
}

/// Appends a change, if it is a statement. Returns whether it is.
fn append(frame: Frame<'_>, changes: &mut Vec<u8>) -> bool {
    let is_statement = frame.statement().is_some();
    if is_statement {
        frame.write(changes);
    }
    is_statement
}

/// Adds bytes at an offset to the unreadable ones.
fn extend(unreadable: &mut Option<Unreadable>, at: u64, bytes: u64, are_followed: bool) {
    let Unreadable { at, bytes: before, .. } =
        unreadable.unwrap_or(Unreadable { at, bytes: 0, are_followed });
    *unreadable = Some(Unreadable { at, bytes: before + bytes, are_followed });
}
