//! Looks after a herd of processes from its start to its end.

use super::super::Failure;
use super::super::arguments::Given;
use super::super::output::{Reader, print};
use super::super::which_herd::{WhichHerd, as_operand, in_a_shell};
use super::children::{Child, in_words};
use super::follow::Follower;
use super::screen::{Row, Screen};
use rustix::process::Signal;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use std::convert::Infallible;
use std::env;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Why the herd is ended.
pub(super) enum Stop {
    /// Ctrl-C, or nobody reads what is shown any more.
    Wanted,
    /// It cannot go on.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// The processes of a herd, and what they log.
pub(super) struct Shepherd<'a> {
    pub(super) which: &'a WhichHerd,
    /// How the user names this herd, for commands to paste.
    option: String,
    signals: Signals,
    screen: Screen,
    pub(super) members: Vec<Member>,
    followers: Vec<Follower>,
    /// Before, the end of a member is a failure; after, the others go on.
    pub(super) is_up: bool,
}

/// One process of a herd.
pub(super) struct Member {
    pub(super) child: Child,
    /// Its place among the servers, or behind them for Places.
    pub(super) row: usize,
    pub(super) end_was_told: bool,
}

impl<'a> Shepherd<'a> {
    /// Nobody is started yet; logs are followed from here on.
    pub(super) fn new(which: &'a WhichHerd, given: &Given, signals: Signals) -> Shepherd<'a> {
        let herd = &which.herd;
        let log = |name: &str| Follower::from_end(herd.log.folder.join(format!("{name}.log")));
        let followers = herd.servers.iter().map(|server| log(&server.name)).collect();
        let mut names: Vec<String> = herd.servers.iter().map(|server| server.name.clone()).collect();
        names.push(PLACES.to_owned());
        Shepherd {
            which,
            option: which.option(given),
            signals,
            screen: Screen::new(names),
            members: Vec::new(),
            followers,
            is_up: false,
        }
    }

    /// Shows what happens until there is a reason to end.
    pub(super) fn watch(&mut self) -> Result<Infallible, Stop> {
        loop {
            self.turn()?;
            let servers = self.which.herd.servers.len();
            let is_left = |member: &mut Member| member.row < servers && member.child.end().is_none();
            if !self.members.iter_mut().any(is_left) {
                return Err(Failure::at_run_time(
                    "every server has ended by itself: what they said stands above, and more in their logs",
                )
                .into());
            }
        }
    }

    /// Ends all in order, and by force who does not follow or when the user asks a second time.
    pub(super) fn end(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + END_TIMEOUT;
        let mut is_urgent = false;
        while self.members.iter_mut().any(|member| member.child.end().is_none()) {
            is_urgent |= self.signals.pending().any(|signal| signal != SIGHUP);
            if is_urgent || Instant::now() >= deadline {
                break;
            }
            thread::sleep(END_TURN);
        }
        let mut text = String::from(if self.screen.is_terminal() { "\n" } else { "" });
        let rows = self.log_rows();
        text += &self.screen.draw(rows, self.screen.columns());
        for member in &mut self.members {
            if member.child.end().is_none() {
                member.child.signal(Signal::KILL);
                member.child.wait();
                let why = if is_urgent { "at once".to_owned() } else { format!("after {END_TIMEOUT:?}") };
                text += &self.screen.draw_notice(&format!("{} was killed {why}", member.child.name));
            }
        }
        if self.is_up {
            text += &format!("The herd {} has ended.\n", self.which.herd.name);
        }
        // Nobody is told if nobody reads it, and the herd has ended all the same.
        let _ = print(text.as_bytes());
    }

    /// Waits a moment and shows what happened in it.
    pub(super) fn turn(&mut self) -> Result<Turn, Stop> {
        thread::sleep(TURN);
        let mut notices = Vec::new();
        for signal in self.signals.pending().collect::<Vec<_>>() {
            if signal != SIGHUP {
                return Err(Stop::Wanted);
            }
            // A server that is still starting reads the file anyway, and would die of a signal that it
            // does not look after yet.
            if self.is_up {
                self.tell_to_read_again();
                notices.push("SIGHUP was passed on: the servers read the herd file again".to_owned());
            }
        }
        let mut rows = self.log_rows();
        if self.is_up {
            for member in &mut self.members {
                let words = member.child.words();
                rows.extend(words.into_iter().map(|line| Row { server: member.row, line }));
            }
            self.tell_ends(&mut rows, &mut notices);
        }
        let turn = if rows.is_empty() { Turn::Quiet } else { Turn::Lively };
        let mut text = self.screen.draw(rows, self.screen.columns());
        notices.iter().for_each(|notice| text += &self.screen.draw_notice(notice));
        self.print(&text)?;
        Ok(turn)
    }

    fn tell_ends(&mut self, rows: &mut Vec<Row>, notices: &mut Vec<String>) {
        for member in &mut self.members {
            let Some(end) = member.child.end().filter(|_| !member.end_was_told) else { continue };
            member.end_was_told = true;
            let words = member.child.last_words();
            rows.extend(words.into_iter().map(|line| Row { server: member.row, line }));
            let name = &member.child.name;
            let (loss, command) = if member.row < self.which.herd.servers.len() {
                ("the others go on", format!("{} serve{} {}", program(), self.option, as_operand(name)))
            } else {
                ("WHATSAT is answered with UNKNOWN_ERROR", places_command(&self.which.herd.folder))
            };
            notices
                .push(format!("{name} has ended by itself ({}): {loss}. To start it again:", in_words(end)));
            notices.push(command);
        }
    }

    fn log_rows(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (server, follower) in self.followers.iter_mut().enumerate() {
            let news = follower.news();
            let mut say = |line: String| rows.push(Row { server, line });
            if news.skipped > 0 {
                say(format!("({} bytes of this log came too fast and are not shown)", news.skipped));
            }
            news.lines.into_iter().chain(news.trouble).for_each(&mut say);
        }
        rows
    }

    fn tell_to_read_again(&mut self) {
        let servers = self.which.herd.servers.len();
        // Places has no herd file.
        for member in self.members.iter_mut().filter(|member| member.row < servers) {
            member.child.signal(Signal::HUP);
        }
    }

    fn signal(&mut self, signal: Signal) {
        for member in &mut self.members {
            member.child.signal(signal);
        }
    }

    pub(super) fn print(&self, text: &str) -> Result<(), Stop> {
        match print(text.as_bytes())? {
            Reader::There => Ok(()),
            Reader::Gone => Err(Stop::Wanted),
        }
    }
}

/// Whether anything was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Lively,
    Quiet,
}

/// What starts Places where the servers of that folder look for its certificate.
fn places_command(folder: &Path) -> String {
    match folder.to_string_lossy() {
        folder if folder.is_empty() => format!("{} places", program()),
        folder => format!("cd {} && {} places", in_a_shell(&folder), program()),
    }
}

/// How the user calls this program, from any folder.
fn program() -> String {
    let is_path = env::args_os().next().is_some_and(|name| Path::new(&name).components().count() > 1);
    match env::current_exe() {
        Ok(path) if is_path => in_a_shell(&path.to_string_lossy()),
        _ => "herd".to_owned(),
    }
}

/// What the rows of the local Places server are called.
pub(super) const PLACES: &str = "Places";

/// A person sees no delay; five files are looked at in far less.
const TURN: Duration = Duration::from_millis(50);

/// A server ends in order within 300 ms.
const END_TIMEOUT: Duration = Duration::from_secs(2);
const END_TURN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_is_started_again_beside_the_herd_file() {
        assert_eq!(places_command(Path::new("")), format!("{} places", program()));
        assert_eq!(places_command(Path::new("my herds")), format!("cd 'my herds' && {} places", program()));
    }
}
