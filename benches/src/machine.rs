//! The machine that was measured on, and what else it was doing.

use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// Cores that are busy above this, for each core, spoil times.
const CALM_LOAD_PER_CORE: f64 = 0.5;
/// The same for what is compared with others.
const IDLE_LOAD_PER_CORE: f64 = 0.1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub memory_bytes: u64,
    pub kernel: String,
}

/// How busy the machine was before a scenario began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Of the last minute. An earlier scenario of the same run counts, too.
    pub average: f64,
    /// Cores that were busy in the moment before the scenario, when nothing of ours ran.
    pub busy_cores: f64,
    pub cores: usize,
}

impl Machine {
    pub fn this() -> Self {
        let line_of = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.split_once(':'));
            line.map(|(_, value)| value.trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let memory = line_of("/proc/meminfo", "MemTotal");
        let memory_kib = memory.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        Self {
            cores: cores(),
            processor: line_of("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            memory_bytes: memory_kib.unwrap_or(0) << 10,
            kernel: kernel.map_or_else(|_| unknown(), |text| text.trim().to_owned()),
        }
    }
}

impl Load {
    /// Watches the machine for `time`.
    pub async fn observe(time: Duration) -> Result<Self> {
        let (begun, before) = (Instant::now(), busy_seconds()?);
        // Busy time can only be had from two looks at a counter.
        sleep(time).await;
        let busy = busy_seconds()? - before;
        let averages = fs::read_to_string("/proc/loadavg")?;
        let average = averages.split(' ').next().unwrap_or_default();
        Ok(Self {
            average: average.parse().context("/proc/loadavg has no number")?,
            busy_cores: (busy / begun.elapsed().as_secs_f64()).max(0.0),
            cores: cores(),
        })
    }

    /// Nothing else should move the figures.
    pub fn is_calm(&self) -> bool {
        self.busy_cores <= CALM_LOAD_PER_CORE * self.cores as f64
    }

    /// Nothing else runs.
    pub fn is_idle(&self) -> bool {
        self.busy_cores <= IDLE_LOAD_PER_CORE * self.cores as f64
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Processor time that the machine has spent on anything but idling.
pub fn busy_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    parse_busy(&stat).context("/proc/stat has no line for all cores")
}

fn parse_busy(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<f64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guest times are part of user and nice.
    let busy: f64 = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|at| times.get(*at))
        .sum();
    (times.len() >= 4).then_some(busy / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_and_idling_are_not_busy() {
        let stat = "cpu  100 20 30 4000 500 6 7 8 9 0\ncpu0 1 2 3 4\n";
        assert_eq!(parse_busy(stat), Some(1.71));
        assert_eq!(parse_busy("intr 5"), None);
    }

    #[test]
    fn half_of_the_cores_busy_is_the_limit() {
        let load = |busy_cores| Load {
            average: 9.0,
            busy_cores,
            cores: 2,
        };
        assert!(load(1.0).is_calm());
        assert!(!load(1.1).is_calm());
    }
}
