//! The side of a connection that a protocol writes into: an output buffer and a few switches. No socket.

use crate::clock::Moment;

/// When a protocol is told to stop and to go on writing, in bytes of output that the network did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaterMarks {
    /// More than this: [`super::Protocol::pause_writing`].
    pub high: u32,
    /// This or less, after that: [`super::Protocol::resume_writing`].
    pub low: u32,
}

impl Default for WaterMarks {
    /// Those of asyncio.
    fn default() -> WaterMarks {
        WaterMarks { high: HIGH_MARK, low: LOW_MARK }
    }
}

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is not.
    Open,
    /// What was written is sent, then it ends.
    Closing,
    /// It ends now; what was not sent is lost.
    Aborting,
}

/// What a protocol writes into. The event loop sends what is in it at the end of its turn.
#[derive(Debug)]
pub struct Transport {
    output: Vec<u8>,
    sent: u32,
    water_marks: WaterMarks,
    ending: Ending,
    reading_paused: bool,
    writing_paused: bool,
    deadline: Moment,
}

impl Transport {
    /// An open transport without output.
    pub fn new(water_marks: WaterMarks) -> Transport {
        Transport {
            output: Vec::new(),
            sent: 0,
            water_marks,
            ending: Ending::Open,
            reading_paused: false,
            writing_paused: false,
            deadline: Moment::NEVER,
        }
    }

    /// Appends to the output. Nothing is sent before the end of the turn.
    pub fn write(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// The output, to be appended to in place.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether the output is not above its high mark: whoever can wait should not write when it is.
    pub fn has_room(&self) -> bool {
        self.waiting() <= self.water_marks.high as usize
    }

    /// Bytes of output that were not sent yet.
    pub fn waiting(&self) -> usize {
        self.output.len() - self.sent as usize
    }

    /// Delivers no input until [`Transport::resume_reading`].
    pub fn pause_reading(&mut self) {
        self.reading_paused = true;
    }

    /// Delivers input again, beginning with what the protocol did not use before.
    pub fn resume_reading(&mut self) {
        self.reading_paused = false;
    }

    /// Whether input is not delivered now.
    pub fn reading_is_paused(&self) -> bool {
        self.reading_paused
    }

    /// Sends what was written, then ends the connection. Input is thrown away from now on, and what the
    /// deadline was for is of no account any more.
    pub fn close(&mut self) {
        if self.ending == Ending::Open {
            self.ending = Ending::Closing;
            self.deadline = Moment::NEVER;
        }
    }

    /// Ends the connection now.
    pub fn abort(&mut self) {
        self.ending = Ending::Aborting;
    }

    /// How far the connection is on its way to its end.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// Asks for [`super::Protocol::timed_out`] at this moment instead of any asked for before;
    /// [`Moment::NEVER`] for none. It is asked for once: who wants more asks again.
    pub fn set_deadline(&mut self, deadline: Moment) {
        self.deadline = deadline;
    }

    /// The moment asked for.
    pub fn deadline(&self) -> Moment {
        self.deadline
    }

    /// The output that was not sent yet.
    pub fn unsent(&self) -> &[u8] {
        &self.output[self.sent as usize..]
    }

    /// Notes that so many bytes of [`Transport::unsent`] were sent.
    pub fn note_sent(&mut self, bytes: usize) {
        self.sent += bytes as u32;
        if self.sent as usize == self.output.len() {
            self.output.clear();
            self.sent = 0;
        } else if self.sent >= SENT_KEPT_MAX {
            self.output.drain(..self.sent as usize);
            self.sent = 0;
        }
    }

    /// Lends the transport a buffer to write into, if it has none.
    pub fn lend_buffer(&mut self, take: impl FnOnce() -> Vec<u8>) {
        if self.output.capacity() == 0 {
            self.output = take();
        }
    }

    /// Takes the buffer back if nothing is in it, so that an idle connection owns none.
    pub fn take_buffer(&mut self) -> Option<Vec<u8>> {
        (self.output.is_empty() && self.output.capacity() > 0).then(|| std::mem::take(&mut self.output))
    }

    /// Whether the protocol must be told now that the output passed its high mark.
    pub fn must_pause_writing(&mut self) -> bool {
        let must = !self.writing_paused && !self.has_room();
        self.writing_paused |= must;
        must
    }

    /// Whether the protocol must be told now that the output fell to its low mark.
    pub fn must_resume_writing(&mut self) -> bool {
        let must = self.writing_paused && self.waiting() <= self.water_marks.low as usize;
        self.writing_paused &= !must;
        must
    }
}

/// asyncio's high mark, in bytes: enough for a turn's replies, little enough for ten thousand slow readers.
const HIGH_MARK: u32 = 64 * 1024;
/// asyncio's low mark, in bytes: a quarter of the high one.
const LOW_MARK: u32 = HIGH_MARK / 4;
/// Bytes at the front of the output that were sent and are still kept: moving the rest to the front
/// costs less than it frees.
const SENT_KEPT_MAX: u32 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pausing_and_resuming_come_in_pairs() {
        let mut transport = Transport::new(WaterMarks { high: 10, low: 4 });
        transport.write(&[0; 10]);
        assert!(transport.has_room() && !transport.must_pause_writing());
        transport.write(&[0; 1]);
        assert!(!transport.has_room() && transport.must_pause_writing());
        assert!(!transport.must_pause_writing(), "told once");
        transport.note_sent(6);
        assert!(!transport.must_resume_writing());
        transport.note_sent(1);
        assert!(transport.must_resume_writing());
        assert!(!transport.must_resume_writing(), "told once");
        transport.note_sent(4);
        assert_eq!((transport.waiting(), transport.unsent().len()), (0, 0));
    }

    #[test]
    fn what_was_not_sent_stays_in_order() {
        let mut transport = Transport::new(WaterMarks::default());
        transport.write(&[1; SENT_KEPT_MAX as usize]);
        transport.write(&[2; 3]);
        transport.note_sent(SENT_KEPT_MAX as usize - 1);
        assert_eq!(transport.unsent(), [1, 2, 2, 2]);
        transport.note_sent(2);
        assert_eq!(transport.unsent(), [2, 2]);
    }

    #[test]
    fn only_an_empty_buffer_is_taken_back() {
        let mut transport = Transport::new(WaterMarks::default());
        transport.lend_buffer(|| Vec::with_capacity(8));
        transport.write(b"a");
        assert_eq!(transport.take_buffer(), None);
        transport.note_sent(1);
        assert!(transport.take_buffer().is_some());
        assert_eq!(transport.take_buffer(), None);
    }

    #[test]
    fn an_abort_is_not_taken_back_by_a_close() {
        let mut transport = Transport::new(WaterMarks::default());
        transport.abort();
        transport.close();
        assert_eq!(transport.ending(), Ending::Aborting);
    }
}
