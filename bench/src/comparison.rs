//! Side by side: all contenders in turn, several rounds, so that what the machine does meanwhile hits
//! all of them alike. Ratios are taken within a round, then the median of them.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{Generator, Load, Measured, histogram};
use crate::servers::{Alone, Kind};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Alternating rounds.
    pub rounds: usize,
    /// Of one measurement.
    pub time: Duration,
    /// Before it.
    pub warm_up: Duration,
    /// Whether this is the short form.
    pub quick: bool,
}

impl Effort {
    /// What the goals are judged by.
    pub const FULL: Effort = Effort {
        rounds: 5,
        time: Duration::from_millis(750),
        warm_up: Duration::from_millis(150),
        quick: false,
    };
    /// To see that all works, and about how fast.
    pub const QUICK: Effort = Effort {
        rounds: 2,
        time: Duration::from_millis(200),
        warm_up: Duration::from_millis(50),
        quick: true,
    };
}

/// The median; 0 of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

/// What each contender showed in each round.
pub struct Comparison {
    /// In the order in which they were given.
    pub contenders: Vec<Contender>,
}

/// What one contender showed.
pub struct Contender {
    /// Who.
    pub kind: Kind,
    /// In each round.
    pub rounds: Vec<Measured>,
    /// All rounds together.
    pub latency: Histogram<u64>,
}

impl Contender {
    /// The median over the rounds.
    pub fn median(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }

    /// Replies of all rounds that were not what they should be.
    pub fn wrong(&self) -> u64 {
        self.rounds.iter().map(|round| round.wrong).sum()
    }
}

impl Comparison {
    /// Measures all of `servers` in turn, by `measure`.
    pub fn of(
        servers: &[Alone],
        effort: Effort,
        mut measure: impl FnMut(&Alone) -> io::Result<Measured>,
    ) -> io::Result<Comparison> {
        let mut contenders: Vec<Contender> = servers
            .iter()
            .map(|server| Contender { kind: server.kind, rounds: Vec::new(), latency: histogram() })
            .collect();
        for round in 0..effort.rounds {
            // To and fro: who comes behind whom changes, and so does who profits from a slow drift.
            let mut order: Vec<usize> = (0..servers.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for number in order {
                let server = &servers[number];
                let measured = measure(server).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", server.kind.name()))
                })?;
                server.folder.empty_logs();
                let _ = contenders[number].latency.add(&measured.latency);
                contenders[number].rounds.push(measured);
            }
        }
        Ok(Comparison { contenders })
    }

    /// Measures all of `servers` in turn with this load, which is given each one's address and language.
    pub fn of_load(servers: &[Alone], effort: Effort, load: Load) -> io::Result<Comparison> {
        Comparison::of(servers, effort, |server| {
            let mut generator = Generator::connect(load_for(server, load))?;
            generator.measure(server.process.id(), effort.warm_up, effort.time)
        })
    }

    /// A contender, if it took part.
    pub fn get(&self, kind: Kind) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.kind == kind)
    }

    /// The median over the rounds of the herd's figure divided by another's.
    pub fn herd_to(&self, other: Kind, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
        let (herd, other) = (self.get(Kind::Herd)?, self.get(other)?);
        let ratios = herd.rounds.iter().zip(&other.rounds).map(|(herd, other)| figure(herd) / figure(other));
        Some(median(ratios))
    }
}

/// This load for that server.
pub fn load_for(server: &Alone, load: Load) -> Load {
    Load { address: server.process.address, dialect: server.kind.dialect(), ..load }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }
}
