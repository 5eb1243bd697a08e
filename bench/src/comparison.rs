//! Comparison of servers: several rounds, in each of which every server is measured, so that other load on
//! the machine affects all of them alike. Ratios are computed within a round; the result is their median.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{Generator, Load, Measured, histogram};
use crate::servers::{Kind, SingleServer};

/// The length of a run.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The number of rounds.
    pub rounds: usize,
    /// The duration of one measurement.
    pub time: Duration,
    /// The duration of the warm-up before it.
    pub warm_up: Duration,
    /// Whether this is a quick run.
    pub quick: bool,
}

impl Effort {
    /// A full run, for the goals.
    pub const FULL: Effort = Effort {
        rounds: 5,
        time: Duration::from_millis(750),
        warm_up: Duration::from_millis(150),
        quick: false,
    };
    /// A quick run, for approximate figures.
    pub const QUICK: Effort = Effort {
        rounds: 2,
        time: Duration::from_millis(200),
        warm_up: Duration::from_millis(50),
        quick: true,
    };
}

/// The median; 0 without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

/// The results of a comparison.
pub struct Comparison {
    /// The contenders, in the order of the servers.
    pub contenders: Vec<Contender>,
}

/// The results of one server.
pub struct Contender {
    /// The kind of the server.
    pub kind: Kind,
    /// The results of each round.
    pub rounds: Vec<Measured>,
    /// The latencies of all rounds.
    pub latency: Histogram<u64>,
}

impl Contender {
    /// The median of a figure over the rounds.
    pub fn median(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }

    /// The median over the rounds of the ratio of its figure to another contender's; `None`: its log has lost
    /// lines in each round. A round in which lines were lost does not count, because losing them is less work.
    pub fn to(&self, other: &Contender, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
        let counted = self.rounds.iter().zip(&other.rounds).filter(|(own, _)| own.log_lost() == 0);
        let ratios: Vec<f64> = counted.map(|(own, other)| figure(own) / figure(other)).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// The number of lines that its log has lost in all rounds.
    pub fn log_lost(&self) -> u64 {
        self.rounds.iter().map(Measured::log_lost).sum()
    }

    /// The number of wrong replies in all rounds.
    pub fn wrong(&self) -> u64 {
        self.rounds.iter().map(|round| round.wrong).sum()
    }
}

impl Comparison {
    /// Measures all `servers` in each round.
    pub fn of(
        servers: &[SingleServer],
        effort: Effort,
        mut measure: impl FnMut(&SingleServer) -> io::Result<Measured>,
    ) -> io::Result<Comparison> {
        let mut contenders: Vec<Contender> = servers
            .iter()
            .map(|server| Contender { kind: server.kind, rounds: Vec::new(), latency: histogram() })
            .collect();
        for round in 0..effort.rounds {
            // Every other round is reversed, so that the order and a slow drift favour no server.
            let mut order: Vec<usize> = (0..servers.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for number in order {
                let server = &servers[number];
                let measured = measure(server).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", server.kind.name()))
                })?;
                server.empty_log()?;
                let _ = contenders[number].latency.add(&measured.latency);
                contenders[number].rounds.push(measured);
            }
        }
        Ok(Comparison { contenders })
    }

    /// Measures all `servers` with this load, sent to each server's address in its dialect.
    pub fn of_load(servers: &[SingleServer], effort: Effort, load: Load) -> io::Result<Comparison> {
        Comparison::of(servers, effort, |server| {
            let mut generator = Generator::connect(load_for(server, load))?;
            let mut measured = generator.measure(server.process.id(), effort.warm_up, effort.time)?;
            // A WHATSAT has more lines in the log than its own and its reply.
            if load.whatsat_every == 0 {
                measured.log = server.log_lines(generator.sent())?;
            }
            Ok(measured)
        })
    }

    /// A contender, if it was measured.
    pub fn get(&self, kind: Kind) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.kind == kind)
    }

    /// The median over the rounds of the ratio of the herd's figure to another server's.
    pub fn herd_to(&self, other: Kind, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
        self.get(Kind::Herd)?.to(self.get(other)?, figure)
    }
}

/// The load with the address and dialect of a server.
pub fn load_for(server: &SingleServer, load: Load) -> Load {
    Load { address: server.process.address, dialect: server.kind.dialect(), ..load }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic_log::LogLines;

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }

    /// A contender with one round for each pair of replies in a second and lost lines of the log.
    fn contender(rounds: &[(u64, u64)]) -> Contender {
        let round = |&(replies, lost): &(u64, u64)| {
            let mut log = LogLines::default();
            log.lost = lost;
            Measured {
                latency: histogram(),
                replies,
                wrong: 0,
                elapsed: Duration::from_secs(1),
                server_cpu: Duration::ZERO,
                own_cpu: Duration::ZERO,
                log: Some(log),
            }
        };
        Contender { kind: Kind::Herd, rounds: rounds.iter().map(round).collect(), latency: histogram() }
    }

    #[test]
    fn a_round_with_lost_log_lines_does_not_count() {
        let other = contender(&[(10, 0), (10, 0), (10, 0)]);
        let own = contender(&[(20, 0), (90, 1), (40, 0)]);
        assert_eq!(own.to(&other, Measured::rate), Some(3.0));
        assert_eq!(contender(&[(90, 1)]).to(&other, Measured::rate), None);
    }
}
