//! The arguments of `explain`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::commands::cli::time;
use crate::commands::history_files::OtherFileArguments;
use crate::domain::values::time::Time;

/// Arguments of `explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArguments {
    /// The customer key: as in the record keys, so store_id/customer_id where keys have that form
    #[arg(value_name = "CUSTOMER")]
    pub customer: String,

    /// Address of the instance; default: http.listen
    #[arg(long, value_name = "ADDRESS", conflicts_with = "orders")]
    pub address: Option<SocketAddr>,

    /// Explains from files instead, as `replay` reads them: orders and cancellations. Give it again for another file
    #[arg(long, value_name = "FILE")]
    pub orders: Vec<PathBuf>,

    #[command(flatten)]
    pub others: OtherFileArguments,

    /// With files: as of this instant (RFC 3339, with offset), without what came at it or later; default: after the last record
    #[arg(long, value_name = "TIME", value_parser = time, requires = "orders")]
    pub at: Option<Time>,

    /// Prints the answer as it came
    #[arg(long)]
    pub json: bool,
}
