//! Names are looked up on a thread of their own, because the system's lookup blocks. It is started
//! with the first lookup: a herd of addresses has one thread only.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::Waker;

use super::system::Lookup;

/// What a lookup brought.
pub(super) type Found = (Lookup, io::Result<Vec<SocketAddr>>);

/// The thread, if it was needed.
pub(super) struct Resolver {
    waker: Arc<Waker>,
    questions: Option<Sender<(String, u16, Lookup)>>,
    answers: (Sender<Found>, Receiver<Found>),
}

impl Resolver {
    pub(super) fn new(waker: Waker) -> Resolver {
        Resolver { waker: Arc::new(waker), questions: None, answers: channel() }
    }

    pub(super) fn ask(&mut self, host: &str, port: u16, lookup: Lookup) {
        let sent = self
            .thread()
            .and_then(|questions| questions.send((host.to_owned(), port, lookup)).map_err(io::Error::other));
        if let Err(error) = sent {
            // The receiver is this object itself, so it is there.
            let _ = self.answers.0.send((lookup, Err(error)));
            let _ = self.waker.wake();
        }
    }

    /// The answers that have come.
    pub(super) fn answers(&mut self) -> impl Iterator<Item = Found> + '_ {
        self.answers.1.try_iter()
    }

    fn thread(&mut self) -> io::Result<&Sender<(String, u16, Lookup)>> {
        if self.questions.is_none() {
            let (sender, questions) = channel::<(String, u16, Lookup)>();
            let (answers, waker) = (self.answers.0.clone(), self.waker.clone());
            thread::Builder::new().name("resolver".into()).spawn(move || {
                for (host, port, lookup) in questions {
                    let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                    if answers.send((lookup, found)).is_err() || waker.wake().is_err() {
                        return;
                    }
                }
            })?;
            self.questions = Some(sender);
        }
        self.questions.as_ref().ok_or_else(|| io::Error::other("there is no thread to look up names"))
    }
}
