//! Producer ids: reserved from the metadata group in blocks, given out one by one.
//!
//! What is left of a block when the node stops is never given out. There are 2^63 ids.

use std::ops::Range;
use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_state::metadata::MetadataCommand;
use flotilla_types::ProducerId;
use tokio::time::Instant;

use super::Accepted;
use super::propose::unexpected_answer;
use crate::node::Node;

const BLOCK_COUNT: u32 = 100;
const RESERVE_LIMIT: Duration = Duration::from_secs(10);

/// The ids that this node may still give out. The lock is held while a block is reserved, so that
/// one request reserves it for all that wait.
#[derive(Default)]
pub(crate) struct ProducerIds {
    block: tokio::sync::Mutex<Option<Range<u64>>>,
}

impl Node {
    /// An id that nobody ever had.
    pub(crate) async fn next_producer_id(&self) -> Result<ProducerId, ApiError> {
        let mut block = self.producer_ids.block.lock().await;
        if let Some(id) = block.as_mut().and_then(Iterator::next) {
            return Ok(ProducerId::new(id));
        }
        let command = MetadataCommand::AllocateProducerIds { count: BLOCK_COUNT };
        let deadline = Instant::now() + RESERVE_LIMIT;
        let Accepted::ProducerIds(ids) = self.propose(&command, deadline).await?.accepted else {
            return Err(unexpected_answer());
        };
        let ids = block.insert(ids.start.get()..ids.end.get());
        ids.next()
            .map(ProducerId::new)
            .ok_or_else(unexpected_answer)
    }
}
