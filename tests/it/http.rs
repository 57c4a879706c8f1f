//! The HTTP server, asked over a socket. A thread stands in for the worker that owns the customers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Failed, Trial};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Registry};
use retention_signals::commands::service::new_runtime;
use retention_signals::config::{HttpSettings, Secret};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::observe::http::{About, HttpContext, HttpServer};
use retention_signals::observe::metrics::{
    Basis, CurrencyLabel, Metrics, PartitionGauges, PerLabel, RevenueKind, Vocabulary, Window, WindowBasis,
    WindowRevenue,
};
use retention_signals::observe::status::{RecentSignal, ServiceStatus, WorkerPhase, WorkerStatus};
use retention_signals::stream::query::{CommittedPosition, CustomerReply, QueryRouter, Question};
use retention_signals::topic::Partition;
use tokio::{runtime::Runtime, sync::oneshot};

use crate::explain;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("http: every route answers and is counted", every_route),
        Trial::test("http: probes follow the status", probes),
        Trial::test("http: the owner's answer becomes a status code", customers),
        Trial::test("http: customer data needs the token where one is set", token),
        Trial::test("http: another name for this machine sees no customer", other_host),
        Trial::test("http: a port in use is said with what to do", port_in_use),
        Trial::test("http: requests that are too large are refused", too_large),
        Trial::test("http: probes get through three hundred silent connections", silent_connections),
        Trial::test("http: probes get through while other answers take long", long_answers),
    ]
}

/// A running server, its pens, and what is needed to end it.
pub struct Server {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub status: ServiceStatus,
    pub pen: WorkerStatus,
    /// Fields are dropped in order: the server ends before its runtime does.
    _shutdown: oneshot::Sender<()>,
    _runtime: Runtime,
}

pub struct Answer {
    pub status: u16,
    /// In small letters.
    pub head: String,
    pub body: String,
}

impl Server {
    pub fn start(token: Option<&str>) -> Self {
        Self::start_with(token, &Registry::new())
    }

    /// With metrics in this registry, on the service's own runtime.
    fn start_with(token: Option<&str>, registry: &Registry) -> Self {
        let vocabulary = Vocabulary { version: "1.2.3", revision: "test", currencies: Vec::new() };
        let metrics = Arc::new(Metrics::new(registry, &vocabulary).expect("names are free"));
        let (status, mut pens) = ServiceStatus::new(1, Instant::now());
        let (queries, mut questions) = QueryRouter::new(1);
        let questions = questions.remove(0);
        thread::spawn(move || {
            questions.iter().for_each(|question| {
                if let Some(reply) = reply_to(&question.key, question.question) {
                    question.answer(reply);
                }
            })
        });
        let about = About { application: "shop".to_owned(), instance: "one".to_owned(), version: "1.2.3" };
        let context = HttpContext { metrics: Arc::clone(&metrics), status: status.clone(), queries, about };
        let settings = HttpSettings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            token: token.map(|token| Secret::new(token.as_bytes())),
        };
        let runtime = new_runtime().expect("a runtime");
        let server = runtime.block_on(HttpServer::bind(&settings)).expect("a free port");
        let address = server.address();
        let (shutdown, ended) = oneshot::channel::<()>();
        runtime.spawn(server.serve(context, async {
            let _ = ended.await;
        }));
        Self { address, metrics, status, pen: pens.remove(0), _shutdown: shutdown, _runtime: runtime }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(path, "")
    }

    pub fn ask(&self, path: &str, headers: &str) -> Answer {
        let host =
            if headers.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.address) };
        self.send(&format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"))
    }

    fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("the server answers");
        let text = String::from_utf8(bytes).expect("answers are text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

/// What the stand-in knows. `None`: it goes away without an answer, as a worker does that stops.
fn reply_to(key: &str, question: Question) -> Option<CustomerReply> {
    let position = CommittedPosition {
        partition: Partition(3),
        batch: 17,
        clock_ms: Some(1_700_000_000_000),
        ..CommittedPosition::default()
    };
    match key {
        "c1" | "c-1042" | "north/c 1%" => {
            let (profile, explained) = explain::ida("2025-04-06T00:00:00Z");
            let explained = match question {
                Question::Profile => None,
                Question::Explanation => Some(Box::new(explained)),
            };
            Some(CustomerReply::Found { profile, explained, position })
        }
        "restoring" => Some(CustomerReply::Restoring { partition: Partition(3) }),
        "elsewhere" => Some(CustomerReply::NotOwned { partition: Partition(4) }),
        "stopped" => None,
        _ => Some(CustomerReply::NotFound(position)),
    }
}

fn every_route() -> Result<(), Failed> {
    let server = Server::start(None);
    for (path, status, content) in [
        ("/", 200, "<title>retention-signals</title>"),
        ("/livez", 200, "ok"),
        ("/readyz", 503, "worker 0 has not joined the group yet"),
        ("/v1/status", 200, r#""state":"starting""#),
        ("/favicon.ico", 404, "not found"),
        ("/v1/customers/", 404, "not found"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(content), "{path}: {}", answer.body);
        assert!(answer.head.contains("cache-control: no-store"), "{path}: {}", answer.head);
        assert!(
            answer.head.contains("content-security-policy: default-src 'none'"),
            "{path}: {}",
            answer.head
        );
    }
    let post = format!("POST /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    assert_eq!(server.send(&post).status, 405);
    let metrics = server.get("/metrics");
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    for line in [
        r#"retention_http_requests_total{code="503",route="readyz"} 1"#,
        r#"retention_http_requests_total{code="404",route="page"} 1"#,
        r#"retention_http_requests_total{code="404",route="customers"} 1"#,
        r#"retention_http_requests_total{code="405",route="metrics"} 1"#,
        r#"retention_state{state="starting"} 1"#,
        r#"retention_build_info{revision="test",version="1.2.3"} 1"#,
    ] {
        assert!(
            metrics.body.lines().any(|sample| sample == line),
            "{line} is missing from\n{}",
            metrics.body
        );
    }
    Ok(())
}

fn probes() -> Result<(), Failed> {
    let server = Server::start(None);
    server.pen.set_phase(WorkerPhase::Running);
    server.pen.restoring(Partition(5), Some(900));
    let restoring = server.get("/readyz");
    assert_eq!((restoring.status, server.get("/livez").status), (503, 200));
    assert_eq!(restoring.body, "partition 5 is being restored, 900 records to go\n");
    server.pen.not_restoring(Partition(5));
    assert_eq!((server.get("/readyz").status, server.get("/livez").status), (200, 200));
    server.status.drain();
    let draining = server.get("/readyz");
    assert_eq!(
        (draining.status, draining.body.as_str(), server.get("/livez").status),
        (503, "shutting down\n", 200)
    );
    server.status.fail("the topic layout changed");
    let failed = server.get("/livez");
    assert_eq!((failed.status, failed.body.as_str()), (503, "stopped: the topic layout changed\n"));
    Ok(())
}

fn customers() -> Result<(), Failed> {
    let server = Server::start(None);
    let found = server.get("/v1/customers/c1");
    assert_eq!(found.status, 200);
    let body: serde_json::Value = serde_json::from_str(&found.body)?;
    let profile: serde_json::Value = serde_json::from_slice(&explain::ida("2025-04-06T00:00:00Z").0)?;
    let expected = serde_json::json!({
        "partition": 3, "batch": 17, "next_offsets": {"orders": 0, "returns": 0, "erasures": 0},
        "clock": "2023-11-14T22:13:20.000Z", "staleness_seconds": 0.0,
        "customer": profile,
    });
    assert_eq!(body, expected);
    let explained: serde_json::Value = serde_json::from_str(&server.get("/v1/customers/c1?explain").body)?;
    let explanation = &explained["explanation"];
    let parameters = serde_json::json!({
        "prior_gap_days": 45.0, "prior_weight": 2.0, "at_risk_factor": 1.5, "at_risk_days_min": 14.0,
        "at_risk_days_max": 180.0, "lapsed_factor": 3.0, "lapsed_days_min": 30.0, "lapsed_days_max": 365.0,
    });
    assert_eq!(explanation["policy"]["parameters"], parameters);
    let deadlines =
        serde_json::json!({"at_risk": "2025-04-05T18:15:00.000Z", "lapsed": "2025-06-04T18:15:00.000Z"});
    assert_eq!(explanation["deadlines"], deadlines);
    let next = serde_json::json!({"at": "2025-06-04T18:15:00.000Z", "change": "lapsed"});
    assert_eq!(explanation["next"], next);
    let open = serde_json::json!({
        "id": "21af7a2c108a72d53fe561b9c86da51c", "deadline": "2025-04-05T18:15:00.000Z", "cause": "deadline",
    });
    assert_eq!(explanation["emitted"]["at_risk"], open);
    let window = serde_json::json!({
        "after": "2025-03-07T00:00:00.000Z", "up_to": "2025-04-06T00:00:00.000Z", "next_end": null,
    });
    assert_eq!(explanation["windows"]["30d"], window);
    let too_long = "c".repeat(1_026);
    for (id, status, content, retry) in [
        ("north/c%201%25", 200, "at_risk", false),
        ("nobody", 404, "no such customer", false),
        ("restoring", 503, "being restored", true),
        ("elsewhere", 421, r#""partition":4"#, false),
        ("stopped", 503, "ask again", true),
        (too_long.as_str(), 400, "at most 1025 bytes", false),
        ("%ff", 400, "", false),
    ] {
        let answer = server.get(&format!("/v1/customers/{id}"));
        assert_eq!(answer.status, status, "{id}: {}", answer.body);
        assert!(answer.body.contains(content), "{id}: {}", answer.body);
        assert_eq!(answer.head.contains("retry-after: 2"), retry, "{id}: {}", answer.head);
    }
    Ok(())
}

pub fn signal() -> RecentSignal {
    RecentSignal {
        rule: None,
        signal_type: SignalType::Lapsed,
        occurred_at_ms: 1_700_000_000_000,
        customer_id: Some("canary".to_owned()),
    }
}

/// Two partitions as they are after a commit: of 30 customers with a kept order 20 have more than one.
pub fn show_figures(metrics: &Metrics) {
    let euro = CurrencyLabel::new("EUR", 2).expect("a currency");
    let by_basis = |placed: u64, kept: u64| {
        PerLabel::build(|WindowBasis(window, basis)| {
            let share = if window == Window::Days30 { 10 } else { 1 };
            match basis {
                Basis::Placed => placed / share,
                Basis::Kept => kept / share,
            }
        })
    };
    for number in 0..2 {
        let revenue = |WindowRevenue(_, kind)| match kind {
            RevenueKind::Gross => 61_728_394,
            RevenueKind::Net => 50_000_000,
        };
        metrics.partition(Partition(number)).set(&PartitionGauges {
            clock_ms: Some(1_758_802_500_000 + i64::from(number)),
            idle: number == 0,
            merge_waiting: number == 1,
            state_entries: 20,
            state_bytes: 3 << 20,
            customers: PerLabel::build(|_| 5),
            window_customers: by_basis(20, 15),
            window_repeat_customers: by_basis(12, 10),
            window_orders: by_basis(60, 50),
            window_revenue_minor: [(euro, PerLabel::build(revenue))].into(),
            ..PartitionGauges::default()
        });
    }
}

fn token() -> Result<(), Failed> {
    let server = Server::start(Some("s3cret"));
    server.status.on_signals([signal()]);
    for (headers, status, canary) in [
        ("", 401, false),
        ("Authorization: Bearer wrong\r\n", 401, false),
        ("Authorization: Bearer s3cret\r\n", 200, true),
    ] {
        let answer = server.ask("/v1/customers/c1", headers);
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(answer.head.contains("www-authenticate: bearer"), status == 401, "{headers}");
        let body = server.ask("/v1/status", headers).body;
        assert_eq!(body.contains("canary"), canary, "{headers}{body}");
        assert!(
            body.contains(
                r#""type":"lapsed","rule":null,"action":null,"occurred_at":"2023-11-14T22:13:20.000Z""#
            ),
            "{body}"
        );
    }
    assert!(!server.get("/metrics").body.contains("canary"));
    Ok(())
}

fn other_host() -> Result<(), Failed> {
    let server = Server::start(None);
    server.status.on_signals([signal()]);
    let rebound = "Host: shop.example\r\n";
    assert_eq!(server.ask("/v1/customers/c1", rebound).status, 403);
    assert!(!server.ask("/v1/status", rebound).body.contains("canary"));
    assert_eq!(server.ask("/metrics", rebound).status, 200);
    assert_eq!(server.get("/v1/customers/c1").status, 200);
    assert!(server.get("/v1/status").body.contains("canary"));
    Ok(())
}

fn port_in_use() -> Result<(), Failed> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let settings = HttpSettings { listen: taken.local_addr()?, token: None };
    let error = Runtime::new()?.block_on(HttpServer::bind(&settings)).err().ok_or("the port is taken")?;
    let expected = format!(
        "port {} on 127.0.0.1 is in use by another process: stop that one, or choose another port with --listen or http.listen",
        taken.local_addr()?.port()
    );
    assert_eq!(error.to_string(), expected);
    Ok(())
}

fn too_large() -> Result<(), Failed> {
    let server = Server::start(None);
    let header = format!("X-Filler: {}\r\n", "x".repeat(20_000));
    assert_eq!(server.ask("/livez", &header).status, 431);
    assert_eq!(server.ask("/livez", &"X-Filler: x\r\n".repeat(100)).status, 431);
    assert_eq!(server.get("/livez").status, 200);
    Ok(())
}

/// Clients that connect and send nothing, or the beginning of a request: more of them than there is room for.
fn silent_connections() -> Result<(), Failed> {
    let server = Server::start(None);
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(server.address)?;
        if number % 2 == 0 {
            stream.write_all(b"GET /livez HT")?;
        }
        silent.push(stream);
        if number % 50 == 0 {
            assert_eq!(server.get("/livez").status, 200, "beside {number} silent connections");
        }
    }
    for path in ["/livez", "/metrics", "/v1/status"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    Ok(())
}

/// A metric whose value comes once it is let go.
struct SlowMetric {
    gauge: Gauge,
    asked: crossbeam_channel::Sender<()>,
    let_go: crossbeam_channel::Receiver<()>,
}

impl Collector for SlowMetric {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Neither end is there any more once the trial is over.
        let _ = self.asked.send(());
        let _ = self.let_go.recv();
        self.gauge.collect()
    }
}

fn long_answers() -> Result<(), Failed> {
    let registry = Registry::new();
    let (asked, is_asked) = crossbeam_channel::unbounded();
    let (go, let_go) = crossbeam_channel::bounded::<()>(0);
    let gauge = Gauge::new("slow", "A metric that takes long.")?;
    registry.register(Box::new(SlowMetric { gauge, asked, let_go }))?;
    let server = Server::start_with(None, &registry);
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(server.address)?;
        stream.write_all(request.as_bytes())?;
        waiting.push(stream);
    }
    for _ in &waiting {
        is_asked.recv_timeout(Duration::from_secs(10)).map_err(|error| error.to_string())?;
    }
    assert_eq!((server.get("/livez").status, server.get("/readyz").status), (200, 503));
    assert_eq!(server.get("/").status, 503, "one request more than there may be at once");
    drop(go);
    for mut stream in waiting {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        assert!(text.starts_with("HTTP/1.1 "), "{text}");
    }
    assert_eq!(server.get("/").status, 200, "there is room again");
    Ok(())
}
