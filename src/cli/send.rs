//! `herd send`: lines to a server, its replies to standard output.

use super::Failure;
use super::arguments::{Arguments, CommandOption, Subcommand};
use super::failure::in_words;
use super::loaded_herd::{LoadedHerd, as_operand};
use super::output::{Output, print};
use super::send_lines::{Lines, Replies, STREAM_SILENCE_MAX};
use crate::config::{Host, HostPort, ServerSection};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "send",
    usage: "send NAME LINE… [-c FILE]",
    summary: "sends lines to a server, prints the replies",
    help: HELP,
    options: &[CommandOption::HERD_FILE],
    operands: &["NAME", "LINE…"],
    run,
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (name, lines) = arguments.operands.split_first().expect("two operands were counted");
    let loaded = LoadedHerd::find(arguments)?;
    let server = loaded.server(name)?;
    let input = Input::of(lines)?;
    let address = address_of(server);
    let stream = connect(&address).map_err(|error| {
        Failure::at_run_time(format!(
            "cannot reach {name} at {address}: {}; start it with herd serve{} {}",
            in_words(&error),
            loaded.option(arguments),
            as_operand(name)
        ))
    })?;
    let timeout = loaded.herd.places_or_local().bounds.timeout + LONGER_THAN_PLACES;
    exchange(stream, input, timeout, server)
}

/// The lines to send.
enum Input {
    /// The arguments, each with its LF.
    Lines(Vec<u8>),
    /// Standard input.
    Standard,
}

impl Input {
    fn of(lines: &[String]) -> Result<Input, Failure> {
        if lines == ["-"] {
            return Ok(Input::Standard);
        }
        if let Some(index) = lines.iter().position(|line| line.contains('\n')) {
            return Err(Failure::usage(format!(
                "LINE {} contains a line end: give each line as an argument of its own, or - to read lines \
                 from standard input; see herd send --help",
                index + 1
            )));
        }
        Ok(Input::Lines(lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()))
    }
}

/// The address at which a server serves clients: on a port of their own, neighbours alone are served.
fn address_of(server: &ServerSection) -> HostPort {
    if server.peers.is_some() { server.listen.into() } else { server.address.clone() }
}

fn connect(address: &HostPort) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match &address.host {
        Host::Address(host) => vec![(*host, address.port).into()],
        Host::Name(name) => (name.as_str(), address.port).to_socket_addrs()?.collect(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The state of the sending thread, for the thread that reads replies.
#[derive(Default)]
struct Sending {
    /// The thread waits for standard input, so the server may be silent.
    waits_for_input: AtomicBool,
    /// Everything was sent. It is set before the server can see the half-close.
    is_complete: AtomicBool,
    input_failed: OnceLock<io::Error>,
}

/// Sends and reads at the same time: a server stops reading from a client that does not read its replies,
/// so that sending everything first could block for ever.
fn exchange(
    stream: TcpStream,
    input: Input,
    timeout: Duration,
    server: &ServerSection,
) -> Result<(), Failure> {
    let remote = format!("{} at {}", server.name, address_of(server));
    let failed =
        |error: io::Error| Failure::at_run_time(format!("cannot talk to {remote}: {}", in_words(&error)));
    stream.set_read_timeout(Some(timeout)).map_err(failed)?;
    let sending = Arc::new(Sending::default());
    let (writer, state) = (stream.try_clone().map_err(failed)?, Arc::clone(&sending));
    // Never joined: it may wait for standard input long after the server has closed.
    thread::spawn(move || send(writer, input, &state));
    let mut replies = Replies::new(&server.name);
    let end = copy_replies(stream, &sending, &mut replies);
    if let Some(error) = sending.input_failed.get() {
        return Err(Failure::at_run_time(format!("standard input cannot be read: {}", in_words(error))));
    }
    match end? {
        End::OutputClosed | End::Eof if sending.is_complete.load(Ordering::SeqCst) => replies.end(),
        End::OutputClosed => Ok(()),
        End::Eof => Err(Failure::at_run_time(format!(
            "{remote} closed the connection before everything was sent; its log has the reason"
        ))),
        End::TimedOut => Err(Failure::at_run_time(format!(
            "{remote} has sent nothing for {} s: it may be stopped, or another program listens there",
            timeout.as_secs()
        ))),
        End::Failed(error) => Err(Failure::at_run_time(format!(
            "the connection to {remote} failed: {}; the log of the server may have the reason",
            in_words(&error)
        ))),
    }
}

/// Sends the input, then half-closes the connection. Failures are not reported here, because the reading
/// thread sees them too.
fn send(mut stream: TcpStream, input: Input, sending: &Sending) {
    let sent = match input {
        Input::Lines(bytes) => {
            let mut sent = Vec::new();
            Lines::default().push(&bytes, &mut sent);
            stream.write_all(&sent)
        }
        Input::Standard => copy_input(&mut stream, sending),
    };
    if sent.is_ok() {
        sending.is_complete.store(true, Ordering::SeqCst);
        let _ = stream.shutdown(Shutdown::Write);
    }
}

fn copy_input(stream: &mut TcpStream, sending: &Sending) -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut lines, mut sent) = (Lines::default(), Vec::new());
    loop {
        sending.waits_for_input.store(true, Ordering::SeqCst);
        let read = input.read(&mut buffer);
        sending.waits_for_input.store(false, Ordering::SeqCst);
        match read {
            Ok(0) => {
                lines.end(&mut sent);
                return stream.write_all(&sent);
            }
            Ok(length) => {
                lines.push(&buffer[..length], &mut sent);
                stream.write_all(&sent)?;
                sent.clear();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let _ = sending.input_failed.set(error);
                let _ = stream.shutdown(Shutdown::Both);
                return Ok(());
            }
        }
    }
}

/// The reason why no more replies are copied.
enum End {
    Eof,
    OutputClosed,
    TimedOut,
    Failed(io::Error),
}

fn copy_replies(mut stream: TcpStream, sending: &Sending, replies: &mut Replies) -> Result<End, Failure> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut has_timed_out = false;
    let mut received_at = Instant::now();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(End::Eof),
            Ok(length) => {
                has_timed_out = false;
                received_at = Instant::now();
                if print(&buffer[..length])? == Output::Closed {
                    return Ok(End::OutputClosed);
                }
                replies.push(&buffer[..length]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                // The first timeout may have begun long before the last line was sent.
                let is_stream = replies.are_streaming() && received_at.elapsed() < STREAM_SILENCE_MAX;
                if is_stream || sending.waits_for_input.load(Ordering::SeqCst) {
                    has_timed_out = false;
                } else if has_timed_out {
                    return Ok(End::TimedOut);
                } else {
                    has_timed_out = true;
                }
            }
            Err(error) => return Ok(End::Failed(error)),
        }
    }
}

/// A server on another continent accepts within a fraction of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The delay of a busy machine, in addition to the time that one WHATSAT may wait for Places.
const LONGER_THAN_PLACES: Duration = Duration::from_secs(5);

/// As much as a socket commonly returns at once.
const BUFFER_BYTES: usize = 64 * 1024;

const HELP: &str = "\
herd send NAME LINE… [-c FILE]

Connects to a server of the herd as a client, sends each LINE, and prints the
replies as they arrive. Ends when the server has answered all lines; a FOLLOW
goes on until Ctrl-C, unless another line comes after it.

Arguments
  NAME         the name of the server in the herd file
  LINE…        one line each, in quotes; a single - reads lines from standard
               input

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help
  --           the rest are arguments, even if they begin with a dash

Lines that a server understands
  IAMAT CLIENT LOCATION TIME   reports the location of a client: a name, degrees
                               in the form of ISO 6709, POSIX seconds
  WHATSAT CLIENT RADIUS BOUND  asks what is near a client: a radius of at most
                               50 km, at most 20 results
  NEAR CLIENT RADIUS BOUND     asks which clients are near a client, or near a
                               location: a radius of at most 20100 km, at most
                               1000 results
  FOLLOW CLIENT                prints where a client is and its moves, until
                               Ctrl-C; kiwi* for all whose names begin so, * for
                               all, a location and a radius in km for an area
  FORGET CLIENT                has a client forgotten by every server
  TIME may be the word now, which herd send replaces by the present.
  Any other line is answered with a question mark and the line. Then herd send
  says why on standard error, as far as the text of the line shows it.

Example
  herd send Riley 'IAMAT kiwi.cs.ucla.edu +34.0689-118.4451 now'
  herd send Bernard 'WHATSAT kiwi.cs.ucla.edu 10 5'
  herd send Campbell 'FOLLOW +34.0689-118.4451 10'
  herd send Campbell 'FOLLOW *' ''    a list: the blank line ends the stream
  herd send Riley - < lines.txt

Exit status
  0  every line was sent, and every reply printed
  1  a command was refused, or the server could not be reached, closed the
     connection early, or stopped answering. A refused line that is no command
     at all (FOO) counts only if the server has understood none of the others
  2  the command line or the herd file is wrong
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_silent_server_times_out_unless_standard_input_is_pending() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let timeout = Duration::from_millis(20);
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(timeout)).unwrap();
        let sending = Sending::default();
        sending.waits_for_input.store(true, Ordering::SeqCst);
        thread::scope(|scope| {
            let copying = scope.spawn(|| copy_replies(stream, &sending, &mut Replies::new("Solo")));
            thread::sleep(timeout * 5);
            assert!(!copying.is_finished());
            sending.waits_for_input.store(false, Ordering::SeqCst);
            assert!(matches!(copying.join().unwrap(), Ok(End::TimedOut)));
        });
    }

    #[test]
    fn lines_are_sent_unchanged() {
        let input = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            Input::of(&lines)
        };
        assert!(matches!(input(&["-"]), Ok(Input::Standard)));
        assert!(matches!(input(&["é", "", "-"]), Ok(Input::Lines(bytes)) if bytes == "é\n\n-\n".as_bytes()));
        let Err(failure) = input(&["A", "B\nC"]) else { panic!("a line end was accepted") };
        assert_eq!(failure.status, 2);
        assert!(failure.to_string().starts_with("LINE 2 contains a line end"), "{failure}");
    }
}
