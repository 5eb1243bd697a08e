//! The pending replies of a client, in the order of its commands.
//!
//! While a reply waits for Places, for a search or for the disk, the replies to later commands wait in this queue. Usually
//! the queue is empty and owns no memory, and replies go straight into the output.

mod text;

use std::collections::VecDeque;

use self::text::Text;
use super::unread::{ANSWERS_MAX, ANSWERS_OF_ALL_MAX, FEW_ANSWERS_MAX, Held, has_room_for};

use crate::log::Log;
use crate::places::answer::Answer;
use crate::protocol::Transport;

/// The replies that cannot be sent yet.
#[derive(Debug, Default)]
pub(super) struct Replies {
    queue: VecDeque<Reply>,
    next_ticket: u32,
    /// The searches that are not over.
    searches: u32,
    /// The ticket of a search that has not begun: no further command may be carried out before it.
    unbegun: Option<u32>,
    /// Bytes in the output that count as unread answers; see [`Replies::send`].
    held: Held,
    /// The number of the change for which the client is in the list of those that wait for the disk; 0: it is not there.
    listed_for: u64,
}

#[derive(Debug)]
enum Reply {
    /// The replies to commands that were carried out at once. Some may wait for the disk.
    Text(Text),
    /// A WHATSAT that waits for Places; or a NEAR that waits for its search, with its refusal as the line.
    Waiting { ticket: u32, line: Vec<u8>, bound: usize },
    /// A FOLLOW, whose stream is pending, or running if it is the first.
    Stream,
    /// A WHATSAT or a NEAR that has its answer. It is logged when it is sent.
    Answered(Vec<u8>),
}

impl Replies {
    /// Whether no reply is pending.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a further command may be carried out.
    pub(super) fn has_room(&self) -> bool {
        if self.queue.is_empty() {
            return true;
        }
        self.unbegun.is_none() && self.waiting().count() < WAITING_MAX && self.bytes() < BYTES_MAX
    }

    /// Bytes of pending replies.
    fn bytes(&self) -> usize {
        let bytes = |reply: &Reply| match reply {
            Reply::Text(text) => text.len(),
            Reply::Answered(text) => text.len(),
            Reply::Waiting { line, .. } => line.len(),
            Reply::Stream => 0,
        };
        self.queue.iter().map(bytes).sum()
    }

    /// The buffer to which the next reply is appended: the output, or the end of the queue.
    pub(super) fn output<'a>(&'a mut self, transport: &'a mut Transport) -> &'a mut Vec<u8> {
        if matches!(self.queue.back(), Some(Reply::Waiting { .. } | Reply::Stream | Reply::Answered(_))) {
            self.queue.push_back(Reply::Text(Text::default()));
        }
        match self.queue.back_mut() {
            Some(Reply::Text(text)) => text.output(),
            _ => transport.output(),
        }
    }

    /// Reserves the next reply for an answer of Places: `line`, then the answer with at most `bound` results.
    /// Returns the ticket for [`Replies::answer`].
    pub(super) fn reserve(&mut self, line: Vec<u8>, bound: usize) -> u32 {
        let ticket = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.queue.push_back(Reply::Waiting { ticket, line, bound });
        ticket
    }

    /// Reserves the next reply for the stream of a FOLLOW.
    pub(super) fn add_stream(&mut self) {
        self.queue.push_back(Reply::Stream);
    }

    /// Whether the replies before a stream were sent. What is written to the output is then a part of it.
    pub(super) fn stream_is_next(&self) -> bool {
        matches!(self.queue.front(), Some(Reply::Stream))
    }

    /// The stream has ended: the replies after it follow.
    pub(super) fn end_stream(&mut self) {
        if self.stream_is_next() {
            self.queue.pop_front();
        }
    }

    /// Whether a search of the client is not over.
    pub(super) fn is_searching(&self) -> bool {
        self.searches > 0
    }

    /// Reserves the next reply for the results of a search. `refusal` is the reply if there is no room for them.
    pub(super) fn reserve_search(&mut self, refusal: Vec<u8>, has_begun: bool) -> u32 {
        let ticket = self.reserve(refusal, 0);
        self.searches += 1;
        if !has_begun {
            self.unbegun = Some(ticket);
        }
        ticket
    }

    /// The ticket of the next reply that is reserved.
    pub(super) fn next_ticket(&self) -> u32 {
        self.next_ticket
    }

    /// Fills in the results of a search. Returns the refusal that takes their place, if there is no room for them.
    pub(super) fn found(&mut self, ticket: u32, text: Vec<u8>, of_all: &mut usize) -> Option<Vec<u8>> {
        self.searches -= 1;
        self.unbegun = self.unbegun.filter(|unbegun| *unbegun != ticket);
        let has_room = self.has_room_for(text.len(), *of_all);
        let reply = self
            .queue
            .iter_mut()
            .find(|reply| matches!(reply, Reply::Waiting { ticket: own, .. } if *own == ticket))?;
        let Reply::Waiting { line, .. } = reply else { return None };
        let refusal = (!has_room).then(|| line.clone());
        let text = refusal.clone().unwrap_or(text);
        *of_all += text.len();
        *reply = Reply::Answered(text);
        refusal
    }

    /// Whether the client may have so many bytes of unread answers more; `of_all` are those of all clients.
    pub(super) fn has_room_for(&self, bytes: usize, of_all: usize) -> bool {
        has_room_for(self.bytes() + self.held.bytes(), bytes, of_all)
    }

    /// Counts an output above the high-water mark as unread answers; see [`Replies::send`].
    pub(super) fn note_output(&mut self, transport: &Transport, of_all: &mut usize) {
        self.held.note_output(transport, of_all);
    }

    /// The tickets of the replies that wait for Places or a search.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u32> {
        self.queue.iter().filter_map(|reply| match reply {
            Reply::Waiting { ticket, .. } => Some(*ticket),
            Reply::Text(_) | Reply::Stream | Reply::Answered(_) => None,
        })
    }

    /// Fills in the answer for a ticket, cut to its bound. An error takes its place if the client has
    /// [`ANSWERS_MAX`] bytes of unread answers already; or if all clients together (`of_all`) have
    /// [`ANSWERS_OF_ALL_MAX`] bytes, and this client would have more than [`FEW_ANSWERS_MAX`].
    pub(super) fn answer(&mut self, ticket: u32, answer: &Answer, of_all: &mut usize) {
        let bytes = self.bytes() + self.held.bytes();
        let is_crowded = *of_all >= ANSWERS_OF_ALL_MAX;
        for reply in &mut self.queue {
            if let Reply::Waiting { ticket: own, line, bound } = reply
                && *own == ticket
            {
                let mut text = std::mem::take(line);
                let line_end = text.len();
                if bytes < ANSWERS_MAX {
                    answer.cut(*bound, &mut text);
                }
                if bytes >= ANSWERS_MAX || is_crowded && bytes + text.len() > FEW_ANSWERS_MAX {
                    text.truncate(line_end);
                    let whose = if bytes < FEW_ANSWERS_MAX { " of other clients" } else { "" };
                    Answer::unknown_error(&format!("Earlier answers{whose} were not read."))
                        .cut(*bound, &mut text);
                }
                text.extend_from_slice(b"\n\n");
                text.shrink_to_fit();
                *of_all += text.len();
                *reply = Reply::Answered(text);
                return;
            }
        }
    }

    /// Has the last reply, which was written to [`Replies::output`] from `start` on, wait until the disk has this change.
    /// `refusal` takes its place if the disk fails. Returns whether the client is to be put into the list of those that
    /// wait.
    pub(super) fn wait_for_disk(
        &mut self,
        transport: &mut Transport,
        start: usize,
        number: u64,
        refusal: &[&[u8]],
    ) -> bool {
        if let Some(Reply::Text(text)) = self.queue.back_mut() {
            text.wait(start, number, refusal);
        } else {
            let mut text = Text::new(transport.output().split_off(start));
            text.wait(0, number, refusal);
            self.queue.push_back(Reply::Text(text));
        }
        let is_listed = self.listed_for > 0;
        if !is_listed {
            self.listed_for = number;
        }
        !is_listed
    }

    /// The number of the change for which the client is in the list of those that wait for the disk; 0: it is not there.
    pub(super) fn listed_for(&self) -> u64 {
        self.listed_for
    }

    /// The client has left the list of those that wait for the disk, which has the changes up to `on_disk`, or fails.
    /// Decides each reply that need not wait any longer; `decided` gets it, and whether it is a refusal. Returns the change
    /// that the first of the others waits for: the client is to be put into the list again.
    pub(super) fn disk_reached(
        &mut self,
        on_disk: u64,
        fails: bool,
        mut decided: impl FnMut(&[u8], bool),
    ) -> Option<u64> {
        let texts = self.queue.iter_mut().filter_map(|reply| match reply {
            Reply::Text(text) => Some(text),
            Reply::Waiting { .. } | Reply::Stream | Reply::Answered(_) => None,
        });
        let mut first = None;
        for text in texts {
            text.disk_reached(on_disk, fails, &mut decided);
            first = text.waits_for();
            // Those after it wait for later changes.
            if first.is_some() {
                break;
            }
        }
        self.listed_for = first.unwrap_or(0);
        first
    }

    /// Drops all pending replies: the client is gone.
    pub(super) fn clear(&mut self, of_all: &mut usize) {
        self.held.release(of_all);
        for reply in self.queue.drain(..) {
            if let Reply::Answered(text) = reply {
                *of_all -= text.len();
            }
        }
    }

    /// Moves the replies before the first one that waits into the output, while the output has room.
    /// `last`: the connection takes no further command, so all of them are moved at once.
    ///
    /// An output above the high-water mark counts as unread answers until the next call, which follows when the
    /// client has read most of it.
    pub(super) fn send(&mut self, transport: &mut Transport, log: &mut Log, of_all: &mut usize, last: bool) {
        self.move_into(transport, log, of_all, last);
        self.note_output(transport, of_all);
    }

    fn move_into(&mut self, transport: &mut Transport, log: &mut Log, of_all: &mut usize, last: bool) {
        while last || transport.has_room() {
            match self.queue.pop_front() {
                Some(Reply::Text(mut text)) => {
                    text.send(transport);
                    if text.waits_for().is_some() {
                        self.queue.push_front(Reply::Text(text));
                        return;
                    }
                }
                Some(Reply::Answered(text)) => {
                    *of_all -= text.len();
                    log.sent_to_client(&text);
                    transport.write(&text);
                }
                Some(waiting @ (Reply::Waiting { .. } | Reply::Stream)) => {
                    self.queue.push_front(waiting);
                    return;
                }
                None => {
                    // Frees the memory: most connections never ask again.
                    self.queue = VecDeque::new();
                    return;
                }
            }
        }
    }
}

/// WHATSATs of one client that wait at the same time: as many as there can be questions in flight.
const WAITING_MAX: usize = 64;
/// Bytes of replies of one client that wait for a WHATSAT before them.
const BYTES_MAX: usize = 64 * 1024;
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
    fn unread_answers_of_many_clients_lower_the_bound_of_each() {
        let (mut replies, mut of_all) = (Replies::default(), 0);
        let first = replies.reserve(b"AT 1\n".to_vec(), 1);
        let tickets: Vec<u32> = (0..3).map(|_| replies.reserve(b"AT 2\n".to_vec(), 1)).collect();
        replies.answer(tickets[0], &large_answer(), &mut of_all);
        replies.answer(tickets[1], &large_answer(), &mut of_all);
        assert!(of_all > 200_000, "one client alone may have much");
        // The unread answers of other clients.
        of_all += ANSWERS_OF_ALL_MAX;
        replies.answer(tickets[2], &large_answer(), &mut of_all);
        replies.answer(first, &answer(), &mut of_all);
        let (mut transport, mut log) = (Transport::new(WaterMarks::default()), Log::new("Riley", Level::Off));
        replies.send(&mut transport, &mut log, &mut of_all, true);
        let sent = sent(&mut transport);
        assert_eq!((sent.matches("xxx").count() * 3 / 99_999, sent.matches("UNKNOWN_ERROR").count()), (2, 2));
        assert_eq!(of_all, ANSWERS_OF_ALL_MAX + sent.len(), "the output is unread");
        replies.send(&mut transport, &mut log, &mut of_all, true);
        assert_eq!(of_all, ANSWERS_OF_ALL_MAX, "the client has read it");
    }

    #[test]
    fn unread_answers_of_all_clients_are_bounded() {
        let mut log = Log::new("Riley", Level::Off);
        let mut of_all = 0;
        let mut clients: Vec<(Replies, Transport)> = Vec::new();
        for _ in 0..10_000 {
            let (mut replies, mut transport) = (Replies::default(), Transport::new(WaterMarks::default()));
            let ticket = replies.reserve(b"AT 1\n".to_vec(), 1);
            replies.answer(ticket, &large_answer(), &mut of_all);
            replies.send(&mut transport, &mut log, &mut of_all, false);
            clients.push((replies, transport));
        }
        let held: usize = clients.iter().map(|(_, transport)| transport.pending()).sum();
        assert!(held < ANSWERS_OF_ALL_MAX + clients.len() * FEW_ANSWERS_MAX, "{held}");
        let full = clients.iter().filter(|(_, transport)| transport.pending() > 100_000).count();
        assert_eq!(full, ANSWERS_OF_ALL_MAX.div_ceil(clients[0].1.pending()));
        // Small answers are still given.
        let (mut replies, mut transport) = (Replies::default(), Transport::new(WaterMarks::default()));
        for (large, expected) in [(false, "\"results\":[1]"), (true, "Earlier answers of other clients")] {
            let ticket = replies.reserve(b"AT 1\n".to_vec(), 1);
            replies.answer(ticket, &if large { large_answer() } else { answer() }, &mut of_all);
            replies.send(&mut transport, &mut log, &mut of_all, false);
            assert!(sent(&mut transport).contains(expected));
        }
        clients.iter_mut().for_each(|(replies, _)| replies.clear(&mut of_all));
        assert_eq!(of_all, 0, "dropped answers do not count");
    }

    #[test]
    fn replies_leave_in_the_order_of_the_commands() {
        let (mut replies, mut transport) = (Replies::default(), Transport::new(WaterMarks::default()));
        let (mut log, mut of_all) = (Log::new("Riley", Level::Off), 0);
        replies.output(&mut transport).extend_from_slice(b"a\n");
        let first = replies.reserve(b"AT 1\n".to_vec(), 1);
        replies.output(&mut transport).extend_from_slice(b"b\n");
        replies.output(&mut transport).extend_from_slice(b"c\n");
        let second = replies.reserve(b"AT 2\n".to_vec(), 2);
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
    fn pending_replies_are_bounded() {
        let (mut replies, mut transport) = (Replies::default(), Transport::new(WaterMarks::default()));
        for _ in 0..WAITING_MAX {
            assert!(replies.has_room());
            replies.reserve(b"AT\n".to_vec(), 1);
        }
        assert!(!replies.has_room());
        let mut replies = Replies::default();
        replies.reserve(b"AT\n".to_vec(), 1);
        replies.output(&mut transport).extend_from_slice(&[b'x'; BYTES_MAX]);
        assert!(!replies.has_room());
    }

    #[test]
    fn nothing_is_moved_into_an_output_without_room() {
        let (mut replies, mut transport) =
            (Replies::default(), Transport::new(WaterMarks { high: 8, low: 2 }));
        let (mut log, mut of_all) = (Log::new("Riley", Level::Off), 0);
        let tickets = [replies.reserve(b"AT 1\n".to_vec(), 0), replies.reserve(b"AT 2\n".to_vec(), 0)];
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
        let tickets = [replies.reserve(b"AT 1\n".to_vec(), 0), replies.reserve(b"AT 2\n".to_vec(), 0)];
        tickets.iter().for_each(|&ticket| replies.answer(ticket, &answer(), &mut of_all));
        replies.send(&mut transport, &mut log, &mut of_all, true);
        assert_eq!(sent(&mut transport).lines().count(), 6);
        assert!(replies.is_empty());
    }

    #[test]
    fn unread_answers_are_bounded() {
        let mut replies = Replies::default();
        let large = format!("{{\"results\":[\"{}\"]}}", "x".repeat(3 << 20));
        let large = Answer::parse(large.into_bytes()).unwrap();
        let tickets: Vec<u32> = (0..10).map(|_| replies.reserve(b"AT\n".to_vec(), 1)).collect();
        for ticket in tickets {
            replies.answer(ticket, &large, &mut 0);
        }
        assert!(replies.bytes() < ANSWERS_MAX + (4 << 20), "{}", replies.bytes());
        assert!(!replies.has_room());
        let mut replies = Replies::default();
        let ticket = replies.reserve(b"AT\n".to_vec(), 0);
        replies.answer(ticket, &large, &mut 0);
        assert!(replies.bytes() < 100, "only the part within the bound is kept");
    }
}
