//! The metadata group as the broker uses it: proposals to its leader, and the `Metadata` service.

mod leaders_elsewhere;
mod link_service;
mod members;
mod producer_ids;
mod propose;
mod service;

pub(crate) use leaders_elsewhere::LeadersElsewhere;
pub(crate) use link_service::MetadataLinkService;
pub(crate) use members::run as keep_members;
pub(crate) use producer_ids::ProducerIds;
pub(crate) use propose::{Accepted, Proposed};
pub(crate) use service::{Leaders, MetadataService, node_messages};
