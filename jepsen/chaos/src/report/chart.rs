//! Charts as inline SVG: lines over time, with a band for each fault behind them.

use std::fmt::Write as _;

use super::escape;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 26.0;
const TOP: f64 = 12.0;

/// One line: its name, its class in the style sheet, and a value for each second or none.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'a str,
    pub(super) values: Vec<Option<f64>>,
}

/// A time in which something was wrong, in seconds.
pub(super) struct Band {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) what: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// Powers of ten, from 1 on.
    Logarithmic,
}

pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) unit: &'a str,
    pub(super) scale: Scale,
    pub(super) lines: Vec<Line<'a>>,
    pub(super) bands: &'a [Band],
}

impl Chart<'_> {
    pub(super) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.title)
        );
        // Writing to a text cannot fail, here and below.
        for band in self.bands {
            let (start, end) = (self.x(band.start), self.x(band.end));
            let (width, height) = ((end - start).max(1.0), HEIGHT - BOTTOM - TOP);
            let what = escape(&band.what);
            let _ = writeln!(
                svg,
                "<rect class=\"band\" x=\"{start:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{height}\"><title>{what}</title></rect>"
            );
        }
        self.draw_axes(&mut svg);
        for line in &self.lines {
            self.draw_line(line, &mut svg);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_axes(&self, svg: &mut String) {
        for tick in self.ticks() {
            let y = self.y(tick);
            let (text_x, text_y, right) = (LEFT - 8.0, y + 4.0, WIDTH - 8.0);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{text_x}\" y=\"{text_y:.1}\" text-anchor=\"end\">{}</text>",
                shown(tick)
            );
        }
        let seconds = self.seconds();
        let step = (seconds / 8.0).ceil().max(1.0);
        let mut at = 0.0;
        while at <= seconds {
            let (x, y) = (self.x(at), HEIGHT - 8.0);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{at} s</text>"
            );
            at += step;
        }
    }

    fn draw_line(&self, line: &Line<'_>, svg: &mut String) {
        let mut path = String::new();
        let mut is_open = false;
        for (second, value) in line.values.iter().enumerate() {
            let Some(value) = value else {
                is_open = false;
                continue;
            };
            let command = if is_open { 'L' } else { 'M' };
            let (x, y) = (self.x(second as f64 + 0.5), self.y(*value));
            let _ = write!(path, "{command}{x:.1} {y:.1} ");
            if !is_open {
                // A point that stands alone shall be seen as well.
                let _ = write!(path, "h0.1 ");
            }
            is_open = true;
        }
        let (class, name) = (line.class, escape(line.name));
        let unit = escape(self.unit);
        let _ = writeln!(
            svg,
            "<path class=\"{class}\" d=\"{path}\"><title>{name}, {unit}</title></path>"
        );
    }

    fn seconds(&self) -> f64 {
        let counts = self.lines.iter().map(|line| line.values.len());
        counts.max().unwrap_or(0).max(1) as f64
    }

    fn top(&self) -> f64 {
        let values = self
            .lines
            .iter()
            .flat_map(|line| line.values.iter().flatten());
        let greatest = values.fold(1.0_f64, |greatest, value| greatest.max(*value));
        match self.scale {
            Scale::Logarithmic => 10_f64.powf(greatest.log10().ceil().max(1.0)),
            Scale::Linear => {
                let magnitude = 10_f64.powf(greatest.log10().floor());
                (greatest / magnitude).ceil() * magnitude
            }
        }
    }

    fn ticks(&self) -> Vec<f64> {
        let top = self.top();
        match self.scale {
            Scale::Linear => (0..=4).map(|part| top * f64::from(part) / 4.0).collect(),
            Scale::Logarithmic => {
                let powers = top.log10().round() as i32;
                (0..=powers).map(|power| 10_f64.powi(power)).collect()
            }
        }
    }

    fn x(&self, second: f64) -> f64 {
        LEFT + (WIDTH - 8.0 - LEFT) * (second / self.seconds()).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => value / self.top(),
            Scale::Logarithmic => value.max(1.0).log10() / self.top().log10(),
        };
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share.clamp(0.0, 1.0)
    }
}

fn shown(value: f64) -> String {
    if value >= 1_000.0 {
        format!("{}k", value / 1_000.0)
    } else {
        format!("{value}")
    }
}
