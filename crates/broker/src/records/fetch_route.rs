//! How the `Fetch` service is served: as the generated server does it, but for the one call that carries
//! many bytes, whose answers leave in the pieces in which they were read.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use flotilla_protocol::v1::fetch_server::{Fetch, FetchServer};
use flotilla_protocol::{FETCH_PATH, fetch_response, read_fetch_request};
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Request, Status};

use super::fetch::FetchService;

const ENCODING: &str = "grpc-encoding";

#[derive(Clone)]
pub(crate) struct FetchRoute {
    service: Arc<FetchService>,
    generated: FetchServer<FetchService>,
}

impl FetchRoute {
    pub(crate) fn new(service: FetchService) -> Self {
        let service = Arc::new(service);
        let generated = FetchServer::from_arc(Arc::clone(&service));
        Self {
            service,
            generated: generated.max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
        }
    }
}

impl NamedService for FetchRoute {
    const NAME: &'static str = FetchServer::<FetchService>::NAME;
}

impl Service<http::Request<Body>> for FetchRoute {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The generated server knows what to say of a compressed request.
        if request.uri().path() != FETCH_PATH || request.headers().contains_key(ENCODING) {
            return self.generated.call(request);
        }
        let service = Arc::clone(&self.service);
        Box::pin(async move {
            let answered = fetch(&service, request).await;
            Ok(answered.unwrap_or_else(Status::into_http))
        })
    }
}

async fn fetch(
    service: &FetchService,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    let (head, body) = request.into_parts();
    let message = read_fetch_request(body, GRPC_MESSAGE_BYTES_MAX).await?;
    let metadata = MetadataMap::from_headers(head.headers);
    let request = Request::from_parts(metadata, head.extensions, message);
    Ok(fetch_response(service.fetch(request).await?))
}
