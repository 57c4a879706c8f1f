use super::*;
use crate::domain::daily_count::stage::ShopStage;
use crate::domain::signals::rule::RuleAction;
use crate::domain::signals::signal::State;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::Span;
use crate::wire::reason::Reason;

fn currency(code: &str) -> CurrencyLabel {
    CurrencyLabel::new(code, 2).expect("a currency")
}

fn metrics(currencies: &[&str]) -> Metrics {
    let vocabulary = Vocabulary {
        version: "0.0.0",
        revision: "test",
        currencies: currencies.iter().map(|code| currency(code)).collect(),
    };
    Metrics::new(&Registry::new(), &vocabulary).expect("names are free")
}

/// Every call, with every label value.
#[must_use = "without the combiner its series are not there"]
fn touch_everything(metrics: &Metrics, partitions: u32, currencies: &[&str]) -> CombinerGauges {
    let mut batch = BatchSummary { dead_letters: PerLabel::build(|_| 1), ..BatchSummary::default() };
    for topic in Input::all() {
        batch.appended_at_ms[topic].push(1);
        batch.happened_at_ms[topic].push(1, 2);
    }
    batch.values.extend(currencies.iter().map(|code| (currency(code), CurrencyValues::default())));
    metrics.on_batch(&batch, 2);
    metrics.on_transaction_committed(&TransactionSummary::default());
    metrics.on_rebalance(RebalanceKind::Assign, Duration::ZERO);
    for route in Route::all() {
        HttpCode::all().for_each(|code| metrics.on_http_request(route, code, Duration::ZERO));
    }
    let combiner = metrics.begin_combining();
    let oldest = Some(IncompleteDay { day: Time::MIN, since_ms: Some(1) });
    combiner.set_incomplete(&IncompleteDays { count: 1, oldest });
    combiner.show(&shop_day(currencies));
    metrics.client(Client::Consumer).on_statistics(&ClientStatistics::default());
    for partition in (0..partitions).map(Partition) {
        let mut gauges = PartitionGauges::default();
        let revenue = |code: &&str| (currency(code), PerLabel::default());
        gauges.window_revenue_minor = currencies.iter().map(revenue).collect();
        metrics.partition(partition).set(&gauges);
        metrics.restore(partition).finish(Duration::ZERO);
        metrics.on_snapshot_written(partition, 1, 2, Duration::ZERO);
    }
    combiner
}

/// A day with every figure.
fn shop_day(currencies: &[&str]) -> ShopDay {
    let half = Ratio::new(1, 2);
    let money = || ShopMoney {
        kept_net: PerLabel::build(|_| 12_345),
        projected: Some(150),
        projected_extra: PerLabel::build(|_| Some(50)),
        ..ShopMoney::default()
    };
    ShopDay {
        day: Time::MIN.plus(Span::DAY),
        stage: ShopStage::Consistent,
        customers: PerLabel::build(|_| 2),
        kept_orders: PerLabel::build(|_| 3),
        placed_orders: PerLabel::build(|_| 4),
        returned_orders: PerLabel::build(|_| 1),
        customer_return_rate: PerLabel::build(|_| half),
        repeat_purchase_rate: PerLabel::build(|_| half),
        retention: PerLabel::build(|_| half),
        money: currencies.iter().map(|code| (currency(code), money())).collect(),
        rules: Vec::new(),
    }
}

/// Groups of a rule: those who got something, and those withheld from.
fn rule_groups(names: &[&str]) -> Vec<RuleGroup> {
    let group = |(name, withheld): (&&str, bool)| RuleGroup {
        rule: (*name).into(),
        variant: "percent".into(),
        withheld,
        customers: 10,
        ordered_share: Ratio::new(1, 2),
        difference: Ratio::new(-1, 4).filter(|_| !withheld),
        margin: Ratio::new(1, 8).filter(|_| !withheld),
    };
    names.iter().flat_map(|name| [(name, false), (name, true)]).map(group).collect()
}

#[test]
fn rules_without_outcomes_leave_the_export() {
    let metrics = metrics(&["EUR"]);
    let combiner = metrics.begin_combining();
    let show = |names: &[&str]| combiner.show(&ShopDay { rules: rule_groups(names), ..shop_day(&["EUR"]) });
    show(&[]);
    let without = series(&metrics);
    show(&["news", "win-back"]);
    assert_eq!(series(&metrics), without + 2 * 6);
    show(&["win-back"]);
    assert_eq!(series(&metrics), without + 6);
    for (name, labels, expected) in [
        ("customers", ",withheld=\"true\"", 10.0),
        ("ordered_ratio", ",withheld=\"false\"", 0.5),
        ("difference_ratio", "", -0.25),
        ("difference_margin_ratio", "", 0.125),
    ] {
        let name = format!("retention_shop_rule_{name}{{rule=\"win-back\",variant=\"percent\"{labels}}}");
        assert_eq!(sample(&metrics, &name), Some(expected), "{name}");
    }
    drop(combiner);
    assert!(!metrics.render().contains("retention_shop_rule_"), "families without a series are not exported");
}

/// Lines of the export that are samples.
fn series(metrics: &Metrics) -> usize {
    metrics.render().lines().filter(|line| !line.starts_with('#')).count()
}

fn sample(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().expect("a sample is a number"))
}

#[test]
fn series_stay_within_their_budget() {
    for (partitions, currencies) in
        [(0, &["EUR"][..]), (1, &["EUR"]), (12, &["EUR"]), (3, &["EUR", "USD", "GBP", "CHF", "SEK"])]
    {
        let metrics = metrics(&currencies[..1]);
        let combiner = touch_everything(&metrics, partitions, currencies);
        let rule_signals = RuleAction::ALL.map(|action| (("win-back".into(), action), 1)).into();
        metrics.on_batch(&BatchSummary { rule_signals, ..BatchSummary::default() }, 2);
        metrics.set_rules_version("0123456789abcdef");
        let owned = partitions as usize;
        let more_currencies = currencies.len() - 1;
        let (per_rule, rules) = (4, 1);
        let budget = 410 + 1 + per_rule * rules + 4 * more_currencies + owned * (55 + 8 * more_currencies);
        let with_combiner = series(&metrics);
        drop(combiner);
        let series = series(&metrics);
        assert_eq!(with_combiner - series, 43 + 16 * currencies.len(), "where shares are combined");
        println!("{series} of {budget} series with {partitions} partitions of {currencies:?}");
        assert!(
            series <= budget,
            "{series} series, budget {budget}: {partitions} partitions of {currencies:?}"
        );
    }
}

#[test]
fn series_known_in_advance_are_there_from_the_start() {
    let metrics = metrics(&["EUR"]);
    let before = series(&metrics);
    drop(touch_everything(&metrics, 0, &["EUR"]));
    assert_eq!(series(&metrics), before);
    assert_eq!(sample(&metrics, r#"retention_order_value_total{currency="EUR"}"#), Some(0.0));
}

#[test]
fn a_removed_partition_leaves_nothing_behind() {
    let metrics = metrics(&["EUR"]);
    drop(touch_everything(&metrics, 1, &["EUR", "USD"]));
    metrics.partition(Partition(0)).set(&PartitionGauges { timers_overdue: 5, ..PartitionGauges::default() });
    metrics.partition(Partition(1)).set(&PartitionGauges { timers_overdue: 2, ..PartitionGauges::default() });
    assert_eq!(sample(&metrics, "retention_timers_overdue"), Some(7.0));
    metrics.remove_partition(Partition(0));
    metrics.remove_partition(Partition(0));
    let text = metrics.render();
    assert!(!text.contains(r#"partition="0""#), "{text}");
    assert!(text.contains(r#"partition="1""#));
    assert_eq!(sample(&metrics, "retention_timers_overdue"), Some(2.0));
    assert_eq!(sample(&metrics, "retention_assigned_partitions"), Some(1.0));
}

#[test]
fn brokers_are_up_from_their_first_answer_until_they_fall_silent() {
    let metrics = metrics(&["EUR"]);
    let exported = || {
        ["retention_brokers_up", "retention_brokers_last_answer_timestamp_seconds"]
            .map(|series| sample(&metrics, series).expect("there from the start"))
    };
    assert_eq!(exported(), [0.0, 0.0]);
    metrics.on_brokers_answer(1_700_000_000_500);
    assert_eq!(exported(), [1.0, 1_700_000_000.5]);
    metrics.on_brokers_silent();
    assert_eq!(exported(), [0.0, 1_700_000_000.5]);
}

#[test]
fn a_batch_counts_what_it_says() {
    let metrics = metrics(&["EUR"]);
    let mut batch = BatchSummary::default();
    batch.outcomes[Outcome::Applied] = 3;
    batch.signals[SignalType::WonBack] = 2;
    batch.dead_letters[TopicReason(Input::Returns, Reason::TooOld)] = 4;
    let transition = Transition::new(State::Lapsed, State::Active).expect("two states");
    batch.transitions[transition] = 2;
    let values = CurrencyValues { orders_minor: 1_250, refunds_minor: 50, guest_orders_minor: 0 };
    batch.values.insert(currency("EUR"), values);
    // One in time, one late, one from a broker whose clock is ahead.
    batch.appended_at_ms[Input::Orders].extend([9_900, 0, 10_500]);
    metrics.on_batch(&batch, 10_000);
    metrics.on_batch(&batch, 10_000);
    for (series, expected) in [
        (r#"retention_records_total{outcome="applied"}"#, 6.0),
        (r#"retention_signals_total{signal_type="won_back"}"#, 4.0),
        (r#"retention_dead_letter_records_total{reason="too_old",topic="returns"}"#, 8.0),
        (r#"retention_customer_transitions_total{from="lapsed",to="active"}"#, 4.0),
        (r#"retention_order_value_total{currency="EUR"}"#, 25.0),
        (r#"retention_refund_value_total{currency="EUR"}"#, 1.0),
        (r#"retention_end_to_end_latency_seconds_bucket{topic="orders",le="2.5"}"#, 4.0),
        (r#"retention_end_to_end_latency_seconds_count{topic="orders"}"#, 6.0),
        (r#"retention_end_to_end_latency_seconds_sum{topic="orders"}"#, 20.2),
    ] {
        assert_eq!(sample(&metrics, series), Some(expected), "{series}\n{}", metrics.render());
    }
}

#[test]
fn the_state_is_one_hot() {
    let metrics = metrics(&[]);
    for state in ServiceState::all() {
        metrics.set_service_state(state);
        for other in ServiceState::all() {
            let series = format!(r#"retention_state{{state="{}"}}"#, other.name());
            assert_eq!(sample(&metrics, &series), Some(f64::from(u8::from(other == state))), "{series}");
        }
    }
}

#[test]
fn a_restore_that_ends_early_is_no_longer_counted() {
    let metrics = metrics(&[]);
    let restore = metrics.restore(Partition(3));
    restore.on_records(10, 90);
    assert_eq!(sample(&metrics, "retention_restore_partitions"), Some(1.0));
    assert_eq!(sample(&metrics, r#"retention_restore_remaining_records{partition="3"}"#), Some(90.0));
    drop(restore);
    assert_eq!(sample(&metrics, "retention_restore_partitions"), Some(0.0));
    assert_eq!(sample(&metrics, "retention_restore_duration_seconds_count"), Some(0.0));
    assert_eq!(sample(&metrics, "retention_restored_records_total"), Some(10.0));
}

#[test]
fn a_snapshot_shows_while_its_partition_is_owned() {
    let metrics = metrics(&[]);
    metrics.partition(Partition(3));
    metrics.on_snapshot_written(Partition(3), 5_000, 77, Duration::from_secs(2));
    metrics.on_snapshot_written(Partition(4), 6_000, 78, Duration::from_secs(3));
    for (series, expected) in [
        (r#"retention_snapshot_last_success_timestamp_seconds{partition="3"}"#, Some(5.0)),
        (r#"retention_snapshot_bytes{partition="3"}"#, Some(77.0)),
        (r#"retention_snapshot_bytes{partition="4"}"#, None),
        ("retention_snapshot_duration_seconds_count", Some(2.0)),
    ] {
        assert_eq!(sample(&metrics, series), expected, "{series}");
    }
}

#[test]
fn an_http_code_that_a_route_does_not_list_counts_as_a_bug() {
    let metrics = metrics(&[]);
    metrics.on_http_request(Route::Metrics, HttpCode::Misdirected, Duration::ZERO);
    let series = r#"retention_http_requests_total{code="500",route="metrics"}"#;
    assert_eq!(sample(&metrics, series), Some(1.0));
}

#[test]
fn names_say_unit_and_kind() {
    let metrics = metrics(&["EUR"]);
    let _combiner = touch_everything(&metrics, 1, &["EUR"]);
    let text = metrics.render();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a kind");
        assert!(name.starts_with("retention_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

#[test]
fn the_overview_sums_over_partitions() {
    let metrics = metrics(&[]);
    for (partition, clock_ms) in [(0, Some(5_000)), (1, None), (2, Some(9_000))] {
        let mut gauges = PartitionGauges { clock_ms, ..PartitionGauges::default() };
        gauges.customers[State::AtRisk] = 2;
        metrics.partition(Partition(partition)).set(&gauges);
        metrics.partition(Partition(partition)).set_lag(Input::Orders, 10, f64::from(partition));
    }
    let overview = metrics.overview();
    assert_eq!(overview.assigned_partitions, 3);
    assert_eq!(overview.partitions.customers[State::AtRisk], 6.0);
    assert_eq!(overview.partitions.lag_records[Input::Orders], 30.0);
    assert_eq!(overview.partitions.lag_seconds_max, 2.0);
    assert_eq!(overview.partitions.clock_seconds_min, Some(5.0));
    assert_eq!(overview.partitions.clock_seconds_max, Some(9.0));
}

#[test]
fn a_day_shows_where_shares_are_combined_and_nowhere_else() {
    let metrics = metrics(&["EUR"]);
    let day = "retention_shop_day_timestamp_seconds";
    let exported = |series: &str| sample(&metrics, series);
    assert_eq!([exported(day), exported("retention_daily_counts_incomplete")], [None, None]);
    let first = metrics.begin_combining();
    first.set_incomplete(&IncompleteDays {
        count: 2,
        oldest: Some(IncompleteDay { day: Time::MIN, since_ms: Some(7_000) }),
    });
    first.show(&shop_day(&["EUR"]));
    for (series, expected) in [
        (day, Some(86_400.0 + Time::MIN.as_millis() as f64 / 1_000.0)),
        (r#"retention_shop_stage{stage="consistent"}"#, Some(1.0)),
        (r#"retention_shop_stage{stage="mature"}"#, Some(0.0)),
        (r#"retention_shop_retention_ratio{month="02"}"#, Some(0.5)),
        (r#"retention_shop_kept_net_revenue{currency="EUR",kind="new",window="30d"}"#, Some(123.45)),
        (r#"retention_shop_projected_extra_net_revenue{currency="EUR",points="5"}"#, Some(0.5)),
        ("retention_daily_counts_incomplete", Some(2.0)),
        ("retention_day_incomplete_since_timestamp_seconds", Some(7.0)),
    ] {
        assert_eq!(exported(series), expected, "{series}\n{}", metrics.render());
    }

    // What the next day has no value for goes out of the export.
    first.set_incomplete(&IncompleteDays::default());
    first.show(&ShopDay { retention: PerLabel::default(), ..shop_day(&["EUR"]) });
    assert_eq!(exported(r#"retention_shop_retention_ratio{month="02"}"#), None);
    assert_eq!(exported("retention_day_incomplete_since_timestamp_seconds"), None);
    assert_eq!(exported("retention_daily_counts_incomplete"), Some(0.0));

    // Another worker of the process combines by now.
    let second = metrics.begin_combining();
    first.set_incomplete(&IncompleteDays { count: 9, oldest: None });
    drop(first);
    assert_eq!(exported("retention_daily_counts_incomplete"), Some(0.0));
    drop(second);
    let text = metrics.render();
    assert!(!text.contains("retention_shop_") && !text.contains("incomplete"), "{text}");
}
