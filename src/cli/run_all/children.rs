//! The child processes: started, heard, told to end.

use super::super::PARENT_VARIABLE;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// One process that `run-all` started.
pub(super) struct Child {
    /// The server's name.
    pub(super) name: String,
    process: process::Child,
    words: Receiver<String>,
    end: Option<ExitStatus>,
}

impl Child {
    /// Starts `herd` with these arguments. It is told by its environment whose child it is, and its
    /// standard error is heard.
    ///
    /// Called by the main thread only: the system takes the end of the thread that starts a process for
    /// the end of its parent.
    pub(super) fn start(name: &str, command: &mut Command) -> io::Result<Child> {
        let mut process = command
            .env(PARENT_VARIABLE, process::id().to_string())
            // Ctrl-C of the terminal goes to a whole group. The herd is ended by run-all alone, in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, words) = sync_channel(WORDS_KEPT);
        if let Some(pipe) = process.stderr.take() {
            thread::spawn(move || hear(pipe, &sender));
        }
        Ok(Child { name: name.to_owned(), process, words, end: None })
    }

    /// What it said on standard error since the last call, line by line, [`WORDS_KEPT`] lines at most:
    /// one that never stops talking does not hold up its listener.
    pub(super) fn words(&mut self) -> Vec<String> {
        self.words.try_iter().take(WORDS_KEPT).collect()
    }

    /// What it said at last, for a child that has ended.
    pub(super) fn last_words(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.words.recv_timeout(LAST_WORDS_TIMEOUT) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return lines,
            }
        }
    }

    /// How it ended, once it has.
    pub(super) fn end(&mut self) -> Option<ExitStatus> {
        if self.end.is_none() {
            self.end = self.process.try_wait().ok().flatten();
        }
        self.end
    }

    /// Sends it a signal unless it has ended, when its number may be that of another process.
    pub(super) fn signal(&mut self, signal: Signal) {
        if self.end().is_none() {
            // It may end at this moment; then there is nobody left to tell.
            let _ = kill_process(Pid::from_child(&self.process), signal);
        }
    }

    /// Waits until it has ended, for one that was killed.
    pub(super) fn wait(&mut self) {
        if self.end.is_none() {
            self.end = self.process.wait().ok();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }
}

/// `exit status 1`, `killed by signal 9`.
pub(super) fn in_words(end: ExitStatus) -> String {
    match (end.code(), end.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => end.to_string(),
    }
}

/// Reads to the end, also when nobody takes the lines: a server that writes to a full pipe would stop.
fn hear(pipe: impl Read, sender: &SyncSender<String>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match pipe.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                // Lost when the terminal has stood still for so many lines.
                let _ = sender.try_send(text.strip_prefix("herd: ").unwrap_or(text).to_owned());
            }
        }
    }
}

/// A server says a line or two when something is wrong; a screen full of them is enough.
const WORDS_KEPT: usize = 64;

/// Bytes of a line on standard error, longer than any that a person reads.
const LINE_MAX: u64 = 4096;

/// A process that has ended has closed its pipe; only reading it to the end may take a moment.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Child::start("Riley", Command::new("/bin/sh").args(["-c", script])).unwrap()
    }

    fn wait(child: &mut Child) -> String {
        child.wait();
        in_words(child.end().unwrap())
    }

    #[test]
    fn a_child_is_heard_and_its_end_known() {
        let mut child = shell("echo herd: the port is taken >&2; printf rest >&2; exit 3");
        assert_eq!(wait(&mut child), "exit status 3");
        assert_eq!(child.last_words(), ["the port is taken", "rest"]);
        child.signal(Signal::KILL);
        assert_eq!(in_words(child.end().unwrap()), "exit status 3");
    }

    #[test]
    fn a_child_knows_its_parent_and_has_a_group_of_its_own() {
        let mut child =
            shell("echo $HERD_PARENT $PPID >&2; read -r _ _ _ _ g _ < /proc/$$/stat; echo $g $$ >&2");
        wait(&mut child);
        let words = child.last_words();
        let me = process::id();
        assert_eq!(words[0], format!("{me} {me}"));
        let (group, child) = words[1].split_once(' ').unwrap();
        assert_eq!(group, child);
    }

    #[test]
    fn a_signal_ends_a_child() {
        let mut child = shell("exec sleep 60");
        assert_eq!(child.end(), None);
        child.signal(Signal::TERM);
        assert_eq!(wait(&mut child), "killed by signal 15");
    }

    #[test]
    fn a_child_that_nobody_hears_is_not_held_up() {
        let mut child =
            shell("i=0; while [ $i -lt 9999 ]; do echo $i a rather long line >&2; i=$((i+1)); done");
        assert_eq!(wait(&mut child), "exit status 0");
        assert!(child.words().len() <= WORDS_KEPT);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (sender, words) = sync_channel(WORDS_KEPT);
        hear(&vec![b'x'; LINE_MAX as usize + 1][..], &sender);
        let lengths: Vec<usize> = words.try_iter().map(|line| line.len()).collect();
        assert_eq!(lengths, [LINE_MAX as usize, 1]);
    }
}
