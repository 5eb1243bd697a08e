//! Pending replies whose text is known. Some of them wait for the disk, and those after them for their turn.

use std::collections::VecDeque;
use std::ops::Range;

use crate::protocol::Transport;

/// The replies to commands that were carried out, in their order.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    /// The replies that wait for the disk, in their order.
    unsynced: VecDeque<Unsynced>,
    /// The refusals that may take their places, one after the other.
    refusals: Vec<u8>,
}

/// A reply that waits until the disk has a change.
#[derive(Debug)]
struct Unsynced {
    /// The number of the change.
    number: u64,
    /// The reply, in the bytes of its text.
    reply: Range<usize>,
    /// Bytes of its refusal.
    refusal: usize,
}

impl Text {
    /// Replies that wait for nothing.
    pub(super) fn new(bytes: Vec<u8>) -> Text {
        Text { bytes, ..Text::default() }
    }

    /// The buffer to which the next reply is appended.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes of the replies and of the refusals.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.refusals.len()
    }

    /// Has the last reply, which begins at `start`, wait until the disk has this change. `refusal` takes its place if the
    /// disk fails.
    pub(super) fn wait(&mut self, start: usize, number: u64, refusal: &[&[u8]]) {
        let before = self.refusals.len();
        refusal.iter().for_each(|part| self.refusals.extend_from_slice(part));
        let refusal = self.refusals.len() - before;
        self.unsynced.push_back(Unsynced { number, reply: start..self.bytes.len(), refusal });
    }

    /// The number of the change that the first reply waits for; `None`: none waits.
    pub(super) fn waits_for(&self) -> Option<u64> {
        self.unsynced.front().map(|first| first.number)
    }

    /// Decides the replies whose changes are among those up to `on_disk`; and all others, if the disk fails. `decided`
    /// gets each of them, and whether it is a refusal.
    pub(super) fn disk_reached(&mut self, on_disk: u64, fails: bool, decided: &mut impl FnMut(&[u8], bool)) {
        let on_disk = self.unsynced.iter().take_while(|unsynced| unsynced.number <= on_disk).count();
        let mut refusals = 0;
        for Unsynced { reply, refusal, .. } in self.unsynced.drain(..on_disk) {
            decided(&self.bytes[reply], false);
            refusals += refusal;
        }
        self.refusals.drain(..refusals);
        if fails && !self.unsynced.is_empty() {
            self.refuse(decided);
        }
    }

    /// Puts the refusals into the places of the replies that wait.
    fn refuse(&mut self, decided: &mut impl FnMut(&[u8], bool)) {
        let (bytes, refusals) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.refusals));
        let (mut copied, mut refusals) = (0, &refusals[..]);
        for Unsynced { reply, refusal, .. } in self.unsynced.drain(..) {
            self.bytes.extend_from_slice(&bytes[copied..reply.start]);
            copied = reply.end;
            let refusal = refusals.split_off(..refusal).unwrap_or_default();
            self.bytes.extend_from_slice(refusal);
            decided(refusal, true);
        }
        self.bytes.extend_from_slice(&bytes[copied..]);
    }

    /// Moves the replies before the first one that waits into the output.
    pub(super) fn send(&mut self, transport: &mut Transport) {
        let end = self.unsynced.front().map_or(self.bytes.len(), |first| first.reply.start);
        if end == 0 {
            return;
        }
        transport.write(&self.bytes[..end]);
        self.bytes.drain(..end);
        for Unsynced { reply, .. } in &mut self.unsynced {
            *reply = reply.start - end..reply.end - end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::WaterMarks;
    use proptest::prelude::*;

    /// A step of a text.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Reply,
        Wait,
        Reach(u64),
        Fail,
        Send,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Reply),
            5 => Just(Step::Wait),
            2 => (0..5u64).prop_map(Step::Reach),
            1 => Just(Step::Fail),
            2 => Just(Step::Send),
        ]
    }

    /// A reply in the model: its line, its refusal, and while it waits the number of its change.
    struct Expected {
        line: String,
        refusal: String,
        number: Option<u64>,
    }

    proptest! {
        /// Against a list of replies, each with its own state.
        #[test]
        fn replies_leave_in_their_order_as_the_disk_decides(steps in prop::collection::vec(step(), 0..60)) {
            let (mut text, mut transport) = (Text::default(), Transport::new(WaterMarks::default()));
            let (mut model, mut sent) = (Vec::<Expected>::new(), 0);
            let (mut number, mut on_disk) = (0, 0);
            let mut expected_output = String::new();
            for (count, step) in steps.into_iter().enumerate() {
                let mut fails = false;
                match step {
                    Step::Reply | Step::Wait => {
                        let line = format!("reply {}\n", "x".repeat(count % 7));
                        let start = text.output().len();
                        text.output().extend_from_slice(line.as_bytes());
                        let waits = matches!(step, Step::Wait);
                        if waits {
                            number += 1;
                            text.wait(start, number, &[b"? ", count.to_string().as_bytes(), b"\n"]);
                        }
                        let refusal = format!("? {count}\n");
                        model.push(Expected { line, refusal, number: waits.then_some(number) });
                    }
                    Step::Reach(further) => on_disk = (on_disk + further).min(number),
                    Step::Fail => fails = true,
                    Step::Send => {
                        text.send(&mut transport);
                        while let Some(Expected { line, number: None, .. }) = model.get(sent) {
                            expected_output += line;
                            sent += 1;
                        }
                        prop_assert_eq!(transport.unsent(), expected_output.as_bytes());
                    }
                }
                if matches!(step, Step::Reach(_) | Step::Fail) {
                    let (mut decided, mut expected) = (Vec::new(), Vec::new());
                    text.disk_reached(on_disk, fails, &mut |line, is_refusal| {
                        decided.push((String::from_utf8(line.to_vec()).unwrap(), is_refusal));
                    });
                    for reply in &mut model {
                        let Some(waits_for) = reply.number else { continue };
                        if waits_for > on_disk {
                            if !fails {
                                continue;
                            }
                            reply.line = reply.refusal.clone();
                        }
                        reply.number = None;
                        expected.push((reply.line.clone(), waits_for > on_disk));
                    }
                    prop_assert_eq!(decided, expected);
                }
                prop_assert_eq!(text.waits_for(), model.iter().find_map(|reply| reply.number));
            }
        }
    }
}
