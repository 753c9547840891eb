//! What the learner shows over HTTP: `/metrics` for Prometheus, `/healthz` (it lives) and `/readyz`
//! (it gets on).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::figures::Board;
use crate::watchdog::Readiness;

/// What is shown.
#[derive(Clone)]
pub struct Shown {
    /// For `/metrics`.
    pub registry: Arc<Registry>,
    /// For `/healthz` and `/readyz`.
    pub board: Arc<Board>,
}

/// Serves until `stop`.
///
/// # Errors
/// The listener's.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(shown);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &shown.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(shown): State<Shown>) -> Response {
    match shown.board.vitals().dead_for() {
        None => "ok\n".into_response(),
        Some(silent) => {
            let seconds = silent.as_secs();
            let text = format!("the watchdog has not come through for {seconds} s\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn readiness(State(shown): State<Shown>) -> Response {
    let readiness = shown.board.vitals().readiness().borrow().clone();
    match readiness {
        Readiness::Ready => "ok\n".into_response(),
        Readiness::NotReady(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
        }
    }
}
