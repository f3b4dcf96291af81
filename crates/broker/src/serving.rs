//! The gRPC services of a node, put together, and the settings of the servers that carry them.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::internal::v1::metadata_link_server::MetadataLinkServer;
use flotilla_protocol::v1;
use flotilla_protocol::v1::access_server::AccessServer;
use flotilla_protocol::v1::cluster_admin_server::ClusterAdminServer;
use flotilla_protocol::v1::consumer_groups_server::ConsumerGroupsServer;
use flotilla_protocol::v1::fetch_server::FetchServer;
use flotilla_protocol::v1::jobs_server::JobsServer;
use flotilla_protocol::v1::manifests_server::ManifestsServer;
use flotilla_protocol::v1::metadata_server::MetadataServer;
use flotilla_protocol::v1::produce_server::ProduceServer;
use flotilla_protocol::v1::schema_admin_server::SchemaAdminServer;
use flotilla_protocol::v1::topic_admin_server::TopicAdminServer;
use flotilla_types::limits::{
    GRPC_CONCURRENT_STREAMS_MAX, GRPC_CONNECTION_WINDOW_BYTES, GRPC_FRAME_BYTES,
    GRPC_KEEPALIVE_INTERVAL_MS, GRPC_KEEPALIVE_TIMEOUT_MS, GRPC_MESSAGE_BYTES_MAX,
    GRPC_STREAM_WINDOW_BYTES,
};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::access::{self, AccessService};
use crate::cluster::ClusterService;
use crate::groups::GroupService;
use crate::jobs::JobService;
use crate::manifests::ManifestService;
use crate::metadata::{MetadataLinkService, MetadataService};
use crate::node::Node;
use crate::records::{FetchRoute, FetchService, ProduceService};
use crate::schemas::SchemaService;
use crate::topics::TopicService;

/// Streams that another node may have open: each stream of each of its clients can need one for
/// every partition that it passes on.
const PEER_CONCURRENT_STREAMS_MAX: u32 = 65_536;

/// A server for [`Broker::public_routes`](crate::Broker::public_routes).
pub fn public_server() -> Server {
    server().max_concurrent_streams(GRPC_CONCURRENT_STREAMS_MAX)
}

/// A server for [`Broker::peer_routes`](crate::Broker::peer_routes).
pub fn peer_server() -> Server {
    server().max_concurrent_streams(PEER_CONCURRENT_STREAMS_MAX)
}

fn server() -> Server {
    let keepalive_interval = Duration::from_millis(GRPC_KEEPALIVE_INTERVAL_MS);
    let keepalive_timeout = Duration::from_millis(GRPC_KEEPALIVE_TIMEOUT_MS);
    Server::builder()
        .tcp_nodelay(true)
        .max_frame_size(GRPC_FRAME_BYTES)
        .initial_stream_window_size(GRPC_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(GRPC_CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(keepalive_interval))
        .http2_keepalive_timeout(Some(keepalive_timeout))
}

pub(crate) fn public_routes(node: &Arc<Node>, health: &Health) -> Routes {
    let descriptors = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let invariant = "invariant: the descriptors were generated with this program";
    let services = client_services(node);
    let services = match &node.keeper {
        Some(keeper) => access::let_in(services, keeper),
        None => services,
    };
    services
        .add_service(health.service())
        .add_service(descriptors().build_v1().expect(invariant))
        // Python's reflection library and older command lines know no other version.
        .add_service(descriptors().build_v1alpha().expect(invariant))
        .prepare()
}

pub(crate) fn local_routes(node: &Arc<Node>) -> Routes {
    client_services(node).prepare()
}

pub(crate) fn peer_routes(node: &Arc<Node>) -> Routes {
    let services = access::take_introductions(client_services(node));
    services
        .add_service(
            MetadataLinkServer::new(MetadataLinkService::new(node.clone()))
                .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
        )
        .prepare()
}

fn client_services(node: &Arc<Node>) -> Routes {
    Routes::new(
        ProduceServer::new(ProduceService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
    .add_service(FetchRoute::new(FetchService::new(node.clone())))
    .add_service(
        TopicAdminServer::new(TopicService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
    .add_service(
        MetadataServer::new(MetadataService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
    .add_service(
        ConsumerGroupsServer::new(GroupService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
    .add_service(
        JobsServer::new(JobService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
    .add_service(
        ClusterAdminServer::new(ClusterService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
    .add_service(
        SchemaAdminServer::new(SchemaService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
    .add_service(
        AccessServer::new(AccessService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
    .add_service(
        ManifestsServer::new(ManifestService::new(node.clone()))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
    )
}

/// What the health service tells, for the node and for each of its services.
#[derive(Clone, Default)]
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn report(&self, status: ServingStatus) {
        let services = [
            "",
            ProduceServer::<ProduceService>::NAME,
            FetchServer::<FetchService>::NAME,
            TopicAdminServer::<TopicService>::NAME,
            MetadataServer::<MetadataService>::NAME,
            ClusterAdminServer::<ClusterService>::NAME,
            ConsumerGroupsServer::<GroupService>::NAME,
            JobsServer::<JobService>::NAME,
            SchemaAdminServer::<SchemaService>::NAME,
            ManifestsServer::<ManifestService>::NAME,
            AccessServer::<AccessService>::NAME,
        ];
        for service in services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// Serving from the moment the node has joined until it stops.
pub(crate) async fn report_health(node: Arc<Node>, health: Health) {
    health.report(ServingStatus::NotServing).await;
    let mut joined = node.joined.subscribe();
    tokio::select! {
        () = node.stop.cancelled() => return,
        // The sender lives in the node.
        _ = joined.wait_for(|joined| *joined) => {}
    }
    health.report(ServingStatus::Serving).await;
    node.stop.cancelled().await;
    health.report(ServingStatus::NotServing).await;
}
