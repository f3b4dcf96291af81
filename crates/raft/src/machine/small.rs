//! State machines that are small, so that a snapshot is simply all of the state: the metadata and the
//! coordinators of consumer groups.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_state::groups::{CoordinatorCommand, CoordinatorState};
use flotilla_state::metadata::{MetadataCommand, MetadataState};
use flotilla_storage::{GroupLog, Row};
use flotilla_types::{LogIndex, Term};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::stored_membership;
use crate::log_store::{completion, wait};
use crate::rows::{APPLIED, Image};
use crate::type_config::{Payload, RaftLogId, Reply, StoredMembership};

/// Entries after which the log is cut and replaced by an image of the whole state.
const ENTRIES_PER_IMAGE: u64 = 1_000;

/// One of the pure state machines, as this module needs it.
pub(crate) trait SmallState: Clone + Default + Send + 'static {
    /// What is published after each run of entries: cheap where entries are many.
    type View: Clone + PartialEq + Send + Sync + 'static;

    fn read(image: &[u8]) -> io::Result<Self>;
    fn write(&self) -> Vec<u8>;
    fn carry_out(&mut self, command: &[u8]) -> io::Result<Reply>;
    fn view(&self) -> Self::View;
}

impl SmallState for MetadataState {
    type View = Arc<Self>;

    fn read(image: &[u8]) -> io::Result<Self> {
        Self::decode(image).map_err(io::Error::other)
    }

    fn write(&self) -> Vec<u8> {
        self.encode()
    }

    fn carry_out(&mut self, command: &[u8]) -> io::Result<Reply> {
        let command = MetadataCommand::decode(command).map_err(io::Error::other)?;
        Ok(Reply::Metadata(Box::new(self.apply(&command).outcome)))
    }

    fn view(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }
}

impl SmallState for CoordinatorState {
    /// It is read in place: offset commits are many.
    type View = ();

    fn read(image: &[u8]) -> io::Result<Self> {
        Self::decode(image).map_err(io::Error::other)
    }

    fn write(&self) -> Vec<u8> {
        self.encode()
    }

    fn carry_out(&mut self, command: &[u8]) -> io::Result<Reply> {
        let command = CoordinatorCommand::decode(command).map_err(io::Error::other)?;
        Ok(Reply::Coordinator(Box::new(self.apply(&command))))
    }

    fn view(&self) {}
}

pub(crate) type MetadataCell = SmallCell<MetadataState>;
pub(crate) type CoordinatorCell = SmallCell<CoordinatorState>;

/// The state as of the last applied entry, shared with everyone on the node who reads it.
pub(crate) struct SmallCell<S: SmallState> {
    log: GroupLog,
    inner: Mutex<Inner<S>>,
    published: watch::Sender<S::View>,
    applied_index: watch::Sender<u64>,
    /// The term of the last applied entry: a leader has applied all that others committed before it
    /// once it has applied an entry of its own term.
    applied_term: watch::Sender<Option<Term>>,
}

struct Inner<S> {
    applied: Option<RaftLogId>,
    membership: StoredMembership,
    state: S,
    /// The latest durable image: what a lagging follower gets.
    image: Option<Image>,
}

impl<S: SmallState> SmallCell<S> {
    /// Reads the last image. Entries after it are applied again as the group commits them.
    pub(crate) fn open(log: GroupLog) -> io::Result<Self> {
        let row = log.row(APPLIED).map_err(io::Error::other)?;
        let image = row
            .map(|bytes| Image::decode(Bytes::from(bytes)).map_err(io::Error::other))
            .transpose()?;
        let inner = match image {
            None => Inner {
                applied: None,
                membership: StoredMembership::default(),
                state: S::default(),
                image: None,
            },
            Some(image) => Inner {
                applied: image.applied,
                membership: image.membership.clone(),
                state: S::read(&image.state)?,
                image: Some(image),
            },
        };
        let (published, _) = watch::channel(inner.state.view());
        let (applied_term, _) = watch::channel(None);
        let (applied_index, _) = watch::channel(0);
        Ok(Self {
            log,
            inner: Mutex::new(inner),
            published,
            applied_index,
            applied_term,
        })
    }

    /// What was published last, and every change of it.
    pub(crate) fn watch(&self) -> watch::Receiver<S::View> {
        self.published.subscribe()
    }

    /// Changes whenever entries have been applied.
    pub(crate) fn watch_applied_index(&self) -> watch::Receiver<u64> {
        self.applied_index.subscribe()
    }

    /// Looks at the state in place. Nothing is applied meanwhile, so it has to be short.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&S) -> T) -> T {
        at(&self.inner.lock().state)
    }

    pub(crate) fn watch_applied_term(&self) -> watch::Receiver<Option<Term>> {
        self.applied_term.subscribe()
    }

    pub(crate) fn applied(&self) -> (Option<RaftLogId>, StoredMembership) {
        let inner = self.inner.lock();
        (inner.applied, inner.membership.clone())
    }

    /// The entry up to which the log should be replaced by an image.
    pub(crate) fn image_due(&self) -> Option<LogIndex> {
        let inner = self.inner.lock();
        let imaged = inner.image.as_ref().and_then(|image| image.applied);
        let index = |id: Option<RaftLogId>| id.map_or(0, |id| id.index);
        let applied = index(inner.applied);
        let is_due = applied.saturating_sub(index(imaged)) >= ENTRIES_PER_IMAGE;
        is_due.then(|| LogIndex::new(applied))
    }

    pub(super) fn apply(&self, id: RaftLogId, payload: &Payload) -> io::Result<Reply> {
        let mut inner = self.inner.lock();
        inner.applied = Some(id);
        match payload {
            Payload::Blank => Ok(Reply::None),
            Payload::Membership(_) => {
                if let Some(membership) = stored_membership(id, payload) {
                    inner.membership = membership;
                }
                Ok(Reply::None)
            }
            Payload::Normal(command) => inner.state.carry_out(&command.0),
        }
    }

    pub(super) fn publish(&self) {
        let (view, applied) = {
            let inner = self.inner.lock();
            (inner.state.view(), inner.applied)
        };
        self.published.send_if_modified(|current| {
            let changed = *current != view;
            *current = view;
            changed
        });
        if let Some(applied) = applied {
            self.applied_index.send_replace(applied.index);
            let term = Some(Term::new(applied.leader_id.term));
            self.applied_term.send_if_modified(|current| {
                let changed = *current != term;
                *current = term;
                changed
            });
            self.log.allow_sealing(LogIndex::new(applied.index), &[]);
        }
    }

    pub(super) async fn build_image(&self) -> io::Result<Image> {
        let image = {
            let inner = self.inner.lock();
            Image {
                applied: inner.applied,
                membership: inner.membership.clone(),
                state: inner.state.write().into(),
            }
        };
        // An image stands for itself: entries that the log does not hold need not come first.
        let last = self.log.bounds().last.map(|id| id.index);
        let applied = image.applied.map(|id| LogIndex::new(id.index));
        let after = applied.filter(|applied| Some(*applied) <= last);
        self.save(&image, after).await?;
        self.inner.lock().image = Some(image.clone());
        Ok(image)
    }

    pub(super) fn current_image(&self) -> Option<Image> {
        self.inner.lock().image.clone()
    }

    pub(super) async fn install(&self, image: Image) -> io::Result<()> {
        let state = S::read(&image.state)?;
        // The image comes from the leader and lies beyond this node's log: it waits for nothing.
        self.save(&image, None).await?;
        {
            let mut inner = self.inner.lock();
            inner.applied = image.applied;
            inner.membership = image.membership.clone();
            inner.state = state;
            inner.image = Some(image);
        }
        self.publish();
        Ok(())
    }

    async fn save(&self, image: &Image, after: Option<LogIndex>) -> io::Result<()> {
        let (done, durable) = completion();
        let rows = vec![Row::Put {
            key: APPLIED.to_vec(),
            value: image.encode(),
        }];
        self.log.write_rows(after, rows, Some(done));
        wait(durable).await
    }
}
