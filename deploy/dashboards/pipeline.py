"""The board for SREs. Health and freshness fit on one screen; everything else is a row to open.

Over partitions it shows the maximum: a mean hides one that is stuck.
"""

from panels import alerts, figure, heat_map, increase, lines, marks, of_all, quantile, rate, row, steady, timeline
import panels

GOOD, WARN, BAD = "green", "orange", "red"

LATENCY, AGE = "retention_end_to_end_latency_seconds", "retention_event_age_seconds"

# Partitions that had an owner within the last day, so that one without an owner is missed.
KNOWN_PARTITIONS = "count(count by (job, partition) (last_over_time(@retention_partition_idle@[1d])))"


def health():
    lag = steady("job, topic, partition", "retention_consumer_lag_seconds")
    idle = steady("job, partition", "retention_partition_idle")
    return row(
        "Health",
        timeline("State", "What each instance is doing. Orange and red stretches: restoring, rebalancing, failed.",
                 "none", [("max by (instance, state) (@retention_state@) == 1", "{{instance}} {{state}}")],
                 width=6, height=8),
        [of_all("Instances up", "Instances that answer the scraper, of those that it knows.",
                  "count(@up@ == 1) or 0 * count(@up@)", "count(@up@)", width=3, runbook="RetentionDown"),
         figure("Committed within 2.5 s", """Share of the records of the chosen time that were committed within 2.5 s of their
                append. Objective: 99.9 %.""", "percentunit",
                f"""sum({increase(LATENCY + '_bucket', 'le="2.5"', '$__range')})
                    / sum({increase(LATENCY + '_count', '', '$__range')})""",
                [(None, BAD), (0.999, GOOD)], width=3, decimals=3, runbook="RetentionLatencyBudgetBurnsFast")],
        [of_all("Partitions owned", """Partitions that an instance processes, of those that had an owner within the last day.""",
                  f"count(count by (job, partition) (@retention_partition_idle@)) or 0 * {KNOWN_PARTITIONS}",
                  KNOWN_PARTITIONS, width=3,
                  runbook="RetentionPartitionsWithoutOwner"),
         figure("Oldest waiting record", """Age of the oldest record that is not applied yet, over all partitions. 0
                when caught up.""", "s", f"max({lag})", [(None, GOOD), (30, WARN), (300, BAD)], width=3,
                runbook="RetentionStalled")],
        [of_all("Partitions caught up", """Partitions whose inputs are all read to the end, of those that had an owner within
                  the last day. While records come, some are always behind.""", f"sum({idle})", KNOWN_PARTITIONS, missing="behind",
                  colour="text", width=3, runbook="RetentionPartitionStalled"),
         figure("History remaining", """Records of history that are still to be read before partitions go live.""", "short",
                "sum(@retention_history_remaining_records@)", [(None, GOOD), (1, WARN)], width=3)],
        [of_all("Instances that reach Kafka", "Instances to which a broker answers, of those that are scraped.",
                "sum(@retention_brokers_up@)", "count(@retention_brokers_up@)", width=3, runbook="RetentionBrokersDown"),
         figure("Errors logged", "Messages of level error in the chosen time. Each needs an operator.", "none",
                f"""sum({increase('retention_log_messages_total', 'level="error"', '$__range')})""",
                [(None, GOOD), (1, BAD)], width=3, decimals=0)],
        alerts("Firing alerts", """Alerts of this service that fire now, as Prometheus has evaluated them. Red calls an operator,
               orange waits for the next working day.""",
               'ALERTS{alertname=~"Retention.+",alertstate="firing",job=~"$job|"}', width=6),
        collapsed=False)


def freshness():
    return row(
        "Freshness",
        lines("Lag in seconds", """Age of the oldest record not applied, by broker time: the worst partition of each
              topic.""", "s", [(f"max by (topic) ({steady('job, topic, partition', 'retention_consumer_lag_seconds')})",
                                "{{topic}}")], width=6, runbook="RetentionStalled"),
        lines("Lag in records", """Records between the next one to read and the end of the input: the worst partition of
              each topic.""", "short", [(f"max by (topic) ({steady('job, topic, partition', 'retention_consumer_lag_records')})",
                                         "{{topic}}")], width=6, runbook="RetentionStalled"),
        lines("End-to-end latency", """From the broker's append of a record to the known commit of what followed from it. The
              objective is 2.5 s for 99.9 %.""", "s", [
                  (quantile(0.5, LATENCY), "p50"), (quantile(0.99, LATENCY), "p99"),
                  (quantile(0.999, LATENCY), "p99.9")], width=6, runbook="RetentionLatencyBudgetBurnsFast"),
        lines("Input rate", "Records read and committed, by topic.", "recps",
              [(f"sum by (topic) ({rate('retention_input_records_total')})", "{{topic}}")], stacked=True, width=6,
              runbook="RetentionNoInput"),
        collapsed=False)


def freshness_in_detail():
    return row(
        "Freshness in detail",
        lines("Most delayed partitions", "The ten partitions whose oldest waiting record is oldest.", "s",
              [(f"topk(10, {steady('job, partition', 'retention_consumer_lag_seconds')})", "{{job}} {{partition}}")],
              runbook="RetentionPartitionStalled"),
        heat_map("End-to-end latency, distribution", """From the broker's append of a record to the known commit of what followed
                 from it. The objective is 2.5 s.""", "s", f"sum by (le) ({rate(LATENCY + '_bucket')})"),
        lines("Event age", """From the time in a record (an order's own time) to the known commit: how late the shop's
              systems deliver, and the service with them.""", "s",
              [(quantile(0.5, AGE, "topic"), "{{topic}} p50"), (quantile(0.99, AGE, "topic"), "{{topic}} p99")]),
        lines("Clock behind wall time", """Wall time minus the clock of the partition furthest behind. The clock moves
              with records and when a deadline is due, so a quiet partition may stand.""", "s",
              [("time() - min(@retention_clock_timestamp_seconds@ > 0)", "furthest behind")]),
        lines("Lag as a share of the retention", """Age of the oldest record not applied, over the time for which the topic keeps
              records: at 1 Kafka deletes records that were not read. Without data for a topic that keeps its records for
              ever, or whose settings the service may not read.""", "percentunit",
              [(f"""max by (topic) (max by (job, topic) (@retention_consumer_lag_seconds@)
                    / (max by (job, topic) (@retention_input_retention_seconds@) > 0))""", "{{topic}}")],
              runbook="RetentionInputExpires"),
        lines("Clock frozen, merge waiting", """Partitions whose clock may not move (an open transaction in an input, a jump
              of wall time, an intake that is behind), and partitions that wait for an input with more to fetch.""", "short",
              [("sum(@retention_clock_frozen@)", "clock frozen"), ("sum(@retention_merge_waiting@)", "merge waiting"),
               (f"sum({increase('retention_merge_wait_timeouts_total')})", "waits given up")],
              runbook="RetentionClockFrozen"),
        lines("Clocks held by the intake", """For how long a clock has waited for the intake although something is due there. 0 without
              an intake, and while it keeps up.""", "s",
              [("max by (instance) (@retention_intake_clock_frozen_seconds@)", "{{instance}}")],
              runbook="RetentionIntakeHoldsClocks"))


def throughput():
    stage = "retention_process_duration_seconds"
    return row(
        "Throughput",
        lines("Input bytes", "Bytes of keys and values read and committed, by topic.", "Bps",
              [(f"sum by (topic) ({rate('retention_input_bytes_total')})", "{{topic}}")], stacked=True),
        lines("Output rate", "Records written and committed, by topic.", "recps",
              [(f"sum by (topic) ({rate('retention_output_records_total')})", "{{topic}}")], stacked=True),
        lines("Signals emitted", "Signals committed, by type.", "eps",
              [(f"sum by (signal_type) ({rate('retention_signals_total')})", "{{signal_type}}")], stacked=True),
        lines("CPU share by stage", """Share of one core's time that each stage of a batch takes, summed over instances. What is
              missing to the number of workers is idle.""", "percentunit",
              [(f"sum by (stage) ({rate(stage + '_sum')})", "{{stage}}")], stacked=True, width=12),
        lines("Batch duration by stage", "The 99th percentile of each stage of a batch.", "s",
              [(quantile(0.99, stage, "stage"), "{{stage}} p99")], width=12))


def outcomes():
    return row(
        "Outcomes and dead letters",
        lines("Outcomes", "What became of the records read.", "recps",
              [(f"sum by (outcome) ({rate('retention_records_total')})", "{{outcome}}")], stacked=True),
        lines("Dead letters", "Records that could not be used, by topic and reason.", "short",
              [(f"sum by (topic, reason) ({increase('retention_dead_letter_records_total')}) > 0",
                "{{topic}} {{reason}}")], stacked=True, bars=True, runbook="RetentionDeadLetters"),
        lines("Dead-letter ratio", """Dead letters over all records but skipped ones. The service stops when a partition passes its
              configured limit.""", "percentunit",
              [(f"""sum({rate('retention_records_total', 'outcome="dead_lettered"')})
                    / sum({rate('retention_records_total', 'outcome!="skipped"')})""", "ratio")],
              runbook="RetentionDeadLetterBudgetBurnsFast"),
        lines("Late records", "Accepted records with a time before their partition's clock.", "recps",
              [(f"sum({rate('retention_late_records_total')})", "late")]),
        lines("Records needing review", """Records that are worth a look: conflicts, cancellations without effect, test
              orders, full ledgers, edits of folded orders.""", "recps",
              [(f"sum by (remark) ({rate('retention_record_remarks_total')})", "{{remark}}")]),
        lines("Log messages", "Messages by level. Errors need an operator, warnings are odd but handled.", "short",
              [(f"sum by (level) ({increase('retention_log_messages_total')})", "{{level}}")]))


def transactions():
    duration, records = "retention_transaction_duration_seconds", "retention_transaction_records"
    return row(
        "Transactions",
        lines("Transactions", "Committed and aborted transactions.", "ops",
              [(f"sum by (result) ({rate('retention_transactions_total')})", "{{result}}")],
              runbook="RetentionTransactionsAborted"),
        lines("Transaction duration", "From the begin to the known outcome.", "s",
              [(quantile(0.5, duration), "p50"), (quantile(0.99, duration), "p99")]),
        lines("Records per transaction", "Mean of the records written in a transaction.", "short",
              [(f"sum({rate(records + '_sum')}) / sum({rate(records + '_count')})", "mean")]),
        lines("Time since the last commit", "Of each instance. Without input there is nothing to commit.", "s",
              [("time() - (@retention_commit_last_success_timestamp_seconds@ > 0)", "{{instance}}")], width=12,
              runbook="RetentionCommitStale"),
        lines("Producers fenced", "Times that the broker turned a producer away for a newer one.", "short",
              [(f"sum by (instance) ({increase('retention_producer_fenced_total')})", "{{instance}}")], width=12,
              runbook="RetentionProducerFenced"))


def group():
    return row(
        "Consumer group",
        lines("Partitions by instance", "Partitions that each instance owns.", "short",
              [("max by (instance) (@retention_assigned_partitions@)", "{{instance}}")], stacked=True,
              runbook="RetentionPartitionsWithoutOwner"),
        lines("Rebalances", "Rebalances that moved a partition, by kind. Lost: without a hand-over.", "short",
              [(f"sum by (kind) ({increase('retention_rebalances_total')})", "{{kind}}")], bars=True, stacked=True,
              runbook="RetentionRebalanceStorm"),
        lines("Rebalance duration", "The 99th percentile, restore aside.", "s",
              [(quantile(0.99, "retention_rebalance_duration_seconds", "instance"), "{{instance}} p99")]))


def restore():
    return row(
        "Restore and snapshots",
        lines("Partitions restoring", "Owned partitions that are read back from the changelog.", "short",
              [("sum by (instance) (@retention_restore_partitions@)", "{{instance}}")], width=6,
              runbook="RetentionRestoreSlow"),
        lines("Restore: records remaining", "Changelog records that are still to be read: the sum, and the largest partition.",
              "short", [("sum(@retention_restore_remaining_records@)", "all"),
                        ("max(@retention_restore_remaining_records@)", "largest")], width=6),
        figure("Restore ETA", "Records remaining over the rate at which they are read now.", "s",
               f"""sum(@retention_restore_remaining_records@)
                   / (sum({rate('retention_restored_records_total')}) > 0)""", width=4, height=8),
        lines("Restore rate", "Changelog records read back.", "recps",
              [(f"sum by (instance) ({rate('retention_restored_records_total')})", "{{instance}}")], width=4),
        lines("Restore duration", "Of the finished restores of a partition.", "s",
              [(quantile(0.5, "retention_restore_duration_seconds"), "p50"),
               (quantile(0.99, "retention_restore_duration_seconds"), "p99")], width=4),
        lines("Snapshot age", """Of the partition whose local snapshot is oldest: a restart reads what came since from the
              changelog. Snapshots that cannot be written, for lack of room or permission, grow old.""", "s",
              [("""time() - min by (instance) (@retention_snapshot_last_success_timestamp_seconds@ > 0)
                   or 0 * min by (instance) (@retention_snapshot_last_success_timestamp_seconds@)""", "{{instance}}")],
              runbook="RetentionSnapshotOld"),
        lines("Snapshot size", "Bytes of the newest local snapshots.", "bytes",
              [("sum by (instance) (@retention_snapshot_bytes@)", "{{instance}}")]),
        lines("Snapshot duration", "From the first slice until the file is in place.", "s",
              [(quantile(0.5, "retention_snapshot_duration_seconds"), "p50"),
               (quantile(0.99, "retention_snapshot_duration_seconds"), "p99")]))


def intake():
    return row(
        "Intake",
        lines("Intake lag", """Records in the shop's own form that `retention-signals intake` has not passed on, by raw topic. While there
              are any, clocks may wait. Without data where no intake runs.""", "short",
              [(f"sum by (topic) ({steady('job, topic, partition', 'retention_intake_lag_records')})", "{{topic}}")],
              runbook="RetentionIntakeHoldsClocks"),
        lines("Raw records", """Records read and committed by the intake, by source and what became of them.""", "recps",
              [(f"sum by (source, outcome) ({rate('retention_intake_records_total')})", "{{source}} {{outcome}}")],
              stacked=True),
        lines("Native records written", """What the maps made of them, by source and kind.""", "recps",
              [(f"sum by (source, event) ({rate('retention_intake_events_total')})", "{{source}} {{event}}")], stacked=True),
        lines("Passed over by maps", """What a map passes over on purpose, by its reason. A reason that grows with the orders may be an
              option that should be another.""", "short",
              [(f"sum by (source, reason) ({increase('retention_intake_skipped_total')}) > 0", "{{source}} {{reason}}")],
              stacked=True, bars=True),
        lines("Raw dead letters", """Records that no map could read, by source and reason. Above dead_letters.max_share the intake
              stops.""", "short",
              [(f"sum by (source, reason) ({increase('retention_intake_dead_letter_records_total')}) > 0",
                "{{source}} {{reason}}")], stacked=True, bars=True, runbook="RetentionDeadLetters"),
        lines("Raw partitions assigned", "Partitions of raw topics that each instance of the intake reads.", "short",
              [("sum by (instance) (@retention_intake_assigned_partitions@)", "{{instance}}")], stacked=True))


def state():
    delay = "retention_timer_delay_seconds"
    entries, size = (steady("job, partition", f"retention_state_{what}") for what in ("entries", "bytes"))
    return row(
        "State and timers",
        lines("Customers in state", "Entries of the state, erasure markers included.", "short",
              [("sum by (instance) (@retention_state_entries@)", "{{instance}}")], stacked=True),
        lines("State size", "Bytes of the state, and the largest partition.", "bytes",
              [("sum by (instance) (@retention_state_bytes@)", "{{instance}}"),
               (f"max({size})", "largest partition")]),
        lines("State bytes per customer", "Bytes of the state over its entries.", "bytes",
              [(f"sum({size}) / sum({entries})", "mean")]),
        lines("Timers", "Timers that are set, and those whose time has passed.", "short",
              [(f"sum({steady('job, partition', 'retention_timers_pending')})", "pending"),
               ("sum(@retention_timers_overdue@)", "overdue")], runbook="RetentionTimersOverdue"),
        lines("Timers fired", "By the signal that they gave; none: figures moved with their window.", "eps",
              [(f"sum by (signal_type) ({rate('retention_timers_fired_total')})", "{{signal_type}}")], stacked=True),
        lines("Timer delay", """How long after deadline and grace timers fired, while caught up. The objective is 60 s
              for 99 %.""", "s", [(quantile(0.5, delay), "p50"), (quantile(0.99, delay), "p99")],
              runbook="RetentionTimerBudgetBurnsFast"))


def saturation():
    return row(
        "Saturation",
        lines("CPU", "Cores in use. A worker uses one at most.", "none",
              [(f"sum by (instance) ({rate('process_cpu_seconds_total')})", "{{instance}}")], width=6),
        lines("Memory", "Memory in RAM. Compare it with the limit of the container.", "bytes",
              [("max by (instance) (@process_resident_memory_bytes@)", "{{instance}}")], width=6),
        lines("File descriptors", "Share of the allowed ones in use.", "percentunit",
              [("max by (instance) (@process_open_fds@ / @process_max_fds@)", "{{instance}}")], width=6),
        lines("Threads", "Threads of the process: workers, Kafka clients, HTTP.", "short",
              [("max by (instance) (@process_threads@)", "{{instance}}")], width=6),
        lines("Broker round trip", "99th percentile of the slowest broker, by client.", "s",
              [("max by (client) (@retention_client_round_trip_p99_seconds@)", "{{client}}")]),
        lines("Client queues", "Records that wait in the Kafka clients.", "short",
              [("sum by (client) (@retention_client_queue_messages@)", "{{client}}")]),
        lines("Client retries and timeouts", "Requests sent again, and requests that timed out.", "short",
              [(f"sum by (client) ({increase('retention_client_retries_total')})", "{{client}} retries"),
               (f"sum by (client) ({increase('retention_client_timeouts_total')})", "{{client}} timeouts")]),
        lines("HTTP requests", "Requests answered, by route and code.", "reqps",
              [(f"sum by (route, code) ({rate('retention_http_requests_total')}) > 0", "{{route}} {{code}}")],
              width=12),
        lines("HTTP latency", "The 99th percentile of answers, by route.", "s",
              [(quantile(0.99, "retention_http_request_duration_seconds", "route"), "{{route}} p99")], width=12))


def dashboard():
    rows = [health, freshness, freshness_in_detail, throughput, outcomes, intake, transactions, group, restore, state, saturation]
    annotations = [
        marks("Starts", "blue", "1000 * @process_start_time_seconds@ and on (job, instance) @retention_build_info@", "{{instance}} started", "60s",
              at_value=True),
        marks("Rebalances", "orange", "sum by (instance, kind) (increase(@retention_rebalances_total@[2m])) > 0",
              "{{instance}}: {{kind}}", "60s"),
    ]
    return panels.dashboard(
        "retention-pipeline", "Retention signals: pipeline",
        "Whether the service keeps up, and where it does not. For those who run it.",
        [one() for one in rows], links=[("Customers", "retention-customers")], annotations=annotations)
