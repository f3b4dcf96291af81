//! The member as an application sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flotilla_protocol::{ApiError, OffsetSpec, v1};
use flotilla_types::{ErrorCode, Offset, TopicName};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::attention::Attention;
use super::config::GroupConfig;
use super::holdings::{Holdings, OffsetCommit};
use super::offsets;
use super::session::{Command, Session, SessionView, Standing};
use crate::PartitionName;
use crate::client::Core;
use crate::{ClientError, Consumer, ConsumerRecord};

/// Commands that wait for the session. It takes them at once unless it is out of reach of the group.
const COMMANDS_MAX: usize = 16;

/// A member of a consumer group: it reads the partitions that the group gives it.
///
/// **What commits mean.** Calling [`poll`](Self::poll) again says that everything that earlier calls
/// returned is processed; so does [`close`](Self::close). With `auto_commit`, offsets are committed in
/// `poll` when the interval has passed or partitions are given up, and in `close`. By hand,
/// [`commit`](Self::commit) commits the positions after everything that was returned so far: call it
/// when that is processed. Whoever gets a partition goes on at its committed offset, so that each
/// record is processed at least once; it is processed again if a member ends, or loses a partition,
/// between processing and commit. Without `auto_commit`, `poll` gives up partitions without a commit.
///
/// **What may be lost.** A member that was silent for longer than its session timeout loses what it
/// held. An offset commit for a partition that is not held any more fails with `STALE_GENERATION` or
/// `UNKNOWN_MEMBER` and is never tried again under another membership. The member joins again by
/// itself.
///
/// ```no_run
/// # use flotilla_client::*;
/// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let topics = Subscription::Topics(vec![TopicName::parse("orders")?]);
/// let config = GroupConfig::new(GroupId::parse("billing")?, topics);
/// let mut consumer = client.group_consumer(config)?;
/// for _ in 0..1_000 {
///     for record in consumer.poll(100).await? {
///         println!("{}/{}: {:?}", record.partition, record.offset, record.value);
///     }
/// }
/// consumer.close().await?; // commits, and others get the partitions at once
/// # Ok(())
/// # }
/// ```
///
/// Dropping it without [`close`](Self::close) leaves its partitions without a reader until the
/// session timeout has passed.
#[derive(Debug)]
pub struct GroupConsumer {
    core: Arc<Core>,
    config: GroupConfig,
    consumer: Consumer,
    holdings: Holdings,
    attention: Arc<Attention>,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<SessionView>,
    session: AbortOnDropHandle<Result<(), ClientError>>,
    /// What the session said is carried out: revoked partitions are released, new ones are read.
    is_settled: bool,
    /// When offsets are to be committed next, if that is automatic.
    commit_at: Option<Instant>,
    /// Number of the last trouble that `poll` has returned.
    troubles_told: u64,
}

impl GroupConsumer {
    pub(crate) fn start(core: Arc<Core>, config: GroupConfig) -> Result<Self, ClientError> {
        config.validate()?;
        let consumer = Consumer::start(Arc::clone(&core), config.consumer.clone())?;
        let attention = Arc::new(Attention::new());
        let (commands, commands_taken) = mpsc::channel(COMMANDS_MAX);
        let (view_told, view) = watch::channel(SessionView::default());
        let session = Session::new(
            Arc::clone(&core),
            config.clone(),
            Arc::clone(&attention),
            commands_taken,
            view_told,
        );
        Ok(Self {
            commit_at: config.auto_commit.map(|interval| Instant::now() + interval),
            core,
            config,
            consumer,
            holdings: Holdings::default(),
            attention,
            commands,
            view,
            session: AbortOnDropHandle::new(tokio::spawn(session.run())),
            is_settled: true,
            troubles_told: 0,
        })
    }

    /// Up to `records_max` records of the partitions that are held. It waits for the first one, also
    /// while nothing is held, and takes the others only if they are here. If the call is abandoned
    /// while it waits, nothing is lost.
    ///
    /// An error concerns one partition, or passes: call it again. It fails for good where the group
    /// refuses the member, such as for a pattern that is none.
    pub async fn poll(&mut self, records_max: usize) -> Result<Vec<ConsumerRecord>, ClientError> {
        let attention = Arc::clone(&self.attention);
        let _polling = attention.poll();
        // Nothing can come before the assignment changes.
        let mut has_ended = false;
        loop {
            self.follow_session()?;
            if !self.is_settled {
                self.give_up_revoked().await?;
                self.begin_new().await?;
                self.is_settled = true;
            }
            if self.commit_at.is_some_and(|at| at <= Instant::now()) {
                self.commit_automatically().await?;
            }
            if records_max == 0 {
                return Ok(Vec::new());
            }
            tokio::select! {
                biased;
                changed = self.view.changed() => {
                    changed.map_err(|_| closed())?;
                    // It is seen by the next look, not by this one.
                    self.view.mark_changed();
                    has_ended = false;
                }
                records = self.consumer.poll(records_max), if !has_ended => {
                    let records = records?;
                    if !records.is_empty() {
                        return Ok(records);
                    }
                    has_ended = true;
                }
                () = passed(self.commit_at) => {}
            }
        }
    }

    /// Commits the positions after everything that was returned so far.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.check_membership()?;
        self.commit_positions().await
    }

    /// Commits these offsets, each of the next record to be read. All must be of partitions that are
    /// held. For exact control use it without `auto_commit`, which would commit positions as well.
    pub async fn commit_offsets(
        &mut self,
        offsets: &BTreeMap<PartitionName, Offset>,
    ) -> Result<(), ClientError> {
        self.check_membership()?;
        let commits = offsets.iter().map(|(name, offset)| {
            let partition = self.holdings.claim(name).ok_or_else(|| not_held(name))?;
            let offset = *offset;
            Ok(OffsetCommit { partition, offset })
        });
        let commits = commits.collect::<Result<_, ClientError>>()?;
        self.send_commits(commits).await
    }

    /// What the group has committed for the partitions that are held.
    pub async fn committed(&self) -> Result<BTreeMap<PartitionName, Offset>, ClientError> {
        let held = self.assignment();
        if held.is_empty() {
            return Ok(BTreeMap::new());
        }
        let topics: BTreeSet<_> = held.iter().map(|name| name.topic.clone()).collect();
        let mut committed = self.ask_committed(topics).await?;
        let held = held.into_iter().filter_map(|name| {
            let committed = committed.remove(&name)?;
            let claim = self.holdings.claim(&name)?;
            (committed.topic_id == claim.topic_id).then_some((name, committed.offset))
        });
        Ok(held.collect())
    }

    /// The partitions that are held, by topic and number.
    pub fn assignment(&self) -> Vec<PartitionName> {
        match self.check_membership() {
            Ok(()) => self.holdings.names().cloned().collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Commits if that is automatic, and leaves the group, so that others get the partitions at once.
    /// It leaves even if it cannot commit.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let committed = match self.config.auto_commit {
            Some(_) => self.commit().await,
            None => Ok(()),
        };
        committed.and(self.leave().await)
    }

    /// Leaves the group without an offset commit: others go on at the last one.
    pub async fn leave(self) -> Result<(), ClientError> {
        // A session that has ended has left.
        drop(self.commands.send(Command::Leave).await);
        self.session.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Takes over what the session says, and stops reading what is not held any more.
    fn follow_session(&mut self) -> Result<(), ClientError> {
        // A session that has ended is not without news: it may have been refused.
        if matches!(self.view.has_changed(), Ok(false)) {
            return Ok(());
        }
        self.is_settled = false;
        self.note_positions();
        let view = self.view.borrow_and_update().clone();
        let (membership, refusal) = match &view.standing {
            Standing::Outside => (None, None),
            Standing::Member(membership) => (Some(membership.as_ref()), None),
            Standing::Refused(error) => (None, Some(error)),
        };
        for name in self.holdings.apply(membership) {
            self.consumer.unassign(&name.topic, name.partition);
        }
        if let Some(error) = refusal {
            return Err(error.clone());
        }
        match view.trouble {
            Some(trouble) if trouble.number > self.troubles_told => {
                self.troubles_told = trouble.number;
                Err(trouble.error)
            }
            _ => Ok(()),
        }
    }

    /// Commits what was processed of partitions that are to be given up, and then releases them.
    async fn give_up_revoked(&mut self) -> Result<(), ClientError> {
        let revoked = self.holdings.revoked();
        let Some(member) = self.holdings.member().filter(|_| !revoked.is_empty()) else {
            return Ok(());
        };
        let member = member.clone();
        let committed = match self.config.auto_commit {
            Some(_) => self.commit_automatically().await,
            None => Ok(()),
        };
        // Without the commit, too: to keep the partitions would stop them for everybody, while the
        // next member only repeats what is not committed.
        let release = Command::Release {
            member,
            partitions: revoked.clone(),
        };
        // A session that has ended holds nothing.
        drop(self.commands.send(release).await);
        self.holdings.forget(&revoked);
        committed
    }

    /// Finds out where newly held partitions begin, and begins to read them.
    async fn begin_new(&mut self) -> Result<(), ClientError> {
        let new = self.holdings.new_partitions();
        if new.is_empty() {
            return Ok(());
        }
        let topics: BTreeSet<_> = new.iter().map(|held| held.name.topic.clone()).collect();
        let committed = self.ask_committed(topics).await?;
        for held in new {
            let committed = committed.get(&held.name);
            let committed = committed.filter(|committed| committed.topic_id == held.topic_id);
            let committed = committed.map(|committed| committed.offset);
            let start = committed.map_or(self.config.start, OffsetSpec::Offset);
            let topic = (&held.name.topic, held.topic_id);
            self.consumer.assign_in(topic, held.name.partition, start);
            self.holdings.begin(&held.name, committed);
        }
        Ok(())
    }

    /// Commits what is processed. That partitions were lost meanwhile is no failure of `poll`: the
    /// session says the same.
    async fn commit_automatically(&mut self) -> Result<(), ClientError> {
        let committed = self.commit_positions().await;
        let interval = self.config.auto_commit;
        self.commit_at = interval.map(|interval| Instant::now() + interval);
        match committed {
            Err(error) if is_loss(error.code()) => {
                warn!(group = %self.config.group, %error, "offsets are not committed");
                Ok(())
            }
            committed => committed,
        }
    }

    async fn commit_positions(&mut self) -> Result<(), ClientError> {
        self.note_positions();
        self.send_commits(self.holdings.uncommitted()).await
    }

    async fn send_commits(&mut self, commits: Vec<OffsetCommit>) -> Result<(), ClientError> {
        let Some(member) = self.holdings.member().filter(|_| !commits.is_empty()) else {
            return Ok(());
        };
        let group = &self.config.group;
        let request = commits.iter().map(write_commit).collect();
        let deadline = self.deadline();
        let outcomes = offsets::commit(&self.core, group, Some(member), request, deadline).await?;
        let mut failure: Option<ClientError> = None;
        for (commit, outcome) in commits.iter().zip(outcomes) {
            match outcome {
                Ok(()) => self.holdings.note_committed(commit),
                // A loss explains itself; whatever else there is, is told.
                Err(error)
                    if failure
                        .as_ref()
                        .is_none_or(|failure| is_loss(failure.code())) =>
                {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn ask_committed(
        &self,
        topics: BTreeSet<TopicName>,
    ) -> Result<BTreeMap<PartitionName, offsets::CommittedOffset>, ClientError> {
        let topics: Vec<_> = topics.into_iter().collect();
        offsets::committed(&self.core, &self.config.group, &topics, self.deadline()).await
    }

    /// The membership that was followed last is still the one that the session has.
    fn check_membership(&self) -> Result<(), ClientError> {
        let Some(followed) = self.holdings.member() else {
            return Ok(());
        };
        match &self.view.borrow().standing {
            Standing::Member(now) if now.member == *followed => Ok(()),
            Standing::Outside | Standing::Member(_) | Standing::Refused(_) => {
                let group = &self.config.group;
                let message = format!(
                    "member {followed} of group {group} has lost its partitions: others may have them"
                );
                Err(ApiError::new(ErrorCode::UnknownMember, message).into())
            }
        }
    }

    fn note_positions(&mut self) {
        let consumer = &self.consumer;
        self.holdings
            .note_positions(|name| consumer.position(&name.topic, name.partition));
    }

    /// Nothing is worth waiting for longer than the membership lasts.
    fn deadline(&self) -> Instant {
        Instant::now() + self.config.session_timeout.min(self.core.config.deadline)
    }
}

/// What was to be committed is not the member's any more, or not there any more.
fn is_loss(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::StaleGeneration
            | ErrorCode::UnknownGroup
            | ErrorCode::UnknownMember
            | ErrorCode::UnknownPartition
            | ErrorCode::UnknownTopic
    )
}

fn write_commit(commit: &OffsetCommit) -> v1::OffsetCommit {
    let OffsetCommit { partition, offset } = commit;
    v1::OffsetCommit {
        topic: partition.name.topic.to_string(),
        topic_id: partition.topic_id.get(),
        partition: partition.name.partition.get(),
        generation: partition.generation.get(),
        offset: offset.get(),
        metadata: String::new(),
    }
}

fn not_held(name: &PartitionName) -> ClientError {
    let message = format!("{name} is not held: another member may have it");
    ApiError::new(ErrorCode::StaleGeneration, message).into()
}

fn closed() -> ClientError {
    ClientError::Closed {
        what: "group consumer",
        definite: true,
    }
}

async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
