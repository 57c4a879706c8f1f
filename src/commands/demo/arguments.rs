//! The arguments of `demo`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::commands::cli::duration;

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArguments {
    /// Address of metrics, probes, customers and the live page
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    pub listen: SocketAddr,

    /// Ends after this time with a summary, such as 30s; default: runs until it is interrupted
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Another number gives another shop
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// What the shop sends: native records into the inputs, or webhooks of Shopify, which an intake maps
    #[arg(long, value_name = "SOURCE", default_value = "native")]
    pub source: DemoSource,
}

/// What the demo's shop sends.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DemoSource {
    /// Native records into the inputs
    Native,
    /// Webhooks of Shopify, which an intake maps
    Shopify,
}
