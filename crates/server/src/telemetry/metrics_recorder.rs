//! Where all counters of the process end up, and their text for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use flotilla_gateway::MetricsText;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::process_metrics;

/// Histogram bounds for durations, in seconds: from one fsync of a fast disk to a lost node.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// Histogram bounds for sizes, in bytes.
const BYTES: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];
/// How often samples are folded into their histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The process's metrics.
#[derive(Clone)]
pub(crate) struct MetricsRecorder {
    handle: PrometheusHandle,
}

impl MetricsRecorder {
    /// Takes all metrics from here on. A process has one recorder; metrics that were registered
    /// before are lost, so it must come first.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES)?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)?;
        process_metrics::describe();
        Ok(Self { handle })
    }

    /// What `/metrics` says.
    pub(crate) fn text(&self) -> MetricsText {
        let handle = self.handle.clone();
        Arc::new(move || {
            process_metrics::record();
            handle.render()
        })
    }
}

/// Folds samples into histograms until `stop`, so that they take no memory while nobody asks.
pub(crate) async fn keep_metrics_small(recorder: MetricsRecorder, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => recorder.handle.run_upkeep(),
        }
    }
}
