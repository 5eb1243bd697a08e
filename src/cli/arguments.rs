//! Options and arguments of one command.

use super::Failure;
use crate::config::words::quoted;
use getopts::{Fail, Options};
use std::ffi::OsString;
use std::path::PathBuf;

/// One row of the table of commands.
pub(super) struct Command {
    /// What the user types.
    pub(super) name: &'static str,
    /// `serve NAME [-c FILE]`.
    pub(super) usage: &'static str,
    /// What it does, in the list of all commands.
    pub(super) summary: &'static str,
    /// What `--help` prints.
    pub(super) help: &'static str,
    /// The option that it knows besides `--help`.
    pub(super) option: Takes,
    /// What its arguments without a dash are called; the last may end with `…` and stand for several.
    pub(super) operands: &'static [&'static str],
    /// Does it.
    pub(super) run: fn(&Given) -> Result<(), Failure>,
}

/// The option of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// `-c FILE`
    HerdFile,
    /// `-l HOST:PORT`
    Listen,
}

impl Takes {
    fn letter_and_hint(self) -> (&'static str, &'static str) {
        match self {
            Takes::HerdFile => ("c", "FILE"),
            Takes::Listen => ("l", "HOST:PORT"),
        }
    }
}

/// What the user gave to a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// The value of its option.
    pub(super) option: Option<String>,
    /// As many as the command has operands.
    pub(super) operands: Vec<String>,
}

impl Given {
    /// The file of `-c FILE`.
    pub(super) fn herd_file(&self) -> Option<PathBuf> {
        self.option.as_ref().map(PathBuf::from)
    }
}

/// What the user wants of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To know what it does.
    Help,
    /// That it does it.
    Run(Given),
}

/// The arguments as text, for no command has a use for others.
pub(super) fn in_unicode(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Failure> {
    let unicode = |argument: OsString| {
        argument.into_string().map_err(|argument| {
            Failure::of_the_question(format!(
                "the argument {} is not UTF-8; lines of any bytes can be given to herd send at its standard \
                 input, see herd send --help",
                quoted(&argument.to_string_lossy())
            ))
        })
    };
    arguments.into_iter().map(unicode).collect()
}

/// Reads what stands behind a command's name.
pub(super) fn read(command: &Command, arguments: &[String]) -> Result<Wish, Failure> {
    let (letter, hint) = command.option.letter_and_hint();
    let mut options = Options::new();
    options.optflag("h", "help", "").optopt(letter, "", "", hint);
    let wrong = |what: String| Failure::of_the_question(format!("{what}; see herd {} --help", command.name));
    let matches = options.parse(arguments).map_err(|fail| wrong(explain(fail, command)))?;
    if matches.opt_present("h") {
        return Ok(Wish::Help);
    }
    let operands = matches.free.clone();
    let several = command.operands.last().is_some_and(|last| last.ends_with('…'));
    if let Some(missing) = command.operands.get(operands.len()) {
        let missing = missing.trim_end_matches('…');
        return Err(wrong(format!("{missing} is missing: write herd {}", command.usage)));
    }
    if !several && let Some(extra) = operands.get(command.operands.len()) {
        return Err(wrong(format!(
            "{} is one argument too many: write herd {}",
            quoted(extra),
            command.usage
        )));
    }
    Ok(Wish::Run(Given { option: matches.opt_str(letter), operands }))
}

fn explain(fail: Fail, command: &Command) -> String {
    let (letter, hint) = command.option.letter_and_hint();
    match fail {
        Fail::ArgumentMissing(_) => format!("-{letter} has no {hint}: write -{letter} {hint}"),
        Fail::OptionDuplicated(_) => format!("-{letter} stands twice: write it once"),
        Fail::UnrecognizedOption(option) => {
            let dashes = if option.chars().nth(1).is_some() { "--" } else { "-" };
            format!("unknown option {}: write herd {}", quoted(&format!("{dashes}{option}")), command.usage)
        }
        Fail::OptionMissing(_) | Fail::UnexpectedArgument(_) => {
            format!("--help has no value: write herd {}", command.usage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: Command = Command {
        name: "send",
        usage: "send NAME LINE… [-c FILE]",
        summary: "",
        help: "",
        option: Takes::HerdFile,
        operands: &["NAME", "LINE…"],
        run: |_| Ok(()),
    };
    const ONE: Command = Command { name: "one", usage: "one NAME", operands: &["NAME"], ..COMMAND };

    fn read(command: &Command, line: &str) -> Result<Wish, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        super::read(command, &arguments).map_err(|failure| {
            assert_eq!(failure.status, 2);
            failure.to_string()
        })
    }

    #[test]
    fn options_stand_anywhere_and_operands_are_counted() {
        let given = |option: Option<&str>, operands: &[&str]| {
            let operands = operands.iter().map(|&text| text.to_owned()).collect();
            Ok(Wish::Run(Given { option: option.map(str::to_owned), operands }))
        };
        assert_eq!(read(&COMMAND, "Riley A B"), given(None, &["Riley", "A", "B"]));
        assert_eq!(read(&COMMAND, "-c x.json Riley -"), given(Some("x.json"), &["Riley", "-"]));
        assert_eq!(read(&COMMAND, "Riley A -c x.json"), given(Some("x.json"), &["Riley", "A"]));
        assert_eq!(read(&COMMAND, "Riley -- -c -x"), given(None, &["Riley", "-c", "-x"]));
        assert_eq!(read(&COMMAND, "--help"), Ok(Wish::Help));
        assert_eq!(read(&ONE, "A B -h"), Ok(Wish::Help));
    }

    #[test]
    fn mistakes_are_explained() {
        for (command, line, expected) in [
            (&COMMAND, "", "NAME is missing: write herd send NAME LINE… [-c FILE]; see herd send --help"),
            (&COMMAND, "A", "LINE is missing: write herd send NAME LINE… [-c FILE]; see herd send --help"),
            (&ONE, "A B", "\"B\" is one argument too many: write herd one NAME; see herd one --help"),
            (&ONE, "A --no-such", "unknown option \"--no-such\": write herd one NAME; see herd one --help"),
            (&ONE, "A -x", "unknown option \"-x\": write herd one NAME; see herd one --help"),
            (&ONE, "A -c", "-c has no FILE: write -c FILE; see herd one --help"),
            (&ONE, "A -c x -c y", "-c stands twice: write it once; see herd one --help"),
            (&ONE, "A --help=x", "--help has no value: write herd one NAME; see herd one --help"),
        ] {
            assert_eq!(read(command, line), Err(expected.to_owned()));
        }
    }
}
