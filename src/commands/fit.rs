//! `fit`: the parameters of the policy `model` from a shop's history.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::Args;

use crate::analysis::cut::Cut;
use crate::analysis::fitting::{self, Fitted, Times, fitted};
use crate::commands::cli::CommonArguments;
use crate::commands::history_files::FileArguments;
use crate::commands::progress::Progress;
use crate::commands::registry::{self as registry_commands, RegistryTopic};
use crate::commands::replay::results::unwritable;
use crate::commands::shop_history::{Observer, ShopHistory};
use crate::config::Purpose;
use crate::domain::engine::Engine;
use crate::domain::lapse::model::{Model, ModelSettings, ModelVersion};
use crate::domain::lapse::{LapsePolicies, LapsePolicy};
use crate::domain::model::fit::Prior;
use crate::domain::settings::Shops;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::time::{Span, Time};
use crate::exit::{Exit, Failure};
use crate::wire::registry::{self, ModelRecord, Number, Params};

/// Without a prior, thin data let the plain likelihood run away.
const CUSTOMERS_MIN: usize = 500;
const REPEATERS_MIN: usize = 100;
const DAYS_MIN: i64 = 180;
const LOG_ERROR_MAX: f64 = 1.5;

/// Arguments of `fit`.
#[derive(Args, Clone, Debug)]
pub struct FitArguments {
    #[command(flatten)]
    pub files: FileArguments,

    /// Takes the customers as they were at the beginning of this day (UTC). Give it again for another model; default: the first midnight
    /// after the last record
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub at: Vec<Time>,

    /// Fits to the customers of this store, for this store alone
    #[arg(long, value_name = "ID")]
    pub store: Option<String>,

    /// The plain likelihood, to compare with papers and other programs. Thin data are then refused
    #[arg(long)]
    pub no_prior: bool,

    /// The model judges every silence, also those that have begun: `effective_at` is 1970. Otherwise it counts from the first midnight on
    /// that is at least a day after --at, and with --publish after now
    #[arg(long)]
    pub from_beginning: bool,

    /// Where the models are written: a registry file, for `registry.file`
    #[arg(long, value_name = "FILE", required_unless_present = "publish")]
    pub out: Option<PathBuf>,

    /// Writes the model to the registry's topic (topics.registry), from which running instances take it
    #[arg(long)]
    pub publish: bool,

    /// Replaces that file, and writes a model although something speaks against it
    #[arg(long)]
    pub force: bool,
}

/// Reads a day as its first instant in UTC.
pub(crate) fn day(text: &str) -> Result<Time, String> {
    let date = text.parse::<NaiveDate>().map_err(|_| "write a day as 2025-03-31".to_owned())?;
    let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    Time::from_millis(midnight).ok_or_else(|| "the day lies outside of 1970 to 9999".to_owned())
}

/// Fits and gives the report to print.
///
/// # Errors
/// The history cannot be read, something speaks against a model, or the file cannot be written.
pub fn run(common: &CommonArguments, arguments: &FitArguments) -> Result<String, Failure> {
    let topic = Destination::look(common, arguments)?;
    let progress = Progress::new();
    let history = ShopHistory::read(common, &arguments.files, &progress)?;
    let shop =
        arguments.store.as_deref().map(|store| shop_of(&history.settings().shops, store)).transpose()?;
    let (first, last) = history.span();
    let mut cuts = arguments.at.clone();
    if cuts.is_empty() {
        cuts.push(last.next_midnight());
    }
    cuts.sort_unstable();
    cuts.dedup();
    let horizon = model_settings(history.settings().lapse.policy()).horizon;
    progress.applying(history.events());
    let taken = take(&history, &cuts, horizon, shop, &progress);
    progress.end();

    let prior = if arguments.no_prior { Prior::None } else { Prior::Weak };
    let (mut records, mut text, mut problems) = (Vec::new(), String::new(), Vec::new());
    for cut in &taken.cuts {
        let fit = Fit { history: &history, taken: &taken, cut, first, horizon, prior };
        if cut.customers.is_empty() {
            problems.push(format!("{}: no customer has a kept order before it", day_text(cut.at)));
            continue;
        }
        let fitted = fitted(cut, &taken.complete(cut.at, horizon), horizon, prior);
        problems.extend(
            fit.problems(&fitted).into_iter().map(|problem| format!("{}: {problem}", day_text(cut.at))),
        );
        let record = fit.record(&fitted, arguments);
        fit.describe(&fitted, &record, &mut text);
        records.push(record);
    }
    if !problems.is_empty() && (!arguments.force || records.is_empty()) {
        let message = format!(
            "{text}\nnothing was written; --force does it all the same:\n  {}",
            problems.join("\n  ")
        );
        return Err(Failure::message(Exit::Data, message.trim_start()));
    }
    text.push_str(&history.refused_text());
    text.push('\n');
    topic.write(&records, &mut text)?;
    Ok(text)
}

/// Where the models go.
struct Destination<'a> {
    file: Option<&'a Path>,
    topic: Option<RegistryTopic>,
}

impl<'a> Destination<'a> {
    /// What can be known before the fit, which takes its time.
    ///
    /// # Errors
    /// The file is there already, there is no topic, or what the arguments ask for makes no sense.
    fn look(common: &CommonArguments, arguments: &'a FitArguments) -> Result<Self, Failure> {
        let refused = |message: String| Err(Failure::message(Exit::Usage, message));
        if let Some(out) = arguments.out.as_deref().filter(|out| out.exists() && !arguments.force) {
            return refused(format!(
                "{} exists already; choose another file, or replace it with --force",
                out.display()
            ));
        }
        if arguments.publish && arguments.at.len() > 1 {
            return refused("one model is published at a time: give --at once".to_owned());
        }
        let publish = || RegistryTopic::of(&common.load(Purpose::Kafka)?);
        let topic = arguments.publish.then(publish).transpose()?;
        Ok(Self { file: arguments.out.as_deref(), topic })
    }

    fn write(&self, records: &[ModelRecord], text: &mut String) -> Result<(), Failure> {
        let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string");
        if let Some(file) = self.file {
            let lines: String =
                records.iter().map(|record| registry::file_line(&record.key(), &record.to_json())).collect();
            fs::write(file, lines).map_err(|error| unwritable(file, &error))?;
            line(format!(
                "written to {}: use it with registry.file, and lapse.policy = \"model\"",
                file.display()
            ));
        }
        let Some(topic) = &self.topic else { return Ok(()) };
        for record in records {
            line(topic.publish(record)?);
        }
        Ok(())
    }
}

fn shop_of(shops: &Shops, store: &str) -> Result<ShopIndex, Failure> {
    shops.indexes().find(|shop| shops.store_id(*shop) == Some(store)).ok_or_else(|| {
        let message = format!("no store {store:?} is configured; see [stores.<id>] in docs/CONFIGURATION.md");
        Failure::message(Exit::Configuration, message)
    })
}

/// The settings of the policy `model`, its defaults under another one.
pub(crate) fn model_settings(policy: &LapsePolicy) -> ModelSettings {
    match policy {
        LapsePolicy::Model(settings) => settings.clone(),
        LapsePolicy::Fixed { .. } | LapsePolicy::Cadence(_) => ModelSettings::default(),
    }
}

/// Cuts of one pass through the history.
struct Taken {
    /// Those asked for.
    cuts: Vec<Cut>,
    /// Rolling ones, with what followed.
    rolling: Vec<Cut>,
}

impl Taken {
    /// Rolling cuts of which all was known at an instant, oldest first.
    fn complete(&self, at: Time, horizon: Span) -> Vec<&Cut> {
        self.rolling.iter().filter(|cut| cut.at.plus(horizon) <= at).collect()
    }
}

/// Takes the cuts asked for, and before them one every 30 days for checks and the correction: the last one a horizon before the first
/// cut asked for, the first one 180 days after the first record.
fn take(
    history: &ShopHistory,
    cuts: &[Time],
    horizon: Span,
    shop: Option<ShopIndex>,
    progress: &Progress,
) -> Taken {
    let (first, _) = history.span();
    let begin = first.plus(Span::days(DAYS_MIN));
    let mut rolling = Vec::new();
    for cut in cuts {
        let mut at = cut.minus(horizon);
        while at >= begin && at > Time::MIN {
            rolling.push(at);
            at = at.minus(Span::days(30));
        }
    }
    rolling.sort_unstable();
    rolling.dedup();
    let mut taker = Taker {
        shops: &history.settings().shops,
        shop,
        horizon,
        asked: cuts,
        rolling: &rolling,
        taken: Taken { cuts: Vec::new(), rolling: Vec::new() },
    };
    let mut stops: Vec<Time> = cuts.iter().chain(&rolling).copied().collect();
    stops.extend(rolling.iter().map(|at| at.plus(horizon)));
    stops.sort_unstable();
    stops.dedup();
    history.apply(history.settings().lapse.clone(), &stops, progress, &mut taker);
    taker.taken
}

struct Taker<'t> {
    shops: &'t Shops,
    shop: Option<ShopIndex>,
    horizon: Span,
    asked: &'t [Time],
    rolling: &'t [Time],
    taken: Taken,
}

impl Observer for Taker<'_> {
    fn stop(&mut self, engine: &mut Engine, at: Time) {
        for cut in &mut self.taken.rolling {
            if cut.at.plus(self.horizon) == at {
                cut.add_outcomes(engine, at);
            }
        }
        let (is_asked, is_rolling) = (self.asked.contains(&at), self.rolling.contains(&at));
        if !is_asked && !is_rolling {
            return;
        }
        let mut cut = Cut::take(engine, self.shops, at);
        if let Some(shop) = self.shop {
            cut.customers.retain(|customer| customer.shop == shop);
        }
        if is_asked {
            self.taken.cuts.push(cut.clone());
        }
        if is_rolling {
            self.taken.rolling.push(cut);
        }
    }
}

/// One model that is fitted.
struct Fit<'f> {
    history: &'f ShopHistory,
    taken: &'f Taken,
    cut: &'f Cut,
    first: Time,
    horizon: Span,
    prior: Prior,
}

impl Fit<'_> {
    /// What speaks against using it.
    fn problems(&self, fitted: &Fitted) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(parameter) = fitted.fit.at_bound {
            problems.push(format!("{parameter} ran to the bound of what is searched"));
        }
        if fitted.fit.log_errors.is_none() {
            problems.push("the likelihood has no maximum here".to_owned());
        }
        if self.prior == Prior::None {
            let customers = self.cut.customers.len();
            let repeaters =
                self.cut.customers.iter().filter(|customer| customer.values.purchase_days > 1).count();
            let days = self.cut.at.since(self.first).as_millis() / Span::DAY.as_millis();
            if customers < CUSTOMERS_MIN || repeaters < REPEATERS_MIN || days < DAYS_MIN {
                problems.push(format!(
                    "{customers} customers, {repeaters} with two purchase days, {days} days: without the prior it takes \
                     {CUSTOMERS_MIN}, {REPEATERS_MIN} and {DAYS_MIN}; leave --no-prior out"
                ));
            }
            if fitted.fit.log_errors.is_some_and(|errors| errors.iter().any(|error| *error > LOG_ERROR_MAX)) {
                problems.push(format!(
                    "a standard error of a logarithm is above {LOG_ERROR_MAX}: the data do not determine the model; leave --no-prior out"
                ));
            }
        }
        problems
    }

    fn record(&self, fitted: &Fitted, arguments: &FitArguments) -> ModelRecord {
        let published_at = if arguments.publish { registry_commands::now() } else { self.cut.at };
        let effective_at = match arguments.from_beginning {
            true => Time::MIN,
            false => fitting::effective_after(published_at.max(self.cut.at)),
        };
        let times = Times { from: self.first, fitted_at: self.cut.at, effective_at };
        let last = self.taken.complete(self.cut.at, self.horizon).pop();
        let check = last.and_then(|last| {
            let earlier = analysis_of(last, self.taken, self.horizon, self.prior);
            fitting::check(&earlier, last, self.horizon)
        });
        fitting::record(fitted, self.cut, arguments.store.clone(), times, check)
    }

    fn describe(&self, fitted: &Fitted, record: &ModelRecord, text: &mut String) {
        let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string");
        let fitted_on = &record.fitted_on;
        line(format!(
            "model {} of {}: {} customers, {} with two or more purchase days, {} kept orders",
            record.version,
            day_text(self.cut.at),
            fitted_on.customers,
            fitted_on.repeaters,
            fitted_on.orders
        ));
        let error =
            |error: Option<Number>| error.map_or("?".to_owned(), |Number(error)| format!("{error:.3}"));
        let Params { r, alpha_days, a, b } = record.params;
        let errors = record.log_se;
        line(format!(
            "  r {:.4}   alpha {:.3} days   a {:.4}   b {:.4}   (standard errors of their logarithms {} {} {} {})",
            r.0,
            alpha_days.0,
            a.0,
            b.0,
            error(errors.map(|errors| errors.r)),
            error(errors.map(|errors| errors.alpha_days)),
            error(errors.map(|errors| errors.a)),
            error(errors.map(|errors| errors.b))
        ));
        line(format!(
            "  log-likelihood {:.4}{}",
            fitted.fit.log_likelihood,
            match self.prior {
                Prior::Weak => format!(", penalty of the prior {:.4}", fitted.fit.penalty),
                Prior::None => String::new(),
            }
        ));
        line(match fitted.value {
            Some(value) => {
                format!("  order values: p {:.3}, q {:.3}, v {:.1} minor units", value.p, value.q, value.v)
            }
            None => format!("  order values: none; they take {} customers with two purchase days", 100),
        });
        line(match (fitted.correction, fitted.gain) {
            (Some(correction), Some((gain, error))) => format!(
                "  correction by value: {:.3} for the mean, {:.3} for the last order; it lowers the log-loss by {gain:.4} ± {error:.4}",
                correction.mean, correction.last
            ),
            (None, Some((gain, error))) => {
                format!(
                    "  correction by value: none; it would change the log-loss by {:.4} ± {error:.4}",
                    -gain
                )
            }
            (_, None) => {
                "  correction by value: none; it takes two cuts with a whole horizon after them".to_owned()
            }
        });
        let (at_risk, lapsed) = self.shares(fitted);
        line(format!(
            "  a new customer orders again within {} days with probability {:.4}; now {:.1} % of customers would be at risk, {:.1} % lapsed",
            self.horizon.as_millis() / Span::DAY.as_millis(),
            fitted.fit.model.of_new_customer(self.horizon.as_millis() as f64 / Span::DAY.as_millis() as f64),
            100.0 * at_risk,
            100.0 * lapsed
        ));
        line(match &record.check {
            Some(check) => format!(
                "  checked on the {} days before: AUC {:.4}, Brier {:.4}, {:.0} customers expected to order, {} did",
                check.horizon_days, check.auc.0, check.brier.0, check.expected.0, check.seen
            ),
            None => "  not checked: the history before it is shorter than 180 days and a horizon".to_owned(),
        });
    }

    /// The shares of customers who would be at risk (and not lapsed) and lapsed at the cut.
    fn shares(&self, fitted: &Fitted) -> (f64, f64) {
        let settings = self.history.settings();
        let policy = LapsePolicy::Model(model_settings(settings.lapse.policy()));
        let model = fitted.model(ModelVersion::Fitted(0), Time::MIN);
        let policies = LapsePolicies::new(policy, settings.hash).with_models(vec![model]);
        let (mut at_risk, mut lapsed) = (0, 0);
        for customer in &self.cut.customers {
            let deadlines =
                policies.deadlines(customer.shop, &customer.history).expect("a model has deadlines");
            if self.cut.at >= deadlines.lapsed {
                lapsed += 1;
            } else if self.cut.at >= deadlines.at_risk {
                at_risk += 1;
            }
        }
        let share = |count: u32| f64::from(count) / self.cut.customers.len() as f64;
        (share(at_risk), share(lapsed))
    }
}

/// The model that a cut would have been given.
fn analysis_of(cut: &Cut, taken: &Taken, horizon: Span, prior: Prior) -> Model {
    fitted(cut, &taken.complete(cut.at, horizon), horizon, prior).model(ModelVersion::Fitted(0), Time::MIN)
}

/// `2011-06-10`.
pub(crate) fn day_text(at: Time) -> String {
    let text = crate::wire::encode::time_text(at);
    String::from_utf8_lossy(&text[..10]).into_owned()
}
