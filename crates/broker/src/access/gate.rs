//! What every call passes before a service sees it: who makes it is noted with the request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use flotilla_net::RemoteCertificate;
use flotilla_protocol::ApiError;
use flotilla_types::{ErrorCode, Principal, Shown, bearer};
use tonic::Status;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tower::Layer;

use super::introduction;
use super::keeper::Keeper;
use super::valid_until::ValidUntil;

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
    async fn identify(
        &self,
        head: &mut http::request::Parts,
    ) -> Result<(Principal, ValidUntil), ApiError> {
        match self {
            Self::Public(_) if head.uri.path() == OPEN_TO_ALL => {
                Ok((Principal::anonymous(), ValidUntil::FOREVER))
            }
            Self::Public(keeper) => {
                let certificate = head.extensions.get::<RemoteCertificate>();
                let shown = Shown {
                    token: token(&head.headers)?,
                    certificate: certificate.and_then(RemoteCertificate::shown),
                };
                keeper.identify(shown).await
            }
            Self::Peers => {
                let metadata = MetadataMap::from_headers(std::mem::take(&mut head.headers));
                let caller = introduction::read(&metadata);
                head.headers = metadata.into_headers();
                caller
            }
        }
    }
}

/// What is shown in `authorization: Bearer …`.
fn token(headers: &http::HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(http::header::AUTHORIZATION) else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(bearer) {
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
            match gate.identify(&mut head).await {
                Ok((principal, valid_until)) => {
                    head.extensions.insert(principal);
                    head.extensions.insert(valid_until);
                    inner.call(http::Request::from_parts(head, body)).await
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}
