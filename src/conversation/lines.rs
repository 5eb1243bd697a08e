//! The line splitter of clients and links. A line ends with LF, or, from a telnet client, with CR NUL.

use memchr::{memchr, memchr2_iter};

use crate::store::PREFETCH_MAX;

/// The line at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The bytes without LF, as far as they have arrived. The NUL of CR NUL takes the place of LF.
    pub(super) text: &'a [u8],
    /// The end of the line has arrived.
    pub(super) ended: bool,
}

impl Line<'_> {
    /// Bytes with LF.
    pub(super) fn length(&self) -> usize {
        self.text.len() + usize::from(self.ended)
    }
}

/// Input, split into lines. Lines are found in batches, so that the store can prefetch the records that a
/// batch is about.
pub(super) struct Lines<'a> {
    data: &'a [u8],
    used: usize,
    /// The positions of the last bytes of the lines of this batch.
    ends: [u32; PREFETCH_MAX],
    /// The number of lines in this batch, and of those that were consumed.
    found: usize,
    next: usize,
    batch_is_new: bool,
    /// CR NUL ends a line as LF does.
    with_cr_nul: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(data: &'a [u8]) -> Lines<'a> {
        let ends = [0; PREFETCH_MAX];
        Lines { data, used: 0, ends, found: 0, next: 0, batch_is_new: false, with_cr_nul: false }
    }

    /// The line at the front, which may not have ended; `None`: all input was consumed.
    pub(super) fn peek(&mut self) -> Option<Line<'a>> {
        let rest = self.rest();
        if rest.is_empty() {
            return None;
        }
        if self.next == self.found {
            self.split();
        }
        Some(match self.ends.get(self.next).filter(|_| self.next < self.found) {
            Some(&end) => Line { text: &self.data[self.used..end as usize], ended: true },
            None => Line { text: rest, ended: false },
        })
    }

    /// The lines of a batch that begins with the line at the front. `None`: it was handed out already, or has
    /// fewer than two lines.
    pub(super) fn new_batch(&mut self) -> Option<impl Iterator<Item = &'a [u8]> + use<'a, '_>> {
        if !std::mem::take(&mut self.batch_is_new) || self.found < self.next + 2 {
            return None;
        }
        let (data, mut start) = (self.data, self.used);
        Some(self.ends[self.next..self.found].iter().map(move |&end| {
            let line = &data[start..end as usize];
            start = end as usize + 1;
            line
        }))
    }

    /// Consumes the line at the front.
    pub(super) fn consume(&mut self, line: Line<'_>) {
        self.used += line.length();
        self.next += usize::from(line.ended);
    }

    /// Consumes `bytes` at the front that are not part of a line.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.used += bytes;
        // They may contain LFs.
        (self.found, self.next) = (0, 0);
    }

    /// Ends lines at CR NUL too, from the line at the front on.
    pub(super) fn end_at_cr_nul(&mut self) {
        self.with_cr_nul = true;
        (self.found, self.next) = (0, 0);
    }

    /// The part of the line at the front that can be discarded: without a final CR that a NUL may follow.
    pub(super) fn discardable(&self, line: Line<'a>) -> Line<'a> {
        match line.text.strip_suffix(b"\r") {
            Some(text) if self.with_cr_nul && !line.ended => Line { text, ended: false },
            _ => line,
        }
    }

    /// Bytes that were consumed.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The input that was not consumed.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.data[self.used..]
    }

    fn split(&mut self) {
        (self.found, self.next, self.batch_is_new) = (0, 0, true);
        let mut start = self.used;
        while self.found < PREFETCH_MAX
            && start < self.data.len()
            && let Some(length) = self.line_end(&self.data[start..])
        {
            // Input is far shorter than 4 GiB.
            self.ends[self.found] = (start + length) as u32;
            self.found += 1;
            start += length + 1;
        }
    }

    /// The position of the last byte of the line that begins with `data`.
    fn line_end(&self, data: &[u8]) -> Option<usize> {
        if !self.with_cr_nul {
            return memchr(b'\n', data);
        }
        memchr2_iter(b'\n', 0, data).find(|&at| data[at] == b'\n' || data[..at].ends_with(b"\r"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_at_lf() {
        let mut lines = Lines::new(b"a\n\nbc\nd");
        let mut found = Vec::new();
        while let Some(line) = lines.peek() {
            assert_eq!(lines.peek(), Some(line), "peeking consumes nothing");
            found.push((line.text, line.ended));
            lines.consume(line);
        }
        assert_eq!(found, [(&b"a"[..], true), (b"", true), (b"bc", true), (b"d", false)]);
        assert_eq!((lines.used(), lines.rest().len()), (7, 0));
    }

    #[test]
    fn a_batch_of_several_lines_is_handed_out_once() {
        let text = b"x\n".repeat(PREFETCH_MAX + 2);
        let mut lines = Lines::new(&text);
        let mut batches = Vec::new();
        while let Some(line) = lines.peek() {
            if let Some(batch) = lines.new_batch() {
                batches.push(batch.inspect(|line| assert_eq!(line, b"x")).count());
            }
            lines.consume(line);
        }
        assert_eq!(batches, [PREFETCH_MAX, 2]);
        let mut single = Lines::new(b"x\ny");
        single.peek();
        assert!(single.new_batch().is_none(), "one line gains nothing");
    }
}
