//! One issuer: the keys that are known of it, and the task that fetches them.
//!
//! Only the task fetches, so there is never more than one fetch of an issuer under way. Callers whose
//! token names an unknown key may make it fetch out of turn, once in a while, and wait for the news;
//! whatever strangers send, the issuer is asked at most that often.

use std::sync::Arc;
use std::time::Duration;

use flotilla_types::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::algorithm::Algorithm;
use crate::fetch::{DOCUMENT_BYTES_MAX, Fetcher};
use crate::issuer_config::IssuerConfig;
use crate::issuers::Clock;
use crate::key_set::{KEY_ID_BYTES_MAX, KeySet, KeySetError};
use crate::metrics::IssuerMetrics;
use crate::refused::{TokenRefused, seconds_between};
use crate::shown::Shown;

/// How long a caller waits for keys that are being fetched. It is less than a fetch may take: an
/// issuer that is that slow is no reason to keep connections busy.
const WAIT_LIMIT: Duration = Duration::from_secs(2);
/// Pause after the first of several failed fetches. It doubles with each, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often the age of the keys is told to the metrics.
const AGE_INTERVAL: Duration = Duration::from_secs(5);

/// Why keys could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchFailure {
    #[error("the issuer was not reached: {reason}")]
    Unreachable { reason: String },
    #[error("the issuer took longer than {seconds} seconds")]
    TookTooLong { seconds: u64 },
    #[error("the issuer answered with the status {status}, and only 200 is taken")]
    Status { status: u16 },
    #[error("the issuer's document is larger than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the discovery document is not JSON with an issuer and a jwks_uri")]
    NotADiscovery,
    #[error("the discovery document is of the issuer {seen}")]
    OtherIssuer { seen: Shown },
    #[error("keys are not fetched from {url}: it takes https, or http on this machine")]
    AddressRefused { url: Shown },
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl FetchFailure {
    /// A word for metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::TookTooLong { .. } => "took_too_long",
            Self::Status { .. } => "status",
            Self::TooLarge => "too_large",
            Self::NotADiscovery => "not_a_discovery",
            Self::OtherIssuer { .. } => "other_issuer",
            Self::AddressRefused { .. } => "address_refused",
            Self::Keys(_) => "bad_keys",
        }
    }
}

/// What is known of an issuer at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerStatus {
    pub issuer: String,
    /// Keys that can be used. They are not, once they are too old.
    pub key_count: usize,
    /// When keys were last fetched, if they ever were.
    pub fetched_at: Option<Timestamp>,
    /// Why the last fetch failed, if it did.
    pub failure: Option<FetchFailure>,
    /// Whether tokens of this issuer can be accepted now.
    pub is_available: bool,
}

/// The keys of an issuer as they were fetched.
#[derive(Clone)]
pub(crate) struct FetchedKeys {
    pub(crate) keys: Arc<KeySet>,
    /// Changes with the keys, and only then.
    pub(crate) version: u64,
    fetched_at: Timestamp,
}

#[derive(Clone, Default)]
struct Known {
    fetched: Option<FetchedKeys>,
    failure: Option<FetchFailure>,
}

/// What the task does, and who wants more of it.
struct Demand {
    work: Work,
    /// When a token last made keys be fetched out of turn.
    asked_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Idle,
    /// A fetch is under way or about to begin, so news will come.
    Fetching,
    /// There will be no news any more.
    Stopped,
}

pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    clock: Clock,
    known: watch::Sender<Known>,
    demand: Mutex<Demand>,
    wanted: Notify,
    metrics: IssuerMetrics,
}

impl Issuer {
    pub(crate) fn new(config: IssuerConfig, clock: Clock) -> Self {
        let metrics = IssuerMetrics::new(&config.issuer);
        // The task begins with a fetch, and whoever comes before its end may wait for it.
        let demand = Demand {
            work: Work::Fetching,
            asked_at: None,
        };
        Self {
            config,
            clock,
            known: watch::Sender::new(Known::default()),
            demand: Mutex::new(demand),
            wanted: Notify::new(),
            metrics,
        }
    }

    /// The keys that count now.
    pub(crate) fn current(&self) -> Result<FetchedKeys, TokenRefused> {
        let known = self.known.borrow();
        let problem = match &known.fetched {
            Some(fetched) if self.is_fresh(fetched) => return Ok(fetched.clone()),
            Some(fetched) => {
                let age = seconds_between(fetched.fetched_at, (self.clock)());
                format!("they were last fetched {age} s ago")
            }
            None => "they were never fetched".to_owned(),
        };
        let failure = known.failure.as_ref();
        let reason = failure.map_or_else(String::new, |failure| format!(", and {failure}"));
        Err(TokenRefused::KeysUnavailable {
            issuer: Shown::new(&self.config.issuer),
            problem: problem + &reason,
        })
    }

    /// Keys among which the one is that a token names. If it is not there they may be fetched once
    /// more before that is said.
    pub(crate) async fn keys_for(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<FetchedKeys, TokenRefused> {
        let find = || {
            let fetched = self.current()?;
            fetched.keys.find(key_id, algorithm)?;
            Ok(fetched)
        };
        let found = find();
        // No issuer has a key with such a name.
        let is_hopeless = key_id.is_some_and(|id| id.len() > KEY_ID_BYTES_MAX);
        if found.is_ok() || is_hopeless {
            return found;
        }
        self.wait_for_news().await;
        find()
    }

    pub(crate) fn status(&self) -> IssuerStatus {
        let known = self.known.borrow().clone();
        let fetched = known.fetched.as_ref();
        IssuerStatus {
            issuer: self.config.issuer.clone(),
            key_count: fetched.map_or(0, |fetched| fetched.keys.count()),
            fetched_at: fetched.map(|fetched| fetched.fetched_at),
            is_available: fetched.is_some_and(|fetched| self.is_fresh(fetched)),
            failure: known.failure,
        }
    }

    /// Fetches keys until `stop` is cancelled. What was fetched goes on counting for its time.
    pub(crate) async fn run(self: Arc<Self>, fetcher: Fetcher, stop: CancellationToken) {
        stop.run_until_cancelled(self.fetch_forever(&fetcher)).await;
        self.demand.lock().work = Work::Stopped;
    }

    async fn fetch_forever(&self, fetcher: &Fetcher) {
        let mut failures_in_a_row = 0;
        loop {
            self.demand.lock().work = Work::Fetching;
            let outcome = fetcher.fetch().await;
            failures_in_a_row = match &outcome {
                Ok(_) => 0,
                Err(_) => failures_in_a_row + 1,
            };
            self.on_fetched(outcome);
            self.pause(self.pause_after(failures_in_a_row)).await;
        }
    }

    fn on_fetched(&self, outcome: Result<KeySet, FetchFailure>) {
        let mut known = self.known.borrow().clone();
        self.metrics.count_fetch(&outcome);
        match outcome {
            Ok(keys) => {
                self.metrics.set_keys(keys.count());
                known = Known {
                    fetched: Some(self.succeed(known.fetched, keys)),
                    failure: None,
                };
            }
            Err(failure) => {
                tracing::warn!(
                    issuer = self.config.issuer,
                    reason = %failure,
                    "keys of an issuer were not fetched"
                );
                known.failure = Some(failure);
            }
        }
        // Under the lock: whoever sees a fetch under way has subscribed to the news before its end.
        let mut demand = self.demand.lock();
        self.known.send_replace(known);
        demand.work = Work::Idle;
    }

    fn succeed(&self, before: Option<FetchedKeys>, keys: KeySet) -> FetchedKeys {
        let fetched_at = (self.clock)();
        match before {
            Some(before) if *before.keys == keys => FetchedKeys {
                fetched_at,
                ..before
            },
            before => {
                let issuer = &self.config.issuer;
                let (count, skipped) = (keys.count(), keys.skipped_count());
                tracing::info!(issuer, count, skipped, "an issuer has new keys");
                FetchedKeys {
                    keys: Arc::new(keys),
                    version: before.map_or(0, |before| before.version + 1),
                    fetched_at,
                }
            }
        }
    }

    fn pause_after(&self, failures_in_a_row: u32) -> Duration {
        match failures_in_a_row.checked_sub(1) {
            None => self.config.refresh_interval,
            Some(doublings) => PAUSE_MIN
                .saturating_mul(2_u32.saturating_pow(doublings))
                .min(PAUSE_MAX)
                .min(self.config.refresh_interval),
        }
    }

    /// Waits until it is time to fetch again, or somebody wants it.
    async fn pause(&self, pause: Duration) {
        let end = Instant::now() + pause;
        loop {
            self.tell_age();
            let tick = end.min(Instant::now() + AGE_INTERVAL);
            tokio::select! {
                () = self.wanted.notified() => return,
                () = sleep_until(tick) => {}
            }
            if tick == end {
                return;
            }
        }
    }

    /// Waits until the next fetch is over, if there will be one soon. Makes there be one if that is
    /// allowed now.
    async fn wait_for_news(&self) {
        let mut news = {
            let mut demand = self.demand.lock();
            let will_have_news = match demand.work {
                Work::Fetching => true,
                Work::Idle => self.ask(&mut demand),
                Work::Stopped => false,
            };
            if !will_have_news {
                return;
            }
            self.known.subscribe()
        };
        // An issuer that is slow or gone is told by what is known afterwards.
        let _ = timeout(WAIT_LIMIT, news.changed()).await;
    }

    /// Makes the task fetch, unless somebody else did a moment ago.
    fn ask(&self, demand: &mut Demand) -> bool {
        let now = (self.clock)();
        // A clock that was set back must not keep keys from being fetched.
        let is_early = demand.asked_at.is_some_and(|asked_at| {
            asked_at <= now && millis_between(asked_at, now) < millis(self.config.refetch_interval)
        });
        if is_early {
            return false;
        }
        demand.asked_at = Some(now);
        demand.work = Work::Fetching;
        self.wanted.notify_one();
        true
    }

    fn is_fresh(&self, fetched: &FetchedKeys) -> bool {
        let age = millis_between(fetched.fetched_at, (self.clock)());
        age <= millis(self.config.stale_max)
    }

    fn tell_age(&self) {
        let known = self.known.borrow();
        if let Some(fetched) = &known.fetched {
            let age = millis_between(fetched.fetched_at, (self.clock)());
            self.metrics.set_age(Duration::from_millis(age));
        }
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

/// Zero if the clock was set back in between.
fn millis_between(earlier: Timestamp, later: Timestamp) -> u64 {
    let difference = later.as_millis().saturating_sub(earlier.as_millis());
    u64::try_from(difference).unwrap_or(0)
}
