//! The options and operands of one command.

use super::Failure;
use crate::config::words::quoted;
use getopts::{Fail, Options};
use std::ffi::OsString;
use std::path::PathBuf;

/// One row of the table of commands.
pub(super) struct Subcommand {
    /// The first argument of the program.
    pub(super) name: &'static str,
    /// `serve NAME [-c FILE]`.
    pub(super) usage: &'static str,
    /// The line of the command in the list of all commands.
    pub(super) summary: &'static str,
    /// The text that `--help` prints.
    pub(super) help: &'static str,
    /// The option of the command besides `--help`.
    pub(super) option: SubcommandOption,
    /// The names of its arguments without a dash. A last name with `…` stands for one or more arguments.
    pub(super) operands: &'static [&'static str],
    /// Executes the command.
    pub(super) run: fn(&Arguments) -> Result<(), Failure>,
}

/// The option of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubcommandOption {
    /// `-c FILE`
    HerdFile,
    /// `-l HOST:PORT`
    Listen,
}

impl SubcommandOption {
    fn letter_and_hint(self) -> (&'static str, &'static str) {
        match self {
            SubcommandOption::HerdFile => ("c", "FILE"),
            SubcommandOption::Listen => ("l", "HOST:PORT"),
        }
    }
}

/// The arguments of a command, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// The value of the option of the command.
    pub(super) option: Option<String>,
    /// As many as the command has; more only if its last operand stands for several.
    pub(super) operands: Vec<String>,
}

impl Arguments {
    /// The file of `-c FILE`.
    pub(super) fn herd_file(&self) -> Option<PathBuf> {
        self.option.as_ref().map(PathBuf::from)
    }
}

/// The result of parsing the arguments of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// `--help`.
    Help,
    /// The command with its arguments.
    Run(Arguments),
}

/// The arguments as text; no command needs others.
pub(super) fn in_unicode(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Failure> {
    let unicode = |argument: OsString| {
        argument.into_string().map_err(|argument| {
            Failure::usage(format!(
                "the argument {} is not UTF-8; herd send takes lines of any bytes from standard input, see \
                 herd send --help",
                quoted(&argument.to_string_lossy())
            ))
        })
    };
    arguments.into_iter().map(unicode).collect()
}

/// Parses the arguments after the name of a command.
pub(super) fn read(command: &Subcommand, arguments: &[String]) -> Result<Parsed, Failure> {
    let (letter, hint) = command.option.letter_and_hint();
    let mut options = Options::new();
    options.optflag("h", "help", "").optopt(letter, "", "", hint);
    let wrong = |problem: String| Failure::usage(format!("{problem}; see herd {} --help", command.name));
    let matches = options.parse(arguments).map_err(|fail| wrong(explain(fail, command)))?;
    if matches.opt_present("h") {
        return Ok(Parsed::Help);
    }
    let operands = matches.free.clone();
    let several = command.operands.last().is_some_and(|last| last.ends_with('…'));
    if let Some(missing) = command.operands.get(operands.len()) {
        let missing = missing.trim_end_matches('…');
        return Err(wrong(format!("{missing} is missing: write herd {}", command.usage)));
    }
    if !several && let Some(extra) = operands.get(command.operands.len()) {
        return Err(wrong(format!("unexpected argument {}: write herd {}", quoted(extra), command.usage)));
    }
    Ok(Parsed::Run(Arguments { option: matches.opt_str(letter), operands }))
}

fn explain(fail: Fail, command: &Subcommand) -> String {
    let (letter, hint) = command.option.letter_and_hint();
    match fail {
        Fail::ArgumentMissing(_) => format!("-{letter} needs a value: write -{letter} {hint}"),
        Fail::OptionDuplicated(_) => format!("-{letter} is given twice: write it once"),
        Fail::UnrecognizedOption(option) => {
            let dashes = if option.chars().nth(1).is_some() { "--" } else { "-" };
            format!("unknown option {}: write herd {}", quoted(&format!("{dashes}{option}")), command.usage)
        }
        Fail::OptionMissing(_) | Fail::UnexpectedArgument(_) => {
            format!("--help takes no value: write herd {}", command.usage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: Subcommand = Subcommand {
        name: "send",
        usage: "send NAME LINE… [-c FILE]",
        summary: "",
        help: "",
        option: SubcommandOption::HerdFile,
        operands: &["NAME", "LINE…"],
        run: |_| Ok(()),
    };
    const ONE: Subcommand = Subcommand { name: "one", usage: "one NAME", operands: &["NAME"], ..COMMAND };

    fn read(command: &Subcommand, line: &str) -> Result<Parsed, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        super::read(command, &arguments).map_err(|failure| {
            assert_eq!(failure.status, 2);
            failure.to_string()
        })
    }

    #[test]
    fn options_are_allowed_anywhere_and_operands_are_counted() {
        let given = |option: Option<&str>, operands: &[&str]| {
            let operands = operands.iter().map(|&text| text.to_owned()).collect();
            Ok(Parsed::Run(Arguments { option: option.map(str::to_owned), operands }))
        };
        assert_eq!(read(&COMMAND, "Riley A B"), given(None, &["Riley", "A", "B"]));
        assert_eq!(read(&COMMAND, "-c x.json Riley -"), given(Some("x.json"), &["Riley", "-"]));
        assert_eq!(read(&COMMAND, "Riley A -c x.json"), given(Some("x.json"), &["Riley", "A"]));
        assert_eq!(read(&COMMAND, "Riley -- -c -x"), given(None, &["Riley", "-c", "-x"]));
        assert_eq!(read(&COMMAND, "--help"), Ok(Parsed::Help));
        assert_eq!(read(&ONE, "A B -h"), Ok(Parsed::Help));
    }

    #[test]
    fn mistakes_are_explained() {
        for (command, line, expected) in [
            (&COMMAND, "", "NAME is missing: write herd send NAME LINE… [-c FILE]; see herd send --help"),
            (&COMMAND, "A", "LINE is missing: write herd send NAME LINE… [-c FILE]; see herd send --help"),
            (&ONE, "A B", "unexpected argument \"B\": write herd one NAME; see herd one --help"),
            (&ONE, "A --no-such", "unknown option \"--no-such\": write herd one NAME; see herd one --help"),
            (&ONE, "A -x", "unknown option \"-x\": write herd one NAME; see herd one --help"),
            (&ONE, "A -c", "-c needs a value: write -c FILE; see herd one --help"),
            (&ONE, "A -c x -c y", "-c is given twice: write it once; see herd one --help"),
            (&ONE, "A --help=x", "--help takes no value: write herd one NAME; see herd one --help"),
        ] {
            assert_eq!(read(command, line), Err(expected.to_owned()));
        }
    }
}
