//! The text of metrics, in the Prometheus text format 0.0.4 or as OpenMetrics 1.0. They differ in the names of
//! counters, in the type of information, and in the end.

use std::fmt::{self, Display, Write};

use super::{Durations, Format};

/// A metric: its name, type and meaning. Its samples differ in their labels.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name of its samples: that of a counter ends with `_total`, that of information with `_info`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The meaning, one line.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows while the program runs.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// A histogram of durations, in seconds.
    Histogram,
    /// A sample whose value is 1 and whose labels say something.
    Info,
}

impl Kind {
    /// The name of the type in the format of Prometheus.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Family {
    /// The unit in the name: `seconds` or `bytes`.
    pub fn unit(&self) -> Option<&'static str> {
        let base = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"].into_iter().find(|unit| base.ends_with(unit))
    }
}

/// The writer of an exposition. Families come one after the other, each with all its samples.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    text: String,
}

impl Exposition {
    /// An empty exposition.
    pub fn new(format: Format) -> Exposition {
        Exposition { format, text: String::new() }
    }

    /// Begins a family. Its samples follow.
    pub fn family(&mut self, family: &Family) {
        let (name, kind) = match (self.format, family.kind) {
            (Format::OpenMetrics, Kind::Counter) => (without(family.name, "_total"), "counter"),
            (Format::OpenMetrics, Kind::Info) => (without(family.name, "_info"), "info"),
            (_, kind) => (family.name, kind.name()),
        };
        // Writing into a string does not fail.
        let _ = writeln!(
            self.text,
            "# HELP {name} {}",
            Escaped { text: family.help, quotes: self.format == Format::OpenMetrics }
        );
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        if let (Format::OpenMetrics, Some(unit)) = (self.format, family.unit()) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
    }

    /// Adds a sample of a family. Labels have the same order in all samples.
    pub fn sample(&mut self, family: &Family, labels: &[(&str, &str)], value: impl Display) {
        self.line(family.name, "", labels, None, value);
    }

    /// Adds the samples of a histogram.
    pub fn histogram(&mut self, family: &Family, labels: &[(&str, &str)], durations: &Durations) {
        let bounds = Durations::BOUNDS_NS.iter().map(|&bound| Some(Seconds(bound))).chain([None]);
        let mut all = 0;
        for (bound, count) in bounds.zip(durations.cumulative()) {
            self.line(family.name, "_bucket", labels, Some(bound), count);
            all = count;
        }
        self.line(family.name, "_sum", labels, None, Seconds(durations.sum_ns()));
        self.line(family.name, "_count", labels, None, all);
    }

    /// Writes a sample. `bound`: that of a bucket; `Some(None)`: infinite.
    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<Option<Seconds>>,
        value: impl Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (label, text) in labels {
            let _ = write!(self.text, "{separator}{label}=\"{}\"", Escaped { text, quotes: true });
            separator = ',';
        }
        match bound {
            Some(Some(bound)) => {
                let _ = write!(self.text, "{separator}le=\"{bound}\"}}");
            }
            Some(None) => {
                let _ = write!(self.text, "{separator}le=\"+Inf\"}}");
            }
            None if separator == ',' => self.text.push('}'),
            None => {}
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// Ends the exposition.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

fn without(name: &'static str, suffix: &str) -> &'static str {
    name.strip_suffix(suffix).unwrap_or(name)
}

/// Nanoseconds, shown as seconds with all digits that count and at least one after the point: `0.00001`, `1.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut fraction, mut digits) = (self.0 % NANOSECONDS, 9);
        while digits > 1 && fraction % 10 == 0 {
            (fraction, digits) = (fraction / 10, digits - 1);
        }
        write!(f, "{}.{fraction:0digits$}", self.0 / NANOSECONDS)
    }
}

/// A text with backslashes, line ends and, with `quotes`, quotation marks escaped.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if self.quotes => f.write_str("\\\""),
            c => f.write_char(c),
        })
    }
}

const NANOSECONDS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: Family = Family { name: "x_lines_total", kind: Kind::Counter, help: "Lines \"a\\b\"." };
    const BYTES: Family = Family { name: "x_bytes_total", kind: Kind::Counter, help: "Bytes." };
    const ABOUT: Family = Family { name: "x_server_info", kind: Kind::Info, help: "About." };
    const TIMES: Family = Family { name: "x_seconds", kind: Kind::Histogram, help: "Times." };

    fn written(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        exposition.family(&LINES);
        exposition.sample(&LINES, &[("verb", "a\"\\\nb"), ("outcome", "x")], 7);
        exposition.family(&BYTES);
        exposition.sample(&BYTES, &[], 0);
        exposition.family(&ABOUT);
        exposition.sample(&ABOUT, &[("name", "Riley")], 1);
        exposition.finish()
    }

    #[test]
    fn prometheus_has_the_suffix_of_a_counter_everywhere() {
        let expected = "\
# HELP x_lines_total Lines \"a\\\\b\".
# TYPE x_lines_total counter
x_lines_total{verb=\"a\\\"\\\\\\nb\",outcome=\"x\"} 7
# HELP x_bytes_total Bytes.
# TYPE x_bytes_total counter
x_bytes_total 0
# HELP x_server_info About.
# TYPE x_server_info gauge
x_server_info{name=\"Riley\"} 1
";
        assert_eq!(written(Format::Prometheus), expected);
    }

    #[test]
    fn open_metrics_has_the_suffix_in_samples_only_and_an_end() {
        let expected = "\
# HELP x_lines Lines \\\"a\\\\b\\\".
# TYPE x_lines counter
x_lines_total{verb=\"a\\\"\\\\\\nb\",outcome=\"x\"} 7
# HELP x_bytes Bytes.
# TYPE x_bytes counter
# UNIT x_bytes bytes
x_bytes_total 0
# HELP x_server About.
# TYPE x_server info
x_server_info{name=\"Riley\"} 1
# EOF
";
        assert_eq!(written(Format::OpenMetrics), expected);
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_all() {
        let mut durations = Durations::new();
        durations.note(15_000, 2);
        durations.note(1_000_000_000, 1);
        let mut exposition = Exposition::new(Format::Prometheus);
        exposition.family(&TIMES);
        exposition.histogram(&TIMES, &[("a", "b")], &durations);
        let text = exposition.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + Durations::BOUNDS_NS.len() + 3);
        assert_eq!(lines[2], "x_seconds_bucket{a=\"b\",le=\"0.00001\"} 0");
        assert_eq!(lines[3], "x_seconds_bucket{a=\"b\",le=\"0.00002\"} 2");
        assert!(lines.contains(&"x_seconds_bucket{a=\"b\",le=\"0.5\"} 2"));
        assert!(lines.contains(&"x_seconds_bucket{a=\"b\",le=\"1.0\"} 3"));
        assert!(lines.contains(&"x_seconds_bucket{a=\"b\",le=\"+Inf\"} 3"));
        assert!(text.ends_with("x_seconds_sum{a=\"b\"} 1.00003\nx_seconds_count{a=\"b\"} 3\n"), "{text}");
    }

    #[test]
    fn seconds_have_every_digit_that_counts() {
        let shown = |ns| Seconds(ns).to_string();
        assert_eq!([shown(0), shown(1), shown(10_000)], ["0.0", "0.000000001", "0.00001"]);
        assert_eq!([shown(50_000_000_000), shown(1_500_000_000)], ["50.0", "1.5"]);
    }
}
