//! The task that keeps a membership alive: it joins, and then sends one heartbeat after the other.
//!
//! ```text
//!             ┌───────────── the coordinator does not know the member ─────────────┐
//!             ▼                                                                    │
//!   (start) Join ──────────────────────────▶ Heartbeats ───────────────────────────┘
//!             ▲                                  │ nobody polls
//!             └───────── somebody polls ──────  Away
//! ```
//!
//! It says what the member holds, and never that the member holds something after the coordinator
//! may have given it to another: whoever cannot reach it for the session timeout holds nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::{ApiError, v1};
use flotilla_types::{ErrorCode, MemberId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::assignment::{Assignment, HeldPartition};
use super::attention::Attention;
use super::config::GroupConfig;
use super::holdings::Membership;
use super::offsets::groups_client;
use crate::ClientError;
use crate::backoff::Backoff;
use crate::client::{Core, Repeat, within};
use crate::identity::new_identity;

/// What a heartbeat may take beyond the wait that it asks for.
const HEARTBEAT_GRACE: Duration = Duration::from_secs(2);

/// What the consumer is told.
#[derive(Clone, Debug, Default)]
pub(super) struct SessionView {
    pub(super) standing: Standing,
    /// Nobody could be reached for as long as a session lasts. The session goes on trying.
    pub(super) trouble: Option<Trouble>,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Standing {
    /// Nothing is held.
    #[default]
    Outside,
    Member(Arc<Membership>),
    /// The group does not take it. The session has ended.
    Refused(ClientError),
}

#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// Increases with each.
    pub(super) number: u64,
    pub(super) error: ClientError,
}

/// What the consumer tells.
#[derive(Debug)]
pub(super) enum Command {
    /// These partitions of this member are read no more.
    Release {
        member: MemberId,
        partitions: Vec<HeldPartition>,
    },
    /// Leave the group and end.
    Leave,
}

pub(super) struct Session {
    core: Arc<Core>,
    config: GroupConfig,
    attention: Arc<Attention>,
    commands: mpsc::Receiver<Command>,
    view: watch::Sender<SessionView>,
    /// Counts the attempts that failed: each goes to another node.
    failures: usize,
    backoff: Backoff,
    /// When the session last heard from the coordinator, counted from when it was asked, or when it
    /// last spoke of trouble.
    quiet_since: Instant,
    troubles: u64,
}

/// A membership from this task's side.
struct Beating {
    member: MemberId,
    session_timeout: Duration,
    assignment: Assignment,
    to_release: BTreeSet<HeldPartition>,
    /// The session timeout has passed in silence: what was held may be others' by now.
    is_lost: bool,
}

/// How a membership ended.
enum Ended {
    /// The coordinator does not know the member.
    Expelled,
    Idle,
    /// The consumer is closed.
    Closed,
}

enum Event {
    Command(Option<Command>),
    Idle,
    Silence,
    Answer(Result<Assignment, ApiError>),
}

impl Session {
    pub(super) fn new(
        core: Arc<Core>,
        config: GroupConfig,
        attention: Arc<Attention>,
        commands: mpsc::Receiver<Command>,
        view: watch::Sender<SessionView>,
    ) -> Self {
        Self {
            backoff: Backoff::new(&core.config),
            core,
            config,
            attention,
            commands,
            view,
            failures: 0,
            quiet_since: Instant::now(),
            troubles: 0,
        }
    }

    /// Ends when the consumer is closed or refused. The result is how leaving the group went.
    pub(super) async fn run(mut self) -> Result<(), ClientError> {
        loop {
            let mut beating = match self.join().await {
                Ok(Some(beating)) => beating,
                Ok(None) => return Ok(()),
                Err(refusal) => {
                    self.take_standing(Standing::Refused(refusal));
                    return Ok(());
                }
            };
            let ended = self.beat(&mut beating).await;
            let ended_at = Instant::now();
            if !matches!(ended, Ended::Closed) {
                self.take_standing(Standing::Outside);
            }
            let group = &self.config.group;
            match ended {
                Ended::Expelled => {
                    warn!(%group, member = %beating.member, "the group has expelled this member");
                }
                Ended::Idle => {
                    warn!(%group, member = %beating.member, "nobody polls: leaving the group");
                    if let Err(error) = self.leave(&beating).await {
                        debug!(%error, "the coordinator finds out by itself");
                    }
                    if !self.wait_for_poll(ended_at).await {
                        return Ok(());
                    }
                }
                Ended::Closed => return self.leave(&beating).await,
            }
        }
    }

    /// Becomes a new member, however long it takes. `None` if the consumer was closed meanwhile.
    async fn join(&mut self) -> Result<Option<Beating>, ClientError> {
        self.quiet_since = Instant::now();
        let member = new_identity();
        loop {
            let began = Instant::now();
            match self.join_once(&member).await {
                Ok(beating) => {
                    info!(group = %self.config.group, member = %beating.member, "joined");
                    self.quiet_since = began;
                    self.backoff.reset();
                    self.publish(&beating);
                    return Ok(Some(beating));
                }
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => {
                    self.note_trouble(self.config.session_timeout, error.into_api_error());
                }
            }
            self.backoff.pause().await;
            // A membership that is not there has nothing to release.
            while let Ok(command) = self.commands.try_recv() {
                if matches!(command, Command::Leave) {
                    return Ok(None);
                }
            }
        }
    }

    async fn join_once(&mut self, member: &MemberId) -> Result<Beating, ClientError> {
        let request = v1::JoinGroupRequest {
            group_id: self.config.group.to_string(),
            member_id: member.to_string(),
            client_name: self.config.client_name.clone(),
            subscription: Some(self.config.subscription.write()),
            session_timeout_ms: self.config.session_timeout.as_millis() as u32,
        };
        let limit = self.core.config.attempt_timeout;
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { groups_client(channel).join_group(request).await }
        };
        let answer = self.core.attempt_nth(self.failures, limit, &send).await;
        let answer = answer.inspect_err(|_| self.failures += 1)?;
        let session_timeout = Duration::from_millis(answer.session_timeout_ms.into());
        Ok(Beating {
            member: member.clone(),
            session_timeout: match session_timeout.is_zero() {
                true => self.config.session_timeout,
                false => session_timeout,
            },
            assignment: Assignment::read(answer.assignment)?,
            to_release: BTreeSet::new(),
            is_lost: false,
        })
    }

    /// Sends heartbeats as long as the membership lasts.
    async fn beat(&mut self, beating: &mut Beating) -> Ended {
        let mut has_failed = false;
        loop {
            let sent_at = Instant::now();
            let lost_at = self.quiet_since + beating.session_timeout;
            let request = beating.heartbeat(&self.config, has_failed);
            let wait = Duration::from_millis(request.max_wait_ms.into());
            // After two attempts at silent nodes there is time for a third, before the session ends.
            let limit = wait + HEARTBEAT_GRACE.min(beating.session_timeout / 8);
            let send = |channel, limit| {
                let request = within(limit, request.clone());
                async move { groups_client(channel).heartbeat(request).await }
            };
            let sent = self.core.attempt_nth(self.failures, limit, &send);
            let event = tokio::select! {
                biased;
                command = self.commands.recv() => Event::Command(command),
                () = self.attention.idle_for(self.config.poll_interval_max) => Event::Idle,
                answer = sent => Event::Answer(answer.and_then(read_heartbeat)),
                () = sleep_until(lost_at) => Event::Silence,
            };
            match event {
                Event::Command(Some(Command::Release { member, partitions })) => {
                    if member == beating.member {
                        beating.to_release.extend(partitions);
                    }
                }
                Event::Command(Some(Command::Leave) | None) => return Ended::Closed,
                Event::Idle => return Ended::Idle,
                Event::Silence => {
                    self.failures += 1;
                    has_failed = true;
                    let silent = ApiError::new(ErrorCode::Timeout, "no node answers");
                    self.on_silence(beating, silent);
                }
                Event::Answer(Ok(assignment)) => {
                    has_failed = false;
                    self.quiet_since = sent_at;
                    self.on_heartbeat(beating, assignment);
                }
                Event::Answer(Err(error)) if is_expulsion(error.code) => return Ended::Expelled,
                Event::Answer(Err(error)) => {
                    debug!(code = %error.code, message = error.message, "heartbeat failed");
                    self.failures += 1;
                    has_failed = true;
                    self.on_silence(beating, error);
                    self.backoff.pause().await;
                }
            }
        }
    }

    /// The releases of the request have arrived, and there may be news.
    fn on_heartbeat(&mut self, beating: &mut Beating, assignment: Assignment) {
        self.backoff.reset();
        beating.to_release.clear();
        let was_lost = std::mem::take(&mut beating.is_lost);
        if was_lost || assignment.version != beating.assignment.version {
            beating.assignment = assignment;
            self.publish(beating);
        }
    }

    /// Counts what was held as lost once the session timeout has passed.
    fn on_silence(&mut self, beating: &mut Beating, error: ApiError) {
        if self.note_trouble(beating.session_timeout, error) && !beating.is_lost {
            beating.is_lost = true;
            warn!(
                group = %self.config.group,
                "the coordinator is out of reach: others may have this member's partitions"
            );
            self.take_standing(Standing::Outside);
        }
    }

    /// Tells the consumer about trouble that has lasted for this long.
    fn note_trouble(&mut self, patience: Duration, last: ApiError) -> bool {
        let waited = self.quiet_since.elapsed();
        if waited < patience {
            return false;
        }
        self.quiet_since = Instant::now();
        self.troubles += 1;
        let trouble = Trouble {
            number: self.troubles,
            error: ClientError::GaveUp {
                waited,
                definite: true,
                last,
            },
        };
        self.view.send_modify(|view| view.trouble = Some(trouble));
        true
    }

    fn publish(&self, beating: &Beating) {
        self.take_standing(Standing::Member(Arc::new(Membership {
            member: beating.member.clone(),
            assignment: beating.assignment.clone(),
        })));
    }

    fn take_standing(&self, standing: Standing) {
        self.view.send_modify(|view| view.standing = standing);
    }

    /// False if the consumer was closed meanwhile.
    async fn wait_for_poll(&mut self, since: Instant) -> bool {
        loop {
            tokio::select! {
                () = self.attention.polled_after(since) => return true,
                command = self.commands.recv() => match command {
                    Some(Command::Release { .. }) => {}
                    Some(Command::Leave) | None => return false,
                },
            }
        }
    }

    /// Tells the coordinator, so that others get the partitions at once. To leave twice does no harm.
    async fn leave(&self, beating: &Beating) -> Result<(), ClientError> {
        let request = v1::LeaveGroupRequest {
            group_id: self.config.group.to_string(),
            member_id: beating.member.to_string(),
        };
        let send = |channel, limit: Duration| {
            let request = within(limit, request.clone());
            async move { groups_client(channel).leave_group(request).await }
        };
        // Afterwards the coordinator has found out by itself.
        let patience = beating.session_timeout.min(self.core.config.deadline);
        let deadline = Instant::now() + patience;
        match self.core.call_until(deadline, Repeat::Always, send).await {
            Err(error) if !is_expulsion(error.code()) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Beating {
    fn heartbeat(&self, config: &GroupConfig, is_urgent: bool) -> v1::HeartbeatRequest {
        let max_wait = self.session_timeout / 3;
        let releases = self.to_release.iter();
        v1::HeartbeatRequest {
            group_id: config.group.to_string(),
            member_id: self.member.to_string(),
            // After a failure what matters is to be heard, so that the answer must not wait.
            known_version: match is_urgent {
                true => 0,
                false => self.assignment.version,
            },
            max_wait_ms: max_wait.as_millis() as u32,
            released: releases.map(HeldPartition::write).collect(),
        }
    }
}

fn read_heartbeat(answer: v1::HeartbeatResponse) -> Result<Assignment, ApiError> {
    Assignment::read(answer.assignment).map_err(ClientError::into_api_error)
}

/// The membership has ended.
fn is_expulsion(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::UnknownGroup | ErrorCode::UnknownMember)
}
