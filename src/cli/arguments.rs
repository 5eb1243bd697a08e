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
    /// The options of the command besides `--help`.
    pub(super) options: &'static [CommandOption],
    /// The names of its arguments without a dash. A last name with `…` stands for one or more arguments, one in
    /// brackets for none or one.
    pub(super) operands: &'static [&'static str],
    /// Executes the command.
    pub(super) run: fn(&Arguments) -> Result<(), Failure>,
}

/// An option of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommandOption {
    /// One letter for `-c`, a word for `--renew`.
    pub(super) name: &'static str,
    /// What stands for its value in messages; `None`: it has no value. With `…` at the end it may be given several
    /// times.
    pub(super) value: Option<&'static str>,
}

impl CommandOption {
    fn is_multiple(&self) -> bool {
        self.value.is_some_and(|value| value.ends_with('…'))
    }

    /// `-c FILE`
    pub(super) const HERD_FILE: CommandOption = CommandOption { name: "c", value: Some("FILE") };
    /// `-l HOST:PORT`
    pub(super) const LISTEN: CommandOption = CommandOption { name: "l", value: Some("HOST:PORT") };
}

/// An option as it is written: `-c`, `--renew`.
fn with_dashes(name: &str) -> String {
    let dashes = if name.chars().nth(1).is_some() { "--" } else { "-" };
    format!("{dashes}{name}")
}

/// The arguments of a command, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// The options that were given, with their values; empty for an option without one.
    pub(super) options: Vec<(&'static str, String)>,
    /// As many as the command has; more only if its last operand stands for several.
    pub(super) operands: Vec<String>,
}

impl Arguments {
    /// The value of an option that was given.
    pub(super) fn value(&self, option: CommandOption) -> Option<&str> {
        self.options.iter().find(|(name, _)| *name == option.name).map(|(_, value)| value.as_str())
    }

    /// The values of an option that may be given several times, in their order.
    pub(super) fn values(&self, option: CommandOption) -> impl Iterator<Item = &str> {
        self.options.iter().filter(move |(name, _)| *name == option.name).map(|(_, value)| value.as_str())
    }

    /// Whether an option was given.
    pub(super) fn has(&self, option: CommandOption) -> bool {
        self.value(option).is_some()
    }

    /// The file of `-c FILE`.
    pub(super) fn herd_file(&self) -> Option<PathBuf> {
        self.value(CommandOption::HERD_FILE).map(PathBuf::from)
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
    let mut options = Options::new();
    options.optflag("h", "help", "");
    for option in command.options {
        let (short, long) = if option.name.len() == 1 { (option.name, "") } else { ("", option.name) };
        match option.value {
            Some(hint) if option.is_multiple() => options.optmulti(short, long, "", hint),
            Some(hint) => options.optopt(short, long, "", hint),
            None => options.optflag(short, long, ""),
        };
    }
    let wrong = |problem: String| Failure::usage(format!("{problem}; see herd {} --help", command.name));
    let matches = options.parse(arguments).map_err(|fail| wrong(explain(fail, command)))?;
    if matches.opt_present("h") {
        return Ok(Parsed::Help);
    }
    let operands = matches.free.clone();
    let several = command.operands.last().is_some_and(|last| last.ends_with('…'));
    let missing = command.operands.get(operands.len()).filter(|name| !name.starts_with('['));
    if let Some(missing) = missing {
        let missing = missing.trim_end_matches('…');
        return Err(wrong(format!("{missing} is missing: write herd {}", command.usage)));
    }
    if !several && let Some(extra) = operands.get(command.operands.len()) {
        return Err(wrong(format!("unexpected argument {}: write herd {}", quoted(extra), command.usage)));
    }
    let mut options = Vec::new();
    for option in command.options.iter().filter(|option| matches.opt_present(option.name)) {
        match option.value {
            Some(_) => {
                options.extend(matches.opt_strs(option.name).into_iter().map(|value| (option.name, value)))
            }
            None => options.push((option.name, String::new())),
        }
    }
    Ok(Parsed::Run(Arguments { options, operands }))
}

fn explain(fail: Fail, command: &Subcommand) -> String {
    match fail {
        Fail::ArgumentMissing(name) => {
            let known = command.options.iter().find(|option| option.name == name);
            let hint = known.and_then(|option| option.value).unwrap_or_default().trim_end_matches('…');
            let option = with_dashes(&name);
            format!("{option} needs a value: write {option} {hint}")
        }
        Fail::OptionDuplicated(name) => format!("{} is given twice: write it once", with_dashes(&name)),
        Fail::UnrecognizedOption(name) => {
            format!("unknown option {}: write herd {}", quoted(&with_dashes(&name)), command.usage)
        }
        Fail::OptionMissing(name) | Fail::UnexpectedArgument(name) => {
            format!("{} takes no value: write herd {}", with_dashes(&name), command.usage)
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
        options: &[CommandOption::HERD_FILE],
        operands: &["NAME", "LINE…"],
        run: |_| Ok(()),
    };
    const ONE: Subcommand = Subcommand { name: "one", usage: "one NAME", operands: &["NAME"], ..COMMAND };
    const FLAG: CommandOption = CommandOption { name: "renew", value: None };
    const TO: CommandOption = CommandOption { name: "out", value: Some("DIR") };
    const KEYS: Subcommand = Subcommand {
        name: "keys",
        usage: "keys [--renew]",
        operands: &[],
        options: &[CommandOption::HERD_FILE, FLAG, TO],
        ..COMMAND
    };

    const MAY: CommandOption = CommandOption { name: "may", value: Some("SCOPE…") };
    const TOKEN: Subcommand = Subcommand {
        name: "token",
        usage: "token NAME",
        operands: &["[NAME]"],
        options: &[CommandOption::HERD_FILE, MAY],
        ..COMMAND
    };

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
            let options = option.map(|value| ("c", value.to_owned())).into_iter().collect();
            Ok(Parsed::Run(Arguments { options, operands }))
        };
        assert_eq!(read(&COMMAND, "Riley A B"), given(None, &["Riley", "A", "B"]));
        assert_eq!(read(&COMMAND, "-c x.json Riley -"), given(Some("x.json"), &["Riley", "-"]));
        assert_eq!(read(&COMMAND, "Riley A -c x.json"), given(Some("x.json"), &["Riley", "A"]));
        assert_eq!(read(&COMMAND, "Riley -- -c -x"), given(None, &["Riley", "-c", "-x"]));
        let Ok(Parsed::Run(arguments)) = read(&KEYS, "--renew -c x.json --out=y") else { panic!() };
        assert_eq!((arguments.has(FLAG), arguments.value(TO)), (true, Some("y")));
        assert_eq!(arguments.herd_file(), Some("x.json".into()));
        let Ok(Parsed::Run(arguments)) = read(&KEYS, "") else { panic!() };
        assert_eq!((arguments.has(FLAG), arguments.value(TO), arguments.herd_file()), (false, None, None));
        let Ok(Parsed::Run(arguments)) = read(&TOKEN, "--may a --may=b") else { panic!() };
        assert_eq!(arguments.values(MAY).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(arguments.operands, [""; 0]);
        let Ok(Parsed::Run(arguments)) = read(&TOKEN, "ada") else { panic!() };
        assert_eq!((arguments.operands, arguments.options), (vec!["ada".to_owned()], Vec::new()));
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
            (&KEYS, "--out", "--out needs a value: write --out DIR; see herd keys --help"),
            (&KEYS, "--renew=x", "--renew takes no value: write herd keys [--renew]; see herd keys --help"),
            (&KEYS, "--renew --renew", "--renew is given twice: write it once; see herd keys --help"),
            (&TOKEN, "A B", "unexpected argument \"B\": write herd token NAME; see herd token --help"),
            (&TOKEN, "A --may", "--may needs a value: write --may SCOPE; see herd token --help"),
            (&ONE, "A --help=x", "--help takes no value: write herd one NAME; see herd one --help"),
        ] {
            assert_eq!(read(command, line), Err(expected.to_owned()));
        }
    }
}
