//! Plots as SVG: bars for rates, lines for distributions and costs. The lines are labelled directly, without
//! a legend.

use std::io;
use std::path::Path;

use hdrhistogram::Histogram;
use plotters::backend::SVGBackend;
use plotters::element::{Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{short, thousands};
use crate::comparison::Comparison;
use crate::servers::Kind;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// A line of a plot.
pub struct Line {
    /// The label at its end.
    pub name: String,
    /// The kind of server that determines the colour.
    pub kind: Kind,
    /// The points, from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Line {
    /// The quantiles of a latency, in microseconds. The axis is logarithmic: 90 %, 99 %, 99.9 % at equal
    /// distances.
    pub fn of_latency(kind: Kind, latency: &Histogram<u64>) -> Line {
        // Quantiles of less than five replies are left out.
        let nines = (latency.len() as f64 / 5.0).max(10.0).log10().min(NINES_MAX);
        let steps = 120;
        let points = (0..=steps).map(|step| {
            let x = nines * f64::from(step) / f64::from(steps);
            (x, latency.value_at_quantile(1.0 - 10f64.powf(-x)) as f64 / 1000.0)
        });
        Line { name: kind.name().to_owned(), kind, points: points.collect() }
    }
}

/// A horizontal axis.
pub struct Axis {
    /// The title.
    pub title: String,
    /// The marked values and their labels.
    pub marks: Vec<(f64, String)>,
}

/// Latency distributions of all contenders.
pub fn latencies(file: &Path, title: &str, comparison: &Comparison) -> io::Result<()> {
    let lines: Vec<_> = comparison
        .contenders
        .iter()
        .map(|contender| Line::of_latency(contender.kind, &contender.latency))
        .collect();
    quantiles(file, title, &lines)
}

/// Latency distributions.
pub fn quantiles(file: &Path, title: &str, lines: &[Line]) -> io::Result<()> {
    let marks =
        [(0.0, "all"), (0.301, "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %")];
    let axis = Axis {
        title: "share of faster replies".into(),
        marks: marks.map(|(at, text)| (at, text.to_owned())).into(),
    };
    plot_lines(file, title, "microseconds, logarithmic", &axis, lines, short)
}

/// Lines with a logarithmic vertical axis.
pub fn plot_lines(
    file: &Path,
    title: &str,
    subtitle: &str,
    axis: &Axis,
    lines: &[Line],
    text: impl Fn(f64) -> String,
) -> io::Result<()> {
    let (width, height) = (860, 470);
    let root = SVGBackend::new(file, (width, height)).into_drawing_area();
    heading(&root, title, subtitle)?;
    let (left, right, top, bottom) = (78, 690, 84, 408);
    let all = || lines.iter().flat_map(|line| &line.points);
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (x_low, x_high) = bounds(&mut all().map(|point| point.0));
    let (y_low, y_high) = bounds(&mut all().map(|point| point.1.max(1e-3)));
    let (y_low, y_high) = (y_low.log10() - 0.06, y_high.log10() + 0.06);
    let x =
        |value: f64| left + ((value - x_low) / (x_high - x_low).max(1e-9) * f64::from(right - left)) as i32;
    let y = |value: f64| {
        let share = (value.max(1e-3).log10() - y_low) / (y_high - y_low).max(1e-9);
        bottom - (share * f64::from(bottom - top)) as i32
    };
    for (value, main) in round_values(y_low, y_high) {
        let at = y(value);
        draw(&root, PathElement::new(vec![(left, at), (right, at)], if main { GRID_MAIN } else { GRID }))?;
        label(&root, &text(value), (left - 10, at), 13, INK_LIGHT, HPos::Right)?;
    }
    for (value, text) in axis.marks.iter().filter(|(value, _)| (x_low..=x_high).contains(value)) {
        let at = x(*value);
        draw(&root, PathElement::new(vec![(at, top), (at, bottom)], GRID))?;
        label(&root, text, (at, bottom + 18), 13, INK_LIGHT, HPos::Center)?;
    }
    label(&root, &axis.title, ((left + right) / 2, bottom + 42), 13, INK_LIGHT, HPos::Center)?;
    let mut names = Vec::new();
    // The herd is drawn last, on top of the others.
    let mut order: Vec<&Line> = lines.iter().collect();
    order.sort_by_key(|line| line.kind == Kind::Herd);
    for line in order {
        let points: Vec<_> = line.points.iter().map(|&(at, value)| (x(at), y(value))).collect();
        let thick = if line.kind == Kind::Herd { 4 } else { 2 };
        if let Some(&(at, last)) = points.last() {
            draw(&root, Circle::new((at, last), thick, colour(line.kind).filled()))?;
            names.push((last, at, line));
        }
        draw(&root, PathElement::new(points, colour(line.kind).stroke_width(thick as u32)))?;
    }
    // Moves labels apart that would overlap.
    names.sort_by_key(|&(at, ..)| at);
    let mut free = top;
    for (at, end, line) in names {
        let label_at = at.max(free);
        free = label_at + 17;
        let from = (end + 6, at);
        if (label_at - at).abs() > 3 || end < right - 4 {
            draw(&root, PathElement::new(vec![from, (right + 14, label_at)], colour(line.kind).mix(0.35)))?;
        }
        name_of(&root, &line.name, line.kind, (right + 18, label_at), HPos::Left)?;
    }
    root.present().map_err(io::Error::other)
}

/// Bars of the messages per second of all contenders, the fastest first.
pub fn rates(file: &Path, title: &str, comparison: &Comparison) -> io::Result<()> {
    let mut bars: Vec<_> = comparison
        .contenders
        .iter()
        .map(|contender| (contender.kind, contender.median(|round| round.rate())))
        .collect();
    bars.sort_by(|one, other| other.1.total_cmp(&one.1));
    let step = 38;
    let (width, height) = (860, 100 + step * bars.len() as i32);
    let root = SVGBackend::new(file, (width, height as u32)).into_drawing_area();
    heading(&root, title, "messages per second; in brackets, the herd's rate divided by this one")?;
    let (left, right) = (160, 640);
    let highest = bars.first().map_or(1.0, |bar| bar.1);
    for (number, (kind, rate)) in bars.into_iter().enumerate() {
        let top = 84 + step * number as i32;
        let end = left + (rate / highest * f64::from(right - left)) as i32;
        let fill = if kind == Kind::Herd { colour(kind).filled() } else { colour(kind).mix(0.72).filled() };
        draw(&root, Rectangle::new([(left, top), (end.max(left + 2), top + 25)], fill))?;
        name_of(&root, kind.name(), kind, (left - 12, top + 13), HPos::Right)?;
        let mut text = thousands(rate);
        if let Some(ratio) = comparison.herd_to(kind, |round| round.rate()).filter(|_| kind != Kind::Herd) {
            text = format!("{text}   ({ratio:.2} ×)");
        }
        label(&root, &text, (end + 10, top + 13), 15, INK, HPos::Left)?;
    }
    root.present().map_err(io::Error::other)
}

fn heading(root: &Area<'_>, title: &str, subtitle: &str) -> io::Result<()> {
    root.fill(&WHITE).map_err(io::Error::other)?;
    let bold = (FONT, 21, FontStyle::Bold).into_font().color(&INK);
    draw(root, Text::new(title.to_owned(), (24, 18), bold))?;
    label(root, subtitle, (24, 56), 14, INK_LIGHT, HPos::Left)
}

fn name_of(root: &Area<'_>, name: &str, kind: Kind, at: (i32, i32), side: HPos) -> io::Result<()> {
    let style = if kind == Kind::Herd { FontStyle::Bold } else { FontStyle::Normal };
    let style = (FONT, 15, style).into_font().color(&colour(kind)).pos(Pos::new(side, VPos::Center));
    draw(root, Text::new(name.to_owned(), at, style))
}

fn label(
    root: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    ink: RGBColor,
    side: HPos,
) -> io::Result<()> {
    let style = (FONT, size).into_font().color(&ink).pos(Pos::new(side, VPos::Center));
    draw(root, Text::new(text.to_owned(), at, style))
}

fn draw<'a, E>(root: &Area<'a>, element: E) -> io::Result<()>
where
    for<'b> &'b E: PointCollection<'b, (i32, i32)>,
    E: Drawable<SVGBackend<'a>>,
{
    root.draw(&element).map_err(|error| io::Error::other(error.to_string()))
}

/// The values 1, 2 and 5 times a power of ten between two logarithms, and whether the factor is 1.
fn round_values(low: f64, high: f64) -> Vec<(f64, bool)> {
    let wide = high - low > 3.0;
    let mut values = Vec::new();
    for power in low.floor() as i32..=high.ceil() as i32 {
        for factor in [1.0, 2.0, 5.0] {
            let value = factor * 10f64.powi(power);
            let main = factor == 1.0;
            if (low..=high).contains(&value.log10()) && (main || !wide) {
                values.push((value, main));
            }
        }
    }
    values
}

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Herd | Kind::Base => RGBColor(200, 63, 22),
        Kind::Echo | Kind::Relay => RGBColor(120, 124, 130),
        Kind::Asyncio => RGBColor(48, 105, 152),
        Kind::AsyncioProtocol => RGBColor(92, 154, 205),
        Kind::Node => RGBColor(62, 134, 61),
        Kind::Java => RGBColor(140, 92, 40),
        Kind::RedisSet => RGBColor(150, 40, 90),
        Kind::RedisGeoadd => RGBColor(190, 90, 140),
        Kind::Nats => RGBColor(94, 80, 170),
        Kind::Memcached => RGBColor(20, 130, 125),
        Kind::Nginx => RGBColor(0, 150, 60),
        Kind::NodeHttp => RGBColor(110, 160, 60),
    }
}

const FONT: &str = "Helvetica, Arial, DejaVu Sans, sans-serif";
const INK: RGBColor = RGBColor(34, 36, 40);
const INK_LIGHT: RGBColor = RGBColor(105, 110, 118);
const GRID: RGBColor = RGBColor(236, 238, 241);
const GRID_MAIN: RGBColor = RGBColor(214, 218, 224);
/// 99.99 %.
const NINES_MAX: f64 = 4.0;
