//! The HTTP server: metrics, probes, committed state of a customer, and a small live page.
//!
//! | route | answers |
//! |---|---|
//! | `/metrics` | every metric, in the text format of Prometheus |
//! | `/livez` | 200 while the loops turn; independent of Kafka and of restore |
//! | `/readyz` | 200 while every owned partition is restored and the service is not shutting down |
//! | `/v1/customers/{id}` | the committed profile of a customer; with `?explain`, how it came about |
//! | `/v1/status` | the figures behind the live page |
//! | `/openapi.json` | this table, as OpenAPI 3.1 |
//! | `/`, `/page.css`, `/page.js` | the live page |
//!
//! It binds to loopback unless configured otherwise, and everything about a request is bounded: the size of its head, the time
//! it takes, and how many there are at once. Bodies are not read.
//!
//! Probes get through whatever others do: a new connection takes the place of the one that has been silent for longest, answers
//! that take long are worked out on other threads, and there is always room beside them.

mod access;
mod connections;
mod evidence_body;
mod explanation_body;
mod routes;
mod rule_evidence_body;
mod status_body;
mod window_body;

use std::{
    future::Future,
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tracing::{debug, warn};

pub use self::status_body::explained_json;

use self::access::Access;
use self::connections::{Connections, Place};
use crate::config::HttpSettings;
use crate::observe::metrics::Metrics;
use crate::observe::status::ServiceStatus;
use crate::stream::query::QueryRouter;

/// Connections at once. A scraper, two probes and some people with the page need a dozen.
const CONNECTIONS_MAX: usize = 128;
/// Requests at once, probes apart; more are turned away. So there is always a connection that is silent, or room for one more.
const REQUESTS_MAX: usize = 64;
/// For the head of a request, and for the pause between two requests of a connection.
const HEAD_READ_WAIT_MAX: Duration = Duration::from_secs(15);
/// A connection ends after so long, whatever its peer does; a scraper opens another.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
/// Longer than any answer waits, so that it only ends what hangs.
const REQUEST_WAIT_MAX: Duration = Duration::from_secs(5);
/// The head of a request: a path of three times 1,025 bytes (an id percent-encoded) and a token fit.
const HEAD_BYTES_MAX: usize = 16 * 1_024;
const HEADERS_MAX: usize = 64;
/// A listener that cannot accept (no file descriptors are left) is asked again after so long.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(100);

const _: () = assert!(REQUEST_WAIT_MAX.as_millis() > crate::stream::query::ANSWER_WAIT_MAX.as_millis());
const _: () = assert!(REQUESTS_MAX < CONNECTIONS_MAX);
const _: () = assert!(CONNECTION_AGE_MAX.as_millis() > REQUEST_WAIT_MAX.as_millis());

/// Who answers, as shown on the live page.
#[derive(Debug, Clone)]
pub struct About {
    /// The configured application.
    pub application: String,
    /// The configured instance.
    pub instance: String,
    /// The version of the program.
    pub version: &'static str,
}

/// What the routes read.
pub struct HttpContext {
    /// For `/metrics` and the page.
    pub metrics: Arc<Metrics>,
    /// For the probes and the page.
    pub status: ServiceStatus,
    /// For questions about customers.
    pub queries: QueryRouter,
    /// For the page.
    pub about: About,
}

/// Why the server cannot start. An operator must correct the configured address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error(
        "port {} on {} is in use by another process: stop that one, or choose another port with --listen or http.listen",
        .0.port(),
        .0.ip()
    )]
    InUse(SocketAddr),
    /// The address is not this machine's, or the port needs privileges.
    #[error("cannot listen on {address}: choose another address with --listen or http.listen")]
    Refused {
        /// The configured address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// A server that has its port and does not answer yet.
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    access: Access,
}

impl HttpServer {
    /// Takes the port. Done before anything else starts, so that a port in use is reported at once.
    pub async fn bind(settings: &HttpSettings) -> Result<Self, BindError> {
        let refused = |source: io::Error| {
            if source.kind() == ErrorKind::AddrInUse {
                return BindError::InUse(settings.listen);
            }
            BindError::Refused { address: settings.listen, source }
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let access = Access::new(address, settings.token.as_ref());
        Ok(Self { listener, address, access })
    }

    /// The address, with the port that the system chose if 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done. Open connections are then cut: the last answers of `/readyz` have announced that the
    /// service is leaving.
    pub async fn serve(self, context: HttpContext, shutdown: impl Future<Output = ()>) {
        if let Some(warning) = self.access.warning() {
            warn!(address = %self.address, "{warning}");
        }
        let router = routes::router(Arc::new(context), self.access);
        let connections = Connections::new(CONNECTIONS_MAX);
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                (stream, place) = accept(&self.listener, &connections) => {
                    tokio::spawn(serve_connection(stream, router.clone(), place));
                }
            }
        }
    }
}

/// The next connection, and its place.
async fn accept(listener: &TcpListener, connections: &Connections) -> (TcpStream, Place) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, connections.make_room().await),
            Err(error) => {
                debug!(%error, "accept failed");
                sleep(ACCEPT_RETRY_WAIT).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router, place: Place) {
    let router = router.layer(middleware::from_fn_with_state(place.activity(), connections::mark_busy));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_READ_WAIT_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = place.taken() => Ok(()),
        () = sleep(CONNECTION_AGE_MAX) => Ok(()),
    };
    if let Err(error) = outcome {
        debug!(%error, "connection ended early");
    }
}
