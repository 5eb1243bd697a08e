//! A heap of timers. Entries are never removed early: a superseded timer fires all the same, and its
//! receiver finds nothing to do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Moment;

/// Timers with a purpose of type `T`.
#[derive(Debug)]
pub(super) struct Timers<T> {
    heap: BinaryHeap<Reverse<(Moment, T)>>,
}

impl<T: Ord> Timers<T> {
    pub(super) fn new() -> Timers<T> {
        Timers { heap: BinaryHeap::new() }
    }

    /// Adds a timer; one at [`Moment::NEVER`] is dropped.
    pub(super) fn set(&mut self, at: Moment, purpose: T) {
        if at < Moment::NEVER {
            self.heap.push(Reverse((at, purpose)));
        }
    }

    /// The number of entries, superseded ones included.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The moment of the next timer.
    pub(super) fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes a timer whose moment has come.
    pub(super) fn fire(&mut self, now: Moment) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, purpose))| purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let at = |ms| Moment::START + Duration::from_millis(ms);
        let mut timers = Timers::new();
        timers.set(at(30), 'c');
        timers.set(at(10), 'a');
        timers.set(at(20), 'b');
        timers.set(Moment::NEVER, 'd');
        assert_eq!((timers.next(), timers.fire(at(9))), (Some(at(10)), None));
        assert_eq!(
            (timers.fire(at(20)), timers.fire(at(20)), timers.fire(at(20))),
            (Some('a'), Some('b'), None)
        );
        assert_eq!((timers.fire(at(1000)), timers.next()), (Some('c'), None));
    }
}
