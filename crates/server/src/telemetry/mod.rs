//! Logs and metrics of the process.

mod logs;
mod metrics_recorder;
mod process_metrics;

pub(crate) use logs::{is_log_filter, start_logs};
pub(crate) use metrics_recorder::{MetricsRecorder, keep_metrics_small};
