//! What every call passes before a service sees it: who makes it is noted with the request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use flotilla_protocol::ApiError;
use flotilla_types::{ErrorCode, Principal};
use tonic::Status;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tower::Layer;

use super::introduction;
use super::keeper::Keeper;

/// Anybody may ask what is wrong with a token.
const OPEN_TO_ALL: &str = "/flotilla.v1.Access/ExplainToken";

/// Lets those in who show a token or a key that counts.
pub(crate) fn let_in(routes: Routes, keeper: &Keeper) -> Routes {
    through(routes, Gate::Public(keeper.clone()))
}

/// Believes the callers, who are nodes, on whose behalf they call.
pub(crate) fn take_introductions(routes: Routes) -> Routes {
    through(routes, Gate::Peers)
}

fn through(routes: Routes, gate: Gate) -> Routes {
    Routes::from(routes.into_axum_router().layer(gate))
}

#[derive(Clone)]
enum Gate {
    Public(Keeper),
    Peers,
}

impl Gate {
    async fn identify(&self, head: &http::request::Parts) -> Result<Principal, ApiError> {
        match self {
            Self::Public(_) if head.uri.path() == OPEN_TO_ALL => Ok(Principal::anonymous()),
            Self::Public(keeper) => keeper.identify(bearer(&head.headers)?).await,
            Self::Peers => introduction::read(&MetadataMap::from_headers(head.headers.clone())),
        }
    }
}

/// What is shown in `authorization: Bearer …` (RFC 6750, section 2.1).
fn bearer(headers: &http::HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(http::header::AUTHORIZATION) else {
        return Ok(None);
    };
    let shown = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    match shown {
        Some(token) => Ok(Some(token)),
        None => Err(ApiError::new(
            ErrorCode::Unauthenticated,
            "the metadata `authorization` is not of the form `Bearer TOKEN`",
        )),
    }
}

impl<S> Layer<S> for Gate {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            gate: self.clone(),
            inner,
        }
    }
}

#[derive(Clone)]
struct Guarded<S> {
    gate: Gate,
    inner: S,
}

impl<S, B, R> Service<http::Request<B>> for Guarded<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = http::Response<R>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // The one that is ready goes with the request.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let gate = self.gate.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            match gate.identify(&head).await {
                Ok(principal) => {
                    head.extensions.insert(principal);
                    inner.call(http::Request::from_parts(head, body)).await
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}
