//! What the judges say of a history.

mod coverage;
mod finding;
mod findings;
mod property;
mod unmet;

use std::collections::BTreeMap;
use std::fmt;

pub use coverage::Coverage;
pub use finding::{Finding, Loss};
pub(crate) use findings::Findings;
pub use property::Property;
use serde::Serialize;
pub use unmet::Unmet;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub verdict: Verdict,
    /// By property, and at most [`Finding::SHOWN_MAX`] of each.
    pub findings: Vec<Finding>,
    /// How many findings there are, those that are not shown included.
    pub counts: BTreeMap<Property, usize>,
    /// Lost records, by where they stood in what their process wrote.
    pub losses: BTreeMap<Loss, usize>,
    pub unmet: Vec<Unmet>,
    pub coverage: Coverage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Valid,
    /// A promise was broken, whatever else the run lacked.
    Invalid,
    /// Nothing was found, but the run was not what it had to be.
    Unknown,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Valid => "valid",
            Verdict::Invalid => "invalid",
            Verdict::Unknown => "unknown",
        };
        writeln!(f, "{verdict}: {}", self.coverage)?;
        for (property, count) in &self.counts {
            writeln!(f, "{property}: {count}")?;
            let shown = self
                .findings
                .iter()
                .filter(|finding| finding.property == *property);
            for finding in shown {
                writeln!(f, "  {finding}")?;
            }
        }
        for (loss, count) in &self.losses {
            writeln!(f, "lost {loss} what a process wrote: {count}")?;
        }
        for unmet in &self.unmet {
            writeln!(f, "not covered: {unmet}")?;
        }
        Ok(())
    }
}
