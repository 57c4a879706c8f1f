//! A shop with every rule of `deploy/rules`, for the benchmarks.

use std::fs;
use std::path::Path;

use retention_signals::config::{self, Purpose, Sources};
use retention_signals::domain::in_force::Effect;
use retention_signals::domain::segments::cuts::CutPoints;
use retention_signals::domain::segments::published::{CutsVersion, PublishedCuts};
use retention_signals::domain::settings::Settings;
use retention_signals::domain::values::time::Time;

/// With what the rules ask for, and one rule more: for everybody on New Year's Day.
pub fn settings() -> Settings {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rules");
    let files = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("a file").path());
    let mut files: Vec<String> = files.map(|path| path.display().to_string()).collect();
    files.sort();
    let text = format!(
        r#"
        tiers_keep = 0.8
        shop.currency = "EUR"
        segments.enabled = true
        points.per = "1.00"
        [rules]
        files = {files:?}
        holdout = 0.05
        [[tiers]]
        name = "silver"
        from = "150.00"
        [[tiers]]
        name = "gold"
        from = "500.00"
        [[rule]]
        name = "everybody"
        on = "date"
        date = "01-01"
        "#
    );
    let sources =
        Sources { file_text: Some(text), host_name: Some("bench".to_owned()), ..Sources::default() };
    let config = config::load(&sources, Purpose::Offline).unwrap_or_else(|error| panic!("{error}"));
    let (effective_at, version) = (Time::MIN, CutsVersion(0));
    let effect = Effect { shop: None, effective_at, published_at: Time::MIN, version };
    config.settings.with_cuts(&[PublishedCuts { effect, points: CutPoints::FIXED }])
}
