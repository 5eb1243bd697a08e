//! `herd send`: lines to a server, its replies to standard output.

use super::Failure;
use super::arguments::{Command, Given, Takes};
use super::failure::in_words;
use super::output::{Reader, print};
use super::which_herd::{WhichHerd, as_operand};
use crate::config::{Herd, Host, HostPort, ServerSection};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Its row in the table of commands.
pub(super) const COMMAND: Command = Command {
    name: "send",
    usage: "send NAME LINE… [-c FILE]",
    summary: "sends lines to a server, prints its replies",
    help: HELP,
    option: Takes::HerdFile,
    operands: &["NAME", "LINE…"],
    run,
};

fn run(given: &Given) -> Result<(), Failure> {
    let (name, lines) = given.operands.split_first().expect("two operands were counted");
    let which = WhichHerd::find(given)?;
    let server = which.server(name)?;
    let input = Input::of(lines)?;
    let stream = connect(&server.address).map_err(|error| {
        Failure::at_run_time(format!(
            "cannot reach {name} at {}: {}; start it with herd serve{} {}",
            server.address,
            in_words(&error),
            which.option(given),
            as_operand(name)
        ))
    })?;
    exchange(stream, input, Patience::with(&which.herd), server)
}

/// What is sent.
enum Input {
    /// Lines, each with its LF.
    Lines(Vec<u8>),
    /// Whatever standard input holds.
    Standard,
}

impl Input {
    fn of(lines: &[String]) -> Result<Input, Failure> {
        if lines == ["-"] {
            return Ok(Input::Standard);
        }
        let mut bytes = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            if line.contains('\n') {
                return Err(Failure::of_the_question(format!(
                    "LINE {} has a line end in it: give each line as an argument of its own, or - to read \
                     lines from standard input; see herd send --help",
                    index + 1
                )));
            }
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        Ok(Input::Lines(bytes))
    }
}

/// How long a server may be silent.
#[derive(Clone, Copy)]
struct Patience(Duration);

impl Patience {
    fn with(herd: &Herd) -> Patience {
        Patience(herd.places_or_local().timeout + LONGER_THAN_PLACES)
    }
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

/// What the thread that sends tells the one that reads.
#[derive(Default)]
struct Sending {
    /// The user is thinking, so the server need not say anything.
    waits_for_input: AtomicBool,
    /// Nothing more comes; it is set before the server can know.
    is_complete: AtomicBool,
    input_failed: OnceLock<io::Error>,
}

/// Sends and reads at the same time: a server that is not read from stops reading at last, so sending
/// everything first would wait for ever.
fn exchange(
    stream: TcpStream,
    input: Input,
    patience: Patience,
    server: &ServerSection,
) -> Result<(), Failure> {
    let place = format!("{} at {}", server.name, server.address);
    let cannot =
        |error: io::Error| Failure::at_run_time(format!("cannot talk to {place}: {}", in_words(&error)));
    stream.set_read_timeout(Some(patience.0)).map_err(cannot)?;
    let sending = Arc::new(Sending::default());
    let (writer, told) = (stream.try_clone().map_err(cannot)?, Arc::clone(&sending));
    // Never joined: it may wait for standard input long after the server has gone.
    thread::spawn(move || send(writer, input, &told));
    let end = copy_replies(stream, &sending, patience);
    if let Some(error) = sending.input_failed.get() {
        return Err(Failure::at_run_time(format!("standard input cannot be read: {}", in_words(error))));
    }
    match end? {
        End::NobodyReads => Ok(()),
        End::OfFile if sending.is_complete.load(Ordering::SeqCst) => Ok(()),
        End::OfFile => Err(Failure::at_run_time(format!(
            "{place} ended the connection before everything was sent; its log says why"
        ))),
        End::Silence => Err(Failure::at_run_time(format!(
            "{place} has said nothing for {} s: it may be stopped, or something else listens there",
            patience.0.as_secs()
        ))),
        End::Broken(error) => Err(Failure::at_run_time(format!(
            "{place} ended the connection midway: {}; its log says why",
            in_words(&error)
        ))),
    }
}

/// Sends all and closes that half of the connection. Failures show on the other half too, so they are
/// told there, once.
fn send(mut stream: TcpStream, input: Input, sending: &Sending) {
    let sent = match input {
        Input::Lines(bytes) => stream.write_all(&bytes),
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
    loop {
        sending.waits_for_input.store(true, Ordering::SeqCst);
        let read = input.read(&mut buffer);
        sending.waits_for_input.store(false, Ordering::SeqCst);
        match read {
            Ok(0) => return Ok(()),
            Ok(length) => stream.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let _ = sending.input_failed.set(error);
                let _ = stream.shutdown(Shutdown::Both);
                return Ok(());
            }
        }
    }
}

/// Why no more replies are copied.
enum End {
    OfFile,
    NobodyReads,
    Silence,
    Broken(io::Error),
}

fn copy_replies(mut stream: TcpStream, sending: &Sending, patience: Patience) -> Result<End, Failure> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut silent = Duration::ZERO;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(End::OfFile),
            Ok(length) => {
                silent = Duration::ZERO;
                if print(&buffer[..length])? == Reader::Gone {
                    return Ok(End::NobodyReads);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                // The first of two waits may have begun long before the last line was sent.
                if sending.waits_for_input.load(Ordering::SeqCst) {
                    silent = Duration::ZERO;
                } else if silent >= patience.0 {
                    return Ok(End::Silence);
                } else {
                    silent += patience.0;
                }
            }
            Err(error) => return Ok(End::Broken(error)),
        }
    }
}

/// A server on another continent answers within a fraction of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Beyond the time that one WHATSAT may wait for Places: a busy machine's delay.
const LONGER_THAN_PLACES: Duration = Duration::from_secs(5);

/// As much as a socket commonly gives at once.
const BUFFER_BYTES: usize = 64 * 1024;

const HELP: &str = "\
herd send NAME LINE… [-c FILE]

Connects to a server of the herd as a client, sends each LINE, prints the
replies as they come, and ends when the server has answered them all.

Arguments
  NAME         the server, as it is called in the herd file
  LINE…        one line each, so put it into quotes; a single - stands for the
               lines of standard input

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help
  --           what follows are arguments, even with a dash in front

Lines that a server understands
  IAMAT CLIENT LOCATION TIME   here I am: a name, degrees after ISO 6709, POSIX
                               seconds
  WHATSAT CLIENT RADIUS BOUND  what is near that client, within at most 50
                               km: at most 20 results
  Anything else is answered with a question mark and the line.

Example
  herd send Riley 'IAMAT kiwi.cs.ucla.edu +34.0689-118.4451 1621464827.959'
  herd send Bernard 'WHATSAT kiwi.cs.ucla.edu 10 5'
  herd send Riley - < lines.txt

Exit status
  0  every line was sent and every reply printed, whatever it says
  1  the server could not be reached, ended the connection midway, or fell
     silent
  2  the command line or the herd file is wrong
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_server_that_says_nothing_is_given_up_unless_the_user_is_the_slow_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let patience = Patience(Duration::from_millis(20));
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(patience.0)).unwrap();
        let sending = Sending::default();
        sending.waits_for_input.store(true, Ordering::SeqCst);
        thread::scope(|scope| {
            let copying = scope.spawn(|| copy_replies(stream, &sending, patience));
            thread::sleep(patience.0 * 5);
            assert!(!copying.is_finished());
            sending.waits_for_input.store(false, Ordering::SeqCst);
            assert!(matches!(copying.join().unwrap(), Ok(End::Silence)));
        });
    }

    #[test]
    fn lines_are_sent_as_they_are() {
        let input = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            Input::of(&lines)
        };
        assert!(matches!(input(&["-"]), Ok(Input::Standard)));
        assert!(matches!(input(&["é", "", "-"]), Ok(Input::Lines(bytes)) if bytes == "é\n\n-\n".as_bytes()));
        let Err(failure) = input(&["A", "B\nC"]) else { panic!("a line end was taken") };
        assert_eq!(failure.status, 2);
        assert!(failure.to_string().starts_with("LINE 2 has a line end"), "{failure}");
    }
}
