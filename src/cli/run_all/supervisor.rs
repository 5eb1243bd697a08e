//! Supervises the processes of a herd from start to end.

use super::super::Failure;
use super::super::arguments::Arguments;
use super::super::loaded_herd::{LoadedHerd, as_operand, in_a_shell};
use super::super::output::{Output, print};
use super::children::{Child, in_words};
use super::local_places::LocalPlaces;
use super::narration::Narrator;
use super::screen::{Row, Screen};
use super::tail::Tail;
use crate::event_loop::terminal::Terminal;
use rustix::process::Signal;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use std::convert::Infallible;
use std::env;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The reason why the herd is ended.
pub(super) enum Stop {
    /// Ctrl-C, or standard output was closed.
    Requested,
    /// The herd could not be started, or all its servers have ended.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// The processes of a herd, and their logs.
pub(super) struct Supervisor<'a> {
    pub(super) loaded: &'a LoadedHerd,
    /// ` -c FILE` for commands to paste.
    pub(super) option: String,
    signals: Signals,
    terminal: Terminal,
    pub(super) places: LocalPlaces,
    /// The last time at which the local Places server of another herd was looked for, after it had ended.
    places_tried_at: Option<Instant>,
    /// How often it was not found since then.
    places_failures: u32,
    pub(super) screen: Screen,
    narrator: Narrator,
    pub(super) members: Vec<Member>,
    tails: Vec<Tail>,
    /// Log lines that are not shown yet, and the turns for which the first of them has waited: the rest of a
    /// flood is in other logs, which may be written a little later.
    pending: Vec<Row>,
    pending_turns: u32,
    /// Rows to show after the banner.
    trouble: Vec<Row>,
    /// `false` during the start, when the end of one process is a failure of all.
    pub(super) is_up: bool,
}

/// One process of a herd.
pub(super) struct Member {
    pub(super) child: Child,
    /// The index of the server; that of Places comes after the last.
    pub(super) row: usize,
    pub(super) end_was_reported: bool,
}

impl<'a> Supervisor<'a> {
    /// No process is started yet. Logs are read from their present ends.
    pub(super) fn new(
        loaded: &'a LoadedHerd,
        arguments: &Arguments,
        signals: Signals,
        terminal: Terminal,
        places: LocalPlaces,
    ) -> Supervisor<'a> {
        let herd = &loaded.herd;
        let tail = |name: &str| Tail::from_end(herd.log.folder.join(format!("{name}.log")));
        let tails = herd.servers.iter().map(|server| tail(&server.name)).collect();
        let mut names: Vec<String> = herd.servers.iter().map(|server| server.name.clone()).collect();
        names.push(PLACES.to_owned());
        Supervisor {
            loaded,
            option: loaded.option(arguments),
            signals,
            terminal,
            places,
            places_tried_at: None,
            places_failures: 0,
            narrator: Narrator::new(names.clone()),
            screen: Screen::new(names),
            pending: Vec::new(),
            pending_turns: 0,
            trouble: Vec::new(),
            members: Vec::new(),
            tails,
            is_up: false,
        }
    }

    /// Shows the logs until there is a reason to stop.
    pub(super) fn watch(&mut self) -> Result<Infallible, Stop> {
        loop {
            self.turn()?;
            let servers = self.loaded.herd.servers.len();
            let is_left = |member: &mut Member| member.row < servers && member.child.end().is_none();
            if !self.members.iter_mut().any(is_left) {
                return Err(Failure::at_run_time(
                    "every server has ended by itself: their messages are above, and more in their logs",
                )
                .into());
            }
        }
    }

    /// Shuts down all processes gracefully. Kills them after a timeout or a second Ctrl-C.
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
        for member in &mut self.members {
            if member.child.end().is_none() {
                member.child.signal(Signal::KILL);
                member.child.wait();
                let when = if is_urgent { "at once".to_owned() } else { format!("after {END_TIMEOUT:?}") };
                text += &self.screen.draw_notice(&format!("{} was killed {when}", member.child.name));
            }
        }
        if self.is_up {
            text += &format!("The herd {} has ended.\n", self.loaded.herd.name);
        }
        // The herd has ended, even if standard output is closed.
        let _ = print(text.as_bytes());
    }

    /// Waits a moment and shows what is new.
    pub(super) fn turn(&mut self) -> Result<Activity, Stop> {
        thread::sleep(TURN);
        let mut notices = Vec::new();
        for signal in self.signals.pending().collect::<Vec<_>>() {
            if signal != SIGHUP || self.terminal.has_gone() {
                return Err(Stop::Requested);
            }
            // A server that is still starting reads the file later anyway, and would be killed by a signal
            // that it does not handle yet.
            if self.is_up {
                self.forward_hangup();
                let notice = "SIGHUP was forwarded: the servers read the herd file again";
                notices.push(self.screen.draw_notice(notice));
            }
        }
        let mut rows = self.log_rows();
        if self.is_up {
            for member in &mut self.members {
                let lines = member.child.stderr();
                rows.extend(lines.into_iter().map(|line| Row { server: member.row, line }));
            }
            notices.extend(self.tend_places()?);
            self.report_ends(&mut rows, &mut notices);
        }
        let turn = if rows.is_empty() { Activity::Quiet } else { Activity::Active };
        self.pending.extend(rows);
        self.pending_turns += 1;
        let is_due = turn == Activity::Quiet || self.pending_turns > PENDING_TURNS_MAX;
        if is_due || !notices.is_empty() {
            self.pending_turns = 0;
            let text = self.show_pending();
            self.print(&text)?;
        }
        let text: String = notices.concat();
        self.print(&text)?;
        Ok(turn)
    }

    /// Draws the pending log lines. Before the herd is up, only trouble is kept.
    fn show_pending(&mut self) -> String {
        let lines = std::mem::take(&mut self.pending);
        if !self.is_up {
            let trouble = self.narrator.narrate_start(lines);
            self.trouble.extend(trouble);
            return String::new();
        }
        let ended: Vec<usize> =
            self.members.iter_mut().filter_map(|member| member.child.end().map(|_| member.row)).collect();
        let mut rows = std::mem::take(&mut self.trouble);
        rows.extend(self.narrator.narrate(lines, |server| ended.contains(&server)));
        self.screen.draw(&rows, self.screen.columns())
    }

    /// Starts a local Places server when that of another herd has ended, or uses the next one.
    fn tend_places(&mut self) -> Result<Option<String>, Stop> {
        let LocalPlaces::Shared(connection) = &mut self.places else { return Ok(None) };
        let is_too_early = self.places_tried_at.is_some_and(|tried| tried.elapsed() < PLACES_RETRY);
        if is_too_early || !connection.has_ended() {
            return Ok(None);
        }
        self.places_tried_at = Some(Instant::now());
        match LocalPlaces::find(&self.loaded.herd) {
            Ok(places @ LocalPlaces::Own(_)) => {
                self.places = places;
                self.start_places()?;
                let notice = "The local Places server of another herd has ended: this herd starts one";
                Ok(Some(self.screen.draw_notice(notice)))
            }
            Ok(places) => {
                self.places = places;
                self.places_failures = 0;
                Ok(None)
            }
            Err(failure) => {
                self.places_failures += 1;
                let is_news = self.places_failures == PLACES_FAILURES;
                Ok(is_news.then(|| self.screen.draw_notice(&failure.to_string())))
            }
        }
    }

    /// Whether this member is the local Places server.
    pub(super) fn is_places(&self, index: usize) -> bool {
        self.members[index].row == self.loaded.herd.servers.len()
    }

    /// Uses the local Places server of another herd in place of the own one, which could not be started.
    /// Returns whether there is one.
    pub(super) fn share_places(&mut self) -> bool {
        let Ok(places @ LocalPlaces::Shared(_)) = LocalPlaces::find(&self.loaded.herd) else { return false };
        self.places = places;
        let servers = self.loaded.herd.servers.len();
        self.members.retain(|member| member.row < servers);
        true
    }

    fn report_ends(&mut self, rows: &mut Vec<Row>, notices: &mut Vec<String>) {
        let servers = self.loaded.herd.servers.len();
        let is_new_end = |member: &mut Member| {
            member.row == servers && !member.end_was_reported && member.child.end().is_some()
        };
        if self.members.iter_mut().any(is_new_end) && self.share_places() {
            return;
        }
        for member in &mut self.members {
            let Some(end) = member.child.end().filter(|_| !member.end_was_reported) else { continue };
            member.end_was_reported = true;
            let lines = member.child.last_stderr();
            rows.extend(lines.into_iter().map(|line| Row { server: member.row, line }));
            let name = &member.child.name;
            let (effect, command) = if member.row < self.loaded.herd.servers.len() {
                ("the others go on", format!("{} serve{} {}", program(), self.option, as_operand(name)))
            } else {
                ("WHATSAT is answered with UNKNOWN_ERROR", places_command(&self.loaded.herd.folder))
            };
            let notice = format!("{name} has ended ({}): {effect}. Start it again:", in_words(end));
            notices.push(self.screen.draw_notice(&notice));
            notices.push(format!("    {command}\n"));
        }
    }

    fn log_rows(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (server, tail) in self.tails.iter_mut().enumerate() {
            let additions = tail.read();
            let mut push = |line: String| rows.push(Row { server, line });
            if additions.skipped > 0 {
                push(format!("({} bytes of this log came too fast and are not shown)", additions.skipped));
            }
            additions.lines.into_iter().chain(additions.error).for_each(&mut push);
        }
        rows
    }

    fn forward_hangup(&mut self) {
        let servers = self.loaded.herd.servers.len();
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
            Output::Open => Ok(()),
            Output::Closed => Err(Stop::Requested),
        }
    }
}

/// Whether the servers have written to their logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Active,
    Quiet,
}

/// The command that starts Places in the folder in which the servers expect its certificate.
fn places_command(folder: &Path) -> String {
    match folder.to_string_lossy() {
        folder if folder.is_empty() => format!("{} places", program()),
        folder => format!("cd {} && {} places", in_a_shell(&folder), program()),
    }
}

/// The command name of this program as the user has typed it, for commands to paste in the same folder.
pub(super) fn program_as_typed() -> String {
    env::args().next().map_or_else(|| "herd".to_owned(), |name| in_a_shell(&name))
}

/// The command name of this program, for commands to paste in any folder.
fn program() -> String {
    let is_path = env::args_os().next().is_some_and(|name| Path::new(&name).components().count() > 1);
    match env::current_exe() {
        Ok(path) if is_path => in_a_shell(&path.to_string_lossy()),
        _ => "herd".to_owned(),
    }
}

/// The name of the local Places server in rows and messages.
pub(super) const PLACES: &str = "Places";

/// Too short to be seen as a delay; polling five files takes far less.
const TURN: Duration = Duration::from_millis(50);

/// The time between attempts to find the local Places server of another herd.
const PLACES_RETRY: Duration = Duration::from_secs(1);

/// Failed attempts after which the reason is shown. The first ones can fail because a server is starting.
const PLACES_FAILURES: u32 = 5;

/// Turns after which log lines are shown although further ones follow.
const PENDING_TURNS_MAX: u32 = 3;

/// A server shuts down within 300 ms (docs/protocol.md, section 5).
const END_TIMEOUT: Duration = Duration::from_secs(2);
const END_TURN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_is_restarted_in_the_folder_of_the_herd_file() {
        assert_eq!(places_command(Path::new("")), format!("{} places", program()));
        assert_eq!(places_command(Path::new("my herds")), format!("cd 'my herds' && {} places", program()));
    }
}
