//! Several readings of one thing, and what they come to.

use serde::{Deserialize, Serialize};

/// The middle and the ends of some readings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub count: usize,
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Summary {
    /// `None` of nothing.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[upper - 1], sorted[upper])
        } else {
            sorted[upper]
        };
        Some(Self {
            count: sorted.len(),
            median,
            min,
            max,
        })
    }
}

/// The value below which the share `quantile` of the samples lies; they must be sorted.
pub fn quantile_of_sorted(sorted: &[u64], quantile: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    let position = (quantile * sorted.len() as f64).ceil() as usize;
    Some(sorted[position.saturating_sub(1).min(last)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_middle_and_the_ends() {
        let odd = Summary::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(quantile_of_sorted(&sorted, 0.5), Some(50));
        assert_eq!(quantile_of_sorted(&sorted, 0.99), Some(99));
        assert_eq!(quantile_of_sorted(&sorted, 1.0), Some(100));
        assert_eq!(quantile_of_sorted(&[], 0.5), None);
    }
}
