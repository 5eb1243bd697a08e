//! Workload (x): the memory of a server without HTTP, beside an earlier version.

use std::io;

use super::idle::{allow_descriptors, bytes_per_connection};
use super::million::weigh;
use super::{Bench, steady};
use crate::comparison::{load_for, median};
use crate::load::Load;
use crate::report::{Bound, Section, short};
use crate::servers::{Kind, SingleServer};

/// Runs workload (x).
pub fn base(bench: &mut Bench) -> io::Result<()> {
    if !Kind::Base.is_present() {
        eprintln!("  (x) is left out: HERD_BASE: expected the path of an earlier herd");
        return Ok(());
    }
    allow_descriptors()?;
    let (connections, records) =
        if bench.effort.quick { (CONNECTIONS_QUICK, RECORDS_QUICK) } else { (CONNECTIONS, RECORDS) };
    let mut section = Section::new("(x) Memory without HTTP, beside an earlier version");
    section.paragraph(
        "As in (g) and (h): the growth of memory (RSS) for each idle connection and for each record, of this herd and of an \
         earlier one in turn.",
    );
    let mut rows = Vec::new();
    for (what, count) in [("idle connection", connections), ("record", records)] {
        let mut rounds: [Vec<f64>; 2] = Default::default();
        for round in 0..bench.effort.rounds.min(ROUNDS_MAX) {
            for number in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let kind = [Kind::Herd, Kind::Base][number];
                let bytes = match what {
                    "record" => bytes_per_record(kind, count as u32)?,
                    _ => bytes_per_connection(kind, count)?.0,
                };
                rounds[number].push(bytes);
            }
        }
        let ratio = median(rounds[0].iter().zip(&rounds[1]).map(|(own, base)| own / base));
        let [own, base] = rounds.map(|bytes| median(bytes));
        rows.push(vec![format!("bytes per {what}"), short(own), short(base), format!("{ratio:.3} ×")]);
        let name = format!("(x) bytes per {what} ÷ the earlier version's");
        bench.report.goal(&name, Bound::AtMost, RATIO_MAX, "×", Some(ratio));
    }
    section.table(&["", "herd", "the earlier one", "herd ÷ it"], &rows);
    bench.report.add(section);
    Ok(())
}

fn bytes_per_record(kind: Kind, records: u32) -> io::Result<f64> {
    let server = SingleServer::start(kind, |_| {})?;
    let load = Load { clients: records, ..load_for(&server, steady::load(50, 128)) };
    Ok(weigh(&server.process, load)?.0)
}

const CONNECTIONS: usize = 10_000;
const RECORDS: usize = 1_000_000;
/// In a quick run.
const CONNECTIONS_QUICK: usize = 3_000;
const RECORDS_QUICK: usize = 200_000;
/// Memory differs little between rounds.
const ROUNDS_MAX: usize = 3;
/// Unchanged: at most a hundredth more.
const RATIO_MAX: f64 = 1.01;
