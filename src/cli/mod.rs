//! The command line: one file for each command, and the table of all of them.
//!
//! A command gets its arguments as [`Given`], prints what it has to say to standard output, and ends well
//! or with a [`Failure`], which is one line on standard error and the exit status.

mod arguments;
mod check;
mod failure;
mod output;
mod parent;
mod places;
mod run_all;
mod send;
mod serve;
mod which_herd;

pub use check::draw;
pub use failure::Failure;
pub use parent::{PARENT_VARIABLE, end_with_parent};

use crate::config::words::{did_you_mean, quoted};
use arguments::{Command, Wish};
use output::print;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Does what the arguments (without the program's name) say.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where standard error is closed there is nobody left to tell.
            let _ = writeln!(io::stderr(), "herd: {failure}");
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let arguments = arguments::in_unicode(arguments)?;
    let Some((first, rest)) = arguments.split_first() else {
        return Err(Failure::of_the_question(format!(
            "no command: expected one of {}; see herd --help",
            names()
        )));
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
        option if option.starts_with('-') => Err(Failure::of_the_question(format!(
            "unknown option {}: the options of a command follow its name; see herd --help",
            quoted(option)
        ))),
        name => {
            let command = command(name)?;
            match arguments::read(command, rest)? {
                Wish::Help => print(command.help.as_bytes()).map(drop),
                Wish::Run(given) => (command.run)(&given),
            }
        }
    }
}

fn command(name: &str) -> Result<&'static Command, Failure> {
    COMMANDS.iter().copied().find(|command| command.name == name).ok_or_else(|| {
        Failure::of_the_question(format!(
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

/// In the order in which a newcomer meets them.
const COMMANDS: [&Command; 5] =
    [&run_all::COMMAND, &send::COMMAND, &serve::COMMAND, &places::COMMAND, &check::COMMAND];

const VERSION: &str = concat!("herd ", env!("CARGO_PKG_VERSION"), "\n");

const HELP_BEGINS: &str = "\
herd: an application server herd

A herd is a handful of equal servers. A client tells any one of them where it
is; that one floods it to the others, so that each of them can say what is near
the client, also when some of them have failed.

Commands
";

const HELP_ENDS: &str = "
  herd COMMAND --help says more about one of them, herd --version which herd
  this is.

To begin with
  herd run-all               starts the built-in herd; then, in another terminal
  telnet 127.0.0.1 12326     and type
  IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503
  WHATSAT kiwi.cs.ucla.edu 10 5

The herd file
  A JSON file says who is in the herd and who talks to whom. With -c FILE that
  one is read, else herd.json in the current folder; where there is none, it is
  the built-in herd of five servers on this machine.

Exit status
  0  it is done
  1  it failed while it ran: a port is taken, nobody answers
  2  the command line or the herd file is wrong
  What failed, why, and what to do about it is one line on standard error.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_help_teaches() {
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
            "no command: expected one of run-all, send, serve, places, check; see herd --help"
        );
        assert_eq!(
            failure(&["runall"]),
            "unknown command \"runall\": expected one of run-all, send, serve, places, check; \
             see herd --help; did you mean run-all?"
        );
        assert_eq!(
            failure(&["fly"]),
            "unknown command \"fly\": expected one of run-all, send, serve, places, check; see herd --help"
        );
        assert!(failure(&["help", "fly"]).starts_with("unknown command \"fly\""));
        assert!(failure(&["-c", "x"]).starts_with("unknown option \"-c\""));
    }
}
