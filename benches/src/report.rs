//! What a run found out: figures with their spread, their goals and the load they were taken under.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::machine::{Load, Machine};
use crate::summary::Summary;

/// One thing that was measured, several times.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Stable: scenario, dot, what.
    pub name: String,
    pub unit: &'static str,
    pub summary: Summary,
    pub samples: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// What a figure must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Goal {
    pub judged: Judged,
    pub better: Better,
    pub must: f64,
    pub aim: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    Lower,
    Higher,
}

/// Which of the readings has to reach the goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    Median,
    Worst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Missed,
    Reached,
    Aimed,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub struct Report {
    pub scenario: &'static str,
    pub load: Load,
    pub figures: Vec<Figure>,
    /// What to know when reading the figures.
    pub notes: Vec<String>,
    /// Everything that was read, for those who want to look deeper.
    pub details: Vec<Value>,
}

/// Everything that one command measured.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Seconds since 1970.
    pub taken_at: u64,
    pub seconds: f64,
    pub command: Vec<String>,
    pub machine: Machine,
    pub reports: Vec<Report>,
}

impl Figure {
    /// # Panics
    ///
    /// If nothing was measured.
    pub fn new(name: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            unit,
            summary: Summary::of(&samples).expect("a figure has at least one reading"),
            samples,
            goal: None,
            verdict: None,
        }
    }

    /// Lower is better.
    #[must_use]
    pub fn judged(self, judged: Judged, must: f64, aim: f64) -> Self {
        self.judged_by(Goal {
            judged,
            better: Better::Lower,
            must,
            aim,
        })
    }

    #[must_use]
    pub fn judged_by(mut self, goal: Goal) -> Self {
        let reading = match (goal.judged, goal.better) {
            (Judged::Median, _) => self.summary.median,
            (Judged::Worst, Better::Lower) => self.summary.max,
            (Judged::Worst, Better::Higher) => self.summary.min,
        };
        let reaches = |wanted| match goal.better {
            Better::Lower => reading <= wanted,
            Better::Higher => reading >= wanted,
        };
        self.verdict = Some(if reaches(goal.aim) {
            Verdict::Aimed
        } else if reaches(goal.must) {
            Verdict::Reached
        } else {
            Verdict::Missed
        });
        self.goal = Some(goal);
        self
    }
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "MISSED",
            Self::Reached => "reached",
            Self::Aimed => "aim reached",
        }
    }
}

impl Report {
    pub fn new(scenario: &'static str, load: Load) -> Self {
        Self {
            scenario,
            load,
            figures: Vec::new(),
            notes: Vec::new(),
            details: Vec::new(),
        }
    }

    /// Keeps the raw readings beside the figures.
    pub fn detail(&mut self, detail: &impl Serialize) -> Result<()> {
        self.details.push(serde_json::to_value(detail)?);
        Ok(())
    }
}

impl Results {
    pub fn new(command: Vec<String>, reports: Vec<Report>, took: Duration) -> Self {
        Self {
            taken_at: unix_seconds(),
            seconds: took.as_secs_f64(),
            command,
            machine: Machine::this(),
            reports,
        }
    }

    pub fn to_table(&self) -> String {
        const HEAD: [&str; 9] = [
            "FIGURE", "UNIT", "MEDIAN", "MIN", "MAX", "N", "MUST", "AIM", "VERDICT",
        ];
        let mut rows = vec![HEAD.map(str::to_owned)];
        let figures = self.reports.iter().flat_map(|report| &report.figures);
        rows.extend(figures.map(cells));
        let mut text = String::new();
        let mut line = |what: std::fmt::Arguments<'_>| {
            writeln!(text, "{what}").expect("text takes more text");
        };
        let Machine {
            cores,
            processor,
            memory_bytes,
            kernel,
        } = &self.machine;
        let gib = memory_bytes >> 30;
        line(format_args!(
            "machine: {cores} cores of {processor}, {gib} GiB, Linux {kernel}"
        ));
        for report in &self.reports {
            let Load {
                average,
                busy_cores,
                ..
            } = report.load;
            let calm = match report.load.is_calm() {
                true => "",
                false => "  ** not calm: times are not to be trusted **",
            };
            line(format_args!(
                "before {}: load average {average:.2}, {busy_cores:.2} cores busy{calm}",
                report.scenario
            ));
        }
        line(format_args!(""));
        let widths: Vec<_> = (0..HEAD.len())
            .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
            .collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| match column {
                0 | 1 | 8 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            let row = cells.collect::<Vec<_>>().join("  ");
            line(format_args!("{}", row.trim_end()));
        }
        line(format_args!(""));
        for report in &self.reports {
            for note in &report.notes {
                line(format_args!("{}: {note}", report.scenario));
            }
        }
        text
    }

    /// Writes everything to a file of its own below `directory`.
    pub fn save(&self, directory: &Path) -> Result<PathBuf> {
        let names: Vec<_> = self.reports.iter().map(|report| report.scenario).collect();
        let name = match names.as_slice() {
            [one] => one,
            _ => "all",
        };
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join(format!("{}-{name}.json", self.taken_at));
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn cells(figure: &Figure) -> [String; 9] {
    let Summary {
        count,
        median,
        min,
        max,
    } = figure.summary;
    let (must, aim) = match figure.goal {
        None => (String::new(), String::new()),
        Some(goal) => {
            let judged = match (goal.judged, goal.better) {
                (Judged::Median, _) => "",
                (Judged::Worst, Better::Lower) => "max ",
                (Judged::Worst, Better::Higher) => "min ",
            };
            let aim = round(goal.aim);
            (
                format!("{judged}{}", round(goal.must)),
                format!("{judged}{aim}"),
            )
        }
    };
    [
        figure.name.clone(),
        figure.unit.to_owned(),
        round(median),
        round(min),
        round(max),
        count.to_string(),
        must,
        aim,
        figure.verdict.map_or("", Verdict::as_str).to_owned(),
    ]
}

/// Three digits that matter, or all before the point.
fn round(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the name of a file of results, and when they were taken"
)]
fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judged_reading_decides() {
        let figure = || Figure::new("failover.gap", "s", vec![0.4, 0.5, 4.0]);
        let verdict = |judged, must, aim| figure().judged(judged, must, aim).verdict;
        assert_eq!(verdict(Judged::Median, 1.5, 0.5), Some(Verdict::Aimed));
        assert_eq!(verdict(Judged::Median, 0.5, 0.4), Some(Verdict::Reached));
        assert_eq!(verdict(Judged::Worst, 3.0, 1.0), Some(Verdict::Missed));
    }

    #[test]
    fn of_a_rate_more_is_better() {
        let verdict = |judged, must, aim| {
            let figure = Figure::new("compare.produce", "x", vec![4.0, 5.0, 6.0]);
            let better = Better::Higher;
            let goal = Goal {
                judged,
                better,
                must,
                aim,
            };
            figure.judged_by(goal).verdict
        };
        assert_eq!(verdict(Judged::Median, 4.0, 5.0), Some(Verdict::Aimed));
        assert_eq!(verdict(Judged::Median, 4.0, 8.0), Some(Verdict::Reached));
        assert_eq!(verdict(Judged::Worst, 4.5, 8.0), Some(Verdict::Missed));
    }

    #[test]
    fn figures_are_rounded_to_what_matters() {
        let rounded = [1_234.5, 12.345, 1.5, 0.012_34, 0.0, 100.0].map(round);
        assert_eq!(rounded, ["1234", "12.3", "1.5", "0.012", "0", "100"]);
    }

    #[test]
    fn the_table_shows_goals_and_warns_of_a_busy_machine() {
        let load = Load {
            average: 3.0,
            busy_cores: 2.0,
            cores: 2,
        };
        let mut report = Report::new("idle", load);
        let figure = Figure::new("idle.resident", "MB", vec![30.0, 31.0]);
        report
            .figures
            .push(figure.judged(Judged::Worst, 80.0, 30.0));
        report.notes.push("fresh".to_owned());
        let results = Results::new(Vec::new(), vec![report], Duration::ZERO);
        let table = results.to_table();
        assert!(table.contains("not calm"), "{table}");
        assert!(table.contains("idle: fresh"), "{table}");
        let row = table.lines().find(|line| line.starts_with("idle.resident"));
        let cells: Vec<_> = row.unwrap().split_whitespace().collect();
        let expected = [
            "idle.resident",
            "MB",
            "30.5",
            "30",
            "31",
            "2",
            "max",
            "80",
            "max",
            "30",
            "reached",
        ];
        assert_eq!(cells, expected);
    }
}
