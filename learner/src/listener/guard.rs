//! The one place where calls are allowed or not, in front of every gRPC call and every page that says
//! something of the run.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tributary_proto::access::{self, Role};
use tributary_proto::code::Code;

use super::Peer;
use super::connections::{Connections, Full};
use crate::callers::{Callers, Denied};

/// What it asks.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Who may what.
    pub callers: Arc<Callers>,
    /// Of this listener.
    pub connections: Arc<Connections>,
}

/// Why a call is not made.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Full(#[from] Full),
}

impl Stopped {
    fn code(&self) -> Code {
        match self {
            Self::Denied(_) => Code::Unauthorized,
            Self::Full(_) => Code::Overloaded,
        }
    }
}

impl Guard {
    /// In front of all gRPC services: [`access`] says what each call asks for.
    pub fn before_calls(self, routes: axum::Router) -> axum::Router {
        routes.layer(middleware::from_fn_with_state(self, guard_call))
    }

    /// In front of all pages: each asks for control.
    pub fn before_pages(self, routes: axum::Router) -> axum::Router {
        routes.layer(middleware::from_fn_with_state(self, guard_page))
    }

    /// Whether the caller may; from then on its connection may stay.
    fn allow(&self, needed: Option<Role>, request: &Parts<'_>) -> Result<(), Stopped> {
        let allowed = self.decide(needed, request);
        if let Err(stopped) = &allowed {
            self.connections.deny();
            let certificate = request.peer.and_then(|peer| peer.certificate.as_ref());
            let certificate = certificate.map(ToString::to_string);
            tracing::debug!(path = request.path, certificate, %stopped, "call denied");
        }
        allowed
    }

    fn decide(&self, needed: Option<Role>, request: &Parts<'_>) -> Result<(), Stopped> {
        // Without a peer nobody knows whose connection this is.
        let peer = request.peer.ok_or(Denied::NoSuchCall)?;
        let certificate = peer.certificate.as_ref();
        let needed_or_most = needed.unwrap_or(Role::Control);
        let role = self.callers.admit(needed_or_most, certificate, request.headers)?;
        needed.ok_or(Denied::NoSuchCall)?;
        Ok(peer.ticket.admit(role, certificate)?)
    }
}

/// What is looked at of a request.
struct Parts<'a> {
    path: &'a str,
    headers: &'a HeaderMap,
    peer: Option<&'a Peer>,
}

impl<'a> Parts<'a> {
    fn of(request: &'a Request) -> Self {
        let path = request.uri().path();
        Self { path, headers: request.headers(), peer: request.extensions().get() }
    }
}

async fn guard_call(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let needed = access::needed(request.uri().path());
    if let Err(stopped) = guard.allow(needed, &Parts::of(&request)) {
        return stopped.code().status(stopped).into_http::<Body>();
    }
    forget_token(&mut request);
    next.run(request).await
}

async fn guard_page(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    if let Err(stopped) = guard.allow(Some(Role::Control), &Parts::of(&request)) {
        let status = match stopped {
            Stopped::Denied(_) => StatusCode::UNAUTHORIZED,
            Stopped::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (status, challenge, format!("{stopped}\n")).into_response();
    }
    forget_token(&mut request);
    next.run(request).await
}

/// Nothing behind the guard needs the token, so nothing can show it.
fn forget_token(request: &mut Request) {
    request.headers_mut().remove(header::AUTHORIZATION);
}
