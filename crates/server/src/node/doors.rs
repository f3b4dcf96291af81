//! The doors of the gateway, opened to the node in this process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flotilla_broker::{Broker, explain_refusal};
use flotilla_client::{
    ApiError, Client, ClientConfig, ClientError, ErrorCode, NodeChannel, Principal, Routing, Shown,
};
use flotilla_gateway::{Doorkeeper, Doors};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tower::util::{BoxCloneSyncService, MapResponse};

/// Where the client believes the node to be. Nobody is asked there: calls go to the node directly.
const THIS_NODE: &str = "this-node:1";
/// A node that has no answer yet is asked again after this time.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks the broker who it is that knocks.
#[derive(Default)]
pub(super) struct Porter {
    broker: OnceLock<Broker>,
}

impl Porter {
    pub(super) fn begin(&self, broker: Broker) {
        // A node has one broker.
        let _ = self.broker.set(broker);
    }
}

impl Doorkeeper for Porter {
    fn identify<'a>(&'a self, shown: Shown<'a>) -> BoxFuture<'a, Result<Principal, ClientError>> {
        async move {
            match self.broker.get() {
                Some(broker) => broker.identify(shown).await.map_err(ClientError::from),
                None => {
                    let message = "the node does not serve yet: try again in a moment";
                    Err(ApiError::new(ErrorCode::LeaderNotAvailable, message).into())
                }
            }
        }
        .boxed()
    }
}

/// Opens the doors as soon as the node knows its cluster.
pub(super) async fn open(doors: Doors, broker: Broker, stop: CancellationToken) {
    let routes = MapResponse::new(broker.local_routes(), explain_refusal);
    let node = NodeChannel::local(BoxCloneSyncService::new(routes));
    let config = ClientConfig {
        routing: Routing::ThroughBootstrap,
        ..ClientConfig::new([THIS_NODE])
    };
    loop {
        let node = node.clone();
        let connecting = Client::over(Arc::new(move |_| Ok(node.clone())), config.clone());
        match stop.run_until_cancelled(connecting).await {
            None => return,
            Some(Ok(client)) => return doors.open(client),
            Some(Err(error)) => {
                tracing::debug!(%error, "the doors stay closed");
                stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
        }
    }
}
