//! Contenders for one job. Whoever owns it writes on behalf of it; some give it up, some end without a
//! word, and some go on writing after another one got it, which must come to nothing.

use std::time::Duration;

use flotilla_checker::history::{
    ClientKind, FencingToken, JobAcquire, JobAcquired, JobGuard, JobRelease, Produce,
};
use flotilla_client::{
    JobConfig, JobName, JobOwnership, PartitionIndex, Producer, ProducerConfig, ProducerRecord,
};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

use super::Workload;
use super::field::{Field, LoadedTopic};
use super::idempotent::{impatient, note_batch, send_all};
use super::pace::Pace;
use crate::payload::encode;
use crate::recorder::ProcessLog;

const JOB: &str = "turns";
const CONTENDERS: u32 = 3;
const BATCH: u32 = 5;
const SESSION: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(3);
/// Batches of one owner at most, and of one that was fenced.
const BATCHES_MAX: u32 = 30;
const ZOMBIE_BATCHES: u32 = 5;

pub(super) fn start(field: &Field, processes: &mut JoinSet<()>) -> anyhow::Result<()> {
    let topic = field.topic(Workload::Jobs.name())?;
    let job = JobName::parse(JOB)?;
    for _ in 0..CONTENDERS {
        let log = field.process(ClientKind::Native);
        let contender = Contender {
            field: field.clone(),
            topic: topic.clone(),
            job: job.clone(),
            rng: field.rng(&log),
            log,
        };
        processes.spawn(contender.run());
    }
    Ok(())
}

struct Contender {
    field: Field,
    topic: LoadedTopic,
    job: JobName,
    log: ProcessLog,
    rng: StdRng,
}

impl Contender {
    async fn run(mut self) {
        let mut pace = Pace::of_rate(self.field.rate(), (1, BATCH), self.field.stop());
        while pace.next().await {
            let Some(ownership) = self.acquire().await else {
                continue;
            };
            let token = FencingToken::new(ownership.token().get());
            let guard = JobGuard {
                job: JOB.to_owned(),
                token,
            };
            let Some(producer) = self.producer(&ownership) else {
                continue;
            };
            for _ in 0..self.rng.random_range(1..=BATCHES_MAX) {
                if ownership.is_lost() || !pace.next().await {
                    break;
                }
                self.write(&producer, &guard).await;
            }
            if self.rng.random_bool(0.5) {
                self.release(ownership, token).await;
            } else {
                drop(ownership);
            }
            // Another one may own it now. It believes that it does.
            for _ in 0..self.rng.random_range(0..=ZOMBIE_BATCHES) {
                if !pace.next().await {
                    return;
                }
                self.write(&producer, &guard).await;
            }
        }
    }

    async fn acquire(&mut self) -> Option<JobOwnership> {
        let client = self.field.client().ok()?;
        let config = JobConfig {
            session_timeout: SESSION,
            ..JobConfig::new(self.job.clone())
        };
        let acquiring = self.log.begin(JobAcquire {
            job: JOB.to_owned(),
        });
        match client.jobs().acquire_within(config, PATIENCE).await {
            Ok(Some(ownership)) => {
                let token = FencingToken::new(ownership.token().get());
                acquiring.ok(JobAcquired { token });
                Some(ownership)
            }
            Ok(None) => {
                acquiring.failed("another one owns it");
                None
            }
            Err(error) => {
                acquiring.error(&error);
                None
            }
        }
    }

    fn producer(&self, ownership: &JobOwnership) -> Option<Producer> {
        let config = ProducerConfig {
            owner: Some(ownership.producer_owner()),
            ..impatient()
        };
        self.field.client().ok()?.producer(config).ok()
    }

    async fn write(&mut self, producer: &Producer, guard: &JobGuard) {
        let index = PartitionIndex::new(self.rng.random_range(0..self.topic.partitions));
        let values: Vec<_> = (0..BATCH).map(|_| self.log.next_value()).collect();
        let record = |value: &_| {
            let record = ProducerRecord::new(self.topic.name.clone(), encode(*value));
            record.partition(index)
        };
        let records = values.iter().map(record).collect();
        let mut request = Produce::new(self.topic.partition(index), values);
        request.guard = Some(guard.clone());
        let invoked_at = self.log.now();
        let outcomes = send_all(producer, records).await;
        note_batch(&self.log, &request, invoked_at, &outcomes);
    }

    async fn release(&self, ownership: JobOwnership, token: FencingToken) {
        let releasing = self.log.begin(JobRelease {
            job: JOB.to_owned(),
            token,
        });
        let released = ownership.release().await;
        releasing.end_with(released.as_ref().copied());
    }
}
