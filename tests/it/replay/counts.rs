//! Segments, cohorts and what else a count finds, as known of the UCI Online Retail file.

use std::path::Path;

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::{Value, json};

use super::{Folder, ONLINE_RETAIL_MAP, Results};
use crate::oracle::online_retail;

/// The file of the year before, as the UCI names it, beside the one that is read everywhere.
const FIRST_YEAR: &str = "online_retail_2009-12_2010-12.csv.gz";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("replay::online_retail_has_its_known_segments", || {
            match online_retail::path() {
                Ok(path) => known_segments(&path).map(|()| Completion::Completed),
                Err(reason) => Ok(Completion::ignored_with(reason)),
            }
        }),
        Trial::ignorable_test("replay::both_years_have_their_known_cohorts", || {
            let years = online_retail::path().map(|path| (path.with_file_name(FIRST_YEAR), path));
            match years {
                Ok((first, second)) if first.is_file() => {
                    known_cohorts(&first, &second).map(|()| Completion::Completed)
                }
                Ok((first, _)) => Ok(Completion::ignored_with(format!("no file {}", first.display()))),
                Err(reason) => Ok(Completion::ignored_with(reason)),
            }
        }),
    ]
}

/// The figures of a computation that shares nothing with this one.
fn known_segments(path: &Path) -> Result<(), Failed> {
    let path = path.to_str().ok_or("a path in UTF-8")?;
    let folder = Folder::new();
    let until = "2011-12-10T00:00:00Z";
    let results = folder.replay(&["--orders", path, "--map", ONLINE_RETAIL_MAP, "--until", until])?;
    let retention = &results.summary["retention"]["GBP"];
    let segments = json!({
        "hibernating": 1337, "loyal": 658, "champions": 622, "potential_loyalist": 488, "about_to_sleep": 476,
        "slipping": 326, "promising": 161, "need_attention": 122, "new": 73, "cant_lose": 63,
    });
    let matrix = json!({
        "rare_small": 1252, "frequent_large": 1086, "rare_large": 1077, "frequent_small": 911,
    });
    same("segments", &retention["segments"], &segments)?;
    same("value matrix", &retention["value_matrix"], &matrix)?;
    // Of the year at hand, to notice a change.
    let curve = json!([1, 0.197374, 0.222741, 0.212623, 0.22283, 0.228056, 0.250242, 0.240691, 0.279379]);
    same("retention curve", &retention["retention_curve"], &curve)?;
    let rates = json!({"30d": 0.873153, "90d": 0.777778, "365d": 0.665882});
    same("customer return rate", &retention["customer_return_rate"], &rates)?;
    same("new orders", &retention["new"]["90d"], &json!({"orders": 962, "net": "405361.13"}))?;
    same("returning orders", &retention["returning"]["90d"], &json!({"orders": 5614, "net": "2848629.98"}))?;
    same("projection", &retention["projection"][1]["extra"][11], &json!("242190.04"))?;
    every_month_adds_up(&results)
}

/// What all cohorts did in a month is what the store did.
fn every_month_adds_up(results: &Results) -> Result<(), Failed> {
    let first = results.cohorts.iter().filter(|row| row["month"] == row["cohort"]);
    let customers: u64 = first.map(|row| row["size"].as_u64().unwrap_or_default()).sum();
    let orders: u64 = results.cohorts.iter().map(|row| row["orders"].as_u64().unwrap_or_default()).sum();
    same("customers of all cohorts", &json!(customers), &json!(4_326))?;
    same("orders of all cohorts", &json!(orders), &results.summary["orders"]["kept"])
}

fn known_cohorts(first: &Path, second: &Path) -> Result<(), Failed> {
    let [first, second] = [first, second].map(|path| path.to_str().ok_or("a path in UTF-8"));
    let until = ["--until", "2011-12-10T00:00:00Z"];
    let inputs = ["--orders", first?, "--orders", second?, "--map", ONLINE_RETAIL_MAP];
    let results = Folder::new().replay(&[&inputs[..], &until].concat())?;
    let at = |line: &&Value| line["at"] == "2011-06-01T00:00:00.000Z";
    let line = results.shop_metrics.iter().find(at).ok_or("a line of 2011-06-01")?;
    same("new orders", &line["new"]["90d"], &json!({"orders": 383, "net": "147069.98"}))?;
    same("returning orders", &line["returning"]["90d"], &json!({"orders": 3505, "net": "1536818.85"}))?;
    let curve = json!([
        1, 0.1906, 0.1847, 0.1818, 0.1670, 0.1644, 0.1721, 0.1771, 0.1471, 0.1092, 0.1074, 0.1401, 0.1706
    ]);
    let rounded = |value: &Value| {
        let share = value.as_f64().unwrap_or(f64::NAN);
        json!((share * 10_000.0).round() / 10_000.0)
    };
    let found = line["retention_curve"].as_array().ok_or("a curve")?;
    let found: Vec<Value> = found.iter().map(rounded).collect();
    let expected: Vec<Value> = curve.as_array().ok_or("a list")?.iter().map(rounded).collect();
    same("retention curve", &json!(found), &json!(expected))?;
    same("projection", &line["projection"][1]["extra"][11], &json!("110538.91"))?;
    let in_cohort = results.cohorts.iter().filter(|row| row["cohort"] == "2010-11");
    let size = in_cohort.clone().next().map(|row| row["size"].clone()).unwrap_or_default();
    same("cohort of 2010-11", &size, &json!(325))
}

fn same(what: &str, found: &Value, expected: &Value) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found}, known is {expected}").into()) }
}
