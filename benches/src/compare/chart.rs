//! The comparison as a picture, for people who only look.
//!
//! A panel for each row, a bar for each system, with its median, its ends and what Flotilla makes of it.
//! The picture brings its own background, for a light and for a dark page, and needs no fonts but
//! those of the system.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::rows::{Comparison, Row, System};
use super::turns::{Reading, ratios};
use crate::machine::{Load, Machine};
use crate::report::Better;
use crate::summary::Summary;

const WIDTH: f64 = 880.0;
const MARGIN: f64 = 32.0;
const GAP: f64 = 40.0;
const PANEL_WIDTH: f64 = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
const HEAD_HEIGHT: f64 = 92.0;
const FOOT_HEIGHT: f64 = 64.0;
/// The title of a panel, and what its numbers are.
const PANEL_HEAD_HEIGHT: f64 = 46.0;
const BAR_STEP: f64 = 42.0;
const BAR_HEIGHT: f64 = 14.0;
const PANEL_GAP: f64 = 22.0;
/// Behind the longest bar, for its value.
const VALUE_WIDTH: f64 = 100.0;

pub(super) struct Chart {
    panels: Vec<Panel>,
    /// Where and how it was measured.
    caption: String,
    was_idle: bool,
}

struct Panel {
    title: &'static str,
    /// What the numbers are, and which are good.
    unit: &'static str,
    row: Row,
    bars: Vec<Bar>,
}

struct Bar {
    system: System,
    summary: Summary,
    /// Of Flotilla's figure to this one.
    ratio: Option<f64>,
}

/// What is needed of the results of an earlier run.
#[derive(Deserialize)]
struct SavedResults {
    machine: Machine,
    reports: Vec<SavedReport>,
}

#[derive(Deserialize)]
struct SavedReport {
    scenario: String,
    load: Load,
    details: Vec<Value>,
}

/// Draws what an earlier run has measured.
pub fn draw(results: &Path, svg: &Path) -> Result<()> {
    let text = fs::read(results).with_context(|| format!("cannot read {}", results.display()))?;
    let saved: SavedResults = serde_json::from_slice(&text)?;
    let mut reports = saved.reports.into_iter();
    let report = reports.find(|report| report.scenario == "compare");
    let report = report.context("these are not the results of a comparison")?;
    let readings = report.details.into_iter().map(serde_json::from_value);
    let readings: Vec<Reading> = readings.collect::<Result<_, _>>()?;
    let chart = Chart::new(&readings, &saved.machine, report.load);
    fs::write(svg, chart.to_svg()).with_context(|| format!("cannot write {}", svg.display()))
}

impl Chart {
    pub(super) fn new(readings: &[Reading], machine: &Machine, load: Load) -> Self {
        let panels = Row::ALL.into_iter().map(|row| Panel::new(row, readings));
        let pair_count = readings.iter().map(|reading| reading.pair + 1).max();
        Self {
            panels: panels.filter(|panel| !panel.bars.is_empty()).collect(),
            caption: format!(
                "3 server processes and the client on {} cores · 3 replicas · files on disk · one log · \
                 medians of {} pairs of runs in turns",
                machine.cores,
                pair_count.unwrap_or(0)
            ),
            was_idle: load.is_idle(),
        }
    }

    pub(super) fn to_svg(&self) -> String {
        let mut drawing = Drawing::default();
        let lines = self.panels.chunks(2);
        let mut top = HEAD_HEIGHT;
        for line in lines {
            for (column, panel) in line.iter().enumerate() {
                panel.draw(
                    &mut drawing,
                    (MARGIN + column as f64 * (PANEL_WIDTH + GAP), top),
                );
            }
            top += line.iter().map(Panel::height).fold(0.0, f64::max) + PANEL_GAP;
        }
        let height = top - PANEL_GAP + FOOT_HEIGHT;
        drawing.text((MARGIN, 42.0), "title", "Flotilla and its peers");
        drawing.text((MARGIN, 66.0), "note", &self.caption);
        if !self.was_idle {
            let warning = "measured on a busy machine";
            drawing.text((WIDTH - MARGIN, 42.0), "warning end", warning);
        }
        draw_legend(&mut drawing, height - 30.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n\
             <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"12\"/>\n{}</svg>\n",
            self.description(),
            WIDTH - 1.0,
            height - 1.0,
            drawing.0
        )
    }

    /// For those who cannot see it.
    fn description(&self) -> String {
        let mut text = String::from("Bar charts.");
        for panel in &self.panels {
            write!(text, " {}:", panel.title).expect("text takes more text");
            for bar in &panel.bars {
                let (label, value) = (bar.system.label(), panel.row.show(bar.summary.median));
                write!(text, " {label} {value};").expect("text takes more text");
            }
        }
        text
    }
}

impl Panel {
    fn new(row: Row, readings: &[Reading]) -> Self {
        let (title, unit) = match row {
            Row::Produce1KiB => ("Produce, 1 KiB", "records per second, more is better"),
            Row::Produce128B => ("Produce, 128 bytes", "records per second, more is better"),
            Row::Replay => (
                "Replay, one consumer, 1 KiB",
                "bytes per second, more is better",
            ),
            Row::OneAtATime => (
                "One record at a time, 1 KiB",
                "median time to acknowledge, less is better",
            ),
            Row::WithoutFsync => (
                "What fsync costs, 1 KiB",
                "records per second, more is better",
            ),
        };
        let of_row = readings.iter().filter(|reading| reading.row == row);
        let systems: BTreeSet<_> = of_row.clone().map(|reading| reading.system).collect();
        let bar = |system| {
            let values = of_row.clone().filter(|reading| reading.system == system);
            let values: Vec<_> = values.map(|reading| reading.value).collect();
            let comparison = Comparison {
                row,
                peer: system,
                must: 1.0,
                aim: 1.0,
            };
            Some(Bar {
                system,
                summary: Summary::of(&values)?,
                ratio: Summary::of(&ratios(readings, &comparison)).map(|ratio| ratio.median),
            })
        };
        Self {
            title,
            unit,
            row,
            bars: systems.into_iter().filter_map(bar).collect(),
        }
    }

    fn height(&self) -> f64 {
        PANEL_HEAD_HEIGHT + self.bars.len() as f64 * BAR_STEP
    }

    fn draw(&self, drawing: &mut Drawing, (left, top): (f64, f64)) {
        drawing.text((left, top + 16.0), "head", self.title);
        drawing.text((left, top + 34.0), "note", self.unit);
        let longest = self.bars.iter().map(|bar| bar.summary.max);
        let longest = longest.fold(f64::MIN_POSITIVE, f64::max);
        let scale = (PANEL_WIDTH - VALUE_WIDTH) / longest;
        for (position, bar) in self.bars.iter().enumerate() {
            let top = top + PANEL_HEAD_HEIGHT + position as f64 * BAR_STEP;
            bar.draw(drawing, (left, top), (self.row, scale));
        }
    }
}

impl Bar {
    fn draw(&self, drawing: &mut Drawing, (left, top): (f64, f64), (row, scale): (Row, f64)) {
        let class = match self.system {
            System::Flotilla => "ours",
            _ => "theirs",
        };
        let Summary {
            median, min, max, ..
        } = self.summary;
        draw_sync_mark(drawing, (left + 5.0, top + 9.0), self.system.syncs());
        let label = (left + 16.0, top + 13.0);
        drawing.text(label, &format!("label {class}-label"), self.system.label());
        if let Some(ratio) = self.ratio {
            drawing.text(
                (left + PANEL_WIDTH, top + 13.0),
                "note end",
                &show_ratio(row, ratio),
            );
        }
        let bar_top = top + 19.0;
        let width = (median * scale).max(2.0);
        drawing.line(format_args!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{bar_top:.1}\" width=\"{width:.1}\" \
             height=\"{BAR_HEIGHT}\" rx=\"3\"/>"
        ));
        let (start, end) = (left + min * scale, left + max * scale);
        let middle = bar_top + BAR_HEIGHT / 2.0;
        let (upper, lower) = (middle - 4.0, middle + 4.0);
        drawing.line(format_args!(
            "<path class=\"ends\" d=\"M{start:.1} {upper:.1}V{lower:.1}M{start:.1} {middle:.1}H{end:.1}\
             M{end:.1} {upper:.1}V{lower:.1}\"/>"
        ));
        let value = (left + width.max(max * scale) + 8.0, bar_top + 11.5);
        drawing.text(value, &format!("value {class}-label"), &row.show(median));
    }
}

impl Row {
    fn show(self, value: f64) -> String {
        match self {
            Self::OneAtATime => format!("{value:.2} ms"),
            Self::Replay if value >= 1_000.0 => format!("{:.2} GB/s", value / 1e3),
            Self::Replay => format!("{value:.0} MB/s"),
            _ if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            _ if value >= 1e4 => format!("{:.0} k/s", value / 1e3),
            _ => format!("{:.1} k/s", value / 1e3),
        }
    }
}

/// Such as "Flotilla 7.9 × as fast".
fn show_ratio(row: Row, ratio: f64) -> String {
    let times = match row.better() {
        Better::Higher => ratio,
        Better::Lower => 1.0 / ratio,
    };
    let digits = if times >= 10.0 { 0 } else { 2 };
    format!("Flotilla × {times:.digits$}")
}

fn draw_sync_mark(drawing: &mut Drawing, (x, y): (f64, f64), syncs: bool) {
    let class = if syncs { "synced" } else { "unsynced" };
    drawing.line(format_args!(
        "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
    ));
}

fn draw_legend(drawing: &mut Drawing, top: f64) {
    let texts = [
        (true, "acknowledged after fsync on a majority", MARGIN),
        (false, "acknowledged before any fsync", MARGIN + 262.0),
    ];
    for (syncs, text, left) in texts {
        draw_sync_mark(drawing, (left + 5.0, top - 4.0), syncs);
        drawing.text((left + 16.0, top), "note", text);
    }
    let ends = MARGIN + 472.0;
    let (upper, middle, lower) = (top - 8.0, top - 4.0, top);
    let end = ends + 20.0;
    drawing.line(format_args!(
        "<path class=\"ends\" d=\"M{ends} {upper}V{lower}M{ends} {middle}H{end}M{end} {upper}V{lower}\"/>"
    ));
    drawing.text((end + 8.0, top), "note", "slowest and fastest run");
}

/// The elements so far.
#[derive(Default)]
struct Drawing(String);

impl Drawing {
    fn line(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{element}").expect("text takes more text");
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        self.line(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }
}

const STYLE: &str = "
text { font-family: system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2933; }
.title { font-size: 22px; font-weight: 650; }
.head { font-size: 15px; font-weight: 650; }
.label { font-size: 13px; }
.value { font-size: 13px; font-weight: 600; }
.ours-label { font-weight: 650; }
.note { font-size: 12px; fill: #62707f; }
.warning { font-size: 13px; font-weight: 650; fill: #b45309; }
.end { text-anchor: end; }
.card { fill: #ffffff; stroke: #d9dfe5; }
.ours { fill: #0e8a7d; }
.theirs { fill: #a9b6c3; }
.ends { fill: none; stroke: #1f2933; stroke-opacity: 0.55; stroke-width: 1.2; }
.synced { fill: #0e8a7d; stroke: #0e8a7d; stroke-width: 1.5; }
.unsynced { fill: none; stroke: #62707f; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
text { fill: #e6ebf0; }
.note { fill: #9aa7b4; }
.warning { fill: #f5a623; }
.card { fill: #151b22; stroke: #2c3640; }
.ours { fill: #2cc4b2; }
.theirs { fill: #56646f; }
.ends { stroke: #e6ebf0; }
.synced { fill: #2cc4b2; stroke: #2cc4b2; }
.unsynced { stroke: #9aa7b4; }
}
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::turns::Cores;

    fn reading(system: System, beside: System, value: f64) -> Reading {
        Reading {
            row: Row::OneAtATime,
            system,
            beside,
            pair: 0,
            value,
            seconds: 1.0,
            records: 1,
            latency_p50_ms: None,
            latency_p99_ms: None,
            cores: Cores {
                system: 1.0,
                other: 0.0,
                generator: 0.5,
                elsewhere: 0.0,
            },
            was_at_rest: true,
        }
    }

    fn chart(busy_cores: f64) -> Chart {
        let (us, them) = (System::Flotilla, System::JetStream);
        let readings = [reading(us, them, 0.25), reading(them, us, 0.5)];
        let load = Load {
            average: 0.0,
            busy_cores,
            cores: 2,
        };
        Chart::new(&readings, &Machine::this(), load)
    }

    #[test]
    fn a_chart_shows_every_system_and_how_much_faster_we_are() {
        let svg = chart(0.0).to_svg();
        for part in [
            "NATS JetStream",
            "0.50 ms",
            "Flotilla × 2.00",
            "less is better",
        ] {
            assert!(svg.contains(part), "{part} is missing: {svg}");
        }
        assert!(!svg.contains("busy machine") && !svg.contains("Replay"));
    }

    #[test]
    fn a_busy_machine_is_told_of() {
        assert!(chart(1.0).to_svg().contains("busy machine"));
    }

    #[test]
    fn values_are_rounded_to_what_can_be_read() {
        assert_eq!(Row::Produce1KiB.show(234_567.0), "235 k/s");
        assert_eq!(Row::Produce128B.show(1_234_567.0), "1.23 M/s");
        assert_eq!(Row::Replay.show(978.4), "978 MB/s");
        assert_eq!(Row::Replay.show(3_400.0), "3.40 GB/s");
    }
}
