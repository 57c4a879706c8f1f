//! What each route answers.

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Router,
    extract::{Path, RawQuery, Request, State},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
            WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    HttpContext, REQUEST_WAIT_MAX, REQUESTS_MAX,
    access::{Access, Denied},
    status_body,
};
use crate::observe::metrics::{HttpCode, Route};
use crate::stream::query::{Busy, CustomerReply, Question};

/// Two ids of 512 bytes and the `/` between them.
const KEY_BYTES_MAX: usize = 1_025;
const PAGE: &str = include_str!("page.html");
const PAGE_STYLE: &str = include_str!("page.css");
const PAGE_SCRIPT: &str = include_str!("page.js");
const OPENAPI: &str = include_str!("../../../schemas/openapi.json");
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The page loads from and connects to this server only.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                            base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Shared = State<Arc<HttpContext>>;
type Answer = (StatusCode, [(HeaderName, &'static str); 1], Vec<u8>);

pub(super) fn router(context: Arc<HttpContext>, access: Access) -> Router {
    Router::new()
        .route("/", get(async || resource("text/html; charset=utf-8", PAGE)))
        .route("/page.css", get(async || resource("text/css; charset=utf-8", PAGE_STYLE)))
        .route("/page.js", get(async || resource("text/javascript; charset=utf-8", PAGE_SCRIPT)))
        .route("/openapi.json", get(async || resource(JSON, OPENAPI)))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/v1/status", get(status))
        .route("/v1/customers/{*id}", get(customer))
        .fallback(async || text(StatusCode::NOT_FOUND, "not found; see /\n"))
        .layer(Extension(access))
        .layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(REQUESTS_MAX)), bound))
        .layer(middleware::from_fn_with_state(Arc::clone(&context), observe))
        .with_state(context)
}

/// Bounds the time of every request, and how many there are at once beside the probes.
async fn bound(State(room): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let _permit = match route_of(request.uri().path()) {
        Route::Livez | Route::Readyz => None,
        Route::Metrics | Route::Status | Route::Customers | Route::Page => match room.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let answer = text(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once\n");
                return ([(RETRY_AFTER, "2")], answer).into_response();
            }
        },
    };
    timeout(REQUEST_WAIT_MAX, next.run(request)).await.unwrap_or_else(|_| {
        text(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long\n").into_response()
    })
}

/// Counts every request, and adds the headers that every answer has.
async fn observe(State(context): Shared, request: Request, next: Next) -> Response {
    let started_at = Instant::now();
    let route = route_of(request.uri().path());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
    ] {
        headers.insert(name, value.parse().expect("plain ASCII"));
    }
    context.metrics.on_http_request(route, code_of(response.status()), started_at.elapsed());
    response
}

fn resource(content_type: &'static str, text: &'static str) -> Answer {
    (StatusCode::OK, [(CONTENT_TYPE, content_type)], text.as_bytes().to_vec())
}

async fn metrics(State(context): Shared) -> Answer {
    apart(move || {
        context.metrics.set_service_state(context.status.state());
        (StatusCode::OK, [(CONTENT_TYPE, EXPOSITION)], context.metrics.render().into_bytes())
    })
    .await
}

async fn livez(State(context): Shared) -> Answer {
    probe(&context.status.dead_reasons(Instant::now()))
}

async fn readyz(State(context): Shared) -> Answer {
    let reasons = context.status.unready_reasons();
    if !reasons.is_empty() {
        return probe(&reasons);
    }
    let lines: Vec<String> = ["ok".to_owned()].into_iter().chain(context.status.remarks()).collect();
    text(StatusCode::OK, &(lines.join("\n") + "\n"))
}

fn probe(reasons: &[String]) -> Answer {
    if reasons.is_empty() {
        return text(StatusCode::OK, "ok\n");
    }
    text(StatusCode::SERVICE_UNAVAILABLE, &(reasons.join("\n") + "\n"))
}

async fn status(State(context): Shared, Extension(access): Extension<Access>, headers: HeaderMap) -> Answer {
    let customers = match access.check(&headers) {
        Ok(()) => status_body::CustomerIds::Shown,
        Err(Denied::Unauthorized | Denied::Forbidden(_)) => status_body::CustomerIds::Hidden,
    };
    apart(move || json(StatusCode::OK, &status_body::status(&context, customers))).await
}

/// Works an answer out on another thread: with some thousand partitions it takes long, and probes must not wait for it.
async fn apart(answer: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    let answered = tokio::task::spawn_blocking(answer).await;
    answered
        .unwrap_or_else(|_| error(StatusCode::INTERNAL_SERVER_ERROR, "the answer has failed, which is a bug"))
}

async fn customer(
    State(context): Shared,
    Extension(access): Extension<Access>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match access.check(&headers) {
        Ok(()) => {}
        Err(Denied::Unauthorized) => {
            let answer = error(StatusCode::UNAUTHORIZED, "a bearer token is needed");
            return ([(WWW_AUTHENTICATE, "Bearer")], answer).into_response();
        }
        Err(Denied::Forbidden(reason)) => return error(StatusCode::FORBIDDEN, reason).into_response(),
    }
    if id.len() > KEY_BYTES_MAX {
        return error(StatusCode::BAD_REQUEST, "a customer key has at most 1025 bytes").into_response();
    }
    let retry = |answer: Answer| ([(RETRY_AFTER, "2")], answer).into_response();
    match context.queries.ask(&id, question(query.as_deref())).await {
        Ok(CustomerReply::Found { profile, explained, position }) => {
            match status_body::customer(&profile, explained.as_deref(), &position) {
                Some(body) => json(StatusCode::OK, &body).into_response(),
                None => error(StatusCode::INTERNAL_SERVER_ERROR, "the profile is not JSON").into_response(),
            }
        }
        Ok(CustomerReply::NotFound(position)) => {
            json(StatusCode::NOT_FOUND, &status_body::unknown_customer(&position)).into_response()
        }
        Ok(CustomerReply::Restoring { partition }) => {
            let body = status_body::elsewhere("the partition is being restored", partition.0);
            retry(json(StatusCode::SERVICE_UNAVAILABLE, &body))
        }
        Ok(CustomerReply::NotOwned { partition }) => {
            let body = status_body::elsewhere("another instance owns the partition", partition.0);
            json(StatusCode::MISDIRECTED_REQUEST, &body).into_response()
        }
        Err(Busy) => {
            retry(error(StatusCode::SERVICE_UNAVAILABLE, "the customer is being written, ask again"))
        }
    }
}

/// `?explain`, with any value or none. Other parameters have no effect.
fn question(query: Option<&str>) -> Question {
    let names = query.unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    if names.into_iter().any(|name| name == "explain") { Question::Explanation } else { Question::Profile }
}

fn text(status: StatusCode, body: &str) -> Answer {
    (status, [(CONTENT_TYPE, TEXT)], body.as_bytes().to_vec())
}

fn json(status: StatusCode, body: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("plain values and string keys");
    (status, [(CONTENT_TYPE, JSON)], body)
}

fn error(status: StatusCode, message: &str) -> Answer {
    json(status, &serde_json::json!({ "error": message }))
}

fn route_of(path: &str) -> Route {
    match path {
        "/metrics" => Route::Metrics,
        "/livez" => Route::Livez,
        "/readyz" => Route::Readyz,
        "/v1/status" => Route::Status,
        path if path.starts_with("/v1/customers/") => Route::Customers,
        _ => Route::Page,
    }
}

fn code_of(status: StatusCode) -> HttpCode {
    match status {
        StatusCode::OK => HttpCode::Ok,
        StatusCode::BAD_REQUEST => HttpCode::BadRequest,
        StatusCode::UNAUTHORIZED => HttpCode::Unauthorized,
        StatusCode::FORBIDDEN => HttpCode::Forbidden,
        StatusCode::NOT_FOUND => HttpCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => HttpCode::MethodNotAllowed,
        StatusCode::MISDIRECTED_REQUEST => HttpCode::Misdirected,
        StatusCode::SERVICE_UNAVAILABLE => HttpCode::Unavailable,
        _ => HttpCode::Internal,
    }
}
