//! The replies that a client is owed, in the order of its commands.
//!
//! While Places is asked for one of them, those behind it wait here. Usually nothing waits, nothing
//! is kept, and replies go straight into the output.

use std::collections::VecDeque;

use super::Transport;
use crate::log::Log;
use crate::places::answer::Answer;

/// Replies that cannot be sent yet.
#[derive(Debug, Default)]
pub(super) struct Replies {
    queue: VecDeque<Reply>,
    next_ticket: u32,
}

#[derive(Debug)]
enum Reply {
    /// Replies to commands that were carried out at once.
    Text(Vec<u8>),
    /// A WHATSAT for which Places is asked.
    Waiting { ticket: u32, line: Vec<u8>, bound: usize },
    /// A WHATSAT that Places answered, which is logged when its turn has come.
    Answered(Vec<u8>),
}

impl Replies {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the client may ask for more.
    pub(super) fn has_room(&self) -> bool {
        if self.queue.is_empty() {
            return true;
        }
        let waiting = self.queue.iter().filter(|reply| matches!(reply, Reply::Waiting { .. })).count();
        waiting < WAITING_MAX && self.bytes() < BYTES_MAX
    }

    /// Bytes that are kept.
    fn bytes(&self) -> usize {
        let bytes = |reply: &Reply| match reply {
            Reply::Text(text) | Reply::Answered(text) => text.len(),
            Reply::Waiting { line, .. } => line.len(),
        };
        self.queue.iter().map(bytes).sum()
    }

    /// Where the next reply is to be appended: the output, or behind those that wait.
    pub(super) fn output<'a>(&'a mut self, transport: &'a mut Transport) -> &'a mut Vec<u8> {
        if matches!(self.queue.back(), Some(Reply::Waiting { .. } | Reply::Answered(_))) {
            self.queue.push_back(Reply::Text(Vec::new()));
        }
        match self.queue.back_mut() {
            Some(Reply::Text(text)) => text,
            _ => transport.output(),
        }
    }

    /// Reserves the next reply for what Places will answer: `line`, and of the results at most
    /// `bound`. Gives the ticket by which [`Replies::answer`] finds it.
    pub(super) fn wait(&mut self, line: Vec<u8>, bound: usize) -> u32 {
        let ticket = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.queue.push_back(Reply::Waiting { ticket, line, bound });
        ticket
    }

    /// Notes what Places answered. Only what the client will get of it is kept, and of a client
    /// that does not read, no more than [`ANSWERS_MAX`], or [`FEW_ANSWERS_MAX`] when all clients
    /// together let [`ANSWERS_OF_ALL_MAX`] wait. `of_all` counts those bytes.
    pub(super) fn answer(&mut self, ticket: u32, answer: &Answer, of_all: &mut usize) {
        let bytes = self.bytes();
        let most = if *of_all < ANSWERS_OF_ALL_MAX { ANSWERS_MAX } else { FEW_ANSWERS_MAX };
        for reply in &mut self.queue {
            if let Reply::Waiting { ticket: own, line, bound } = reply
                && *own == ticket
            {
                let mut text = std::mem::take(line);
                if bytes < most {
                    answer.cut(*bound, &mut text);
                } else {
                    Answer::unknown_error("Earlier answers were not read.").cut(*bound, &mut text);
                }
                text.extend_from_slice(b"\n\n");
                text.shrink_to_fit();
                *of_all += text.len();
                *reply = Reply::Answered(text);
                return;
            }
        }
    }

    /// The client is gone, and nothing waits for it.
    pub(super) fn forget(&mut self, of_all: &mut usize) {
        for reply in self.queue.drain(..) {
            if let Reply::Answered(text) = reply {
                *of_all -= text.len();
            }
        }
    }

    /// Moves the replies that need not wait any longer into the output while that has room; all of
    /// them, if they are the `last` ones of the connection, which then ends as soon as they are read.
    pub(super) fn send(&mut self, transport: &mut Transport, log: &mut Log, of_all: &mut usize, last: bool) {
        while last || transport.has_room() {
            match self.queue.pop_front() {
                Some(Reply::Text(text)) => transport.write(&text),
                Some(Reply::Answered(text)) => {
                    *of_all -= text.len();
                    log.sent_to_client(&text);
                    transport.write(&text);
                }
                Some(waiting @ Reply::Waiting { .. }) => {
                    self.queue.push_front(waiting);
                    return;
                }
                None => {
                    // Most connections never ask again.
                    self.queue = VecDeque::new();
                    return;
                }
            }
        }
    }
}

/// WHATSATs of one client that may wait at the same time: as many as there are questions to Places.
const WAITING_MAX: usize = 64;
/// Bytes of replies of one client that may wait behind a WHATSAT.
const BYTES_MAX: usize = 64 * 1024;
/// Bytes of answers of Places that are kept for one client: two of the largest, and many usual ones.
const ANSWERS_MAX: usize = 8 * 1024 * 1024;
/// Bytes of answers that are kept for all clients before each is held shorter: a crowd that asks and
/// never reads must not take the machine's memory.
const ANSWERS_OF_ALL_MAX: usize = 256 * 1024 * 1024;
/// Bytes of answers that are kept for one client then: what may stand in its output anyway.
const FEW_ANSWERS_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;
    use crate::protocol::WaterMarks;

    fn answer() -> Answer {
        Answer::parse(br#"{"results":[1,2,3]}"#.to_vec()).unwrap()
    }

    fn sent(transport: &mut Transport) -> String {
        let text = String::from_utf8(transport.unsent().to_vec()).unwrap();
        transport.note_sent(text.len());
        text
    }

    /// An answer of a hundred thousand bytes.
    fn large_answer() -> Answer {
        Answer::parse(format!(r#"{{"results":[],"a":"{}"}}"#, "x".repeat(100_000)).into()).unwrap()
    }

    #[test]
    fn a_crowd_that_does_not_read_is_held_short() {
        let (mut replies, mut of_all) = (Replies::default(), 0);
        let first = replies.wait(b"AT 1\n".to_vec(), 1);
        let tickets: Vec<u32> = (0..3).map(|_| replies.wait(b"AT 2\n".to_vec(), 1)).collect();
        replies.answer(tickets[0], &large_answer(), &mut of_all);
        replies.answer(tickets[1], &large_answer(), &mut of_all);
        assert!(of_all > 200_000, "alone it may wait for much");
        // Others let the rest wait.
        of_all += ANSWERS_OF_ALL_MAX;
        replies.answer(tickets[2], &large_answer(), &mut of_all);
        replies.answer(first, &answer(), &mut of_all);
        let (mut transport, mut log) = (Transport::new(WaterMarks::default()), Log::new("Riley", Level::Off));
        replies.send(&mut transport, &mut log, &mut of_all, true);
        let sent = sent(&mut transport);
        assert_eq!((sent.matches("xxx").count() * 3 / 99_999, sent.matches("UNKNOWN_ERROR").count()), (2, 2));
        assert_eq!(of_all, ANSWERS_OF_ALL_MAX, "what was sent does not count");
        // One that comes to nobody's reply but its own is given, however much others let wait.
        let alone = replies.wait(b"AT 3\n".to_vec(), 1);
        replies.answer(alone, &large_answer(), &mut of_all);
        assert!(of_all > ANSWERS_OF_ALL_MAX + 100_000);
        replies.forget(&mut of_all);
        assert_eq!(of_all, ANSWERS_OF_ALL_MAX, "nor does what nobody waits for");
    }

    #[test]
    fn replies_leave_in_the_order_of_the_commands() {
        let (mut replies, mut transport) = (Replies::default(), Transport::new(WaterMarks::default()));
        let (mut log, mut of_all) = (Log::new("Riley", Level::Off), 0);
        replies.output(&mut transport).extend_from_slice(b"a\n");
        let first = replies.wait(b"AT 1\n".to_vec(), 1);
        replies.output(&mut transport).extend_from_slice(b"b\n");
        replies.output(&mut transport).extend_from_slice(b"c\n");
        let second = replies.wait(b"AT 2\n".to_vec(), 2);
        replies.output(&mut transport).extend_from_slice(b"d\n");
        assert_eq!(sent(&mut transport), "a\n");
        replies.answer(second, &answer(), &mut of_all);
        replies.send(&mut transport, &mut log, &mut of_all, false);
        assert_eq!(sent(&mut transport), "");
        replies.answer(first, &answer(), &mut of_all);
        replies.send(&mut transport, &mut log, &mut of_all, false);
        assert_eq!(sent(&mut transport), "AT 1\n{\"results\":[1]}\n\nb\nc\nAT 2\n{\"results\":[1,2]}\n\nd\n");
        assert!(replies.is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut replies, mut transport) = (Replies::default(), Transport::new(WaterMarks::default()));
        for _ in 0..WAITING_MAX {
            assert!(replies.has_room());
            replies.wait(b"AT\n".to_vec(), 1);
        }
        assert!(!replies.has_room());
        let mut replies = Replies::default();
        replies.wait(b"AT\n".to_vec(), 1);
        replies.output(&mut transport).extend_from_slice(&[b'x'; BYTES_MAX]);
        assert!(!replies.has_room());
    }

    #[test]
    fn nothing_is_moved_into_an_output_without_room() {
        let (mut replies, mut transport) =
            (Replies::default(), Transport::new(WaterMarks { high: 8, low: 2 }));
        let (mut log, mut of_all) = (Log::new("Riley", Level::Off), 0);
        let tickets = [replies.wait(b"AT 1\n".to_vec(), 0), replies.wait(b"AT 2\n".to_vec(), 0)];
        tickets.iter().for_each(|&ticket| replies.answer(ticket, &answer(), &mut of_all));
        replies.send(&mut transport, &mut log, &mut of_all, false);
        assert_eq!(sent(&mut transport), "AT 1\n{\"results\":[]}\n\n");
        replies.send(&mut transport, &mut log, &mut of_all, false);
        assert_eq!(sent(&mut transport), "AT 2\n{\"results\":[]}\n\n");
    }

    #[test]
    fn the_last_replies_need_no_room() {
        let (mut replies, mut transport) =
            (Replies::default(), Transport::new(WaterMarks { high: 8, low: 2 }));
        let (mut log, mut of_all) = (Log::new("Riley", Level::Off), 0);
        let tickets = [replies.wait(b"AT 1\n".to_vec(), 0), replies.wait(b"AT 2\n".to_vec(), 0)];
        tickets.iter().for_each(|&ticket| replies.answer(ticket, &answer(), &mut of_all));
        replies.send(&mut transport, &mut log, &mut of_all, true);
        assert_eq!(sent(&mut transport).lines().count(), 6);
        assert!(replies.is_empty());
    }

    #[test]
    fn answers_that_are_not_read_are_bounded() {
        let mut replies = Replies::default();
        let large = format!("{{\"results\":[\"{}\"]}}", "x".repeat(3 << 20));
        let large = Answer::parse(large.into_bytes()).unwrap();
        let tickets: Vec<u32> = (0..10).map(|_| replies.wait(b"AT\n".to_vec(), 1)).collect();
        for ticket in tickets {
            replies.answer(ticket, &large, &mut 0);
        }
        assert!(replies.bytes() < ANSWERS_MAX + (4 << 20), "{}", replies.bytes());
        assert!(!replies.has_room());
        let mut replies = Replies::default();
        let ticket = replies.wait(b"AT\n".to_vec(), 0);
        replies.answer(ticket, &large, &mut 0);
        assert!(replies.bytes() < 100, "only what the client will get is kept");
    }
}
