//! Who sent a request: a client, or a node that passes on what a client sent it.
//!
//! A node that passes a call on says so in the call's metadata. A client may send the same headers;
//! they only take away from what it is given.

use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_types::{ClusterId, ErrorCode, Principal};
use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use crate::access::{ValidUntil, introduction};

/// How often the call was passed on before it came here.
const HOPS: &str = "flotilla-hops";
/// Answer from what this node knows, and ask no other.
const LOCAL_ONLY: &str = "flotilla-local-only";
/// Cluster of the node that passes the call on.
const CLUSTER: &str = "flotilla-cluster";

/// A call goes from the node that was asked to a replica, and from there to the leader.
const HOPS_MAX: u8 = 2;

/// What the metadata of a request says, and on whose behalf it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    hops: u8,
    local_only: bool,
    caller: Principal,
    valid_until: ValidUntil,
}

impl Default for Origin {
    /// This node itself.
    fn default() -> Self {
        Self {
            hops: 0,
            local_only: false,
            caller: Principal::node(),
            valid_until: ValidUntil::FOREVER,
        }
    }
}

impl Origin {
    pub(crate) fn of<T>(request: &Request<T>, cluster: ClusterId) -> Result<Self, ApiError> {
        // Whoever let the request in has noted who makes it. Where nobody asks, everybody is welcome.
        let caller = request.extensions().get::<Principal>();
        let caller = caller.cloned().unwrap_or_else(Principal::node);
        let valid_until = request.extensions().get::<ValidUntil>().copied();
        let valid_until = valid_until.unwrap_or(ValidUntil::FOREVER);
        Self::read(request.metadata(), cluster, (caller, valid_until))
    }

    fn read(
        headers: &MetadataMap,
        cluster: ClusterId,
        (caller, valid_until): (Principal, ValidUntil),
    ) -> Result<Self, ApiError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(theirs) = text(CLUSTER)
            && theirs != cluster.to_string()
        {
            return Err(ApiError::new(
                ErrorCode::ClusterMismatch,
                format!("this node belongs to cluster {cluster}, the caller to {theirs}"),
            ));
        }
        let hops = match headers.get(HOPS) {
            None => 0,
            // What cannot be read is not passed on: it may have gone round for long.
            Some(_) => text(HOPS)
                .and_then(|text| text.parse().ok())
                .unwrap_or(HOPS_MAX),
        };
        Ok(Self {
            hops,
            local_only: headers.contains_key(LOCAL_ONLY),
            caller,
            valid_until,
        })
    }

    /// On whose behalf it is made.
    pub(crate) fn caller(&self) -> &Principal {
        &self.caller
    }

    /// Until when what the caller has shown counts.
    pub(crate) fn valid_until(&self) -> ValidUntil {
        self.valid_until
    }

    /// Another node sent it, and will try again itself.
    pub(crate) fn is_node(&self) -> bool {
        self.hops > 0
    }

    pub(crate) fn may_pass_on(&self) -> bool {
        self.hops < HOPS_MAX && !self.local_only
    }

    pub(crate) fn local_only(&self) -> bool {
        self.local_only
    }

    /// The request as another node gets it. It has `limit` to answer.
    pub(crate) fn pass_on<T>(&self, message: T, cluster: ClusterId, limit: Duration) -> Request<T> {
        let mut request = self.pass_on_stream(message, cluster);
        request.set_timeout(limit);
        request
    }

    /// As [`Self::pass_on`], for a call that lasts as long as its client wants.
    pub(crate) fn pass_on_stream<T>(&self, message: T, cluster: ClusterId) -> Request<T> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert(HOPS, AsciiMetadataValue::from(u16::from(self.hops) + 1));
        if let Ok(cluster) = AsciiMetadataValue::try_from(cluster.to_string()) {
            headers.insert(CLUSTER, cluster);
        }
        introduction::write(&self.caller, self.valid_until, headers);
        request
    }

    /// A request that the other node answers from what it knows itself.
    pub(crate) fn ask_only<T>(message: T, cluster: ClusterId, limit: Duration) -> Request<T> {
        let mut request = Self::default().pass_on(message, cluster, limit);
        let headers = request.metadata_mut();
        headers.insert(LOCAL_ONLY, AsciiMetadataValue::from_static("1"));
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER_ID: ClusterId = ClusterId::new([7; 16]);
    const LIMIT: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_may_be_passed_on_twice_and_no_further() {
        let client = Origin::of(&Request::new(()), CLUSTER_ID).unwrap();
        assert!(!client.is_node() && client.may_pass_on());
        let first = Origin::of(&client.pass_on((), CLUSTER_ID, LIMIT), CLUSTER_ID).unwrap();
        assert!(first.is_node() && first.may_pass_on());
        let second = Origin::of(&first.pass_on((), CLUSTER_ID, LIMIT), CLUSTER_ID).unwrap();
        assert!(second.is_node() && !second.may_pass_on());
    }

    #[test]
    fn a_call_of_another_cluster_is_refused() {
        let request = Origin::default().pass_on((), ClusterId::new([8; 16]), LIMIT);
        let error = Origin::of(&request, CLUSTER_ID).unwrap_err();
        assert_eq!(error.code, ErrorCode::ClusterMismatch);
    }

    #[test]
    fn what_is_asked_of_one_node_stays_there() {
        let asked = Origin::ask_only((), CLUSTER_ID, LIMIT);
        let origin = Origin::of(&asked, CLUSTER_ID).unwrap();
        assert!(origin.local_only() && !origin.may_pass_on());
    }

    #[test]
    fn hops_that_cannot_be_read_are_the_last() {
        for nonsense in ["-1", "300", "two"] {
            let mut request = Request::new(());
            let value = AsciiMetadataValue::from_static(nonsense);
            request.metadata_mut().insert(HOPS, value);
            assert!(!Origin::of(&request, CLUSTER_ID).unwrap().may_pass_on());
        }
    }
}
