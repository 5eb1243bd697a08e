//! The command line: one file for each command, and the table of all of them.
//!
//! A command gets its [`Arguments`] and prints its result to standard output. It ends with success or with a
//! [`Failure`]: one line on standard error, and the exit status.

mod arguments;
mod check;
mod failure;
mod keys;
mod loaded_herd;
mod output;
mod parent;
mod places;
mod refusal;
mod run_all;
mod send;
mod send_lines;
mod serve;
mod status;
mod store;
mod token;

pub use check::draw;
pub use failure::Failure;
pub use parent::{PARENT_VARIABLE, end_with_parent};

use crate::config::words::{did_you_mean, quoted};
use arguments::{Parsed, Subcommand};
use output::print;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Executes the command in the arguments, which do not include the name of the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If standard error is closed, the exit status alone reports the failure.
            if !failure.message.is_empty() {
                let _ = writeln!(io::stderr(), "herd: {failure}");
            }
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let arguments = arguments::in_unicode(arguments)?;
    let Some((first, rest)) = arguments.split_first() else {
        return Err(Failure::usage(format!("no command: expected one of {}; see herd --help", names())));
    };
    match first.as_str() {
        "--help" | "-h" | "help" => {
            let help = match rest.first() {
                Some(name) => command(name)?.help.to_owned(),
                None => help(),
            };
            print(help.as_bytes()).map(drop)
        }
        "--version" | "-V" => print(VERSION.as_bytes()).map(drop),
        option if option.starts_with('-') => Err(Failure::usage(format!(
            "unknown option {}: the options of a command follow its name; see herd --help",
            quoted(option)
        ))),
        name => {
            let command = command(name)?;
            match arguments::read(command, rest)? {
                Parsed::Help => print(command.help.as_bytes()).map(drop),
                Parsed::Run(arguments) => (command.run)(&arguments),
            }
        }
    }
}

fn command(name: &str) -> Result<&'static Subcommand, Failure> {
    COMMANDS.iter().copied().find(|command| command.name == name).ok_or_else(|| {
        Failure::usage(format!(
            "unknown command {}: expected one of {}; see herd --help{}",
            quoted(name),
            names(),
            did_you_mean(name, COMMANDS.iter().map(|command| command.name)),
        ))
    })
}

fn names() -> String {
    COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>().join(", ")
}

fn help() -> String {
    let width = COMMANDS.iter().map(|command| command.usage.len()).max().unwrap_or(0);
    let mut text = HELP_BEGINS.to_owned();
    for command in COMMANDS {
        text.push_str(&format!("  herd {:width$}  {}\n", command.usage, command.summary));
    }
    text.push_str(HELP_ENDS);
    text
}

/// In the order in which a new user needs them.
const COMMANDS: [&Subcommand; 9] = [
    &run_all::COMMAND,
    &send::COMMAND,
    &serve::COMMAND,
    &places::COMMAND,
    &keys::COMMAND,
    &token::COMMAND,
    &status::COMMAND,
    &store::COMMAND,
    &check::COMMAND,
];

const VERSION: &str = concat!("herd ", env!("CARGO_PKG_VERSION"), "\n");

const HELP_BEGINS: &str = "\
herd: an application server herd

A herd is a handful of equal servers. A client reports its location to any of
them, and that server floods it to the others. Each of them can then answer what
is near the client, even when some of the others have failed.

Commands
";

const HELP_ENDS: &str = "
  herd COMMAND --help describes a command, herd --version prints the version.

Getting started
  herd run-all               starts the built-in herd; in another terminal
  telnet 127.0.0.1 12326     connects to the server Riley; there type
  IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503
  WHATSAT kiwi.cs.ucla.edu 10 5

The herd file
  A JSON file names the servers of a herd and the edges between them. A command
  reads the file given with -c, else herd.json in the current folder. If that
  does not exist, it uses the built-in herd: five servers on this machine.

Exit status
  0  success
  1  failure at run time: a port is taken, a server does not answer
  2  the command line or the herd file is wrong
  An error is one line on standard error: what failed, why, and what to do.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_help_has_an_example_and_fits_a_terminal() {
        for command in COMMANDS {
            let help = command.help;
            assert!(help.starts_with(&format!("herd {}\n\n", command.usage)), "{help}");
            for heading in ["\nExample", "\nExit status\n", "\nOptions\n"] {
                assert!(help.contains(heading), "{heading}: {help}");
            }
            assert!(help.ends_with('\n') && !help.contains('\t'));
        }
        for text in COMMANDS.iter().map(|command| command.help.to_owned()).chain([help()]) {
            for line in text.lines() {
                assert!(line.chars().count() <= 80 && line.trim_end() == line, "{line}");
            }
        }
    }

    #[test]
    fn an_unknown_command_is_explained() {
        let failure = |arguments: &[&str]| {
            let failure = dispatch(arguments.iter().map(OsString::from)).unwrap_err();
            assert_eq!(failure.status, 2);
            failure.to_string()
        };
        assert_eq!(
            failure(&[]),
            "no command: expected one of run-all, send, serve, places, keys, token, status, store, check; see herd --help"
        );
        assert_eq!(
            failure(&["runall"]),
            "unknown command \"runall\": expected one of run-all, send, serve, places, keys, token, status, store, check; \
             see herd --help; did you mean run-all?"
        );
        assert_eq!(
            failure(&["fly"]),
            "unknown command \"fly\": expected one of run-all, send, serve, places, keys, token, status, store, check; see herd --help"
        );
        assert!(failure(&["help", "fly"]).starts_with("unknown command \"fly\""));
        assert!(failure(&["-c", "x"]).starts_with("unknown option \"-c\""));
    }
}
