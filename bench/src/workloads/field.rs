//! Servers side by side of which several may be of one kind, each with a title.

use crate::comparison::{Comparison, Contender};
use crate::load::Measured;
use crate::report::{Section, short, thousands};
use crate::servers::SingleServer;

/// Running servers and their titles. Those that are not installed are absent.
#[derive(Default)]
pub struct Field {
    titles: Vec<&'static str>,
    /// The servers, in the order in which they were added.
    pub servers: Vec<SingleServer>,
}

impl Field {
    /// Adds a server.
    pub fn add(&mut self, title: &'static str, server: SingleServer) {
        self.titles.push(title);
        self.servers.push(server);
    }

    /// The median ratio of the figures of two servers; `None`: one of them is absent, or no round counts.
    pub fn ratio(
        &self,
        comparison: &Comparison,
        title: &str,
        other: &str,
        figure: impl Fn(&Measured) -> f64,
    ) -> Option<f64> {
        self.get(comparison, title)?.to(self.get(comparison, other)?, figure)
    }

    /// Adds the figures of all servers. The column `ratio` has the ratios of their rates to that of the server
    /// `beside`.
    pub fn table(&self, section: &mut Section, comparison: &Comparison, beside: &str, ratio: &str) {
        let beside = self.get(comparison, beside);
        let row = |(title, contender): (&&str, &Contender)| {
            let mut title = (*title).to_owned();
            for (count, what) in
                [(contender.wrong(), "wrong replies"), (contender.log_lost(), "log lines lost")]
            {
                if count > 0 {
                    title = format!("{title} (**{count} {what}**)");
                }
            }
            let ratio = beside.and_then(|beside| contender.to(beside, Measured::rate));
            let microseconds =
                |quantile: f64| short(contender.latency.value_at_quantile(quantile) as f64 / 1000.0);
            vec![
                title,
                thousands(contender.median(Measured::rate)),
                ratio.map_or("·".into(), |ratio| format!("{ratio:.2} ×")),
                short(contender.median(|round| round.microseconds(0.5))),
                microseconds(0.99),
                microseconds(0.999),
                microseconds(1.0),
                short(contender.median(Measured::server_cpu_each)),
                short(contender.median(Measured::own_cpu_each)),
            ]
        };
        let rows: Vec<_> = self.titles.iter().zip(&comparison.contenders).map(row).collect();
        let columns = [
            "server",
            "messages/s",
            ratio,
            "p50 µs",
            "p99",
            "p99.9",
            "max",
            "its CPU µs each",
            "load generator",
        ];
        section.table(&columns, &rows);
    }

    fn get<'a>(&self, comparison: &'a Comparison, title: &str) -> Option<&'a Contender> {
        comparison.contenders.get(self.titles.iter().position(|one| *one == title)?)
    }
}
