//! How long the death of a node was felt.

use std::time::Duration;

use flotilla_client::PartitionIndex;
use tokio::time::Instant;

use super::feeding::Feeding;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failover {
    /// From the kill to the first acknowledgement of a record that was sent after it to a partition
    /// that the dead node led. Answers of the dead node may still come in, so earlier records tell
    /// nothing.
    pub(super) first: Duration,
    /// Until every such partition had one.
    pub(super) last: Duration,
    /// The partitions of the dead node that were written after its death.
    pub(super) partition_count: usize,
    /// The longest time without any acknowledgement of any partition, from the kill on.
    pub(super) silence: Duration,
    record_count: usize,
}

impl Failover {
    /// `None` if no partition in `led` was written after the kill.
    pub(super) fn measure(
        feeding: &Feeding,
        led: &[PartitionIndex],
        killed_at: Instant,
    ) -> Option<Self> {
        let gap = |partition: &PartitionIndex| {
            let mut stored = feeding.partitions[partition.get() as usize].iter();
            let next = stored.find(|stored| stored.sent_at > killed_at)?;
            Some(next.at - killed_at)
        };
        let gaps: Vec<_> = led.iter().filter_map(gap).collect();
        Some(Self {
            first: *gaps.iter().min()?,
            last: *gaps.iter().max()?,
            partition_count: gaps.len(),
            silence: silence(feeding, killed_at),
            record_count: feeding.partitions.iter().map(Vec::len).sum(),
        })
    }

    pub(super) fn records_after(&self, acknowledged: usize) -> usize {
        self.record_count - acknowledged
    }
}

fn silence(feeding: &Feeding, killed_at: Instant) -> Duration {
    let all = feeding.partitions.iter().flatten();
    let mut times: Vec<_> = all
        .map(|stored| stored.at)
        .filter(|at| *at > killed_at)
        .collect();
    times.push(killed_at);
    times.sort_unstable();
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
    pauses.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use flotilla_client::Offset;

    use super::super::feeding::Stored;
    use super::*;

    /// Milliseconds at which records were sent and acknowledged, by partition.
    fn feeding(begun: Instant, partitions: &[&[(u64, u64)]]) -> Feeding {
        let stored = |(sent_at, at): &(u64, u64)| Stored {
            number: 0,
            offset: Offset::new(0),
            sent_at: begun + Duration::from_millis(*sent_at),
            at: begun + Duration::from_millis(*at),
        };
        Feeding {
            partitions: partitions
                .iter()
                .map(|times| times.iter().map(stored).collect())
                .collect(),
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn the_gap_ends_with_the_first_answer_of_a_new_leader() {
        let begun = Instant::now();
        let killed_at = begun + Duration::from_millis(100);
        let feeding = feeding(
            begun,
            &[
                &[(80, 90), (95, 120), (99, 450), (110, 500), (120, 500)],
                &[(70, 95), (105, 450)],
                &[(70, 90), (110, 200), (190, 300), (290, 400), (500, 600)],
            ],
        );
        let led = [0, 1].map(PartitionIndex::new);
        let failover = Failover::measure(&feeding, &led, killed_at).unwrap();
        assert_eq!(failover.first, Duration::from_millis(350));
        assert_eq!(failover.last, Duration::from_millis(400));
        assert_eq!(failover.partition_count, 2);
        assert_eq!(failover.silence, Duration::from_millis(100));
        assert_eq!(failover.records_after(4), 8);
    }

    #[test]
    fn without_records_after_the_kill_there_is_no_gap() {
        let begun = Instant::now();
        let feeding = feeding(begun, &[&[(80, 120)], &[(200, 500)]]);
        let killed_at = begun + Duration::from_millis(100);
        let led = [PartitionIndex::new(0)];
        assert_eq!(Failover::measure(&feeding, &led, killed_at), None);
    }
}
