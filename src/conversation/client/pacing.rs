//! `limits.max_lines_per_second` (docs/protocol.md, section 3): a client that sends more lines is read from more
//! slowly, and nothing is refused.

use std::time::Duration;

use memchr::{memchr_iter, memmem};

use super::{Client, Context, IdleTimes, Standing};
use crate::clock::Moment;

/// The times that only some clients need.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// `None`: the settings of `clients` were off so far.
    pub(super) idle: Option<IdleTimes>,
    /// `None`: the client is on this machine, or `limits.max_lines_per_second` was 0 when it connected.
    pub(super) pace: Option<Pace>,
}

/// The lines that a client may send: `rate` in a second, and as many at once after a second without any (the
/// generic cell rate algorithm).
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The moment at which a client that sent at its rate would have sent what it has.
    reached: Moment,
}

impl Pace {
    /// A client that has sent nothing.
    pub(super) fn new(now: Moment) -> Pace {
        Pace { reached: now }
    }

    /// The lines that may be taken now. A rate of 0: no limit.
    fn lines_allowed(&self, rate: u32, now: Moment) -> usize {
        let Some(interval) = SECOND.checked_div(rate) else { return usize::MAX };
        let credit = (now + SECOND) - self.reached.max(now);
        (credit.as_nanos() / interval.as_nanos()) as usize
    }

    fn spend(&mut self, lines: usize, rate: u32, now: Moment) {
        let interval = SECOND.checked_div(rate).unwrap_or_default();
        // One read has fewer lines than that.
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        self.reached = self.reached.max(now) + interval.saturating_mul(lines);
    }

    /// When lines are allowed again: a few at once, so that the loop is not woken for each.
    fn resumes_at(&self, rate: u32) -> Moment {
        let lines = (rate / BATCHES_PER_SECOND).max(1);
        let until = self.reached + SECOND.checked_div(rate).unwrap_or_default().saturating_mul(lines);
        Moment::START + (until - (Moment::START + SECOND))
    }
}

impl Client {
    /// The bytes of the input, at its front, that are as many lines as the pace of the client allows.
    pub(super) fn allowed_by_pace(&self, context: &Context<'_>, data: &[u8]) -> usize {
        let rate = context.shared.limits.max_lines_per_second;
        self.pace().map_or(data.len(), |pace| {
            end_of_lines(data, pace.lines_allowed(rate, context.now), self.telnet.was_used())
        })
    }

    /// Acts on what was received by a client with [`Timing`]: `used` of the `offered` bytes of the input. Pauses reading
    /// before lines that the pace does not allow. Returns the number of consumed bytes.
    pub(super) fn timed_lines_were_received(
        &mut self,
        context: &mut Context<'_>,
        data: &[u8],
        offered: usize,
        used: usize,
    ) -> usize {
        let used = self.spend_lines(context, data, offered, used);
        self.line_is_due = false;
        if let Some(idle) = self.timing.as_mut().and_then(|timing| timing.idle.as_mut()) {
            if data.len() > self.unread as usize {
                idle.note_input(context.clocks());
            } else if used > 0 {
                idle.note_activity(context.now);
            }
        }
        self.lines_were_received(context, data.len() - used);
        self.await_pace(context);
        used
    }

    fn spend_lines(&mut self, context: &mut Context<'_>, data: &[u8], offered: usize, used: usize) -> usize {
        let Some(mut pace) = self.pace() else { return used };
        // CR NUL is an end of a line from the input on after which telnet was used.
        let lines = line_ends(&data[..used], self.telnet.was_used()).count();
        pace.spend(lines, context.shared.limits.max_lines_per_second, context.now);
        self.timing.get_or_insert_default().pace = Some(pace);
        match self.standing {
            Standing::Finished => data.len(),
            Standing::Unidentified | Standing::PeersOnly | Standing::Client | Standing::Following
                if offered < data.len() =>
            {
                context.transport.pause_reading();
                used
            }
            _ => used,
        }
    }

    fn pace(&self) -> Option<Pace> {
        self.timing.as_ref().and_then(|timing| timing.pace)
    }

    /// Sets the deadline to the moment at which reading is resumed, if that comes first.
    pub(super) fn await_pace(&self, context: &mut Context<'_>) {
        if let Some(pace) = self.pace()
            && context.transport.reading_is_paused()
        {
            let resumes_at = pace.resumes_at(context.shared.limits.max_lines_per_second);
            // If that moment has passed, reading waits for room in the output.
            if resumes_at > context.now {
                let deadline = context.transport.deadline();
                context.transport.set_deadline(deadline.min(resumes_at));
            }
        }
    }

    /// Resumes reading if lines are allowed again.
    pub(super) fn resume_at_pace(&mut self, context: &mut Context<'_>) {
        let rate = context.shared.limits.max_lines_per_second;
        if let Some(pace) = self.pace()
            && context.now >= pace.resumes_at(rate)
            && context.transport.has_room()
            && self.replies.has_room()
        {
            context.transport.resume_reading();
        }
    }
}

/// The end of the first `lines` lines; all of the data if it has fewer.
fn end_of_lines(data: &[u8], lines: usize, with_cr_nul: bool) -> usize {
    match lines.checked_sub(1) {
        None => 0,
        Some(before) => line_ends(data, with_cr_nul).nth(before).unwrap_or(data.len()),
    }
}

/// The positions after each end of a line: LF, and after telnet commands CR NUL.
fn line_ends(data: &[u8], with_cr_nul: bool) -> impl Iterator<Item = usize> {
    let searched = if with_cr_nul { data } else { &[] };
    let mut cr_nuls = memmem::find_iter(searched, b"\r\0").map(|at| at + 2).peekable();
    let mut line_feeds = memchr_iter(b'\n', data).map(|at| at + 1).peekable();
    std::iter::from_fn(move || match (line_feeds.peek(), cr_nuls.peek()) {
        (Some(line_feed), Some(cr_nul)) if cr_nul < line_feed => cr_nuls.next(),
        (None, _) => cr_nuls.next(),
        (Some(_), _) => line_feeds.next(),
    })
}

const SECOND: Duration = Duration::from_secs(1);

/// Reading is resumed about so often.
const BATCHES_PER_SECOND: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_lines_may_come_at_once_and_then_one_at_a_time() {
        let start = Moment::START + Duration::from_secs(100);
        let mut pace = Pace::new(start);
        assert_eq!((pace.lines_allowed(10, start), pace.lines_allowed(0, start)), (10, usize::MAX));
        pace.spend(10, 10, start);
        assert_eq!(pace.lines_allowed(10, start), 0);
        assert_eq!(pace.resumes_at(10), start + Duration::from_millis(100));
        let later = start + Duration::from_millis(350);
        assert_eq!(pace.lines_allowed(10, later), 3);
        pace.spend(3, 10, later);
        assert_eq!((pace.lines_allowed(10, later), pace.lines_allowed(10, later + SECOND * 9)), (0, 10));
        // At a high rate the loop is woken 20 times a second.
        let mut pace = Pace::new(start);
        pace.spend(1000, 1000, start);
        assert_eq!(pace.resumes_at(1000), start + Duration::from_millis(50));
    }

    #[test]
    fn lines_are_counted_as_they_are_read() {
        let data = b"a\nb\r\0c\n\r\0d";
        assert_eq!(line_ends(data, false).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(line_ends(data, true).collect::<Vec<_>>(), [2, 5, 7, 9]);
        assert_eq!((0..6).map(|n| end_of_lines(data, n, true)).collect::<Vec<_>>(), [0, 2, 5, 7, 9, 10]);
    }
}
