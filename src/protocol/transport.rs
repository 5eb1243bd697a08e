//! The side of a connection that a protocol writes to: an output buffer and a few switches. It holds no
//! socket; the event loop sends the output and acts on the switches after each callback.

use crate::clock::Moment;

/// The amounts of unsent output, in bytes, at which a protocol is asked to pause and to resume writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaterMarks {
    /// The high-water mark. Above it the loop calls [`super::Protocol::pause_writing`].
    pub high: u32,
    /// The low-water mark. At or below it, after a pause, the loop calls [`super::Protocol::resume_writing`].
    pub low: u32,
}

impl Default for WaterMarks {
    /// The marks of asyncio.
    fn default() -> WaterMarks {
        WaterMarks { high: HIGH_WATER, low: LOW_WATER }
    }
}

/// A protocol's request to end its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Send the output first.
    Drain,
    /// Discard the output.
    Abort,
}

/// The side of a connection that its protocol writes to.
#[derive(Debug)]
pub struct Transport {
    output: Vec<u8>,
    sent: u32,
    water_marks: WaterMarks,
    close: Option<Close>,
    reading_paused: bool,
    writing_paused: bool,
    /// [`LEAVE_QUOTA`], [`CALL_AT_TURN_END`] and [`OFFER_AGAIN`]: one byte, because there may be ten thousand transports.
    requests: u8,
    deadline: Moment,
}

impl Transport {
    /// A transport without output.
    pub fn new(water_marks: WaterMarks) -> Transport {
        Transport {
            output: Vec::new(),
            sent: 0,
            water_marks,
            close: None,
            reading_paused: false,
            writing_paused: false,
            requests: 0,
            deadline: Moment::NEVER,
        }
    }

    /// Appends to the output, which is sent at the end of the turn.
    pub fn write(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// The output buffer, to append to in place.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether the output is at or below the high-water mark. Producers should stop writing above it.
    pub fn has_room(&self) -> bool {
        self.pending() <= self.water_marks.high as usize
    }

    /// Bytes of output that have not been sent.
    pub fn pending(&self) -> usize {
        self.output.len() - self.sent as usize
    }

    /// Delivers no input until [`Transport::resume_reading`].
    pub fn pause_reading(&mut self) {
        self.reading_paused = true;
    }

    /// Delivers input again, starting with the bytes that the protocol has not consumed.
    pub fn resume_reading(&mut self) {
        self.reading_paused = false;
    }

    /// Whether input is held back.
    pub fn reading_is_paused(&self) -> bool {
        self.reading_paused
    }

    /// Delivers the bytes that the protocol has not consumed once more, without new ones.
    pub fn offer_again(&mut self) {
        self.requests |= OFFER_AGAIN;
    }

    /// Whether [`Transport::offer_again`] was called since the last call.
    pub fn take_offer_again(&mut self) -> bool {
        let asked = self.requests & OFFER_AGAIN != 0;
        self.requests &= !OFFER_AGAIN;
        asked
    }

    /// Sends the output, then ends the connection. Further input is discarded, and the deadline is cleared.
    pub fn close(&mut self) {
        if self.close.is_none() {
            self.close = Some(Close::Drain);
            self.deadline = Moment::NEVER;
        }
    }

    /// Ends the connection now.
    pub fn abort(&mut self) {
        self.close = Some(Close::Abort);
    }

    /// The request to end the connection, if there is one.
    pub fn close_requested(&self) -> Option<Close> {
        self.close
    }

    /// Sets the moment of the next [`super::Protocol::timed_out`], in place of an earlier one;
    /// [`Moment::NEVER`]: no deadline.
    pub fn set_deadline(&mut self, deadline: Moment) {
        self.deadline = deadline;
    }

    /// The moment of the next [`super::Protocol::timed_out`].
    pub fn deadline(&self) -> Moment {
        self.deadline
    }

    /// Stops counting this connection against the quota of its listener.
    pub fn leave_quota(&mut self) {
        self.requests |= LEAVE_QUOTA;
    }

    /// Whether the connection no longer counts against the quota.
    pub fn leaves_quota(&self) -> bool {
        self.requests & LEAVE_QUOTA != 0
    }

    /// Calls [`super::Protocol::turn_ending`] at the end of each turn from now on.
    pub fn call_at_turn_end(&mut self) {
        self.requests |= CALL_AT_TURN_END;
    }

    /// Whether the protocol is called at the end of each turn.
    pub fn is_called_at_turn_end(&self) -> bool {
        self.requests & CALL_AT_TURN_END != 0
    }

    /// The output that has not been sent.
    pub fn unsent(&self) -> &[u8] {
        &self.output[self.sent as usize..]
    }

    /// Removes the first bytes of [`Transport::unsent`], which have been sent.
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

    /// Takes a buffer from the pool, if the transport has none.
    pub fn lend_buffer(&mut self, take: impl FnOnce() -> Vec<u8>) {
        if self.output.capacity() == 0 {
            self.output = take();
        }
    }

    /// Returns the buffer if it is empty, so that an idle connection owns none.
    pub fn take_buffer(&mut self) -> Option<Vec<u8>> {
        (self.output.is_empty() && self.output.capacity() > 0).then(|| std::mem::take(&mut self.output))
    }

    /// Whether `pause_writing` is due. True once for each rise above the high-water mark.
    pub fn must_pause_writing(&mut self) -> bool {
        let must = !self.writing_paused && !self.has_room();
        self.writing_paused |= must;
        must
    }

    /// Whether `resume_writing` is due. True once for each fall to the low-water mark.
    pub fn must_resume_writing(&mut self) -> bool {
        let must = self.writing_paused && self.pending() <= self.water_marks.low as usize;
        self.writing_paused &= !must;
        must
    }
}

/// The request of [`Transport::leave_quota`].
const LEAVE_QUOTA: u8 = 1;
/// The request of [`Transport::call_at_turn_end`].
const CALL_AT_TURN_END: u8 = 2;
/// The request of [`Transport::offer_again`].
const OFFER_AGAIN: u8 = 4;
/// asyncio's high-water mark, in bytes: enough for the replies of a turn, small enough for ten thousand slow
/// readers.
const HIGH_WATER: u32 = 64 * 1024;
/// asyncio's low-water mark, in bytes: a quarter of the high one.
const LOW_WATER: u32 = HIGH_WATER / 4;
/// Sent bytes that may stay at the front of the buffer: moving the rest forward more often would cost more
/// than the memory is worth.
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
        assert!(!transport.must_pause_writing(), "reported once");
        transport.note_sent(6);
        assert!(!transport.must_resume_writing());
        transport.note_sent(1);
        assert!(transport.must_resume_writing());
        assert!(!transport.must_resume_writing(), "reported once");
        transport.note_sent(4);
        assert_eq!((transport.pending(), transport.unsent().len()), (0, 0));
    }

    #[test]
    fn unsent_output_stays_in_order() {
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
        assert_eq!(transport.close_requested(), Some(Close::Abort));
    }
}
