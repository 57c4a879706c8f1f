//! `backtest`: whether the lapse policy in use would have been right, and which would have been better.
//!
//! ```text
//!  history ──► cuts ──► at each: a model of what was known, scores and flags ──► against what followed
//!     └──────► once by each policy ──► signals ──► lead times, false lapses
//! ```

pub mod arguments;
mod named;
mod page;
mod policies;
pub(crate) mod result;
mod scores;
mod segments;
mod verdict;

use std::fs;
use std::path::Path;

use crate::analysis::cut::{CustomerAtCut, Cut};
use crate::analysis::fitting::{self, Fitted, fitted};
use crate::analysis::measures::{Costs as CostsOfFlags, Flags, auc, bins};
use crate::analysis::parallel;
use crate::commands::cli::CommonArguments;
use crate::commands::fit::{day_text, model_settings};
use crate::commands::progress::Progress;
use crate::commands::replay::results::unwritable;
use crate::commands::shop_history::{Observer, ShopHistory};
use crate::domain::engine::Engine;
use crate::domain::lapse::model::{Model, ModelSettings, ModelVersion};
use crate::domain::lapse::{Cadence, LapsePolicies, LapsePolicy};
use crate::domain::model::fit::{Prior, fit, grouped};
use crate::domain::segments::names::Segment;
use crate::domain::settings::Shops;
use crate::domain::values::number::Decimal;
use crate::domain::values::time::{Span, Time};
use crate::exit::{Exit, Failure};
use crate::wire::hash;
use arguments::BacktestArguments;
use policies::{Signals, by_week, quartiles};
use result::{
    Backtest, BinResult, CostPoint, Costs, CutResult, DataPoint, FlagResult, MeanResult, ModelParameters,
    PolicyResult, SegmentResult, SignalResult,
};
use verdict::{recommended, verdict};

/// Of the command, if nothing else is asked for.
const EVERY: Span = Span::days(30);
const HORIZON: Span = Span::days(90);
const COSTS: CostsOfFlags = CostsOfFlags { missed: 10.0, wasted: 4.0 };
/// Before the first cut, so that silences can be long.
const WARM_UP: Span = Span::days(180);
/// Customers that the models of a backtest are fitted on at most.
const FITTED_MAX: usize = 5_000;
/// Draws for each point of the curve of data.
const DRAWS: u64 = 6;

/// Backtests and gives the report to print.
///
/// # Errors
/// The history cannot be read or is too short, or the results cannot be written.
pub fn run(common: &CommonArguments, arguments: &BacktestArguments) -> Result<String, Failure> {
    let path = arguments.out.join("backtest.json");
    if path.exists() && !arguments.force {
        let message =
            format!("{} exists; give another folder with --out, or --force to replace it", path.display());
        return Err(Failure::message(Exit::Usage, message));
    }
    let progress = Progress::new();
    let history = ShopHistory::read(common, &arguments.files, &progress)?;
    let mut test = Test::new(&history, &arguments.cut, (arguments.every, arguments.horizon), arguments.cost)?;
    test.named = named::policies(common, &arguments.policy)?;
    let backtest = test.run(&progress);
    progress.end();
    write(&arguments.out, "backtest.json", &backtest.to_json())?;
    write(&arguments.out, "backtest.html", &page::html(&backtest))?;
    let page = arguments.out.join("backtest.html");
    Ok(format!(
        "{}{}\npage {}, numbers {}\n",
        backtest.text(),
        history.refused_text(),
        page.display(),
        path.display()
    ))
}

/// A backtest with the defaults of the command; none if the history is too short for one.
pub(crate) fn of(history: &ShopHistory, progress: &Progress) -> Option<Backtest> {
    let test = Test::new(history, &[], (EVERY, HORIZON), COSTS).ok()?;
    Some(test.run(progress))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| unwritable(&path, &error))
}

/// A history with the cuts at which it is judged.
struct Test<'t> {
    history: &'t ShopHistory,
    cuts: Vec<Time>,
    horizon: Span,
    costs: CostsOfFlags,
    /// Policies that were asked for beside the usual ones.
    named: Vec<(String, LapsePolicy)>,
}

/// A cut with the model of what was known.
struct Judged {
    cut: Cut,
    fitted: Fitted,
    model: Model,
}

impl Judged {
    /// The model, judging every silence.
    fn for_all(&self) -> Model {
        Model { effective_at: Time::MIN, ..self.model.clone() }
    }
}

impl<'t> Test<'t> {
    /// With cuts `every` so many days if none is asked for.
    fn new(
        history: &'t ShopHistory,
        asked: &[Time],
        (every, horizon): (Span, Span),
        costs: CostsOfFlags,
    ) -> Result<Self, Failure> {
        let (first, last) = history.span();
        let begin = first.plus(WARM_UP).just_before().next_midnight();
        let mut cuts = asked.to_vec();
        if cuts.is_empty() {
            let next = |at: &Time| Some(at.plus(every));
            // The last cut has a whole horizon behind it, and the others lie whole steps before.
            let fits = |at: &Time| at.plus(horizon) <= last.next_midnight();
            cuts = std::iter::successors(Some(begin), next).take_while(fits).collect();
        }
        cuts.sort_unstable();
        cuts.dedup();
        let is_known = |at: &Time| *at > first && at.plus(horizon) <= last.next_midnight();
        if cuts.is_empty() || !cuts.iter().all(is_known) {
            let message = format!(
                "the history goes from {} to {}: a cut needs orders before it and {} days after it (180 before the first one, \
                 if --cut names none); give an earlier --cut, or a shorter --horizon",
                day_text(first),
                day_text(last),
                in_days(horizon)
            );
            return Err(Failure::message(Exit::Data, message));
        }
        Ok(Self { history, cuts, horizon, costs, named: Vec::new() })
    }

    fn run(&self, progress: &Progress) -> Backtest {
        let judged = self.judged(progress);
        let policies = self.policies(&judged);
        let flags: Vec<Vec<[Flags; 2]>> = policies
            .iter()
            .map(|policy| {
                judged
                    .iter()
                    .enumerate()
                    .map(|(index, judged)| policies::flags(&policy.at_cuts[index], &judged.cut))
                    .collect()
            })
            .collect();
        let in_use =
            policies.iter().position(|policy| policy.in_use).expect("the configuration has a policy");
        let segments: Vec<Vec<Segment>> =
            judged.iter().map(|judged| segments::segments(&judged.cut)).collect();
        let results: Vec<PolicyResult> = policies
            .iter()
            .zip(&flags)
            .map(|(policy, own)| {
                let against = (!policy.in_use).then(|| self.cost_difference(own, &flags[in_use])).flatten();
                let signals = self.signals(policy, progress);
                let cuts = judged.iter().zip(&segments).zip(&policy.at_cuts);
                let cuts = cuts.map(|((judged, segments), policies)| (&judged.cut, &segments[..], policies));
                self.policy_result(policy, own, segments::by_segment(cuts), against, signals)
            })
            .collect();
        let last = judged.last().expect("there is a cut");
        let cost_curve = self.cost_curve(&judged);
        let recommended = recommended(&cost_curve);
        Backtest {
            verdict: verdict(&results, judged.len()),
            horizon_days: in_days(self.horizon),
            cost: Costs { missed: self.costs.missed, wasted: self.costs.wasted },
            cuts: judged.iter().map(|judged| self.cut_result(judged)).collect(),
            scores: scores::scores(&judged, self.horizon),
            roc: scores::curves(last, self.horizon),
            calibration: bins(&last.cut.scored(&last.model, self.horizon))
                .into_iter()
                .map(BinResult::from)
                .collect(),
            data_curve: self.data_curve(&last.cut, progress),
            policies: results,
            cost_curve,
            recommended,
        }
    }

    /// One pass for all cuts, then a model for each from what was known at it.
    fn judged(&self, progress: &Progress) -> Vec<Judged> {
        let mut stops: Vec<Time> = self.cuts.iter().flat_map(|at| [*at, at.plus(self.horizon)]).collect();
        stops.sort_unstable();
        stops.dedup();
        let settings = self.history.settings();
        let mut taker =
            Taker { shops: &settings.shops, at: &self.cuts, horizon: self.horizon, cuts: Vec::new() };
        progress.applying(self.history.events());
        self.history.apply(settings.lapse.clone(), &stops, progress, &mut taker);
        let cuts = taker.cuts;
        let samples: Vec<Cut> = cuts.iter().map(sample).collect();
        let horizon = self.horizon;
        let judge = |&(cut, own): &(&Cut, &Cut)| {
            let complete: Vec<&Cut> =
                samples.iter().filter(|earlier| earlier.at.plus(horizon) <= cut.at).collect();
            let fitted = fitted(own, &complete, horizon, Prior::Weak);
            let model = fitted.model(ModelVersion::Fitted(0), fitting::effective_after(cut.at));
            progress.fitted();
            Judged { cut: cut.clone(), fitted, model }
        };
        let pairs: Vec<(&Cut, &Cut)> = cuts.iter().zip(&samples).collect();
        progress.fitting(cuts.len());
        parallel::map(&pairs, judge)
    }

    /// The one in use, and the others with their defaults.
    fn policies(&self, judged: &[Judged]) -> Vec<Policy> {
        let settings = self.history.settings();
        let used = settings.lapse.policy();
        let hash = settings.hash;
        let of = |policy: LapsePolicy| LapsePolicies::new(policy, hash);
        let plain = |name: &str, policy: LapsePolicy| Policy {
            in_use: policy == *used,
            at_cuts: vec![of(policy.clone()); judged.len()],
            over_time: of(policy),
            name: name.to_owned(),
        };
        let mut policies = Vec::new();
        let fixed = match used {
            LapsePolicy::Fixed { .. } => used.clone(),
            LapsePolicy::Cadence(_) | LapsePolicy::Model(_) => {
                LapsePolicy::Fixed { at_risk: Span::days(30), lapsed: Span::days(60) }
            }
        };
        policies.push(plain("fixed", fixed));
        let cadence = match used {
            LapsePolicy::Cadence(_) => used.clone(),
            LapsePolicy::Fixed { .. } | LapsePolicy::Model(_) => LapsePolicy::Cadence(Cadence::default()),
        };
        policies.push(plain("cadence", cadence));
        let model = LapsePolicy::Model(model_settings(used));
        policies.push(plain("model, prior", model.clone()));
        policies.push(Policy {
            name: "model, fitted".to_owned(),
            in_use: false,
            // At a cut the model of that cut judges everybody; over time each judges the silences that begin under it.
            at_cuts: judged
                .iter()
                .map(|judged| of(model.clone()).with_models(vec![judged.for_all()]))
                .collect(),
            over_time: of(model).with_models(judged.iter().map(|judged| judged.model.clone()).collect()),
        });
        policies.extend(
            self.named.iter().map(|(name, policy)| Policy { in_use: false, ..plain(name, policy.clone()) }),
        );
        policies
    }

    fn cost_difference(&self, own: &[[Flags; 2]], other: &[[Flags; 2]]) -> Option<MeanResult> {
        let cost = |[at_risk, _]: &[Flags; 2]| at_risk.cost(self.costs) / at_risk.customers() as f64;
        MeanResult::of(own.iter().zip(other).map(|(own, other)| Some(cost(own) - cost(other))))
    }

    fn signals(&self, policy: &Policy, progress: &Progress) -> SignalResult {
        let (_, end) = self.history.span();
        let mut signals = Signals::new(self.horizon, end);
        progress.applying(self.history.events());
        self.history.apply(policy.over_time.clone(), &[end.next_midnight()], progress, &mut signals);
        signals.finish();
        SignalResult {
            lapses: signals.lapses,
            false_lapses: (signals.lapses > 0).then(|| signals.false_lapses as f64 / signals.lapses as f64),
            days_to_lapse: quartiles(&signals.days_to_lapse),
            days_to_act: quartiles(&signals.days_to_act),
            weeks_to_act: by_week(&signals.days_to_act),
            ordered_in_time: signals.in_time,
            came_back: signals.days_to_act.len(),
        }
    }

    fn policy_result(
        &self,
        policy: &Policy,
        flags: &[[Flags; 2]],
        segments: Vec<SegmentResult>,
        cost_against_in_use: Option<MeanResult>,
        signals: SignalResult,
    ) -> PolicyResult {
        let result = |which: usize| {
            let mean = |value: fn(Flags) -> Option<f64>| {
                MeanResult::of(flags.iter().map(|flags| value(flags[which])))
            };
            FlagResult {
                flagged_share: mean(Flags::flagged_share),
                flagged_share_by_cut: flags.iter().map(|flags| flags[which].flagged_share()).collect(),
                precision: mean(Flags::precision),
                recall: mean(Flags::recall),
                f1: mean(Flags::f1),
                cost: MeanResult::of(flags.iter().map(|flags| {
                    let flags = flags[which];
                    (flags.customers() > 0).then(|| flags.cost(self.costs) / flags.customers() as f64)
                })),
            }
        };
        PolicyResult {
            name: policy.name.clone(),
            in_use: policy.in_use,
            at_risk: result(0),
            lapsed: result(1),
            segments,
            cost_against_in_use,
            signals,
        }
    }

    fn cut_result(&self, judged: &Judged) -> CutResult {
        let scored = judged.cut.scored(&judged.model, self.horizon);
        let orders = judged.fitted.fit.model;
        CutResult {
            at: day_text(judged.cut.at),
            customers: judged.cut.customers.len(),
            ordered: scored.iter().filter(|row| row.ordered).count(),
            expected: scored.iter().map(|row| row.score).sum(),
            model: ModelParameters { r: orders.r, alpha_days: orders.alpha_days, a: orders.a, b: orders.b },
            corrected: judged.fitted.correction.is_some(),
        }
    }

    /// What each share would have flagged, within the bounds of the policy.
    fn cost_curve(&self, judged: &[Judged]) -> Vec<CostPoint> {
        let settings = model_settings(self.history.settings().lapse.policy());
        let costs = self.costs;
        let point = |hundredths: u64| {
            let share = Decimal::new(hundredths, 2).expect("two digits");
            let policy = LapsePolicy::Model(ModelSettings {
                at_risk_share: share,
                lapsed_share: share,
                ..settings.clone()
            });
            let flags: Vec<[Flags; 2]> = judged
                .iter()
                .map(|judged| {
                    let policies =
                        LapsePolicies::new(policy.clone(), hash::hash).with_models(vec![judged.for_all()]);
                    policies::flags(&policies, &judged.cut)
                })
                .collect();
            let mean = |which: usize, value: &dyn Fn(&Flags) -> Option<f64>| {
                MeanResult::of(flags.iter().map(|flags| value(&flags[which]))).map(|mean| mean.mean)
            };
            CostPoint {
                share: hundredths as f64 / 100.0,
                flagged_share: mean(0, &|flags| flags.flagged_share()).unwrap_or(0.0),
                precision: mean(0, &|flags| flags.precision()),
                cost: mean(0, &|flags| Some(flags.cost(costs) / flags.customers() as f64)).unwrap_or(0.0),
                lapsed_flagged_share: mean(1, &|flags| flags.flagged_share()).unwrap_or(0.0),
                lapsed_precision: mean(1, &|flags| flags.precision()),
            }
        };
        let shares: Vec<u64> = (1..=40).map(|twentieths| 5 * twentieths).collect();
        parallel::map(&shares, |share| point(*share))
    }

    /// Fits on 50, 100, 200 … random customers of a cut, and ranks all of them.
    fn data_curve(&self, cut: &Cut, progress: &Progress) -> Vec<DataPoint> {
        let horizon = self.horizon;
        let ranks = |customers: Vec<CustomerAtCut>| {
            let part = Cut { at: cut.at, customers };
            let orders = fit(&grouped(part.rows()), Prior::Weak).model;
            auc(&cut.scored(&Model { orders, ..Model::PRIOR }, horizon))
        };
        let drawn = |count: usize, draw: u64| {
            let mut customers = cut.customers.clone();
            customers.sort_unstable_by_key(|customer| hash::checksum(&customer.key_hash.to_le_bytes(), draw));
            customers.truncate(count);
            ranks(customers)
        };
        let sizes = [50, 100, 200, 500, 1_000, 2_000, 5_000];
        let all = sample(cut).customers;
        let part = sizes.into_iter().filter(|count| *count < all.len());
        let mut draws: Vec<(usize, u64)> =
            part.flat_map(|count| (0..DRAWS).map(move |draw| (count, draw))).collect();
        // All of them are drawn once, in any order.
        draws.push((all.len(), 0));
        progress.fitting(draws.len());
        let ranked = parallel::map(&draws, |&(count, draw)| {
            let auc = if count == all.len() { ranks(all.clone()) } else { drawn(count, draw) };
            progress.fitted();
            auc
        });
        let of_count = |draws: &[((usize, u64), Option<f64>)]| {
            let auc = MeanResult::of(draws.iter().map(|(_, auc)| *auc))?;
            Some(DataPoint { customers: draws[0].0.0, auc })
        };
        let ranked: Vec<_> = draws.into_iter().zip(ranked).collect();
        ranked.chunk_by(|one, other| one.0.0 == other.0.0).filter_map(of_count).collect()
    }
}

/// A policy of the test.
struct Policy {
    name: String,
    in_use: bool,
    at_cuts: Vec<LapsePolicies>,
    over_time: LapsePolicies,
}

/// Takes the customers at each cut, and later what they did.
struct Taker<'t> {
    shops: &'t Shops,
    at: &'t [Time],
    horizon: Span,
    cuts: Vec<Cut>,
}

impl Observer for Taker<'_> {
    fn stop(&mut self, engine: &mut Engine, at: Time) {
        for cut in self.cuts.iter_mut().filter(|cut| cut.at.plus(self.horizon) == at) {
            cut.add_outcomes(engine, at);
        }
        if self.at.contains(&at) {
            self.cuts.push(Cut::take(engine, self.shops, at));
        }
    }
}

/// What models of a backtest are fitted on: the customers with the smallest hashes, who are as good as drawn by lot. More of them would
/// take longer, and rank no better.
fn sample(cut: &Cut) -> Cut {
    let customers = cut.customers.iter().take(FITTED_MAX).cloned().collect();
    Cut { at: cut.at, customers }
}

fn in_days(span: Span) -> i64 {
    span.as_millis() / Span::DAY.as_millis()
}
