//! What is to be done at which moment: a heap, from which nothing is ever taken out early. A timer
//! that is no longer wanted rings all the same, and whoever hears it sees that there is nothing to do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Moment;

/// Timers that name what they are for by a `T`.
#[derive(Debug)]
pub(super) struct Timers<T> {
    heap: BinaryHeap<Reverse<(Moment, T)>>,
}

impl<T: Ord> Timers<T> {
    pub(super) fn new() -> Timers<T> {
        Timers { heap: BinaryHeap::new() }
    }

    /// Rings at this moment; never, if it is [`Moment::NEVER`].
    pub(super) fn set(&mut self, at: Moment, what: T) {
        if at < Moment::NEVER {
            self.heap.push(Reverse((at, what)));
        }
    }

    /// How many there are, those included that nobody needs any more.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// When the next one rings.
    pub(super) fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// One whose moment has come.
    pub(super) fn ring(&mut self, now: Moment) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, what))| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_ring_in_order_and_not_early() {
        let at = |ms| Moment::START + Duration::from_millis(ms);
        let mut timers = Timers::new();
        timers.set(at(30), 'c');
        timers.set(at(10), 'a');
        timers.set(at(20), 'b');
        timers.set(Moment::NEVER, 'd');
        assert_eq!((timers.next(), timers.ring(at(9))), (Some(at(10)), None));
        assert_eq!(
            (timers.ring(at(20)), timers.ring(at(20)), timers.ring(at(20))),
            (Some('a'), Some('b'), None)
        );
        assert_eq!((timers.ring(at(1000)), timers.next()), (Some('c'), None));
    }
}
