//! A gRPC server on one port, and how it ends.

use std::io;
use std::time::Duration;

use flotilla_broker::explain_refusal;
use futures::Stream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::util::MapResponseLayer;

use super::connections::GrpcConnection;

/// Serves until it is stopped.
pub(super) struct GrpcPort {
    setting: &'static str,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl GrpcPort {
    pub(super) fn open(
        setting: &'static str,
        server: Server,
        routes: Routes,
        incoming: impl Stream<Item = io::Result<GrpcConnection>> + Send + 'static,
    ) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let router = server
            .layer(MapResponseLayer::new(explain_refusal))
            .add_routes(routes);
        let serving = tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped));
        Self {
            setting,
            stop,
            serving,
        }
    }

    /// Accepts nothing more and tells clients to go elsewhere. Requests that are under way go on.
    pub(super) fn stop_accepting(&self) {
        self.stop.cancel();
    }

    /// Waits for requests that are under way, and cuts them off at the end of the time.
    pub(super) async fn finish(mut self, limit: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(limit, &mut self.serving)
            .await
            .is_err()
        {
            tracing::debug!(port = self.setting, "connections are cut off");
            self.serving.abort();
        }
    }

    /// Completes when the port stops serving by itself, which it never should. Cancel safe.
    pub(super) async fn failure(&mut self) -> String {
        let reason = match (&mut self.serving).await {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(error)) => format!("{:#}", anyhow::Error::new(error)),
            Err(error) => error.to_string(),
        };
        format!("{} is no longer served: {reason}", self.setting)
    }
}
