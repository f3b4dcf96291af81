//! What a benchmark found out.

use std::time::Duration;

use serde::Serialize;

use super::latencies::Percentiles;
use crate::Output;
use crate::failure::Failure;
use crate::output::{OutputFormat, Table};

/// One run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) operation: &'static str,
    pub(super) topic: String,
    pub(super) clients: u32,
    pub(super) window: u32,
    #[serde(flatten)]
    pub(super) throughput: Throughput,
    /// `None` if no record got through.
    pub(super) latency_ms: Option<Percentiles>,
    /// What a latency is.
    pub(super) latency_of: LatencyOf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) load: Option<LoadReport>,
    pub(super) interrupted: bool,
}

/// Beside the report of a run that writes.
#[derive(Serialize)]
pub(super) struct LoadReport {
    pub(super) record_size: usize,
    pub(super) compression: &'static str,
    /// Records per second that were asked for.
    pub(super) rate: Option<f64>,
    pub(super) send_lateness_ms: Option<Percentiles>,
    pub(super) records_failed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LatencyOf {
    /// Nothing is left out when the cluster stalls.
    DueTimeToAcknowledgement,
    SendToAcknowledgementInClosedWindow,
    Poll,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Throughput {
    pub(super) records: u64,
    /// Of the values.
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) records_per_second: f64,
    pub(super) bytes_per_second: f64,
}

impl Throughput {
    pub(super) fn new(records: u64, bytes: u64, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let per_second = |count: u64| match seconds > 0.0 {
            true => count as f64 / seconds,
            false => 0.0,
        };
        Self {
            records,
            bytes,
            seconds,
            records_per_second: per_second(records),
            bytes_per_second: per_second(bytes),
        }
    }
}

impl LatencyOf {
    fn describe(self) -> &'static str {
        match self {
            Self::DueTimeToAcknowledgement => "from the time when a record was due",
            Self::SendToAcknowledgementInClosedWindow => "from sending a record, closed window",
            Self::Poll => "of one poll",
        }
    }
}

impl Report {
    pub(super) fn print(&self, format: OutputFormat, output: &mut Output) -> Result<(), Failure> {
        match format {
            OutputFormat::Json => output.json(self),
            OutputFormat::Table => self.print_table(output),
        }
    }

    fn print_table(&self, output: &mut Output) -> Result<(), Failure> {
        let throughput = &self.throughput;
        let mut rates = Table::new(["RECORDS", "SECONDS", "RECORDS/S", "MB/S"]);
        rates.row([
            throughput.records.to_string(),
            format!("{:.3}", throughput.seconds),
            format!("{:.0}", throughput.records_per_second),
            format!("{:.2}", throughput.bytes_per_second / 1e6),
        ]);
        output.line(rates)?;
        if let Some(latency) = self.latency_ms {
            output.line("")?;
            output.line(format_args!(
                "latency in ms, {}",
                self.latency_of.describe()
            ))?;
            output.line(percentile_table(latency))?;
        }
        let Some(load) = &self.load else {
            return Ok(());
        };
        if let Some(lateness) = load.send_lateness_ms {
            output.line("")?;
            output.line("of which sending was late by, in ms")?;
            output.line(percentile_table(lateness))?;
        }
        if load.records_failed > 0 {
            output.line("")?;
            output.line(format_args!("{} records failed", load.records_failed))?;
        }
        Ok(())
    }
}

fn percentile_table(percentiles: Percentiles) -> Table<4> {
    let Percentiles {
        p50,
        p99,
        p999,
        max,
    } = percentiles;
    let mut table = Table::new(["P50", "P99", "P99.9", "MAX"]);
    table.row([p50, p99, p999, max].map(|millis| format!("{millis:.3}")));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Captured;

    fn report() -> Report {
        Report {
            operation: "produce",
            topic: "orders".to_owned(),
            clients: 2,
            window: 100,
            throughput: Throughput::new(1_000, 2_000_000, Duration::from_millis(500)),
            latency_ms: Some(Percentiles {
                p50: 1.5,
                p99: 20.25,
                p999: 21.0,
                max: 300.0,
            }),
            latency_of: LatencyOf::SendToAcknowledgementInClosedWindow,
            load: None,
            interrupted: false,
        }
    }

    #[test]
    fn the_json_has_the_promised_fields_at_the_top() {
        let (mut output, captured) = Captured::new();
        report().print(OutputFormat::Json, &mut output).unwrap();
        let told: serde_json::Value = serde_json::from_str(&captured.data()).unwrap();
        assert_eq!(told["records_per_second"], 2_000.0);
        assert_eq!(told["bytes_per_second"], 4_000_000.0);
        assert_eq!(told["latency_ms"]["p999"], 21.0);
        assert_eq!(told["latency_ms"]["max"], 300.0);
        assert_eq!(
            told["latency_of"],
            "send_to_acknowledgement_in_closed_window"
        );
    }

    #[test]
    fn the_table_says_what_a_latency_is() {
        let (mut output, captured) = Captured::new();
        report().print(OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "RECORDS  SECONDS  RECORDS/S  MB/S\n\
             \x20  1000    0.500       2000  4.00\n\
             \n\
             latency in ms, from sending a record, closed window\n\
             \x20 P50     P99   P99.9      MAX\n\
             1.500  20.250  21.000  300.000\n"
        );
    }

    #[test]
    fn no_time_is_no_throughput() {
        let throughput = Throughput::new(0, 0, Duration::ZERO);
        assert_eq!(throughput.records_per_second, 0.0);
    }
}
