//! The arguments of `backtest`.

use std::path::PathBuf;

use clap::Args;

use crate::analysis::measures::Costs;
use crate::commands::fit::day;
use crate::commands::history_files::FileArguments;
use crate::domain::values::time::{Span, Time};

/// Arguments of `backtest`.
#[derive(Args, Clone, Debug)]
pub struct BacktestArguments {
    #[command(flatten)]
    pub files: FileArguments,

    /// Judges the customers as they were at the beginning of this day (UTC). Give it again for another cut; default: one every --every days
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub cut: Vec<Time>,

    /// Days between cuts: from 180 days after the first record on, as long as a whole horizon follows
    #[arg(long, value_name = "DAYS", default_value = "30", value_parser = days, conflicts_with = "cut")]
    pub every: Span,

    /// Days in which an order shows that a customer was not gone
    #[arg(long, value_name = "DAYS", default_value = "90", value_parser = days)]
    pub horizon: Span,

    /// What a customer costs who is gone and was not flagged, and one who was flagged and orders anyway
    #[arg(long, value_name = "missed=COST,wasted=COST", default_value = "missed=10,wasted=4", value_parser = costs)]
    pub cost: Costs,

    /// Judges this policy too: fixed, cadence or model, with settings of its own behind a colon, such as
    /// fixed:at_risk_days=45,lapsed_days=90. Give it again for another one
    #[arg(long, value_name = "NAME[:SETTING=VALUE,...]")]
    pub policy: Vec<String>,

    /// Folder for backtest.json and backtest.html; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Replaces the results of an earlier backtest in that folder
    #[arg(long)]
    pub force: bool,
}

fn days(text: &str) -> Result<Span, String> {
    let days: i64 = text.trim_end_matches('d').parse().map_err(|_| "write a number of days".to_owned())?;
    if (1..=3_650).contains(&days) { Ok(Span::days(days)) } else { Err("write 1 to 3650 days".to_owned()) }
}

fn costs(text: &str) -> Result<Costs, String> {
    const FORM: &str = "write missed=10,wasted=4";
    let part = |name: &str| {
        let part = text.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let cost = part.and_then(|cost| cost.parse::<f64>().ok());
        cost.filter(|cost| cost.is_finite() && *cost >= 0.0).ok_or_else(|| FORM.to_owned())
    };
    Ok(Costs { missed: part("missed")?, wasted: part("wasted")? })
}
