//! Child processes: starting, standard error, signals, exit status.

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
    /// The name of the server.
    pub(super) name: String,
    process: process::Child,
    stderr: Receiver<String>,
    end: Option<ExitStatus>,
}

impl Child {
    /// Starts `herd` with these arguments, the ID of this process in [`PARENT_VARIABLE`], and its standard
    /// error in a pipe.
    ///
    /// Only the main thread may call it: to the operating system, the parent of a process ends when the
    /// thread that started the process ends.
    pub(super) fn start(name: &str, command: &mut Command) -> io::Result<Child> {
        let mut process = command
            .env(PARENT_VARIABLE, process::id().to_string())
            // Ctrl-C of the terminal goes to a whole process group, but run-all alone ends its children.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, stderr) = sync_channel(MAX_LINES);
        if let Some(pipe) = process.stderr.take() {
            thread::spawn(move || read_lines(pipe, &sender));
        }
        Ok(Child { name: name.to_owned(), process, stderr, end: None })
    }

    /// The lines on standard error since the last call; bounded, because a child may never stop writing.
    pub(super) fn stderr(&mut self) -> Vec<String> {
        self.stderr.try_iter().take(MAX_LINES).collect()
    }

    /// The remaining lines on standard error of a child that has ended.
    pub(super) fn last_stderr(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.stderr.recv_timeout(LAST_LINE_TIMEOUT) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return lines,
            }
        }
    }

    /// The exit status, or `None` while the child runs.
    pub(super) fn end(&mut self) -> Option<ExitStatus> {
        if self.end.is_none() {
            self.end = self.process.try_wait().ok().flatten();
        }
        self.end
    }

    /// Sends a signal, unless the child has ended and its process ID may belong to another process.
    pub(super) fn signal(&mut self, signal: Signal) {
        if self.end().is_none() {
            // Fails if the child ends at this moment.
            let _ = kill_process(Pid::from_child(&self.process), signal);
        }
    }

    /// Waits for the end of a child that was killed.
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

/// Reads the pipe to its end, even if the lines are not taken: a full pipe would block the child.
fn read_lines(pipe: impl Read, sender: &SyncSender<String>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match pipe.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                // A line is dropped if the terminal has blocked for so many lines.
                let _ = sender.try_send(text.strip_prefix("herd: ").unwrap_or(text).to_owned());
            }
        }
    }
}

/// Lines that are kept until they are taken: a screen full. A server writes a line or two for an error.
const MAX_LINES: usize = 64;

/// Bytes of a line on standard error; longer ones are split.
const MAX_LINE_BYTES: u64 = 4096;

/// The pipe of a process that has ended is closed, unless a child of that process still has it.
const LAST_LINE_TIMEOUT: Duration = Duration::from_millis(500);

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
    fn standard_error_and_exit_status_are_read() {
        let mut child = shell("echo herd: the port is taken >&2; printf rest >&2; exit 3");
        assert_eq!(wait(&mut child), "exit status 3");
        assert_eq!(child.last_stderr(), ["the port is taken", "rest"]);
        child.signal(Signal::KILL);
        assert_eq!(in_words(child.end().unwrap()), "exit status 3");
    }

    #[test]
    fn a_child_knows_its_parent_and_has_its_own_process_group() {
        let mut child =
            shell("echo $HERD_PARENT $PPID >&2; read -r _ _ _ _ g _ < /proc/$$/stat; echo $g $$ >&2");
        wait(&mut child);
        let lines = child.last_stderr();
        let me = process::id();
        assert_eq!(lines[0], format!("{me} {me}"));
        let (group, child) = lines[1].split_once(' ').unwrap();
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
    fn a_child_does_not_block_on_standard_error() {
        let mut child =
            shell("i=0; while [ $i -lt 9999 ]; do echo $i a rather long line >&2; i=$((i+1)); done");
        assert_eq!(wait(&mut child), "exit status 0");
        assert!(child.stderr().len() <= MAX_LINES);
    }

    #[test]
    fn a_long_line_is_split() {
        let (sender, lines) = sync_channel(MAX_LINES);
        read_lines(&vec![b'x'; MAX_LINE_BYTES as usize + 1][..], &sender);
        let lengths: Vec<usize> = lines.try_iter().map(|line| line.len()).collect();
        assert_eq!(lengths, [MAX_LINE_BYTES as usize, 1]);
    }
}
