//! Work that may block, on a thread of its own. The thread starts with the first piece of work: a herd of
//! numeric addresses has a single thread.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::Waker;

use crate::protocol::{Done, Work};

/// A result, with the ticket of its work.
type Finished = (usize, Done);

/// A thread that works, and the channels to it.
pub(super) struct Worker {
    waker: Arc<Waker>,
    /// `None`: the thread was not needed yet.
    jobs: Option<Sender<(usize, Work)>>,
    results: (Sender<Finished>, Receiver<Finished>),
}

impl Worker {
    /// A worker that calls `waker` after each piece of work.
    pub(super) fn new(waker: Waker) -> Worker {
        Worker { waker: Arc::new(waker), jobs: None, results: channel() }
    }

    pub(super) fn run(&mut self, ticket: usize, work: Work) {
        let job = (ticket, work);
        let failed = match self.thread() {
            Ok(jobs) => jobs.send(job).err().map(|_| io::Error::other("the worker thread is gone")),
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            // The receiver is a field of this very object, so it exists.
            let _ = self.results.0.send((ticket, Done::Resolved(Err(error))));
            let _ = self.waker.wake();
        }
    }

    /// The results that have arrived, by ticket.
    pub(super) fn results(&mut self) -> impl Iterator<Item = Finished> + '_ {
        self.results.1.try_iter()
    }

    fn thread(&mut self) -> io::Result<&Sender<(usize, Work)>> {
        if self.jobs.is_none() {
            let (sender, jobs) = channel();
            let (results, waker) = (self.results.0.clone(), self.waker.clone());
            thread::Builder::new().name("worker".into()).spawn(move || {
                for (ticket, work) in jobs {
                    if results.send((ticket, work_on(work))).is_err() || waker.wake().is_err() {
                        return;
                    }
                }
            })?;
            self.jobs = Some(sender);
        }
        self.jobs.as_ref().ok_or_else(|| io::Error::other("there is no worker thread"))
    }
}

fn work_on(work: Work) -> Done {
    match work {
        Work::Resolve { host, port } => {
            Done::Resolved((host.as_str(), port).to_socket_addrs().map(Iterator::collect))
        }
    }
}
