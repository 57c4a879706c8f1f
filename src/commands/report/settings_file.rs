//! A configuration file for the shop of the report, ready to be filled in.

use super::Report;
use super::html::put;

/// Its name.
pub(super) const NAME: &str = "retention-signals.toml";

/// The text of the file: what the report was made with and the service needs too.
pub(super) fn toml(report: &Report<'_>) -> String {
    let mut out = String::from(
        "# Made by `retention-signals report` from the files of the shop.\n\
         # `retention-signals check` looks at it, `retention-signals run` starts with it; docs/CONFIGURATION.md explains every key.\n\n\
         # Where Kafka is:\n# [kafka]\n# bootstrap.servers = \"localhost:9092\"\n",
    );
    let mut table = String::new();
    for (path, value, _) in report.config.effective() {
        let Some((section, key)) = path.rsplit_once('.') else { continue };
        let is_of_shop = section == "shop" || section.starts_with("stores.");
        if !is_of_shop || !["currency", "time_zone"].contains(&key) {
            continue;
        }
        if table != section {
            section.clone_into(&mut table);
            put(&mut out, format_args!("\n[{}]\n", quoted_path(section)));
        }
        put(&mut out, format_args!("{key} = \"{}\"\n", escaped(&value)));
    }
    if let Some(backtest) = report.backtest {
        let recommended = &backtest.recommended;
        put(
            &mut out,
            format_args!(
                "\n# {}\n# With the policy `model`, these shares would have cost least, {:.2} a customer:\n\
                 # [lapse]\n# policy = \"model\"\n# model.at_risk_share = {}\n# model.lapsed_share = {}\n",
                backtest.verdict, recommended.cost, recommended.at_risk_share, recommended.lapsed_share
            ),
        );
    }
    out
}

/// `stores.south` with the id in quotes.
fn quoted_path(section: &str) -> String {
    match section.split_once('.') {
        Some((first, id)) => format!("{first}.\"{}\"", escaped(id.trim_matches('"'))),
        None => section.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
