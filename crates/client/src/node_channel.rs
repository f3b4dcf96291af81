//! What calls to a node go over: a connection, or the node itself if it runs in this process.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use flotilla_types::Principal;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tower::util::BoxCloneSyncService;

use crate::ClientConfig;

const AUTHORIZATION: &str = "authorization";

type Request = http::Request<Body>;
type Response = http::Response<Body>;
type Answer = Pin<Box<dyn Future<Output = Result<Response, tonic::transport::Error>> + Send>>;

/// The gRPC services of a node in the same process.
pub type LocalNode = BoxCloneSyncService<Request, Response, Infallible>;

/// A way to a node. Clones share the connection.
#[derive(Clone, Debug)]
pub struct NodeChannel {
    way: Way,
    caller: Caller,
}

#[derive(Clone, Debug)]
enum Way {
    Connection(Channel),
    Local(LocalNode),
}

/// On whose behalf calls are made.
#[derive(Clone, Debug, Default)]
pub(crate) enum Caller {
    /// Nobody in particular: what the node makes of the connection.
    #[default]
    Connection,
    /// Whoever may show this.
    Shows(MetadataValue<Ascii>),
    /// Somebody whom a door of the same process has let in. Other nodes would not believe it.
    Principal(Principal),
}

impl NodeChannel {
    /// Calls services of this process directly. They believe whom the caller acts for.
    pub fn local(node: LocalNode) -> Self {
        Self {
            way: Way::Local(node),
            caller: Caller::default(),
        }
    }

    pub(crate) fn on_behalf_of(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }
}

impl From<Channel> for NodeChannel {
    fn from(channel: Channel) -> Self {
        Self {
            way: Way::Connection(channel),
            caller: Caller::default(),
        }
    }
}

impl Caller {
    pub(crate) fn of(config: &ClientConfig) -> Self {
        let credentials = config.credentials.as_ref();
        credentials.map_or(Self::Connection, |shown| Self::Shows(shown.header()))
    }

    fn introduce(&self, request: &mut Request) {
        match self {
            Self::Connection => {}
            Self::Shows(credentials) => {
                let mut metadata = MetadataMap::new();
                metadata.insert(AUTHORIZATION, credentials.clone());
                request.headers_mut().extend(metadata.into_headers());
            }
            Self::Principal(principal) => {
                request.extensions_mut().insert(principal.clone());
            }
        }
    }
}

impl Service<Request> for NodeChannel {
    type Response = Response;
    type Error = tonic::transport::Error;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match &mut self.way {
            Way::Connection(channel) => channel.poll_ready(context),
            Way::Local(node) => node.poll_ready(context).map_err(|never| match never {}),
        }
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        self.caller.introduce(&mut request);
        match &mut self.way {
            Way::Connection(channel) => Box::pin(channel.call(request)),
            Way::Local(node) => {
                let answer = node.call(request);
                Box::pin(async move { answer.await.map_err(|never| match never {}) })
            }
        }
    }
}
