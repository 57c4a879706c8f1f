//! The rules of the demo's shop: every file of `deploy/rules/`, and the settings that they need.

use crate::config::{Config, Sources};
use crate::domain::in_force::Effect;
use crate::domain::segments::cuts::CutPoints;
use crate::domain::segments::published::{CutsVersion, PublishedCuts};
use crate::domain::values::time::Time;

/// What a shop sets beside its rules.
const SETTINGS: &str = r#"
tiers_keep = 0.8
[segments]
enabled = true
[points]
per = "1.00"
[rules]
holdout = 0.05
[[tiers]]
name = "silver"
from = "150.00"
[[tiers]]
name = "gold"
from = "500.00"
"#;

const FILES: [(&str, &str); 12] = [
    ("black-friday.toml", include_str!("../../../deploy/rules/black-friday.toml")),
    ("club-welcome.toml", include_str!("../../../deploy/rules/club-welcome.toml")),
    ("gift.toml", include_str!("../../../deploy/rules/gift.toml")),
    ("invite-guest.toml", include_str!("../../../deploy/rules/invite-guest.toml")),
    ("news.toml", include_str!("../../../deploy/rules/news.toml")),
    ("refill.toml", include_str!("../../../deploy/rules/refill.toml")),
    ("reward.toml", include_str!("../../../deploy/rules/reward.toml")),
    ("second-order.toml", include_str!("../../../deploy/rules/second-order.toml")),
    ("sorry.toml", include_str!("../../../deploy/rules/sorry.toml")),
    ("survey.toml", include_str!("../../../deploy/rules/survey.toml")),
    ("thank-you.toml", include_str!("../../../deploy/rules/thank-you.toml")),
    ("win-back.toml", include_str!("../../../deploy/rules/win-back.toml")),
];

/// The goods of `refill.toml`, and what the shop sells instead.
const GOODS: (&str, &str) = ("HAIR-EXT-20", "sencha-100g");

/// Adds the rules.
pub(super) fn add_to(sources: &mut Sources) {
    sources.file_name = Some("the demo's settings".to_owned());
    sources.file_text = Some(SETTINGS.to_owned());
    sources.rule_files = FILES.map(|(name, text)| (name, text.replace(GOODS.0, GOODS.1))).into();
}

/// The cut points of segments: those for few customers, from the beginning. The combiner, which computes them from the shop's own customers,
/// does not run here.
pub(super) fn with_cut_points(config: &mut Config) {
    let (effective_at, version) = (Time::MIN, CutsVersion(0));
    let effect = Effect { shop: None, effective_at, published_at: Time::MIN, version };
    config.settings = config.settings.with_cuts(&[PublishedCuts { effect, points: CutPoints::FIXED }]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_has_every_file_of_rules() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rules");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, FILES.map(|(name, _)| name));
        assert!(FILES.iter().any(|(_, text)| text.contains(GOODS.0)), "the goods that are replaced");
    }
}
