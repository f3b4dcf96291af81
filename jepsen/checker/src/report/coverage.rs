//! How much a run tried.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    pub ok: usize,
    pub failed: usize,
    pub unknown: usize,
    /// Unknown ones among the calls that could have changed something.
    pub unknown_changes: usize,
    pub acknowledged_records: usize,
    /// Records that consumers were given, each as often as it was.
    pub consumed_records: usize,
    /// How often each fault was injected.
    pub faults: BTreeMap<String, usize>,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls ok, {} failed, {} unknown, {} records acknowledged, {} consumed, {} faults",
            self.ok,
            self.failed,
            self.unknown,
            self.acknowledged_records,
            self.consumed_records,
            self.faults.values().sum::<usize>()
        )
    }
}
