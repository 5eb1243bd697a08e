//! The report of a run: tables, goals and plots.

pub mod machine;
pub mod plots;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::comparison::Comparison;
use crate::servers::Kind;

/// The report of a run.
#[derive(Default)]
pub struct Report {
    goals: Vec<Goal>,
    sections: Vec<String>,
}

struct Goal {
    name: String,
    goal: String,
    found: String,
    met: bool,
}

/// The direction of a goal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The figure must be at most the goal.
    AtMost,
    /// The figure must be at least the goal.
    AtLeast,
}

/// A section of the report, in Markdown.
pub struct Section {
    text: String,
}

impl Section {
    /// A section with a title.
    pub fn new(title: &str) -> Section {
        eprintln!("{title}");
        Section { text: format!("## {title}\n\n") }
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        let _ = write!(self.text, "{text}\n\n");
    }

    /// Adds a plot in `bench/plots`.
    pub fn plot(&mut self, file: &str, title: &str) {
        let _ = write!(self.text, "![{title}](plots/{file})\n\n");
    }

    /// Adds a table, whose first column is text and whose other columns are numbers.
    pub fn table(&mut self, columns: &[&str], rows: &[Vec<String>]) {
        let _ = writeln!(self.text, "| {} |", columns.join(" | "));
        let _ = writeln!(self.text, "| --- |{}", " ---: |".repeat(columns.len() - 1));
        for row in rows {
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
            eprintln!("  {}", row.join("  "));
        }
        self.text.push('\n');
    }

    /// Adds a table of the results of all contenders.
    pub fn comparison(&mut self, comparison: &Comparison) {
        let rows: Vec<Vec<String>> = comparison
            .contenders
            .iter()
            .map(|contender| {
                let ratio = match contender.kind {
                    Kind::Herd => None,
                    other => comparison.herd_to(other, |round| round.rate()),
                };
                let ratio = ratio.map_or("·".into(), |ratio| format!("{ratio:.2} ×"));
                let microseconds =
                    |quantile: f64| short(contender.latency.value_at_quantile(quantile) as f64 / 1000.0);
                let mut name = contender.kind.name().to_owned();
                if contender.wrong() > 0 {
                    name = format!("{name} (**{} wrong replies**)", contender.wrong());
                }
                if contender.log_lost() > 0 {
                    name = format!("{name} (**{} log lines lost**)", contender.log_lost());
                }
                vec![
                    name,
                    thousands(contender.median(|round| round.rate())),
                    ratio,
                    short(contender.median(|round| round.microseconds(0.5))),
                    microseconds(0.99),
                    microseconds(0.999),
                    microseconds(1.0),
                    short(contender.median(|round| round.server_cpu_each())),
                    short(contender.median(|round| round.own_cpu_each())),
                ]
            })
            .collect();
        self.table(
            &[
                "server",
                "messages/s",
                "herd ÷ it",
                "p50 µs",
                "p99",
                "p99.9",
                "max",
                "its CPU µs each",
                "load generator",
            ],
            &rows,
        );
    }
}

impl Report {
    /// Adds a finished section.
    pub fn add(&mut self, section: Section) {
        self.sections.push(section.text);
    }

    /// Compares a figure with a goal; `None`: it was not measured, or no round of it counts.
    pub fn goal(&mut self, name: &str, bound: Bound, goal: f64, unit: &str, found: Option<f64>) {
        let (sign, met) = match bound {
            Bound::AtMost => ("≤", found.is_some_and(|found| found <= goal)),
            Bound::AtLeast => ("≥", found.is_some_and(|found| found >= goal)),
        };
        let found = found.map_or("no figure".into(), |found| format!("{} {unit}", short(found)));
        eprintln!("  {name}: {found}, goal {sign} {goal} {unit}: {}", if met { "met" } else { "not met" });
        self.goals.push(Goal { name: name.to_owned(), goal: format!("{sign} {goal} {unit}"), found, met });
    }

    /// Writes the page.
    pub fn write(&self, file: &Path, how: &str) -> io::Result<()> {
        let mut text = format!(
            "# Benchmark results\n\nWritten by `{how}`, and replaced by each complete run. \
             [docs/measured.md](../docs/measured.md) explains the figures.\n\n{}\n",
            machine::describe()
        );
        if !self.goals.is_empty() {
            text.push_str("## Goals\n\n| figure | goal | found | |\n| --- | ---: | ---: | --- |\n");
            for Goal { name, goal, found, met } in &self.goals {
                let met = if *met { "met" } else { "**not met**" };
                let _ = writeln!(text, "| {name} | {goal} | {found} | {met} |");
            }
            text.push('\n');
        }
        for section in &self.sections {
            text.push_str(section);
        }
        fs::write(file, text.trim_end().to_owned() + "\n")
    }
}

/// A number with three significant digits.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 10_000.0 {
        thousands(value)
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// An integer with its digits in groups of three.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < -0.5 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_and_grouped() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(12.0), "12");
        assert_eq!(thousands(-1234.0), "-1,234");
        assert_eq!([short(1.234), short(12.34), short(123.4)], ["1.23", "12.3", "123"]);
    }
}
