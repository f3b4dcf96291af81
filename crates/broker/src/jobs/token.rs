//! What makes a fencing token of what a coordinator's state counts.

use flotilla_protocol::ApiError;
use flotilla_raft::Coordinator;

use crate::errors;
use crate::node::Node;

/// The coordinator's number, which its tokens carry, so that no two coordinators give out the same.
pub(super) fn number_of(node: &Node, coordinator: &Coordinator) -> Result<u8, ApiError> {
    let metadata = node.state();
    let mut placed = metadata.coordinators().iter();
    let number = placed.position(|placed| placed.raft_group == coordinator.raft_group());
    let number = number.and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(errors::metadata_lags)
}
