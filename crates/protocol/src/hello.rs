//! The greeting between nodes, as a frame body.

use bytes::Bytes;
use flotilla_types::{ClusterId, Incarnation, Lineage, NodeId};
use prost::Message;

use crate::internal::v1;

/// Who opens or answers a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub format_version: u32,
    pub cluster: ClusterId,
    pub node: NodeId,
    pub lineage: Lineage,
}

impl Hello {
    pub fn encode(&self) -> Bytes {
        let message = v1::Hello {
            format_version: self.format_version,
            cluster_id: Bytes::copy_from_slice(&self.cluster.to_bytes()),
            node_id: self.node.get(),
            starts: self
                .lineage
                .starts()
                .iter()
                .map(|start| start.get())
                .collect(),
        };
        message.encode_to_vec().into()
    }

    /// `None` if the bytes are not a greeting.
    pub fn decode(body: Bytes) -> Option<Self> {
        let message = v1::Hello::decode(body).ok()?;
        let starts = message.starts.into_iter().map(Incarnation::new).collect();
        Some(Self {
            format_version: message.format_version,
            cluster: ClusterId::new(message.cluster_id.as_ref().try_into().ok()?),
            node: NodeId::new(message.node_id),
            lineage: Lineage::from_starts(starts)?,
        })
    }
}
