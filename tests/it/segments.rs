//! Cut points for random histories, and the law of segments that needs two registries.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::{Engine, Progress};
use retention_signals::domain::in_force::Effect;
use retention_signals::domain::segments::cuts::{CutPoints, MoneyCuts};
use retention_signals::domain::segments::published::{CutsInForce, CutsVersion, PublishedCuts};
use retention_signals::domain::settings::Settings;
use retention_signals::domain::values::event::Record;
use retention_signals::domain::values::money::Currency;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::registry::Instant;
use retention_signals::wire::registry::cuts::{CutsContent, CutsRecord};

use crate::laws;
use crate::oracle;
use crate::oracle::scenario::DAY_ZERO_MS;
use crate::oracle::segments::{Cuts, Money};

pub fn trials() -> Vec<Trial> {
    let laws: [(&str, fn(u64) -> Result<(), String>); 2] = [
        ("laws::cut_points_that_count_later_change_nothing", later_cut_points_change_nothing),
        ("laws::late_cut_points_give_the_facts_of_a_replay", late_cut_points_give_the_facts_of_a_replay),
    ];
    let laws = laws.map(|(name, law)| Trial::test(name, move || laws::over_seeds(law, 1_000)));
    let mut trials = vec![Trial::test("differential::histories_change_segments", histories_change_segments)];
    trials.extend(laws);
    trials
}

/// The histories that service and oracle are compared on have changes of every kind.
fn histories_change_segments() -> Result<(), Failed> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..300 {
        let mut history = oracle::history(seed);
        let mut random = Rng::with_seed(seed);
        let from = Time::from_millis(DAY_ZERO_MS).expect("in range");
        history.config.segments = Some(for_oracle(&records(&mut random, from)));
        let output = oracle::run(&history.config, &history.wild);
        for signal in output.signals.iter().filter(|signal| signal["type"] == "segment_changed") {
            let is_first = signal["data"]["before"].is_null();
            let kind = format!("{} first: {is_first}", signal["cause"]["kind"]);
            *counts.entry(kind).or_default() += 1;
        }
    }
    let kinds =
        ["boundary", "order", "cancellation", "return"].map(|kind| format!("\"{kind}\" first: false"));
    let expected = kinds.into_iter().chain(["\"order\" first: true".to_owned()]);
    let rare: Vec<String> = expected.filter(|kind| counts.get(kind) < Some(&20)).collect();
    if rare.is_empty() { Ok(()) } else { Err(format!("{rare:?} are rare: {counts:?}").into()) }
}

/// Some records for histories that last a few years from `from` on. One of them may count from the beginning.
pub fn records(random: &mut Rng, from: Time) -> Vec<CutsRecord> {
    (0..random.u64(0..=3))
        .map(|number| {
            let day = random.i64(0..1_500);
            let effective_at =
                if number == 0 && random.bool() { Time::MIN } else { from.plus(Span::days(day)) };
            record(random, effective_at)
        })
        .collect()
}

/// One that counts from the beginning, and some of the next two years.
pub fn of_each_age(random: &mut Rng, from: Time) -> Vec<CutsRecord> {
    let later = [20, 100, 300, 600].map(|days| from.plus(Span::days(days)));
    [Time::MIN].into_iter().chain(later).map(|effective_at| record(random, effective_at)).collect()
}

fn record(random: &mut Rng, effective_at: Time) -> CutsRecord {
    let mut rising = |steps: &[u64]| {
        let mut cut = 0;
        std::array::from_fn(|_| {
            cut += 1 + steps[random.usize(0..steps.len())];
            cut - 1
        })
    };
    let (r, f, m) = (rising(&[0, 1, 7, 29, 60, 150]), rising(&[0, 0, 1]), rising(&[5, 500, 1_000, 2_000]));
    let medians = MoneyCuts { m, f_median: random.u64(1..4), value_median: random.u64(0..1_200) };
    let content = CutsContent {
        store_id: None,
        // So that the day decides now and then.
        counted_at: Time::MIN.plus(Span::days(random.i64(0..3))),
        customers: random.u64(0..1_000),
        points: CutPoints { r, f, money: random.bool().then_some(medians) },
        currency: Currency::from_code(b"EUR").expect("a currency"),
    };
    CutsRecord { effective_at: Instant(effective_at), ..CutsRecord::refreshed(&content) }
}

pub fn published(records: &[CutsRecord]) -> Vec<PublishedCuts> {
    records.iter().map(|record| record.published(None).expect("usable")).collect()
}

/// The same for the oracle.
pub fn for_oracle(records: &[CutsRecord]) -> Vec<Cuts> {
    let cuts = records.iter().map(|record| Cuts {
        store_id: None,
        effective_ms: record.effective_at.0.as_millis(),
        published_ms: record.day.0.as_millis(),
        version: record.version.clone(),
        r_days: record.r.map(|days| i64::try_from(days).expect("small")),
        f: record.f.map(i128::from),
        money: record.m.map(|m| Money {
            m: m.map(i128::from),
            f_median: record.f_median.expect("with m").into(),
            value_median: record.value_median.expect("with m").into(),
        }),
    });
    cuts.collect()
}

/// And back.
pub fn of_oracle(cuts: &[Cuts]) -> Vec<PublishedCuts> {
    let unsigned = |cuts: [i128; 4]| cuts.map(|cut| u64::try_from(cut).expect("from 0 on"));
    let time = |millis| Time::from_millis(millis).expect("in range");
    let cuts = cuts.iter().map(|cuts| PublishedCuts {
        effect: Effect {
            shop: None,
            effective_at: time(cuts.effective_ms),
            published_at: time(cuts.published_ms),
            version: CutsVersion(u64::from_str_radix(&cuts.version, 16).expect("16 digits")),
        },
        points: CutPoints {
            r: unsigned(cuts.r_days.map(i128::from)),
            f: unsigned(cuts.f),
            money: cuts.money.as_ref().map(|money| MoneyCuts {
                m: unsigned(money.m),
                f_median: u64::try_from(money.f_median).expect("from 0 on"),
                value_median: u64::try_from(money.value_median).expect("from 0 on"),
            }),
        },
    });
    cuts.collect()
}

/// For the laws, whose histories begin in 1970. None: there are no segments.
pub fn random(random: &mut Rng) -> Option<Arc<CutsInForce>> {
    let records = records(random, Time::MIN);
    (random.u8(0..4) > 0).then(|| Arc::new(CutsInForce::new(&published(&records))))
}

/// Records that count after the last order change no fact and no signal.
fn later_cut_points_change_nothing(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let settings = laws::settings(&mut random);
    let history = laws::history(&mut random);
    let mut cuts = published(&records(&mut random, Time::MIN));
    let with = |cuts: &[PublishedCuts]| {
        let segments = Some(Arc::new(CutsInForce::new(cuts)));
        Arc::new(Settings { segments, ..(*settings).clone() })
    };
    let before = with(&cuts);
    let last = laws::end_of(&history);
    let later = [0, 1, 400].map(|days| record(&mut random, last.plus(Span::days(days))));
    cuts.extend(published(&later));
    let after = with(&cuts);
    let arrivals = laws::arrivals(&mut random, &history);
    let (before, after) = (outcome(&before, &arrivals, last)?, outcome(&after, &arrivals, last)?);
    if before == after { Ok(()) } else { Err(format!("{before}\n{after}")) }
}

/// Records that are read when the clock has passed the time from which they count: the profile is that of an engine that had them from the
/// start, and what was emitted follows with the next record or timer.
fn late_cut_points_give_the_facts_of_a_replay(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let settings = laws::settings(&mut random);
    let history = laws::history(&mut random);
    let early = published(&records(&mut random, Time::MIN));
    let late = published(&records(&mut random, Time::MIN));
    let with = |cuts: &[PublishedCuts]| {
        let segments = Some(Arc::new(CutsInForce::new(cuts)));
        Arc::new(Settings { segments, ..(*settings).clone() })
    };
    let (before, after) = (with(&early), with(&[early.clone(), late].concat()));
    let arrivals = laws::arrivals(&mut random, &history);
    let end = laws::end_of(&history).plus(Span::days(random.i64(0..400)));

    let mut engine = Engine::new(before);
    let read_at = random.usize(0..=arrivals.len());
    for (index, record) in arrivals.iter().enumerate() {
        if index == read_at {
            engine.use_settings(Arc::clone(&after));
            while engine.reschedule(1) == Progress::More {}
        }
        laws::apply(&mut engine, record)?;
    }
    if read_at == arrivals.len() {
        engine.use_settings(Arc::clone(&after));
        while engine.reschedule(1) == Progress::More {}
    }
    engine.advance_clock(end, usize::MAX);
    let slot = engine.find(laws::key()).ok_or("the customer is held")?;
    let found = format!("{:#?}\n", engine.profile(slot, end));
    let replayed = outcome(&after, &arrivals, end)?;
    if replayed.starts_with(&found) { Ok(()) } else { Err(format!("{found}\n{replayed}")) }
}

/// The profile at the end, and every signal.
fn outcome(settings: &Arc<Settings>, arrivals: &[Record], end: Time) -> Result<String, String> {
    let mut engine = Engine::new(Arc::clone(settings));
    for record in arrivals {
        laws::apply(&mut engine, record)?;
    }
    engine.advance_clock(end, usize::MAX);
    let slot = engine.find(laws::key()).ok_or("the customer is held")?;
    let profile = engine.profile(slot, end);
    let signals: Vec<String> = engine.drain_signals().map(|(_, signal)| format!("{signal:?}")).collect();
    Ok(format!("{profile:#?}\n{}", signals.join("\n")))
}
