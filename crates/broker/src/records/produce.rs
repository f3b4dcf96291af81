//! The `Produce` service.

use std::pin::Pin;
use std::sync::Arc;

use flotilla_protocol::v1;
use flotilla_protocol::v1::produce_server::Produce;
use flotilla_types::limits::PRODUCE_STREAM_IN_FLIGHT_MAX;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::intake::{Intake, Patience};
use crate::node::{Node, shutting_down};
use crate::origin::Origin;

pub(crate) struct ProduceService {
    node: Arc<Node>,
}

impl ProduceService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Produce for ProduceService {
    async fn produce(
        &self,
        request: Request<v1::ProduceRequest>,
    ) -> Result<Response<v1::ProduceResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        let (sender, mut answers) = mpsc::channel(1);
        let mut intake = Intake::new(self.node.clone(), origin, Patience::None, sender);
        intake.take(request.into_inner()).await;
        drop(intake);
        // Without an answer the lane was dropped, which happens only when the runtime ends.
        let answer = answers.recv().await.ok_or_else(shutting_down)??;
        Ok(Response::new(answer.into_response()?))
    }

    async fn fence_producer(
        &self,
        request: Request<v1::FenceProducerRequest>,
    ) -> Result<Response<v1::FenceProducerResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        let fenced = self.node.fence_producer(request.into_inner(), &origin);
        Ok(Response::new(fenced.await?))
    }

    type ProduceStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::ProduceResponse, Status>> + Send>>;

    async fn produce_stream(
        &self,
        request: Request<Streaming<v1::ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        self.node.refuse_when_stopping()?;
        let (sender, answers) = mpsc::channel(PRODUCE_STREAM_IN_FLIGHT_MAX);
        // A node that passes requests on must not wait for room here: with room taken on both
        // sides, two nodes could wait for each other.
        let patience = if origin.is_node() {
            Patience::None
        } else {
            Patience::UntilDeadline
        };
        let intake = Intake::new(self.node.clone(), origin, patience, sender);
        self.node.tasks.spawn(intake.run(request.into_inner()));
        let messages = ReceiverStream::new(answers)
            .map(|answer| answer.map(super::answer::Answer::into_message));
        Ok(Response::new(Box::pin(messages)))
    }
}
