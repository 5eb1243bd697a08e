//! The times at which the acceptor of a link sends ACK (docs/protocol.md, section 2). The first MARK of
//! a link is acknowledged at once, and later ones are coalesced. Without a MARK, ACK is the heartbeat.

use std::time::Duration;

use crate::clock::Moment;

/// The acknowledgements of one link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledgements {
    /// When the last ACK, or WELCOME, was sent, or an ACK was postponed.
    sent_at: Moment,
    /// The number in the last ACK that answered a MARK; `None`: no MARK was answered.
    acknowledged: Option<u64>,
    /// When the first MARK arrived that is not acknowledged; `None`: there is none.
    pending_since: Option<Moment>,
}

impl Acknowledgements {
    /// The acknowledgements of a link that was welcomed at `now`.
    pub(super) fn new(now: Moment) -> Acknowledgements {
        Acknowledgements { sent_at: now, acknowledged: None, pending_since: None }
    }

    /// A MARK has arrived. Returns whether it must be acknowledged at once: true for the first one of a link,
    /// since the neighbour counts the link as working only after an ACK.
    pub(super) fn mark_received(&mut self, now: Moment) -> bool {
        self.pending_since = self.pending_since.or(Some(now));
        self.acknowledged.is_none()
    }

    /// When the next ACK is due.
    pub(super) fn due_at(&self, heartbeat: Duration) -> Moment {
        let pending = self.pending_since.map_or(Moment::NEVER, |since| since + COALESCED_FOR);
        pending.min(self.sent_at + heartbeat)
    }

    /// An ACK was sent. Returns whether it says something new: a heartbeat does not.
    pub(super) fn sent(&mut self, now: Moment, sequence: u64) -> bool {
        self.sent_at = now;
        let was_pending = self.pending_since.take().is_some();
        was_pending && self.acknowledged.replace(sequence) != Some(sequence)
    }

    /// An ACK that is due cannot be sent for lack of room: it is due again later.
    pub(super) fn postpone(&mut self, now: Moment) {
        self.sent_at = now;
        self.pending_since = self.pending_since.and(Some(now));
    }
}

/// How long a MARK waits for later ones, which the same ACK acknowledges: each ACK costs both sides as much as
/// a statement.
pub(super) const COALESCED_FOR: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Moment {
        Moment::START + Duration::from_millis(ms)
    }

    #[test]
    fn the_first_mark_is_acknowledged_at_once_and_later_ones_are_coalesced() {
        let mut acknowledgements = Acknowledgements::new(at(0));
        assert_eq!(acknowledgements.due_at(HEARTBEAT), at(1000));
        assert!(acknowledgements.mark_received(at(5)));
        assert!(acknowledgements.sent(at(5), 1));
        assert!(!acknowledgements.mark_received(at(10)) && !acknowledgements.mark_received(at(25)));
        assert_eq!(acknowledgements.due_at(HEARTBEAT), at(10) + COALESCED_FOR);
    }

    #[test]
    fn a_heartbeat_says_nothing_new() {
        let mut acknowledgements = Acknowledgements::new(at(0));
        acknowledgements.mark_received(at(5));
        assert!(acknowledgements.sent(at(5), 1));
        assert!(!acknowledgements.sent(at(1005), 1), "no MARK is pending");
        acknowledgements.mark_received(at(1010));
        assert!(!acknowledgements.sent(at(1030), 1), "the number is the same");
    }

    #[test]
    fn a_postponed_ack_is_due_again_later() {
        let mut acknowledgements = Acknowledgements::new(at(0));
        acknowledgements.mark_received(at(5));
        acknowledgements.sent(at(5), 1);
        acknowledgements.mark_received(at(10));
        acknowledgements.postpone(at(30));
        assert_eq!(acknowledgements.due_at(HEARTBEAT), at(30) + COALESCED_FOR);
    }
}
