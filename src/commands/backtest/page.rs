//! The page of a backtest: the verdict first, then what it rests on. One file, no script, nothing from elsewhere.

use super::result::{Backtest, FlagResult, MeanResult, PolicyResult, Recommended, mean_text};
use crate::commands::report::html::{Table, escape, figure, hint, paragraph, section};
use crate::commands::report::page::STYLE;
use crate::commands::report::svg::{Chart, Kind, Series};

/// The whole page.
pub(super) fn html(backtest: &Backtest) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>Backtest of lapse policies</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>Backtest of lapse policies</h1><p class=\"soft\">{}</p></header>\n<main>\n",
        escape(&judged_on(backtest)),
    );
    for part in [policies, signals, ranking, calibration, cost, data, cuts] {
        out.push_str(&part(backtest));
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn judged_on(backtest: &Backtest) -> String {
    let [first, last] =
        [backtest.cuts.first(), backtest.cuts.last()].map(|cut| cut.map_or("", |cut| &cut.at));
    format!(
        "{} cuts from {first} to {last}. At each, what was known then is compared with the {} days after it.",
        backtest.cuts.len(),
        backtest.horizon_days
    )
}

fn name(policy: &PolicyResult) -> String {
    format!("{}{}", policy.name, if policy.in_use { " (in use)" } else { "" })
}

fn policies(backtest: &Backtest) -> String {
    let table = |caption: &str, of: fn(&PolicyResult) -> &FlagResult| {
        let mut table =
            Table::new(caption, &["Policy", "Flagged", "Precision", "Recall", "F1", "Cost a customer"]);
        for policy in &backtest.policies {
            let flags = of(policy);
            let share = |mean: Option<MeanResult>| mean_text(mean, 3);
            table.row([
                name(policy),
                share(flags.flagged_share),
                share(flags.precision),
                share(flags.recall),
                share(flags.f1),
                mean_text(flags.cost, 2),
            ]);
        }
        table.html()
    };
    let mut body = table("Customers at risk or lapsed", |policy| &policy.at_risk);
    body.push_str(&table("Customers lapsed", |policy| &policy.lapsed));
    body.push_str(&flagged_by_cut(backtest));
    backtest
        .policies
        .iter()
        .filter(|policy| policy.in_use)
        .for_each(|policy| body.push_str(&by_segment(policy)));
    body.push_str(&hint(&format!(
        "A flag is right if the customer does not order within {} days. Precision is the share of flags that are right, recall the share of \
         those who do not order who were flagged. A customer who is gone and was not flagged costs {}, one who was flagged and orders \
         anyway {}. ± is one standard error over the cuts. A policy is called better only if its cost is lower by more than two standard errors of the difference.",
        backtest.horizon_days, backtest.cost.missed, backtest.cost.wasted
    )));
    section("policies", "Which policy would have been right", &backtest.verdict, &body)
}

/// Whom a policy flags in each segment.
fn by_segment(policy: &PolicyResult) -> String {
    let mut table = Table::new(
        &format!("Segments at the cuts, all together: flags of {}", policy.name),
        &["Segment", "Customers", "At risk", "Precision", "Recall", "Lapsed", "Precision", "Recall"],
    );
    for segment in &policy.segments {
        let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
        let [at_risk, lapsed] = [segment.at_risk, segment.lapsed]
            .map(|flags| [flags.flagged_share, flags.precision, flags.recall].map(share));
        let name = segment.segment.replace('_', " ");
        table.row([name, segment.customers.to_string()].into_iter().chain(at_risk).chain(lapsed));
    }
    table.html()
}

/// How long customers who came back were at risk, under the policy in use.
fn time_to_act(policy: &PolicyResult) -> String {
    let weeks = &policy.signals.weeks_to_act;
    let last = weeks.len() - 1;
    let places: Vec<String> = (0..weeks.len())
        .map(|week| if week == last { format!("{week}+") } else { week.to_string() })
        .collect();
    let label = "Customers who came back, by the weeks from at risk to the order";
    let chart = Chart {
        label,
        kind: Kind::Bars,
        places: &places,
        series: vec![Series {
            name: "customers",
            values: weeks.iter().map(|customers| i64::try_from(*customers).ok()).collect(),
        }],
        write: &|value| value.to_string(),
    };
    let mut table = Table::new("Weeks to act", &["Weeks", "Customers"]);
    for (place, customers) in places.iter().zip(weeks) {
        table.row([place.clone(), customers.to_string()]);
    }
    figure(&format!("{label} ({}, in use)", policy.name), &chart.html(), &table)
}

/// The share of customers at risk or lapsed, cut by cut: month by month, if no cut was asked for.
fn flagged_by_cut(backtest: &Backtest) -> String {
    let places: Vec<String> = backtest.cuts.iter().map(|cut| cut.at.clone()).collect();
    let shares = |policy: &PolicyResult| policy.at_risk.flagged_share_by_cut.clone();
    let series = backtest.policies.iter().map(|policy| Series {
        name: &policy.name,
        values: shares(policy).into_iter().map(|share| share.map(thousandths)).collect(),
    });
    let chart = Chart {
        label: "Share of customers flagged at risk or lapsed, by cut",
        kind: Kind::Lines,
        places: &places,
        series: series.collect(),
        write: &|value| format!("{:.1} %", value as f64 / 10.0),
    };
    let shares = backtest.policies.iter().map(|policy| {
        let shares = shares(policy).into_iter();
        (name(policy), shares.map(|share| share.map_or_else(|| "–".to_owned(), percent)).collect())
    });
    let table = by_cut("Flagged by cut", "Policy", &places, shares);
    figure("Share of customers flagged at risk or lapsed, by cut", &chart.html(), &table)
}

fn signals(backtest: &Backtest) -> String {
    let mut table = Table::new(
        "Signals over the whole history",
        &[
            "Policy",
            "Lapses",
            "False lapses",
            "Days to the lapse",
            "Days to act",
            "Ordered before at risk",
            "Came back after it",
        ],
    );
    for policy in &backtest.policies {
        let signals = &policy.signals;
        let quartiles = |days: Option<[i64; 3]>| {
            days.map_or_else(|| "–".to_owned(), |[low, middle, high]| format!("{middle} ({low} to {high})"))
        };
        table.row([
            name(policy),
            signals.lapses.to_string(),
            signals.false_lapses.map_or_else(|| "–".to_owned(), percent),
            quartiles(signals.days_to_lapse),
            quartiles(signals.days_to_act),
            signals.ordered_in_time.to_string(),
            signals.came_back.to_string(),
        ]);
    }
    let mut body = table.html();
    backtest
        .policies
        .iter()
        .filter(|policy| policy.in_use)
        .for_each(|policy| body.push_str(&time_to_act(policy)));
    body.push_str(&hint(&format!(
        "A lapse is false if an order follows within {} days. Days to the lapse are those from the last order, of customers who stayed away; \
         days to act are those from at risk to the order, of customers who came back: half of them lie in the brackets.",
        backtest.horizon_days
    )));
    section(
        "signals",
        "What the signals were worth",
        "A policy that lapses customers early has more of them come back.",
        &body,
    )
}

fn ranking(backtest: &Backtest) -> String {
    let mut table = Table::new(
        "Ranking customers by who orders",
        &["Score", "AUC", "Brier", "Log-loss", "Calibration error"],
    );
    for score in &backtest.scores {
        let four = |mean: Option<MeanResult>| mean_text(mean, 4);
        table.row([
            score.name.to_owned(),
            four(score.auc),
            four(score.brier),
            four(score.log_loss),
            four(score.calibration_error),
        ]);
    }
    let best = backtest
        .scores
        .iter()
        .filter_map(|score| Some((score.name, score.auc?)))
        .max_by(|one, other| one.1.mean.total_cmp(&other.1.mean));
    let lead = match best {
        Some((name, auc)) => {
            format!("The score \u{201c}{name}\u{201d} ranks best: an AUC of {}.", auc.text(3))
        }
        None => "At no cut were there both customers who ordered and customers who did not.".to_owned(),
    };
    let places: Vec<String> = backtest.cuts.iter().map(|cut| cut.at.clone()).collect();
    let shown = ["silence", "model, prior", "model, fitted"];
    let series = backtest.scores.iter().filter(|score| shown.contains(&score.name)).map(|score| Series {
        name: score.name,
        values: score.auc_by_cut.iter().map(|auc| auc.map(thousandths)).collect(),
    });
    let chart = Chart {
        label: "AUC by cut",
        kind: Kind::Lines,
        places: &places,
        series: series.collect(),
        write: &|value| format!("{:.3}", value as f64 / 1_000.0),
    };
    let aucs = backtest.scores.iter().map(|score| {
        let aucs = score.auc_by_cut.iter();
        let text = |auc: &Option<f64>| auc.map_or_else(|| "–".to_owned(), |auc| format!("{auc:.4}"));
        (score.name.to_owned(), aucs.map(text).collect())
    });
    let aucs = by_cut("AUC by cut", "Score", &places, aucs);
    let mut body = table.html();
    body.push_str(&figure("AUC by cut", &chart.html(), &aucs));
    body.push_str(&curves(backtest));
    body.push_str(&hint(
        "AUC is the share of pairs (one who ordered, one who did not) that a score puts in the right order: 0.5 is a coin. Brier, log-loss and \
         calibration error are of probabilities, and less is better.",
    ));
    section("ranking", "Who comes back: how well scores rank", &lead, &body)
}

/// Who is found at what price, at the last cut.
fn curves(backtest: &Backtest) -> String {
    let steps = backtest.roc.first().map_or(0, |curve| curve.found.len());
    if steps < 2 {
        return String::new();
    }
    let places: Vec<String> = (0..steps).map(|step| format!("{} %", 100 * step / (steps - 1))).collect();
    let series = backtest.roc.iter().map(|curve| Series {
        name: curve.name,
        values: curve.found.iter().map(|found| Some(thousandths(*found))).collect(),
    });
    let label = "Share of those who ordered who are found, by the share of the others who are let through";
    let chart = Chart {
        label,
        kind: Kind::Lines,
        places: &places,
        series: series.collect(),
        write: &|value| format!("{:.0} %", value as f64 / 10.0),
    };
    let columns: Vec<&str> =
        std::iter::once("Let through").chain(backtest.roc.iter().map(|curve| curve.name)).collect();
    let mut table = Table::new("ROC at the last cut", &columns);
    for (step, place) in places.iter().enumerate() {
        let found = backtest.roc.iter().map(|curve| percent(curve.found[step]));
        table.row(std::iter::once(place.clone()).chain(found));
    }
    figure(&format!("{label} (ROC, last cut)"), &chart.html(), &table)
}

fn calibration(backtest: &Backtest) -> String {
    let places: Vec<String> = (1..=backtest.calibration.len()).map(|bin| bin.to_string()).collect();
    let series = |name, of: fn(&super::result::BinResult) -> f64| Series {
        name,
        values: backtest.calibration.iter().map(|bin| Some(thousandths(of(bin)))).collect(),
    };
    let chart = Chart {
        label: "Probability and share who ordered, by tenths of the customers",
        kind: Kind::Lines,
        places: &places,
        series: vec![series("predicted", |bin| bin.predicted), series("seen", |bin| bin.seen)],
        write: &|value| format!("{:.1} %", value as f64 / 10.0),
    };
    let mut table = Table::new("Calibration", &["Tenth", "Customers", "Predicted", "Seen"]);
    for (index, bin) in backtest.calibration.iter().enumerate() {
        table.row([
            (index + 1).to_string(),
            bin.customers.to_string(),
            percent(bin.predicted),
            percent(bin.seen),
        ]);
    }
    let last = backtest.cuts.last().expect("there is a cut");
    let lead = format!(
        "At {} the fitted model expected {:.0} customers to order; {} did.",
        last.at, last.expected, last.ordered
    );
    let body = figure("Probability and share who ordered, by tenths of the customers", &chart.html(), &table)
        + &hint(
            "The model knows no seasons: before the high season it expects too little, after it too much. Its order holds, its level swings.",
        );
    section("calibration", "Whether its probabilities are right", &lead, &body)
}

fn cost(backtest: &Backtest) -> String {
    let places: Vec<String> = backtest.cost_curve.iter().map(|point| format!("{:.2}", point.share)).collect();
    let chart = Chart {
        label: "Cost a customer by the share of a new customer's probability below which customers are flagged",
        kind: Kind::Lines,
        places: &places,
        series: vec![Series {
            name: "cost a customer",
            values: backtest
                .cost_curve
                .iter()
                .map(|point| Some((point.cost * 100.0).round() as i64))
                .collect(),
        }],
        write: &|value| format!("{:.2}", value as f64 / 100.0),
    };
    let mut table =
        Table::new("Cost", &["Share", "At risk", "Precision", "Cost a customer", "Lapsed", "Precision"]);
    for point in &backtest.cost_curve {
        table.row([
            format!("{:.2}", point.share),
            percent(point.flagged_share),
            point.precision.map_or_else(|| "–".to_owned(), percent),
            format!("{:.2}", point.cost),
            percent(point.lapsed_flagged_share),
            point.lapsed_precision.map_or_else(|| "–".to_owned(), percent),
        ]);
    }
    let Recommended { at_risk_share, lapsed_share, at_risk_flagged, lapsed_flagged, cost } =
        &backtest.recommended;
    let lead = format!(
        "With an at_risk_share of {at_risk_share} the fitted model would have cost least, {cost:.2} a customer, and flagged {} of them.",
        percent(*at_risk_flagged)
    );
    let settings = format!(
        "[lapse]\npolicy = \"model\"\n\n[lapse.model]\nat_risk_share = {at_risk_share}\nlapsed_share = {lapsed_share}\n"
    );
    let mut body = figure("Cost a customer by at_risk_share", &chart.html(), &table);
    body.push_str(&paragraph(&format!(
        "Settings for these costs (lapsed_share flags {}; where it can, it is the greatest share whose flags were right nine times in ten):",
        percent(*lapsed_flagged)
    )));
    body.push_str(&format!("<pre tabindex=\"0\">{}</pre>\n", escape(&settings)));
    body.push_str(&hint(
        "The share was chosen with these cuts in view, so it flatters itself a little. If a wasted contact is cheap, it pays to flag many; put your own costs in with --cost.",
    ));
    section("cost", "What a threshold costs", &lead, &body)
}

fn data(backtest: &Backtest) -> String {
    let mut table = Table::new("Fits on a part of the customers", &["Customers", "AUC on all"]);
    for point in &backtest.data_curve {
        table.row([point.customers.to_string(), point.auc.text(4)]);
    }
    let lead = match (backtest.data_curve.first(), backtest.data_curve.last()) {
        (Some(few), Some(all)) => format!(
            "Fitted on {} customers the model ranks all with an AUC of {:.4}, fitted on all {} with {:.4}.",
            few.customers, few.auc.mean, all.customers, all.auc.mean
        ),
        (None, _) | (_, None) => "There are too few customers to tell.".to_owned(),
    };
    let body = table.html()
        + &hint(
            "Six random draws each, ± one standard error of their mean; all customers (5,000 at most) once. The built-in prior carries thin data.",
        );
    section("data", "How much data it takes", &lead, &body)
}

fn cuts(backtest: &Backtest) -> String {
    let mut table = Table::new(
        "Cuts",
        &["Cut", "Customers", "Ordered", "Expected", "r", "alpha days", "a", "b", "By value"],
    );
    for cut in &backtest.cuts {
        let model = cut.model;
        table.row([
            cut.at.clone(),
            cut.customers.to_string(),
            cut.ordered.to_string(),
            format!("{:.0}", cut.expected),
            format!("{:.4}", model.r),
            format!("{:.3}", model.alpha_days),
            format!("{:.4}", model.a),
            format!("{:.4}", model.b),
            if cut.corrected { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let body = table.html()
        + &hint(
            "Each model was fitted to what was known at its cut. backtest.json beside this page holds every number of it. docs/MODEL.md says what they mean.",
        );
    section("cuts", "What it is made from", "A cut is the beginning of a day, in UTC.", &body)
}

/// A row for each name, a column for each cut.
fn by_cut(
    caption: &str,
    names: &str,
    cuts: &[String],
    rows: impl Iterator<Item = (String, Vec<String>)>,
) -> Table {
    let columns: Vec<&str> = std::iter::once(names).chain(cuts.iter().map(String::as_str)).collect();
    let mut table = Table::new(caption, &columns);
    rows.for_each(|(name, values)| table.row(std::iter::once(name).chain(values)));
    table
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn thousandths(number: f64) -> i64 {
    (number * 1_000.0).round() as i64
}
