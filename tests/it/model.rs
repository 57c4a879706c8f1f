//! The model of repeat purchases against published figures, and `fit` as users run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use libtest_mimic::{Completion, Failed, Trial};
use retention_signals::commands::cli::{self, Command, Parsed};
use retention_signals::commands::{fit, replay};
use retention_signals::domain::model::fit::{Prior, Row, ValueRow, fit as fit_rows, fit_values, grouped};
use retention_signals::domain::model::gamma_gamma::ObservedMean;
use retention_signals::domain::model::mbg_nbd::MbgNbd;
use retention_signals::exit::Failure;
use serde_json::Value;

use crate::oracle::online_retail;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("model::cdnow_is_fitted_as_published", || {
            with_data(cdnow_is_fitted_as_published)
        }),
        Trial::ignorable_test("model::online_retail_ranks_as_known", || {
            with_data(online_retail_ranks_as_known)
        }),
        Trial::ignorable_test("model::few_customers_give_a_model", || with_data(few_customers_give_a_model)),
        Trial::test(
            "model::a_model_judges_silences_that_begin_later",
            a_model_judges_silences_that_begin_later,
        ),
        Trial::test("model::what_cannot_be_used_is_refused", what_cannot_be_used_is_refused),
        Trial::ignorable_test("model::a_backtest_of_online_retail", || {
            with_data(a_backtest_of_online_retail)
        }),
        Trial::test("model::runs_repeat", runs_repeat),
        Trial::test("model::a_short_history_has_no_backtest", a_short_history_has_no_backtest),
    ]
}

/// Runs a trial on the Online Retail file and what lies beside it.
fn with_data(trial: fn(&Path) -> Result<(), Failed>) -> Result<Completion, Failed> {
    match online_retail::path() {
        Ok(path) => trial(&path).map(|()| Completion::Completed),
        Err(missing) => Ok(Completion::ignored_with(missing)),
    }
}

fn near(what: &str, value: f64, expected: f64, tolerance: f64) -> Result<(), Failed> {
    if (value - expected).abs() <= tolerance {
        Ok(())
    } else {
        Err(format!("{what}: {value}, expected {expected}").into())
    }
}

fn all_near(what: &str, model: &MbgNbd, expected: [f64; 4], tolerances: [f64; 4]) -> Result<(), Failed> {
    let values = [model.r, model.alpha_days, model.a, model.b];
    for (index, name) in ["r", "alpha", "a", "b"].into_iter().enumerate() {
        near(&format!("{what}, {name}"), values[index], expected[index], tolerances[index])?;
    }
    Ok(())
}

/// Purchase days of CDNOW's sample by customer, as days with their value.
fn cdnow(online_retail: &Path) -> Vec<Vec<(NaiveDate, f64)>> {
    let path = online_retail.with_file_name("cdnow_sample.txt");
    let text = fs::read_to_string(path).expect("CDNOW's sample lies beside the Online Retail file");
    let mut customers: BTreeMap<u32, BTreeMap<NaiveDate, f64>> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let day = NaiveDate::parse_from_str(fields[2], "%Y%m%d").expect("a day");
        let customer = customers.entry(fields[1].parse().expect("an id")).or_default();
        *customer.entry(day).or_default() += fields[4].parse::<f64>().expect("dollars");
    }
    customers.into_values().map(|days| days.into_iter().collect()).collect()
}

/// Fader and Hardie's calibration of 39 weeks: their figures for the plain likelihood, those of an independent program with the
/// prior.
fn cdnow_is_fitted_as_published(path: &Path) -> Result<(), Failed> {
    let cut = NaiveDate::from_ymd_opt(1997, 9, 30).expect("a day");
    let days_since = |later: NaiveDate, earlier: NaiveDate| (later - earlier).num_days() as u32;
    let customers: Vec<Vec<(NaiveDate, f64)>> = cdnow(path)
        .into_iter()
        .map(|days| days.into_iter().take_while(|(day, _)| *day <= cut).collect())
        .collect();
    let row = |days: &Vec<(NaiveDate, f64)>| Row {
        repeat_days: days.len() as u32 - 1,
        span_days: days_since(days[days.len() - 1].0, days[0].0),
        age_days: days_since(cut, days[0].0),
        customers: 1,
    };
    let rows: Vec<Row> = customers.iter().map(row).collect();

    let plain = fit_rows(&grouped(rows.clone()), Prior::None);
    all_near("plain", &plain.model, [0.524_843_4, 43.281_6, 0.891_359_2, 1.614], [6e-7, 6e-5, 6e-7, 6e-6])?;
    near("log-likelihood", plain.log_likelihood, -14_363.237, 6e-5)?;
    let errors = plain.log_errors.ok_or("no maximum")?;
    for (error, expected) in errors.into_iter().zip([0.159, 0.113, 0.174, 0.333]) {
        near("standard error", error, expected, 6e-4)?;
    }
    let drawn = fit_rows(&grouped(rows.clone()), Prior::Weak);
    all_near(
        "with the prior",
        &drawn.model,
        [0.512_604_6, 42.840_390_1, 0.918_396_4, 1.723_89],
        [2e-6, 2e-4, 2e-6, 6e-6],
    )?;
    near("log-likelihood with the prior", drawn.log_likelihood, -14_363.257, 6e-5)?;
    near("penalty", drawn.penalty, 0.649_535, 1e-6)?;
    let first = fit_rows(&grouped(rows[..200].to_vec()), Prior::Weak);
    all_near(
        "200 customers",
        &first.model,
        [0.529_121, 39.303_096, 0.570_201, 0.907_749],
        [2e-6, 2e-4, 2e-6, 2e-6],
    )?;
    if fit_rows(&grouped(rows), Prior::Weak) != drawn {
        return Err("the same rows gave another model".into());
    }

    // The published values are of repeat days alone.
    let values: Vec<ValueRow> = customers
        .iter()
        .filter(|days| days.len() > 1)
        .map(|days| {
            let count = days.len() as f64 - 1.0;
            ValueRow { count, mean: days[1..].iter().map(|(_, value)| value).sum::<f64>() / count }
        })
        .filter(|row| row.mean > 0.0)
        .collect();
    let value = fit_values(&values, 100).ok_or("no model of values")?;
    near("customers", values.len() as f64, 946.0, 0.0)?;
    near("p", value.p, 6.25, 0.005)?;
    near("q", value.q, 3.74, 0.005)?;
    near("v", value.v, 15.44, 0.005)?;
    let observed: Vec<_> = values.iter().map(|row| ObservedMean::new(row.count, row.mean)).collect();
    let likelihood = value.log_likelihood(&observed);
    near("log-likelihood of values", likelihood, -4_055.92, 0.005)
}

/// A folder in which `fit` writes.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a temporary folder in UTF-8").to_owned()
    }

    /// Fits and gives the models by line.
    fn fit(&self, arguments: &[&str]) -> Result<Vec<Value>, Failure> {
        let out = self.text("model.jsonl");
        let given = ["retention-signals", "fit", "--force", "--out", &out];
        let line = given.iter().chain(arguments).copied();
        let Parsed::Arguments(arguments) = cli::parse(line)? else { panic!("no help was asked for") };
        let Command::Fit(fit) = &arguments.command else { panic!("fit was asked for") };
        fit::run(&arguments.common, fit)?;
        let text = fs::read_to_string(out).expect("a model was written");
        Ok(text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
    }
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).expect("a number as a string")
}

/// An independent program's figures on kept days, with the prior.
fn online_retail_ranks_as_known(path: &Path) -> Result<(), Failed> {
    let folder = Folder::new();
    let file = path.to_str().expect("a path in UTF-8");
    let arguments = |at| ["--orders", file, "--map", "online-retail", "--at", at];
    // Each is checked one horizon before: at 2011-09-10 and 2011-06-20, 90 days, and at 2011-08-01, 60 days.
    for (at, horizon, auc, brier) in [
        ("2011-12-09", "90d", 0.7336, 0.2186),
        ("2011-09-18", "90d", 0.7514, 0.1990),
        ("2011-09-30", "60d", 0.7541, 0.1944),
    ] {
        let horizon = format!("lapse.model.horizon={horizon}");
        let settings = ["--set", "lapse.policy=model", "--set", &horizon];
        let models = folder.fit(&[&arguments(at)[..], &settings].concat())?;
        let check = &models[0]["value"]["check"];
        near(&format!("AUC before {at}"), number(&check["auc"]), auc, 1e-3)?;
        near(&format!("Brier before {at}"), number(&check["brier"]), brier, 1e-3)?;
    }
    Ok(())
}

/// With the prior.
fn few_customers_give_a_model(path: &Path) -> Result<(), Failed> {
    let customers = cdnow(path);
    let cut = NaiveDate::from_ymd_opt(1997, 9, 30).expect("a day");
    let rows = |count: usize| {
        let row = |days: &Vec<(NaiveDate, f64)>| {
            let days: Vec<NaiveDate> =
                days.iter().map(|(day, _)| *day).take_while(|day| *day <= cut).collect();
            let since = |later: NaiveDate, earlier: NaiveDate| (later - earlier).num_days() as u32;
            Row {
                repeat_days: days.len() as u32 - 1,
                span_days: since(days[days.len() - 1], days[0]),
                age_days: since(cut, days[0]),
                customers: 1,
            }
        };
        // Spread over the file, because neighbours joined in the same week.
        let step = customers.len() / count;
        grouped(customers.iter().step_by(step).take(count).map(row).collect())
    };
    for count in [50, 100, 200] {
        let fitted = fit_rows(&rows(count), Prior::Weak);
        if fitted.at_bound.is_some() || fitted.log_errors.is_none() {
            return Err(format!("{count} customers: {fitted:?}").into());
        }
    }
    Ok(())
}

const ORDERS: &str = r#"{"type":"order","order_id":"1","customer_id":"early","placed_at":"2025-01-01T12:00:00Z","total":"10.00","currency":"EUR"}
{"type":"order","order_id":"2","customer_id":"late","placed_at":"2025-03-10T12:00:00Z","total":"10.00","currency":"EUR"}
"#;

/// A published model moves no deadline of a silence that runs.
fn a_model_judges_silences_that_begin_later() -> Result<(), Failed> {
    let folder = Folder::new();
    fs::write(folder.path("orders.jsonl"), ORDERS)?;
    let orders = folder.text("orders.jsonl");
    let models = folder.fit(&["--orders", &orders, "--at", "2025-03-01"])?;
    if models[0]["value"]["effective_at"] != "2025-03-02T00:00:00.000Z" {
        return Err(models[0].to_string().into());
    }
    let replayed = |registry: Option<&str>| -> Result<Vec<Value>, Failed> {
        let out = folder.text("out");
        let file = registry.map(|registry| format!("registry.file={registry:?}"));
        let mut line = vec!["retention-signals", "replay", "--force", "--orders", &orders, "--out", &out];
        line.extend(["--until", "2026-06-01T00:00:00Z", "--set", "lapse.policy=model"]);
        line.extend(file.iter().flat_map(|file| ["--set", file.as_str()]));
        let Parsed::Arguments(arguments) = cli::parse(line)? else { panic!("no help was asked for") };
        let Command::Replay(replay) = &arguments.command else { panic!("replay was asked for") };
        replay::run(&arguments.common, replay)?;
        let text = fs::read_to_string(folder.path("out/signals.jsonl"))?;
        Ok(text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
    };
    let of = |signals: &[Value], customer: &str| -> Vec<Value> {
        let is_alert =
            |signal: &&Value| signal["customer_id"] == customer && signal["cause"]["kind"] == "deadline";
        signals.iter().filter(is_alert).cloned().collect()
    };
    let (before, after) = (replayed(None)?, replayed(Some(&folder.text("model.jsonl")))?);
    if of(&before, "early") != of(&after, "early") || of(&before, "early").len() != 2 {
        return Err("a silence from before the model was judged by it".into());
    }
    if of(&before, "late") == of(&after, "late") {
        return Err("a silence from after the model was not judged by it".into());
    }
    Ok(())
}

/// With words that say what to do.
fn what_cannot_be_used_is_refused() -> Result<(), Failed> {
    let folder = Folder::new();
    fs::write(folder.path("orders.jsonl"), ORDERS)?;
    let orders = folder.text("orders.jsonl");
    let refused = |arguments: &[&str], code: u8, words: &str| match folder.fit(arguments) {
        Ok(_) => Err(Failed::from(format!("{arguments:?} were accepted"))),
        Err(failure) if failure.exit.code() == code && failure.to_string().contains(words) => Ok(()),
        Err(failure) => Err(format!("{arguments:?}: {failure}, exit code {}", failure.exit.code()).into()),
    };
    refused(&["--orders", &orders, "--at", "2020-01-01"], 65, "no customer has a kept order before it")?;
    refused(&["--orders", &orders, "--store", "berlin"], 78, "no store \"berlin\" is configured")?;
    let model = folder.fit(&["--orders", &orders])?[0].to_string();
    let changed = model.replace("\"math\":1", "\"math\":2");
    fs::write(folder.path("registry.jsonl"), &changed)?;
    let registry = format!("registry.file={:?}", folder.text("registry.jsonl"));
    refused(&["--orders", &orders, "--set", &registry], 78, "it was fitted by the arithmetic 2")?;
    fs::write(folder.path("registry.jsonl"), model.replace("\"customers\":2", "\"customers\":3"))?;
    refused(&["--orders", &orders, "--set", &registry], 78, "is not that of its content")
}

/// Runs `backtest` and gives what it wrote: its numbers and its page.
fn backtest(folder: &Folder, arguments: &[&str]) -> Result<(Value, String), Failure> {
    let out = folder.text("backtest");
    let given = ["retention-signals", "backtest", "--force", "--out", &out];
    let line = given.iter().chain(arguments).copied();
    let Parsed::Arguments(arguments) = cli::parse(line)? else { panic!("no help was asked for") };
    let Command::Backtest(backtest) = &arguments.command else { panic!("backtest was asked for") };
    retention_signals::commands::backtest::run(&arguments.common, backtest)?;
    let read = |name: &str| fs::read_to_string(folder.path("backtest").join(name)).expect("it was written");
    let numbers = serde_json::from_str(&read("backtest.json")).expect("JSON");
    let schema = jsonschema::validator_for(&crate::examples::schema("backtest")).expect("a schema");
    let faults: Vec<String> = schema.iter_errors(&numbers).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    Ok((numbers, read("backtest.html")))
}

/// One cut, whose ranking is known from an independent program.
fn a_backtest_of_online_retail(path: &Path) -> Result<(), Failed> {
    let folder = Folder::new();
    let file = path.to_str().expect("a path in UTF-8");
    let arguments = ["--orders", file, "--map", "online-retail", "--cut", "2011-09-10"];
    let (numbers, page) = backtest(&folder, &arguments)?;
    let score = |name: &str| {
        let scores = numbers["scores"].as_array().expect("a list");
        scores.iter().find(|score| score["name"] == name).cloned().expect("a score")
    };
    let mean = |value: &Value| value["mean"].as_f64().expect("a number");
    near("AUC", mean(&score("model, fitted")["auc"]), 0.7336, 1e-3)?;
    near("Brier", mean(&score("model, fitted")["brier"]), 0.2186, 1e-3)?;
    // Counted at the commit that added this trial, to notice changes.
    near("customers", numbers["cuts"][0]["customers"].as_f64().expect("a number"), 3_364.0, 0.0)?;
    near("ordered", numbers["cuts"][0]["ordered"].as_f64().expect("a number"), 1_918.0, 0.0)?;
    let policies: Vec<&str> = numbers["policies"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|policy| policy["name"].as_str())
        .collect();
    if policies != ["fixed", "cadence", "model, prior", "model, fitted"] {
        return Err(format!("{policies:?}").into());
    }
    by_segment_and_week(&numbers)?;
    for heading in ["Which policy would have been right", "How much data it takes", "at_risk_share = "] {
        if !page.contains(heading) {
            return Err(format!("the page lacks {heading:?}").into());
        }
    }
    if page.contains("<script") || page.contains("http://") || page.contains("https://") {
        return Err("the page names something outside of itself".into());
    }
    Ok(())
}

/// Segments hold each customer once, and weeks each order that came back.
fn by_segment_and_week(numbers: &Value) -> Result<(), Failed> {
    let customers = &numbers["cuts"][0]["customers"];
    for policy in numbers["policies"].as_array().expect("a list") {
        let segments = policy["segments"].as_array().expect("a list");
        let sum = |of: fn(&Value) -> f64| segments.iter().map(of).sum::<f64>();
        let count = |segment: &Value| segment["customers"].as_f64().expect("a number");
        let flagged = |segment: &Value| {
            segment["customers"].as_f64().expect("a number")
                * segment["at_risk"]["flagged_share"].as_f64().expect("a number")
        };
        near("customers of segments", sum(count), customers.as_f64().expect("a number"), 0.0)?;
        let share = policy["at_risk"]["flagged_share"]["mean"].as_f64().expect("a number");
        near("flagged", sum(flagged), share * sum(count), 1e-6)?;
        let signals = &policy["signals"];
        let weeks = signals["weeks_to_act"].as_array().expect("a list").iter().filter_map(Value::as_u64);
        if Some(weeks.sum()) != signals["came_back"].as_u64() {
            return Err(format!("{signals}").into());
        }
    }
    Ok(())
}

/// Models and backtests are the same bytes in each run.
fn runs_repeat() -> Result<(), Failed> {
    let folder = Folder::new();
    let order = |number: i64| {
        let (customer, day) = (number % 37, number * 7 % 300);
        let placed_at = 1_735_689_600_000 + (day * 24 + number % 24) * 3_600_000;
        format!(
            "{{\"order_id\":\"{number}\",\"customer_id\":\"c{customer}\",\"placed_at\":{placed_at},\"total\":\"{}.00\",\"currency\":\"EUR\"}}\n",
            10 + number % 50
        )
    };
    fs::write(folder.path("orders.jsonl"), (0..400).map(order).collect::<String>())?;
    let orders = folder.text("orders.jsonl");
    let arguments = ["--orders", &orders, "--horizon", "30"];
    if backtest(&folder, &arguments)? != backtest(&folder, &arguments)? {
        return Err("the same history gave another backtest".into());
    }
    if folder.fit(&["--orders", &orders])? != folder.fit(&["--orders", &orders])? {
        return Err("the same history gave another model".into());
    }
    Ok(())
}

fn a_short_history_has_no_backtest() -> Result<(), Failed> {
    let folder = Folder::new();
    fs::write(folder.path("orders.jsonl"), ORDERS)?;
    match backtest(&folder, &["--orders", &folder.text("orders.jsonl")]) {
        Ok(_) => Err("two orders were backtested".into()),
        Err(failure) if failure.exit.code() == 65 && failure.to_string().contains("--cut") => Ok(()),
        Err(failure) => Err(format!("{failure}, exit code {}", failure.exit.code()).into()),
    }
}
