//! What a backtest found: `backtest.json`, and the same in words.

use std::fmt::Write as _;

use serde::Serialize;

use crate::analysis::measures::{self, Mean};

/// The file.
#[derive(Serialize, Debug)]
pub(crate) struct Backtest {
    pub(crate) verdict: String,
    pub(crate) horizon_days: i64,
    pub(crate) cost: Costs,
    /// Oldest first.
    pub(crate) cuts: Vec<CutResult>,
    pub(crate) policies: Vec<PolicyResult>,
    pub(crate) scores: Vec<ScoreResult>,
    /// Of scores at the last cut.
    pub(crate) roc: Vec<RocResult>,
    /// Of the fitted model at the last cut, by tenths of its customers.
    pub(crate) calibration: Vec<BinResult>,
    /// Of the fitted model, by the share of a new customer's probability below which customers are flagged; means over the cuts.
    pub(crate) cost_curve: Vec<CostPoint>,
    /// How well a model ranks all customers of the last cut that was fitted on few of them.
    pub(crate) data_curve: Vec<DataPoint>,
    pub(crate) recommended: Recommended,
}

#[derive(Serialize, Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub(crate) missed: f64,
    pub(crate) wasted: f64,
}

#[derive(Serialize, Debug)]
pub(crate) struct CutResult {
    pub(crate) at: String,
    pub(crate) customers: usize,
    /// Who ordered within the horizon.
    pub(crate) ordered: usize,
    /// Whom the fitted model expected to order.
    pub(crate) expected: f64,
    pub(crate) model: ModelParameters,
    /// Whether the correction by value was kept.
    pub(crate) corrected: bool,
}

#[derive(Serialize, Clone, Copy, Debug)]
pub(crate) struct ModelParameters {
    pub(crate) r: f64,
    pub(crate) alpha_days: f64,
    pub(crate) a: f64,
    pub(crate) b: f64,
}

#[derive(Serialize, Debug)]
pub(crate) struct PolicyResult {
    pub(crate) name: String,
    /// Whether the configuration uses it.
    pub(crate) in_use: bool,
    /// Customers at risk or lapsed.
    pub(crate) at_risk: FlagResult,
    pub(crate) lapsed: FlagResult,
    /// From the best segment on.
    pub(crate) segments: Vec<SegmentResult>,
    /// The cost a customer of its flags at risk less that of the policy in use, cut by cut.
    pub(crate) cost_against_in_use: Option<MeanResult>,
    pub(crate) signals: SignalResult,
}

/// Means over the cuts.
#[derive(Serialize, Debug)]
pub(crate) struct FlagResult {
    pub(crate) flagged_share: Option<MeanResult>,
    pub(crate) flagged_share_by_cut: Vec<Option<f64>>,
    pub(crate) precision: Option<MeanResult>,
    pub(crate) recall: Option<MeanResult>,
    pub(crate) f1: Option<MeanResult>,
    /// A customer.
    pub(crate) cost: Option<MeanResult>,
}

/// Flags of the customers who were in a segment at a cut, of all cuts together.
#[derive(Serialize, Clone, Copy, Debug)]
pub(crate) struct SegmentResult {
    pub(crate) segment: &'static str,
    pub(crate) customers: u64,
    pub(crate) at_risk: SegmentFlags,
    pub(crate) lapsed: SegmentFlags,
}

#[derive(Serialize, Clone, Copy, Debug)]
pub(crate) struct SegmentFlags {
    pub(crate) flagged_share: Option<f64>,
    pub(crate) precision: Option<f64>,
    pub(crate) recall: Option<f64>,
}

/// What the signals were worth while the history went on.
#[derive(Serialize, Debug)]
pub(crate) struct SignalResult {
    pub(crate) lapses: u64,
    /// The share of lapses that an order followed within the horizon.
    pub(crate) false_lapses: Option<f64>,
    /// Quartiles of the days from the last order to the lapse, of customers who stayed away.
    pub(crate) days_to_lapse: Option<[i64; 3]>,
    /// Quartiles of the days from at risk to the order, of customers who came back.
    pub(crate) days_to_act: Option<[i64; 3]>,
    /// The same customers by whole weeks, from 0 on; the last entry has all later ones.
    pub(crate) weeks_to_act: Vec<u64>,
    /// Orders that came before the customer was at risk.
    pub(crate) ordered_in_time: u64,
    /// Orders that came after it.
    pub(crate) came_back: usize,
}

#[derive(Serialize, Debug)]
pub(crate) struct ScoreResult {
    pub(crate) name: &'static str,
    pub(crate) auc: Option<MeanResult>,
    /// By cut.
    pub(crate) auc_by_cut: Vec<Option<f64>>,
    /// Of probabilities only.
    pub(crate) brier: Option<MeanResult>,
    pub(crate) log_loss: Option<MeanResult>,
    pub(crate) calibration_error: Option<MeanResult>,
}

#[derive(Serialize, Debug)]
pub(crate) struct RocResult {
    pub(crate) name: &'static str,
    /// The share of those who ordered whom the score finds, where it also lets through 0 %, 5 % … 100 % of those who did not.
    pub(crate) found: Vec<f64>,
}

#[derive(Serialize, Clone, Copy, Debug)]
pub(crate) struct MeanResult {
    pub(crate) mean: f64,
    /// Null with one cut.
    pub(crate) standard_error: Option<f64>,
}

#[derive(Serialize, Debug)]
pub(crate) struct BinResult {
    pub(crate) customers: usize,
    pub(crate) predicted: f64,
    pub(crate) seen: f64,
}

#[derive(Serialize, Debug)]
pub(crate) struct CostPoint {
    /// As `at_risk_share`, and as `lapsed_share`.
    pub(crate) share: f64,
    pub(crate) flagged_share: f64,
    pub(crate) precision: Option<f64>,
    pub(crate) cost: f64,
    pub(crate) lapsed_flagged_share: f64,
    pub(crate) lapsed_precision: Option<f64>,
}

#[derive(Serialize, Debug)]
pub(crate) struct DataPoint {
    pub(crate) customers: usize,
    /// Over six random draws; the whole data are drawn once.
    pub(crate) auc: MeanResult,
}

#[derive(Serialize, Debug)]
pub(crate) struct Recommended {
    pub(crate) at_risk_share: f64,
    pub(crate) lapsed_share: f64,
    /// What they would have flagged, and what a customer would have cost.
    pub(crate) at_risk_flagged: f64,
    pub(crate) lapsed_flagged: f64,
    pub(crate) cost: f64,
}

impl MeanResult {
    /// Of those values that exist; none without any.
    pub(crate) fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().flatten().collect();
        Mean::of(&values).map(|Mean { mean, error }| Self { mean, standard_error: error })
    }

    /// `0.734 ± 0.009`.
    pub(crate) fn text(&self, digits: usize) -> String {
        match self.standard_error {
            Some(error) => format!("{:.digits$} ± {error:.digits$}", self.mean),
            None => format!("{:.digits$}", self.mean),
        }
    }
}

impl From<measures::Bin> for BinResult {
    fn from(bin: measures::Bin) -> Self {
        Self { customers: bin.customers, predicted: bin.predicted, seen: bin.seen }
    }
}

/// A mean as it is printed, or a dash.
pub(crate) fn mean_text(mean: Option<MeanResult>, digits: usize) -> String {
    mean.map_or_else(|| "–".to_owned(), |mean| mean.text(digits))
}

impl Backtest {
    /// The file.
    pub(super) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings and finite numbers only");
        text.push('\n');
        text
    }

    /// What is printed.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.verdict);
        let mut line = |line: String| writeln!(text, "{}", line.trim_end()).expect("writing to a string");
        let [first, last] = [self.cuts.first(), self.cuts.last()].map(|cut| cut.map_or("", |cut| &cut.at));
        line(format!(
            "{} cuts from {first} to {last}, {} days after each",
            self.cuts.len(),
            self.horizon_days
        ));
        line(format!(
            "\n{:<24}{:>18}{:>18}{:>18}{:>18}",
            "at risk", "flagged", "precision", "recall", "cost a customer"
        ));
        for policy in &self.policies {
            let name = format!("{}{}", policy.name, if policy.in_use { " (in use)" } else { "" });
            let FlagResult { flagged_share, precision, recall, cost, .. } = &policy.at_risk;
            let [flagged, precision, recall] =
                [flagged_share, precision, recall].map(|mean| mean_text(*mean, 3));
            line(format!("{name:<24}{flagged:>18}{precision:>18}{recall:>18}{:>18}", mean_text(*cost, 2)));
        }
        line(format!("\n{:<24}{:>18}{:>18}", "ranking", "AUC", "Brier"));
        for score in &self.scores {
            let [auc, brier] = [score.auc, score.brier].map(|mean| mean_text(mean, 4));
            line(format!("{:<24}{auc:>18}{brier:>18}", score.name));
        }
        let Recommended { at_risk_share, lapsed_share, at_risk_flagged, cost, .. } = &self.recommended;
        line(format!(
            "\nleast cost: lapse.model.at_risk_share = {at_risk_share}, lapse.model.lapsed_share = {lapsed_share}: \
             {:.1} % flagged, {cost:.2} a customer",
            100.0 * at_risk_flagged
        ));
        text
    }
}
