//! Latencies and their percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer ones count as this.
const LATENCY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A histogram of times, exact to a microsecond or to three digits, whatever is coarser.
pub(super) struct Latencies {
    micros: Histogram<u64>,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self {
            micros: Histogram::new(3).expect("three significant digits are in the range"),
        }
    }

    pub(super) fn note(&mut self, latency: Duration) {
        let micros = latency.min(LATENCY_MAX).as_micros() as u64;
        (self.micros.record(micros)).expect("the histogram grows with its values");
    }

    pub(super) fn add(&mut self, other: &Self) {
        (self.micros.add(&other.micros)).expect("a histogram that grows takes in any other");
    }

    /// `None` if nothing was measured.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.micros.value_at_quantile(quantile) as f64 / 1e3;
        (!self.micros.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: self.micros.max() as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_histograms_together() {
        let mut all = Latencies::new();
        for half in [1..=500, 501..=1_000] {
            let mut latencies = Latencies::new();
            half.for_each(|millis| latencies.note(Duration::from_millis(millis)));
            all.add(&latencies);
        }
        let Percentiles {
            p50,
            p99,
            p999,
            max,
        } = all.percentiles().unwrap();
        for (measured, exact) in [(p50, 500.0), (p99, 990.0), (p999, 999.0), (max, 1_000.0)] {
            assert!(
                (measured - exact).abs() <= exact / 1_000.0,
                "{measured} for {exact}"
            );
        }
    }

    #[test]
    fn nothing_measured_is_no_zero() {
        assert_eq!(Latencies::new().percentiles(), None);
    }
}
