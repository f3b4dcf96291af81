//! The `Jobs` service.

use std::sync::Arc;

use flotilla_protocol::v1;
use flotilla_protocol::v1::jobs_server::Jobs;
use flotilla_state::access::Resource;
use tonic::{Request, Response, Status};

use super::list::list_response;
use crate::coordinators::serve;
use crate::node::Node;
use crate::origin::Origin;

pub(crate) struct JobService {
    node: Arc<Node>,
}

impl JobService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Jobs for JobService {
    async fn acquire_job(
        &self,
        request: Request<v1::AcquireJobRequest>,
    ) -> Result<Response<v1::AcquireJobResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn renew_job(
        &self,
        request: Request<v1::RenewJobRequest>,
    ) -> Result<Response<v1::RenewJobResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn release_job(
        &self,
        request: Request<v1::ReleaseJobRequest>,
    ) -> Result<Response<v1::ReleaseJobResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        self.node.refuse_when_stopping()?;
        let mut listed = self.node.list_coordinated(&origin).await?;
        let sees = |job: &v1::Job| self.node.sees(&origin, Resource::Job(&job.name));
        listed.parts.retain(sees);
        Ok(list_response(listed))
    }
}
