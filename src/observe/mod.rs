//! What operators see: metrics, the state of the service, logs, and the HTTP server that shows them.

pub mod metrics;

pub mod status;

pub mod telemetry;

pub mod http;
