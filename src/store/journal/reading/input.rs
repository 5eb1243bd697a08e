//! Reads a file of a store from its start to its end: frames, zeros and damage. It does not know what the frames say.

use std::io::{self, Read};

use crate::store::journal::frame::{Frame, Front, HEADER, next_candidate};

/// A file that is being read from its start to its end.
pub(super) struct Input {
    file: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not taken.
    start: usize,
    /// The offset of that part in the file.
    pub(super) offset: u64,
    is_at_end: bool,
    pub(super) failure: Option<io::Error>,
}

impl Input {
    pub(super) fn new(file: Box<dyn Read + Send>) -> Input {
        Input { file, buffer: Vec::new(), start: 0, offset: 0, is_at_end: false, failure: None }
    }

    /// The front of what was not taken yet. [`Front::Part`]: the file ends there.
    pub(super) fn front(&mut self) -> Front<'_> {
        loop {
            let needs_more = match Frame::read(&self.buffer[self.start..]) {
                Front::Part => true,
                // Too few bytes to tell.
                Front::End => self.buffer.len() - self.start < HEADER,
                Front::Frame(..) | Front::Damage => false,
            };
            if !needs_more || !self.fill() {
                return Frame::read(&self.buffer[self.start..]);
            }
        }
    }

    pub(super) fn take(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    /// Reads on. Returns whether there was more.
    fn fill(&mut self) -> bool {
        if self.is_at_end {
            return false;
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + READ, 0);
        let mut filled = length;
        while filled < self.buffer.len() {
            match self.file.read(&mut self.buffer[filled..]) {
                Ok(0) => self.is_at_end = true,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.failure = Some(error);
                    self.is_at_end = true;
                }
            }
            if self.is_at_end {
                break;
            }
        }
        self.buffer.truncate(filled);
        filled > length
    }

    /// Takes zeros. Returns their number, or none if the file ends with them.
    pub(super) fn pass_zeros(&mut self) -> Option<u64> {
        let mut passed = 0;
        loop {
            let rest = &self.buffer[self.start..];
            let zeros = rest.iter().position(|&byte| byte != 0);
            let count = zeros.unwrap_or(rest.len());
            self.start += count;
            self.offset += count as u64;
            passed += count as u64;
            if zeros.is_some() {
                return Some(passed);
            }
            if !self.fill() {
                self.offset -= passed;
                return None;
            }
        }
    }

    /// Takes bytes up to the next frame, or to the end of the file. Returns their number.
    pub(super) fn pass_damage(&mut self) -> u64 {
        let mut passed = 0;
        loop {
            let rest = &self.buffer[self.start..];
            let count = match next_candidate(rest) {
                Some(candidate) => candidate,
                // A frame may begin in the last bytes, whose content is not read yet.
                None if !self.is_at_end => {
                    rest.len().saturating_sub(HEADER + CONTENT_START_MAX).max(1).min(rest.len())
                }
                None => rest.len(),
            };
            self.take(count);
            passed += count as u64;
            if self.start == self.buffer.len() && !self.fill() {
                return passed;
            }
            if matches!(self.front(), Front::Frame(..)) {
                return passed;
            }
        }
    }
}

/// Bytes that are read at once.
const READ: usize = 1 << 20;
/// The length of the word that a content begins with, in bytes.
const CONTENT_START_MAX: usize = 8;
