//! The metadata group's state machine: small, so that its snapshot is simply all of it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_state::metadata::{MetadataCommand, MetadataState};
use flotilla_storage::{GroupLog, Row};
use flotilla_types::{LogIndex, Term};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::stored_membership;
use crate::log_store::{completion, wait};
use crate::rows::{APPLIED, Image};
use crate::type_config::{Payload, RaftLogId, Reply, StoredMembership};

/// The metadata as of the last applied entry, shared with everyone on the node who reads it.
pub(crate) struct MetadataCell {
    log: GroupLog,
    inner: Mutex<Inner>,
    published: watch::Sender<Arc<MetadataState>>,
    /// The term of the last applied entry: a leader has applied all that others committed before it
    /// once it has applied an entry of its own term.
    applied_term: watch::Sender<Option<Term>>,
}

struct Inner {
    applied: Option<RaftLogId>,
    membership: StoredMembership,
    state: MetadataState,
    /// The latest durable image: what a lagging follower gets.
    image: Option<Image>,
}

impl MetadataCell {
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
                state: MetadataState::default(),
                image: None,
            },
            Some(image) => Inner {
                applied: image.applied,
                membership: image.membership.clone(),
                state: MetadataState::decode(&image.state).map_err(io::Error::other)?,
                image: Some(image),
            },
        };
        let (published, _) = watch::channel(Arc::new(inner.state.clone()));
        let (applied_term, _) = watch::channel(None);
        Ok(Self {
            log,
            inner: Mutex::new(inner),
            published,
            applied_term,
        })
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<MetadataState>> {
        self.published.subscribe()
    }

    pub(crate) fn watch_applied_term(&self) -> watch::Receiver<Option<Term>> {
        self.applied_term.subscribe()
    }

    pub(crate) fn applied(&self) -> (Option<RaftLogId>, StoredMembership) {
        let inner = self.inner.lock();
        (inner.applied, inner.membership.clone())
    }

    /// How many entries were applied since the last image.
    pub(crate) fn entries_since_image(&self) -> u64 {
        let inner = self.inner.lock();
        let imaged = inner.image.as_ref().and_then(|image| image.applied);
        let index = |id: Option<RaftLogId>| id.map_or(0, |id| id.index);
        index(inner.applied).saturating_sub(index(imaged))
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
            Payload::Normal(command) => {
                let command = MetadataCommand::decode(&command.0).map_err(io::Error::other)?;
                let applied = inner.state.apply(&command);
                Ok(Reply::Metadata(Box::new(applied.outcome)))
            }
        }
    }

    pub(super) fn publish(&self) {
        let (state, applied) = {
            let inner = self.inner.lock();
            (inner.state.clone(), inner.applied)
        };
        self.published.send_if_modified(|current| {
            let changed = **current != state;
            *current = Arc::new(state);
            changed
        });
        if let Some(applied) = applied {
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
                state: inner.state.encode().into(),
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
        let state = MetadataState::decode(&image.state).map_err(io::Error::other)?;
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
