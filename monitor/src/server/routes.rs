//! The routes and their answers.

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Deserialize;

use super::context::Context;
use super::{events, guard, metrics, state};
use crate::alert::Key;
use crate::report::{
    self, Course, MemoryAlert, MemoryAnalysisReport, MemoryMetrics, MemoryUsageReport,
};
use crate::series::Span;

/// Longest body of a request.
const BODY_BYTES_MAX: usize = 64 << 10;

const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/app.js");
const STYLE: &str = include_str!("page/style.css");

pub(super) fn routes(context: Context) -> Router {
    let api = Router::new()
        .route("/api/v1/session", post(session))
        .route(
            "/api/v1/state",
            get(|State(c): State<Context>| async move { Json(state::state(&c)) }),
        )
        .route("/api/v1/usage", get(usage))
        .route("/api/v1/metrics", get(json_metrics))
        .route(
            "/api/v1/models",
            get(|State(c): State<Context>| async move { Json(state::models(&c)) }),
        )
        .route(
            "/api/v1/pipelines",
            get(|State(c): State<Context>| async move { Json(state::pipelines(&c)) }),
        )
        .route("/api/v1/history", get(history))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/alerts/acknowledge", post(acknowledge))
        .route("/api/v1/report", get(report))
        .route("/api/v1/stream", get(events::live))
        .route("/metrics", get(openmetrics))
        .route_layer(middleware::from_fn_with_state(
            context.clone(),
            guard::token,
        ));
    Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route(
            "/app.js",
            get(|| async { typed("text/javascript; charset=utf-8", SCRIPT) }),
        )
        .route(
            "/style.css",
            get(|| async { typed("text/css; charset=utf-8", STYLE) }),
        )
        .merge(api)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(
            context.clone(),
            guard::same_machine,
        ))
        .with_state(context)
}

/// Answers a valid token with a cookie, which event streams can send and scripts cannot read.
async fn session(State(context): State<Context>) -> Response {
    let name = guard::cookie_name(context.port);
    let cookie = format!(
        "{name}={}; Path=/; HttpOnly; SameSite=Strict",
        context.token
    );
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], StatusCode::NO_CONTENT).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn usage(State(context): State<Context>) -> Json<MemoryUsageReport> {
    Json(context.monitor.with(MemoryUsageReport::new))
}

async fn json_metrics(State(context): State<Context>) -> Json<MemoryMetrics> {
    Json(context.monitor.with(MemoryMetrics::new))
}

async fn alerts(State(context): State<Context>) -> Json<Vec<MemoryAlert>> {
    Json(context.monitor.with(report::alerts))
}

async fn acknowledge(State(context): State<Context>, Json(key): Json<Key>) -> StatusCode {
    let recovered = context.stream.seen(key);
    if let Some(notice) = &recovered {
        context.monitor.received(notice.id);
    }
    if context.monitor.acknowledge(key) || recovered.is_some() {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

#[derive(Deserialize)]
struct Parameters {
    span: Option<String>,
    format: Option<String>,
}

async fn history(
    State(context): State<Context>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Vec<Course>>, StatusCode> {
    let span = match parameters.span.as_deref() {
        None | Some("twoHours") => Span::TwoHours,
        Some("tenMinutes") => Span::TenMinutes,
        Some("sevenDays") => Span::SevenDays,
        Some(_) => return Err(StatusCode::BAD_REQUEST),
    };
    Ok(Json(
        context
            .monitor
            .with(|tracker| report::courses(tracker, span)),
    ))
}

async fn report(State(context): State<Context>, Query(parameters): Query<Parameters>) -> Response {
    let report = context.monitor.with(MemoryAnalysisReport::new);
    match parameters.format.as_deref() {
        None | Some("json") => Json(report).into_response(),
        Some("md") => typed("text/markdown; charset=utf-8", report.to_markdown()),
        // Its style is inline, which the policy of this server forbids, so browsers save it
        // instead.
        Some("html") => {
            let mut response = Html(report.to_html()).into_response();
            let save = HeaderValue::from_static("attachment; filename=\"memory-report.html\"");
            response
                .headers_mut()
                .insert(header::CONTENT_DISPOSITION, save);
            response
        }
        Some(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn openmetrics(State(context): State<Context>) -> Response {
    let publishers = context.monitor.publishers();
    let text = context
        .monitor
        .with(|tracker| metrics::render(tracker, &publishers));
    typed(metrics::TYPE, text)
}

fn typed(kind: &'static str, body: impl IntoResponse) -> Response {
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
        body,
    )
        .into_response()
}
