use super::*;

fn two_workers() -> (ServiceStatus, WorkerStatus, WorkerStatus, Instant) {
    let started_at = Instant::now();
    let (status, pens) = ServiceStatus::new(2, started_at);
    let [first, second]: [WorkerStatus; 2] = pens.try_into().expect("two pens for two workers");
    (status, first, second, started_at)
}

#[test]
fn the_worker_furthest_from_running_decides_the_state() {
    let (status, first, second, _) = two_workers();
    assert_eq!(status.state(), ServiceState::Starting);
    first.set_phase(WorkerPhase::Running);
    assert_eq!(status.state(), ServiceState::Starting);
    assert_eq!(status.unready_reasons(), ["worker 1 has not joined the group yet"]);
    second.set_phase(WorkerPhase::Running);
    assert_eq!(status.state(), ServiceState::Running);
    first.restoring(Partition(4), Some(12));
    second.restoring(Partition(5), None);
    assert_eq!(status.state(), ServiceState::Restoring);
    assert_eq!(
        status.unready_reasons(),
        ["partition 4 is being restored, 12 records to go", "partition 5 is being restored"]
    );
    second.set_phase(WorkerPhase::Rebalancing);
    assert_eq!(status.state(), ServiceState::Rebalancing);
    second.set_phase(WorkerPhase::Running);
    first.not_restoring(Partition(4));
    second.not_restoring(Partition(5));
    assert_eq!(status.state(), ServiceState::Running);
    assert!(status.unready_reasons().is_empty());
}

#[test]
fn a_partition_in_history_is_not_ready_until_it_is_settled() {
    let (status, first, second, _) = two_workers();
    first.set_phase(WorkerPhase::Running);
    second.set_phase(WorkerPhase::Running);
    first.in_history(Partition(4), Some(HistoryProgress::Reading { remaining: 12 }));
    assert_eq!(status.unready_reasons(), ["partition 4 reads its history, 12 records to go"]);
    first.in_history(Partition(4), Some(HistoryProgress::Reading { remaining: 0 }));
    assert_eq!(status.unready_reasons(), ["partition 4 settles the customers of its history"]);
    first.in_history(Partition(4), None);
    assert!(status.unready_reasons().is_empty());
}

#[test]
fn a_remark_leaves_the_service_ready() {
    let (status, first, second, _) = two_workers();
    first.set_phase(WorkerPhase::Running);
    second.set_phase(WorkerPhase::Running);
    second.remark(Partition(2), Some("partition 2: many records are too old".to_owned()));
    assert_eq!(status.remarks(), ["partition 2: many records are too old"]);
    assert!(status.unready_reasons().is_empty());
    second.remark(Partition(2), None);
    assert!(status.remarks().is_empty());
}

#[test]
fn a_draining_service_is_alive_but_not_ready() {
    let (status, first, second, started_at) = two_workers();
    first.set_phase(WorkerPhase::Running);
    second.set_phase(WorkerPhase::Running);
    status.drain();
    drop(first);
    assert_eq!(status.state(), ServiceState::Draining);
    assert_eq!(status.unready_reasons(), ["shutting down", "worker 0 has ended"]);
    assert!(status.dead_reasons(started_at).is_empty());
}

#[test]
fn a_service_whose_brokers_are_silent_is_alive_but_not_ready() {
    let (status, first, second, started_at) = two_workers();
    first.set_phase(WorkerPhase::Running);
    second.set_phase(WorkerPhase::Running);
    assert!(status.unready_reasons().is_empty(), "nothing was asked yet");
    status.on_brokers_silent("k:9092: connection refused");
    assert_eq!(
        status.unready_reasons(),
        ["Kafka has not answered since the start: k:9092: connection refused"]
    );
    status.on_brokers_answer(1_700_000_000_000);
    assert!(status.unready_reasons().is_empty());
    status.on_brokers_silent("no answer within 3 s");
    assert_eq!(
        status.unready_reasons(),
        ["Kafka has not answered since 2023-11-14T22:13:20Z: no answer within 3 s"]
    );
    assert!(status.dead_reasons(started_at).is_empty());
}

#[test]
fn a_restoring_service_is_alive() {
    let (status, first, _second, started_at) = two_workers();
    first.restoring(Partition(0), None);
    assert!(status.dead_reasons(started_at + TICK_AGE_MAX).is_empty());
}

#[test]
fn a_loop_that_stands_still_or_ends_is_dead() {
    let (status, first, second, started_at) = two_workers();
    let later = started_at + 2 * TICK_AGE_MAX;
    assert!(status.dead_reasons(later).is_empty(), "the workers have not started");
    second.tick(started_at);
    first.tick(later);
    assert_eq!(status.dead_reasons(later), ["the loop of worker 1 has not turned for 120 s"]);
    second.tick(later);
    assert!(status.dead_reasons(later).is_empty());
    drop(first);
    assert_eq!(status.dead_reasons(later), ["worker 0 has ended"]);
    assert_eq!(status.state(), ServiceState::Failed);
}

#[test]
fn the_first_failure_is_the_one_that_is_told() {
    let (status, _first, _second, started_at) = two_workers();
    status.fail("topic orders has 3 partitions, returns has 4");
    status.fail("worker 1 has ended");
    assert_eq!(status.dead_reasons(started_at), ["stopped: topic orders has 3 partitions, returns has 4"]);
    assert_eq!(status.state(), ServiceState::Failed);
}

#[test]
fn only_the_latest_signals_are_kept() {
    let (status, ..) = two_workers();
    let signal = |number: i64| RecentSignal {
        rule: None,
        signal_type: SignalType::Lapsed,
        occurred_at_ms: number,
        customer_id: Some(number.to_string()),
    };
    status.on_signals((0..100).map(signal));
    let recent_signals = status.recent_signals();
    assert_eq!(recent_signals.len(), RECENT_SIGNALS_MAX);
    assert_eq!(recent_signals[0], signal(99));
}

#[test]
fn readiness_says_what_the_intake_keeps_waiting() {
    let (status, first, second, _) = two_workers();
    first.set_phase(WorkerPhase::Running);
    second.set_phase(WorkerPhase::Running);
    for worker in [&first, &second] {
        worker
            .held_by_intake(Some(("the intake has 5 records to go in raw/3".to_owned(), 1_700_000_000_000)));
    }
    assert_eq!(
        status.remarks(),
        [
            "the intake has 5 records to go in raw/3; the clocks stand since 2023-11-14T22:13:20Z: docs/RUNBOOK.md, \
          RetentionIntakeHoldsClocks"
        ]
    );
    assert!(status.unready_reasons().is_empty(), "it goes on applying records");
    first.held_by_intake(None);
    second.held_by_intake(None);
    assert!(status.remark(ServiceRemark::UnknownIntake), "news");
    assert!(!status.remark(ServiceRemark::UnknownIntake));
    assert_eq!(status.remarks().len(), 1);
    let progress = HistoryProgress::Behind {
        remaining: 7,
        intake: "the intake has 5 records to go in raw/3".to_owned(),
    };
    first.in_history(Partition(1), Some(progress));
    assert_eq!(
        status.unready_reasons(),
        [
            "partition 1 reads its history and waits for the rest of it: the intake has 5 records to go in raw/3"
        ]
    );
}
