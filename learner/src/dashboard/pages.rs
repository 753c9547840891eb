//! The pages of the dashboard: its files, which hold nothing of a run and are for everybody, and what
//! is drawn on them, for who may look at the run.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Dashboard;
use super::events::{self, Events};
use super::history::BUCKETS;

/// One file: its path, its kind, its contents.
type File = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files, as they are in this program.
const FILES: [File; 6] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/dashboard.css", "text/css; charset=utf-8", include_str!("page/dashboard.css")),
    ("/dashboard.js", SCRIPT, include_str!("page/dashboard.js")),
    ("/panels.js", SCRIPT, include_str!("page/panels.js")),
    ("/charts.js", SCRIPT, include_str!("page/charts.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// Nothing but these files is loaded, run or sent to; no script or style stands in the page itself;
/// no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The paths of the files.
#[cfg(test)]
pub(crate) const FILE_PATHS: [&str; 6] =
    [FILES[0].0, FILES[1].0, FILES[2].0, FILES[3].0, FILES[4].0, FILES[5].0];

/// The paths of what is drawn.
pub(crate) const DATA_PATHS: [&str; 4] =
    ["/api/v1/snapshot", "/api/v1/history", "/api/v1/distribution", "/api/v1/events"];

/// The files.
pub(crate) fn files() -> Router {
    FILES.into_iter().fold(Router::new(), |routes, (path, kind, text)| {
        let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
        routes.route(path, get(move || async move { (headers, text) }))
    })
}

/// What is drawn, until `stop`.
pub(crate) fn data(dashboard: Arc<Dashboard>, stop: CancellationToken) -> Router {
    let [snapshot_page, history_page, distribution_page, events_page] = DATA_PATHS;
    Router::new()
        .route(snapshot_page, get(snapshot))
        .route(history_page, get(history))
        .route(distribution_page, get(distribution))
        .route(events_page, get(events))
        .with_state(Shared { dashboard, stop })
}

/// Says with every answer what a browser may do with it.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[derive(Clone)]
struct Shared {
    dashboard: Arc<Dashboard>,
    stop: CancellationToken,
}

async fn snapshot(State(shared): State<Shared>) -> Response {
    json(&shared.dashboard.snapshot())
}

async fn history(State(shared): State<Shared>, uri: Uri) -> Response {
    let part = Part::of(uri.query().unwrap_or_default());
    json(&shared.dashboard.history(part.seconds, part.points))
}

async fn distribution(State(shared): State<Shared>) -> Response {
    json(&shared.dashboard.distribution().as_deref())
}

async fn events(State(shared): State<Shared>, headers: HeaderMap) -> Events {
    events::stream(shared.dashboard, &headers, shared.stop)
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Which part of the history: `?seconds=600&points=500`, both or neither.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    /// The last so many; without it, everything.
    seconds: Option<f64>,
    /// The most buckets.
    points: usize,
}

impl Part {
    fn of(query: &str) -> Self {
        let value = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
        };
        let seconds = value("seconds").and_then(|text| text.parse().ok());
        let points = value("points").and_then(|text| text.parse().ok());
        Self { seconds: seconds.filter(|s: &f64| s.is_finite()), points: points.unwrap_or(BUCKETS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_is_not_well_asks_for_everything() {
        let part = |seconds, points| Part { seconds, points };
        assert_eq!(Part::of("seconds=60&points=300"), part(Some(60.0), 300));
        assert_eq!(Part::of("points=5"), part(None, 5));
        for query in ["", "seconds", "seconds=x&points=-1", "&&=", "seconds=inf&points=1.5"] {
            assert_eq!(Part::of(query), part(None, BUCKETS), "{query}");
        }
    }

    #[test]
    fn the_page_holds_no_script_and_no_style_and_names_its_own_files_only() {
        let [page, ..] = FILES;
        for word in
            ["<style", " style=", " onclick", " onload", "javascript:", "http://", "https://"]
        {
            assert!(!page.2.contains(word), "{word} is in the page");
        }
        let scripts = page.2.matches("<script").count();
        assert_eq!(scripts, page.2.matches("<script type=\"module\" src=\"/").count());
        for (path, _, text) in FILES {
            // Nothing is made of texts but texts.
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!text.contains(word), "{word} is in {path}");
            }
        }
        for part in page.2.split(['"', ' ']).filter(|part| part.starts_with('/') && part.len() > 2)
        {
            let is_ours = FILE_PATHS.contains(&part) || !part.contains('.');
            assert!(is_ours, "{part} is not among the files");
        }
    }
}
