//! All jobs, owned or not.

use flotilla_protocol::v1;
use flotilla_raft::Coordinator;
use flotilla_state::groups::{Job, JobOwner};
use flotilla_types::{FencingToken, JobName};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::token::number_of;
use crate::coordinators::{Coordinated, Listed, Listing};
use crate::node::Node;

/// How many coordinators an answer is about: for the node that asks, which must not leave any out.
const COORDINATORS_HEADER: &str = "flotilla-coordinators";

impl Listing for v1::Job {
    type Request = v1::ListJobsRequest;

    fn led(node: &Node, coordinator: &Coordinator) -> Option<Vec<Self>> {
        let number = number_of(node, coordinator).ok()?;
        Some(coordinator.look(|state| {
            let jobs = state.jobs().jobs().map(|(name, job)| {
                let token = FencingToken::of_coordinator(number, job.token_count);
                job_message(name, job, token)
            });
            jobs.collect()
        }))
    }

    fn request() -> Self::Request {
        v1::ListJobsRequest {}
    }

    async fn ask(
        request: Request<Self::Request>,
        channel: Channel,
    ) -> Result<Listed<Self>, Status> {
        let answer = JobName::client(channel).list_jobs(request).await?;
        let count = answer.metadata().get(COORDINATORS_HEADER);
        let count = count.and_then(|count| count.to_str().ok()?.parse().ok());
        Ok(Listed {
            coordinators: count.unwrap_or(0),
            parts: answer.into_inner().jobs,
        })
    }
}

/// By name.
pub(super) fn list_response(listed: Listed<v1::Job>) -> Response<v1::ListJobsResponse> {
    let mut jobs = listed.parts;
    jobs.sort_by(|a, b| a.name.cmp(&b.name));
    let mut response = Response::new(v1::ListJobsResponse { jobs });
    let count = AsciiMetadataValue::from(listed.coordinators);
    response.metadata_mut().insert(COORDINATORS_HEADER, count);
    response
}

fn job_message(name: &JobName, job: &Job, token: FencingToken) -> v1::Job {
    v1::Job {
        name: name.to_string(),
        token: token.get(),
        owner: job.owner.as_ref().map(owner_message),
    }
}

fn owner_message(owner: &JobOwner) -> v1::JobOwner {
    v1::JobOwner {
        owner_id: owner.id.to_string(),
        client_name: owner.client_name.clone(),
        session_timeout_ms: owner.session_timeout_ms,
        acquired_at_ms: owner.acquired_at.as_millis(),
    }
}
