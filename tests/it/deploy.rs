//! What is under `deploy/`: dashboards, rules, the example configuration and the compose file, against the program itself.

mod chart;
mod dashboards;
mod files;
mod live;
mod outage;
mod prometheus;
mod promql;
mod promtool;
mod registry;
mod rules;
mod service;
mod systemd;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    let mut trials = chart::trials();
    trials.extend(dashboards::trials());
    trials.extend(files::trials());
    trials.extend(live::trials());
    trials.extend(outage::trials());
    trials.extend(promql::trials());
    trials.extend(promtool::trials());
    trials.extend(rules::trials());
    trials.extend(service::trials());
    trials.extend(systemd::trials());
    trials
}
