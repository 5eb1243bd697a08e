//! Work that may block, on threads of its own: one for each lane. A thread starts with the first piece of work of
//! its lane: a server with numeric addresses and no log has a single thread.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use mio::Waker;

use crate::protocol::{Done, Lane, Work};

/// A piece of work, with its ticket.
type Job = (usize, Work);
/// A result, with the ticket of its work.
type Finished = (usize, Done);

/// The threads that work, and the channels to and from them. The channels are arrays: nothing is allocated for a
/// piece of work.
pub(super) struct Lanes {
    waker: Arc<Waker>,
    lanes: Vec<(Lane, SyncSender<Job>)>,
    results: (SyncSender<Finished>, Receiver<Finished>),
}

impl Lanes {
    /// Lanes that call `waker` after each piece of work.
    pub(super) fn new(waker: Waker) -> Lanes {
        Lanes { waker: Arc::new(waker), lanes: Vec::new(), results: sync_channel(JOBS_MAX) }
    }

    /// Starts a piece of work. Returns its result if no thread can take it: a lookup has failed, and a task has run
    /// in the thread of the loop.
    pub(super) fn run(&mut self, ticket: usize, work: Work) -> Option<Done> {
        let lane = match &work {
            Work::Resolve { lane, .. } => *lane,
            Work::Run(task) => task.lane(),
        };
        let (error, work) = match self.sender(lane) {
            Err(error) => (error, work),
            Ok(jobs) => match jobs.try_send((ticket, work)) {
                Ok(()) => return None,
                Err(TrySendError::Full((_, work))) => (io::Error::other("too much work waits"), work),
                Err(TrySendError::Disconnected((_, work))) => (io::Error::other("its thread is gone"), work),
            },
        };
        Some(match work {
            Work::Resolve { .. } => Done::Resolved(Err(error)),
            task @ Work::Run(_) => work_on(task),
        })
    }

    /// The results that have arrived, by ticket.
    pub(super) fn results(&mut self) -> impl Iterator<Item = Finished> + '_ {
        self.results.1.try_iter()
    }

    fn sender(&mut self, lane: Lane) -> io::Result<&SyncSender<Job>> {
        let index = match self.lanes.iter().position(|(known, _)| *known == lane) {
            Some(index) => index,
            None => {
                let (sender, jobs) = sync_channel::<Job>(JOBS_MAX);
                let (results, waker) = (self.results.0.clone(), self.waker.clone());
                thread::Builder::new().name(lane.0.to_owned()).spawn(move || {
                    for (ticket, work) in jobs {
                        if results.send((ticket, work_on(work))).is_err() || waker.wake().is_err() {
                            return;
                        }
                    }
                })?;
                self.lanes.push((lane, sender));
                self.lanes.len() - 1
            }
        };
        Ok(&self.lanes[index].1)
    }
}

fn work_on(work: Work) -> Done {
    match work {
        Work::Resolve { host, port, .. } => {
            let addresses: io::Result<Vec<SocketAddr>> =
                (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            Done::Resolved(addresses)
        }
        Work::Run(mut task) => {
            task.run();
            Done::Ran(task)
        }
    }
}

/// The greatest number of pieces of work that wait in a lane, and of results: more than the pages of a log, and than
/// a herd has neighbours whose names are looked up at once.
const JOBS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;
    use crate::protocol::Task;

    /// A task that waits until the test lets it go on, then writes its number down.
    #[derive(Debug)]
    struct Gated(Lane, usize, Option<Receiver<()>>, Arc<Mutex<Vec<usize>>>);

    impl Task for Gated {
        fn lane(&self) -> Lane {
            self.0
        }

        fn run(&mut self) {
            if let Some(gate) = &self.2 {
                let _ = gate.recv();
            }
            self.3.lock().unwrap().push(self.1);
        }
    }

    fn await_results(lanes: &mut Lanes, poll: &mut Poll, count: usize) -> Vec<usize> {
        let mut tickets = Vec::new();
        while tickets.len() < count {
            poll.poll(&mut Events::with_capacity(4), Some(Duration::from_secs(60))).unwrap();
            let before = tickets.len();
            tickets.extend(lanes.results().map(|(ticket, _)| ticket));
            assert!(tickets.len() > before, "each wake-up brings a result");
        }
        tickets
    }

    #[test]
    fn a_slow_task_delays_its_own_lane_only_and_tasks_of_a_lane_keep_their_order() {
        let mut poll = Poll::new().unwrap();
        let mut lanes = Lanes::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let ran = Arc::new(Mutex::new(Vec::new()));
        let (go, gate): (Sender<()>, _) = channel();
        let task = |lane, number, gate| Work::Run(Box::new(Gated(lane, number, gate, ran.clone())));
        assert!(lanes.run(1, task(Lane("slow"), 1, Some(gate))).is_none());
        assert!(lanes.run(2, task(Lane("slow"), 2, None)).is_none());
        assert!(lanes.run(3, task(Lane("fast"), 3, None)).is_none());
        assert!(
            lanes.run(4, Work::Resolve { host: "127.0.0.1".into(), port: 1, lane: Lane("fast") }).is_none()
        );
        let mut first = await_results(&mut lanes, &mut poll, 2);
        first.sort_unstable();
        assert_eq!((first, ran.lock().unwrap().clone()), (vec![3, 4], vec![3]));
        go.send(()).unwrap();
        assert_eq!(await_results(&mut lanes, &mut poll, 2), [1, 2]);
        assert_eq!(*ran.lock().unwrap(), [3, 1, 2]);
    }

    #[test]
    fn a_lane_without_room_runs_a_task_at_once_and_fails_a_lookup() {
        let poll = Poll::new().unwrap();
        let mut lanes = Lanes::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let (sender, _jobs) = sync_channel(0);
        lanes.lanes = vec![(Lane("fast"), sender.clone()), (Lane("full"), sender)];
        let ran = Arc::new(Mutex::new(Vec::new()));
        let task = Work::Run(Box::new(Gated(Lane("full"), 1, None, ran.clone())));
        assert!(matches!(lanes.run(1, task), Some(Done::Ran(_))));
        assert_eq!(*ran.lock().unwrap(), [1]);
        let lookup = Work::Resolve { host: "127.0.0.1".into(), port: 1, lane: Lane("fast") };
        assert!(matches!(lanes.run(2, lookup), Some(Done::Resolved(Err(_)))));
    }
}
