//! The plot of the samples, as SVG.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::samples::{AGREEMENT_MAX, GROWTH_MIB, GROWTH_PART, Samples, ServerSamples};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Failure = Box<dyn std::error::Error>;

pub fn draw(file: &Path, samples: &Samples, verdict: &str) -> Result<(), Failure> {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_by_breakpoints([0i32; 0], PANELS);
    headline(&areas[0], samples, verdict)?;
    memory(&areas[1], samples)?;
    events(&areas[2], samples)?;
    descriptors(&areas[3], samples)?;
    agreement(&areas[4], samples)?;
    root.present()?;
    Ok(())
}

fn headline(area: &Area<'_>, samples: &Samples, verdict: &str) -> Result<(), Failure> {
    let minutes = samples.length / 60.0;
    let title = format!("A herd of {} under load for {minutes:.0} minutes: {verdict}", samples.servers.len());
    area.draw_text(&title, &text(25, INK), (MARGIN, 24))?;
    let mut x = MARGIN;
    for (server, color) in samples.servers.iter().zip(COLORS) {
        area.draw(&Rectangle::new([(x, 72), (x + 22, 77)], color.filled()))?;
        let grown = server.growth(samples.length).0;
        area.draw_text(&format!("{} {grown:+.2} MiB", server.name), &text(15, INK), (x + 30, 67))?;
        x += LEGEND;
    }
    Ok(())
}

fn memory(area: &Area<'_>, samples: &Samples) -> Result<(), Failure> {
    let lines: Vec<&[(f64, f64)]> = samples.servers.iter().map(|server| &server.memory[..]).collect();
    let most = lines.iter().copied().flatten().fold(1.0, |most: f64, (_, y)| most.max(*y));
    let caption = format!(
        "Resident memory, MiB. Above: growth in the second half; more than {GROWTH_MIB} MiB and {:.0} % fails",
        GROWTH_PART * 100.0
    );
    let mut chart = panel(area, samples, &caption, most)?;
    for (points, color) in lines.iter().zip(COLORS) {
        for line in unbroken(points) {
            chart.draw_series(LineSeries::new(line, color.stroke_width(2)))?;
        }
    }
    Ok(())
}

/// One band for all servers: five lines would hide each other.
fn descriptors(area: &Area<'_>, samples: &Samples) -> Result<(), Failure> {
    let mut at_once: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (at, count) in samples.servers.iter().flat_map(|server| &server.descriptors) {
        at_once.entry(at.to_bits()).or_default().push(*count);
    }
    // The bits of positive numbers have the order of the numbers.
    let spread: Vec<[f64; 4]> = at_once
        .into_iter()
        .map(|(at, mut counts)| {
            counts.sort_unstable_by(f64::total_cmp);
            let (least, most) = (counts[0], counts[counts.len() - 1]);
            [f64::from_bits(at) / 60.0, least, counts[counts.len() / 2], most]
        })
        .collect();
    let most = spread.iter().fold(1.0, |most: f64, point| most.max(point[3]));
    let numbers = |of: fn(&ServerSamples) -> usize| {
        samples.servers.iter().map(|server| of(server).to_string()).collect::<Vec<_>>().join(", ")
    };
    let caption = format!(
        "Open descriptors: minimum, median and maximum of the {}. Before the load {}; after it {}",
        samples.servers.len(),
        numbers(|server| server.baseline),
        numbers(|server| server.left)
    );
    let mut chart = panel(area, samples, &caption, most)?;
    let upper = spread.iter().map(|&[at, _, _, most]| (at, most));
    let lower = spread.iter().rev().map(|&[at, least, ..]| (at, least));
    let band: Vec<(f64, f64)> = upper.chain(lower).collect();
    chart.draw_series([Polygon::new(band, COLORS[0].mix(0.18).filled())])?;
    let middle = spread.iter().map(|&[at, _, middle, _]| (at, middle));
    chart.draw_series(LineSeries::new(middle, COLORS[0].stroke_width(2)))?;
    Ok(())
}

/// A panel with a scale from zero to `most`.
fn panel<'a, 'b>(
    area: &'a Area<'b>,
    samples: &Samples,
    caption: &str,
    most: f64,
) -> Result<Panel<'a, 'b>, Failure> {
    let minutes = samples.length / 60.0;
    area.draw_text(caption, &text(16, INK), (MARGIN, 6))?;
    let mut chart = chart(area).build_cartesian_2d(0.0..minutes, 0.0..most * 1.15)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text(13, FAINT))
        .y_labels(6)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .x_label_formatter(&|minute| minute_text(*minute, minutes))
        .draw()?;
    Ok(chart)
}

/// The times at which servers were killed and stopped, one lane for each.
fn events(area: &Area<'_>, samples: &Samples) -> Result<(), Failure> {
    area.draw_text("Ticks: killed. Bars: stopped for 4 s", &text(16, INK), (MARGIN, 6))?;
    let minutes = samples.length / 60.0;
    let lanes = samples.servers.len() as f64;
    let mut chart = chart(area).x_label_area_size(0).build_cartesian_2d(0.0..minutes, 0.0..lanes)?;
    for (lane, (server, color)) in samples.servers.iter().zip(COLORS).enumerate() {
        let y = lanes - 0.5 - lane as f64;
        chart.draw_series(LineSeries::new([(0.0, y), (minutes, y)], GRID))?;
        let mark = |from: f64, seconds: f64| {
            let (from, to) = (from / 60.0, ((from + seconds) / 60.0).min(minutes));
            Rectangle::new([(from, y - 0.3), (to, y + 0.3)], color.filled())
        };
        chart.draw_series(server.kills.iter().map(|&at| mark(at, samples.length / TICKS)))?;
        chart.draw_series(server.stops.iter().map(|&at| mark(at, STOPPED_S)))?;
    }
    Ok(())
}

fn agreement(area: &Area<'_>, samples: &Samples) -> Result<(), Failure> {
    let bound = AGREEMENT_MAX.as_secs_f64() * 1000.0;
    let minutes = samples.length / 60.0;
    let caption = "Time until a statement has reached all servers (dots, under load), and all agree (rings, load paused)";
    area.draw_text(caption, &text(16, INK), (MARGIN, 6))?;
    let mut chart = chart(area).build_cartesian_2d(0.0..minutes, (0.5..bound * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text(13, FAINT))
        .x_desc("minutes")
        .y_label_formatter(&|y| {
            if *y < 1000.0 { format!("{y:.0} ms") } else { format!("{:.0} s", y / 1000.0) }
        })
        .x_label_formatter(&|minute| minute_text(*minute, minutes))
        .draw()?;
    let dots = |times: &[(f64, f64)], size: i32, style: ShapeStyle| {
        let dots = times.iter().map(move |&(at, y)| Circle::new((at / 60.0, y.max(0.5)), size, style));
        dots.collect::<Vec<_>>()
    };
    chart.draw_series(LineSeries::new([(0.0, bound), (minutes, bound)], LIMIT.stroke_width(2)))?;
    let note = format!("bound: {:.0} s", bound / 1000.0);
    chart.draw_series([Text::new(note, (minutes * 0.005, bound * 0.88), text(13, LIMIT))])?;
    chart.draw_series(dots(&samples.probes, 2, INK.mix(0.45).filled()))?;
    chart.draw_series(dots(&samples.agreements, 5, LIMIT.stroke_width(2)))?;
    Ok(())
}

fn chart<'a, 'b>(area: &'a Area<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(area);
    chart.margin_top(34).margin_right(MARGIN).margin_left(MARGIN - LABELS / 2);
    chart.x_label_area_size(LABELS).y_label_area_size(LABELS);
    chart
}

fn minute_text(minute: f64, of: f64) -> String {
    if of < 10.0 { format!("{minute:.1}") } else { format!("{minute:.0}") }
}

/// The parts of a line without gaps, in minutes.
fn unbroken(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let mut lines: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut last = f64::NEG_INFINITY;
    for &(at, y) in points {
        if at - last > GAP_S {
            lines.push(Vec::new());
        }
        last = at;
        if let Some(line) = lines.last_mut() {
            line.push((at / 60.0, y));
        }
    }
    lines
}

fn text(size: i32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

const SIZE: (u32, u32) = (1200, 1050);
/// The vertical ends of the headline and of each panel but the last.
const PANELS: [i32; 4] = [100, 370, 495, 760];
const MARGIN: i32 = 48;
const LABELS: i32 = 42;
/// The distance between two names in the legend.
const LEGEND: i32 = 200;
/// The shortest gap, in seconds: longer than the sampling interval, shorter than a restart.
const GAP_S: f64 = 1.9;
const STOPPED_S: f64 = 4.0;
/// The number of ticks that fit side by side.
const TICKS: f64 = 400.0;
const INK: RGBColor = RGBColor(35, 40, 48);
const FAINT: RGBColor = RGBColor(110, 118, 129);
const GRID: RGBColor = RGBColor(226, 230, 235);
const LIMIT: RGBColor = RGBColor(200, 60, 50);
/// The palette of Okabe and Ito, which is distinguishable with red-green colour blindness.
const COLORS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];
