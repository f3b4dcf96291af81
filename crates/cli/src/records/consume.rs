//! `consume`: reads records and prints them, each partition in its order.

use std::collections::BTreeSet;

use flotilla_client::{
    ClientError, Consumer, ConsumerConfig, ConsumerRecord, GroupConsumer, TopicName, Until,
};
use tokio::time::{Duration, Instant};

use super::consume_arguments::ConsumeArgs;
use super::consume_group::consume_group;
use super::print_format::PrintFormat;
use super::record_json::RecordJson;
use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::{Exit, GlobalOptions, Io, Output};

/// Records of one poll. They are in memory already; this bounds their decoded form.
const POLL_RECORDS_MAX: usize = 4_096;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn consume(
    args: ConsumeArgs,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let style = Style::choose(&args, global.output)?;
    if let Some(group) = &args.group {
        return consume_group(&args, group, &style, global, io).await;
    }
    let [topic] = args.topics.as_slice() else {
        return Err(Failure::usage("several topics are read with --group only"));
    };
    let doing = format!("read topic {topic}");
    let preparing = prepare(&args, topic, global, &doing);
    let mut consumer = io.interrupt.unless_raised(preparing).await?;
    let printed = print_records(&mut consumer, &style, args.count, io).await;
    match printed {
        Ok(exit) => Ok(exit),
        Err(Trouble::Cluster(error)) => Err(Failure::cluster(doing)(error)),
        Err(Trouble::Local(failure)) => Err(failure),
    }
}

/// How records are printed.
pub(super) enum Style {
    Text(PrintFormat),
    Json,
}

pub(super) enum Trouble {
    Cluster(ClientError),
    Local(Failure),
}

/// Where records come from: a consumer, or its stand-in in tests.
pub(super) trait Source {
    /// Waits for records; empty when there will be none. Cancel safe.
    fn poll(
        &mut self,
        records_max: usize,
    ) -> impl Future<Output = Result<Vec<ConsumerRecord>, ClientError>>;
}

impl Source for Consumer {
    fn poll(
        &mut self,
        records_max: usize,
    ) -> impl Future<Output = Result<Vec<ConsumerRecord>, ClientError>> {
        Self::poll(self, records_max)
    }
}

impl Source for GroupConsumer {
    fn poll(
        &mut self,
        records_max: usize,
    ) -> impl Future<Output = Result<Vec<ConsumerRecord>, ClientError>> {
        Self::poll(self, records_max)
    }
}

impl Style {
    fn choose(args: &ConsumeArgs, format: OutputFormat) -> Result<Self, Failure> {
        match (format, &args.format) {
            (OutputFormat::Json, None) => Ok(Self::Json),
            (OutputFormat::Json, Some(_)) => Err(Failure::usage(
                "--format and --output json exclude each other",
            )),
            (OutputFormat::Table, Some(format)) => Ok(Self::Text(format.clone())),
            (OutputFormat::Table, None) => Ok(Self::Text(PrintFormat::default())),
        }
    }

    /// Appends the record to `page`.
    fn print(&self, record: &ConsumerRecord, page: &mut Vec<u8>) {
        match self {
            Self::Text(format) => format.print(record, page),
            Self::Json => {
                serde_json::to_writer(&mut *page, &RecordJson::from(record))
                    .expect("strings and numbers always serialize, and memory takes them");
                page.push(b'\n');
            }
        }
    }
}

async fn prepare(
    args: &ConsumeArgs,
    topic: &TopicName,
    global: &GlobalOptions,
    doing: &str,
) -> Result<Consumer, Failure> {
    let client = global.connect().await?;
    let config = ConsumerConfig {
        until: match args.follow {
            true => Until::Forever,
            false => Until::HighWatermark,
        },
        retry_timeout: global.timeout,
        ..ConsumerConfig::default()
    };
    let consumer = client.consumer(config);
    let mut consumer = consumer.map_err(Failure::cluster(doing))?;
    let start = args.from.to_spec(global.now());
    if args.partitions.is_empty() {
        let assigned = consumer.assign_topic(topic, start).await;
        assigned.map_err(Failure::cluster(doing))?;
        return Ok(consumer);
    }
    for partition in args.partitions.iter().copied().collect::<BTreeSet<_>>() {
        consumer.assign(topic, partition, start);
    }
    Ok(consumer)
}

/// Prints up to `count` records as they come.
pub(super) async fn print_records(
    source: &mut impl Source,
    style: &Style,
    count: Option<u64>,
    io: &mut Io,
) -> Result<Exit, Trouble> {
    let Io {
        output, interrupt, ..
    } = io;
    let mut progress = Progress::new(output);
    let mut left = count.unwrap_or(u64::MAX);
    let mut page = Vec::new();
    while left > 0 {
        let records_max =
            usize::try_from(left).map_or(POLL_RECORDS_MAX, |left| left.min(POLL_RECORDS_MAX));
        let records = tokio::select! {
            biased;
            () = interrupt.raised() => return Ok(Exit::Interrupted),
            records = source.poll(records_max) => records.map_err(Trouble::Cluster)?,
        };
        if records.is_empty() {
            break;
        }
        left -= records.len() as u64;
        page.clear();
        for record in &records {
            style.print(record, &mut page);
        }
        output.data(&page).map_err(Trouble::Local)?;
        // What has come must be seen before the next wait, which can be long.
        output.flush().map_err(Trouble::Local)?;
        progress.show(records.len(), output);
    }
    Ok(Exit::Done)
}

/// A count on the terminal while the records go elsewhere.
struct Progress {
    is_shown: bool,
    records: u64,
    shown_at: Instant,
}

impl Progress {
    fn new(output: &Output) -> Self {
        Self {
            is_shown: output.can_show_progress(true),
            records: 0,
            shown_at: Instant::now(),
        }
    }

    fn show(&mut self, records: usize, output: &mut Output) {
        self.records += records as u64;
        if self.is_shown && self.shown_at.elapsed() >= PROGRESS_INTERVAL {
            self.shown_at = Instant::now();
            output.progress(format_args!("{} records read", self.records));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use flotilla_client::{ApiError, ErrorCode, Offset};
    use futures::stream;

    use super::super::record_json::tests::record;
    use super::*;
    use crate::Interrupt;
    use crate::output::Captured;

    /// Hands out what it is given, and then waits if the consumer would.
    struct Script {
        polls: VecDeque<Result<Vec<ConsumerRecord>, ClientError>>,
        follows: bool,
    }

    impl Source for Script {
        async fn poll(&mut self, records_max: usize) -> Result<Vec<ConsumerRecord>, ClientError> {
            match self.polls.pop_front() {
                Some(Ok(mut records)) if records.len() > records_max => {
                    self.polls.push_front(Ok(records.split_off(records_max)));
                    Ok(records)
                }
                Some(polled) => polled,
                None if self.follows => std::future::pending().await,
                None => Ok(Vec::new()),
            }
        }
    }

    fn records(offsets: std::ops::Range<u64>) -> Vec<ConsumerRecord> {
        let at = |offset| ConsumerRecord {
            offset: Offset::new(offset),
            ..record()
        };
        offsets.map(at).collect()
    }

    fn script(follows: bool) -> Script {
        Script {
            polls: [Ok(records(0..3)), Ok(records(3..5))].into(),
            follows,
        }
    }

    fn offsets() -> Style {
        Style::Text(PrintFormat::parse("%o ").unwrap())
    }

    async fn print(
        mut script: Script,
        count: Option<u64>,
        interrupt: Interrupt,
    ) -> (Result<Exit, Trouble>, String) {
        let (output, captured) = Captured::new();
        let mut io = Io {
            input: Box::new(std::io::empty()),
            output,
            interrupt,
            user: None,
        };
        let exit = print_records(&mut script, &offsets(), count, &mut io).await;
        (exit, captured.data())
    }

    fn never() -> Interrupt {
        Interrupt::new(stream::pending())
    }

    #[tokio::test]
    async fn it_prints_all_there_is_and_stops() {
        let (exit, printed) = print(script(false), None, never()).await;
        assert!(matches!(exit, Ok(Exit::Done)));
        assert_eq!(printed, "0 1 2 3 4 ");
    }

    #[tokio::test]
    async fn it_stops_after_the_count_even_if_more_would_come() {
        let (exit, printed) = print(script(true), Some(4), never()).await;
        assert!(matches!(exit, Ok(Exit::Done)));
        assert_eq!(printed, "0 1 2 3 ");
        let (_, printed) = print(script(true), Some(0), never()).await;
        assert_eq!(printed, "");
    }

    #[tokio::test]
    async fn an_interruption_ends_it_and_an_error_keeps_what_was_printed() {
        let now = Interrupt::new(stream::iter([()]));
        let (exit, _) = print(script(true), None, now).await;
        assert!(matches!(exit, Ok(Exit::Interrupted)));

        let mut failing = script(false);
        let error = ApiError::new(ErrorCode::OffsetOutOfRange, "retired meanwhile");
        failing.polls.push_back(Err(error.into()));
        let (exit, printed) = print(failing, None, never()).await;
        assert!(matches!(exit, Err(Trouble::Cluster(_))));
        assert_eq!(printed, "0 1 2 3 4 ");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let mut page = Vec::new();
        Style::Json.print(&record(), &mut page);
        Style::Json.print(&record(), &mut page);
        let page = String::from_utf8(page).unwrap();
        assert_eq!(page.lines().count(), 2);
        assert!(
            page.lines()
                .all(|line| line.starts_with('{') && line.ends_with('}'))
        );
    }
}
