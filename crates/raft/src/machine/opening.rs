//! What the replica of a partition finds of its former life when it is opened.

use std::collections::BTreeSet;
use std::io;

use bytes::Bytes;
use flotilla_state::partition::PartitionState;
use flotilla_storage::GroupLog;
use flotilla_types::{LogIndex, Offset};

use crate::rows::{Image, all_rejected_keys, checkpoint_key, position_of};

/// Rejected appends that are read at the start. They arise only when leaders change mid-flight.
const REJECTED_ROWS_MAX: usize = 1_000_000;

/// The end of the checkpoint that stands for the purged part of the log.
pub(super) fn available_from(log: &GroupLog, snapshot: Option<LogIndex>) -> io::Result<Offset> {
    let Some(index) = snapshot else {
        return Ok(Offset::ZERO);
    };
    let row = log.row(&checkpoint_key(index)).map_err(io::Error::other)?;
    let bytes = row.ok_or_else(|| {
        io::Error::other(format!(
            "raft group {} is purged up to entry {index}, whose checkpoint is missing",
            log.id()
        ))
    })?;
    let image = Image::decode(Bytes::from(bytes)).map_err(io::Error::other)?;
    let state = PartitionState::decode(&image.state).map_err(io::Error::other)?;
    Ok(state.next_offset())
}

/// A crash between installing a checkpoint and purging the old log leaves the state ahead of the
/// log. That is in order only if the state is exactly a stored checkpoint: then the purge is done
/// now. Any other state ahead of its log means that synced entries are missing.
pub(super) fn finish_installation(log: &GroupLog, image: &Image) -> io::Result<()> {
    let applied = image.applied.ok_or_else(|| {
        io::Error::other("a state without applied entries cannot be ahead of its log")
    })?;
    let checkpoint = log
        .row(&checkpoint_key(LogIndex::new(applied.index)))
        .map_err(io::Error::other)?;
    if checkpoint.as_deref() != Some(image.encode().as_ref()) {
        return Err(io::Error::other(format!(
            "the state of raft group {} is at entry {} but its log ends at {:?}: synced entries are \
             missing, so this replica must not serve; restore the disk or replace the node",
            log.id(),
            applied.index,
            log.bounds().last,
        )));
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    log.purge_to(
        crate::codec::to_log_id(&applied),
        Box::new(move |result| {
            // The receiver waits right below.
            let _ = sender.send(result);
        }),
    );
    receiver
        .recv()
        .map_err(io::Error::other)?
        .map_err(io::Error::other)
}

pub(super) fn load_rejected(log: &GroupLog) -> io::Result<BTreeSet<LogIndex>> {
    let rows = log
        .rows(all_rejected_keys(), REJECTED_ROWS_MAX)
        .map_err(io::Error::other)?;
    Ok(rows
        .iter()
        .filter_map(|(key, _)| position_of(key))
        .map(LogIndex::new)
        .collect())
}
