"""The board for whoever runs the service. Over partitions it shows the maximum: a mean hides one that is stuck."""

from panels import figure, heat_map, increase, lines, quantile, rate, row, timeline
import panels

GOOD, WARN, BAD = "green", "orange", "red"


def health():
    return [
        row("Health"),
        timeline("State", """What each instance is doing. Orange and red stretches: restoring, rebalancing, failed.""",
                 "none", [("max by (instance, state) (@retention_state@) == 1", "{{instance}} {{state}}")],
                 width=12, height=8),
        figure("Instances", "Instances that answer the scraper.", "none", "count(@retention_build_info@)"),
        figure("Partitions owned", """Partitions with an owner, each counted once. Fewer than the topic has: some are
               not processed.""", "none", "count(max by (job, partition) (@retention_partition_idle@))"),
        figure("Within 2.5 s", """Share of the records of the chosen time that were committed within 2.5 s of their
               append. Objective: 99.9 %.""", "percentunit",
               f"""sum({increase('retention_end_to_end_latency_seconds_bucket', 'le="2.5"', '$__range')})
                   / sum({increase('retention_end_to_end_latency_seconds_count', '', '$__range')})""",
               [(None, BAD), (0.999, GOOD)], decimals=3),
        figure("Oldest waiting record", """Age of the oldest record that is not applied yet, over all partitions. 0
               when caught up.""", "s", "max(@retention_consumer_lag_seconds@)",
               [(None, GOOD), (30, WARN), (300, BAD)]),
        figure("Since the last commit", """Of the instance whose last commit is longest ago. Without input there is
               nothing to commit.""", "s", "time() - min(@retention_commit_last_success_timestamp_seconds@ > 0)"),
        figure("Errors logged", "Messages of level error in the chosen time. Each asks for someone.", "none",
               f"""sum({increase('retention_log_messages_total', 'level="error"', '$__range')})""",
               [(None, GOOD), (1, BAD)], decimals=0),
    ]


def freshness():
    latency, age = "retention_end_to_end_latency_seconds", "retention_event_age_seconds"
    return [
        row("Freshness"),
        lines("Lag in records", """Records between the next one to read and the end of the input: the worst partition of
              each topic.""", "short", [("max by (topic) (@retention_consumer_lag_records@)", "{{topic}}")]),
        lines("Lag in seconds", """Age of the oldest record not applied, by broker time: the worst partition of each
              topic.""", "s", [("max by (topic) (@retention_consumer_lag_seconds@)", "{{topic}}")]),
        lines("Worst partitions", "The ten partitions whose oldest waiting record is oldest.", "s",
              [("topk(10, max by (job, partition) (@retention_consumer_lag_seconds@))", "{{job}} {{partition}}")]),
        heat_map("Append to commit", """From the broker's append of a record to the known commit of what followed from it.
                 The objective is 2.5 s.""", "s", f"sum by (le) ({rate(latency + '_bucket')})"),
        lines("Append to commit, quantiles", "The same as quantiles over all records.", "s", [
            (quantile(0.5, latency), "half"), (quantile(0.99, latency), "99 %"), (quantile(0.999, latency), "99.9 %")]),
        lines("Event age", """From what a record tells (an order's own time) to the known commit: how late the shop's
              systems deliver, and we with them.""", "s",
              [(quantile(0.5, age, "topic"), "{{topic}} half"), (quantile(0.99, age, "topic"), "{{topic}} 99 %")]),
        lines("Clock behind wall time", """Wall time minus the clock of the partition furthest behind. The clock moves
              with records and when a deadline is due, so a quiet partition may stand.""", "s",
              [("time() - min(@retention_clock_timestamp_seconds@ > 0)", "furthest behind")]),
        lines("Partitions at their ends", "Partitions whose inputs are all read to the end, and those that are not.",
              "short", [("sum(max by (job, partition) (@retention_partition_idle@))", "at the end"),
                        ("sum(1 - max by (job, partition) (@retention_partition_idle@))", "working")]),
        lines("Clock frozen, merge waiting", """Partitions whose clock may not move (an open transaction in an input, a jump
              of wall time), and partitions that wait for an input with more to fetch.""", "short",
              [("sum(@retention_clock_frozen@)", "clock frozen"), ("sum(@retention_merge_waiting@)", "merge waiting"),
               (f"sum({increase('retention_merge_wait_timeouts_total')})", "waits given up")]),
    ]


def throughput():
    stage = "retention_process_duration_seconds"
    return [
        row("Throughput"),
        lines("Records in", "Records read and committed, by topic.", "reqps",
              [(f"sum by (topic) ({rate('retention_input_records_total')})", "{{topic}}")], stacked=True),
        lines("Bytes in", "Bytes of their keys and values, by topic.", "Bps",
              [(f"sum by (topic) ({rate('retention_input_bytes_total')})", "{{topic}}")], stacked=True),
        lines("Records out", "Records written and committed, by topic.", "reqps",
              [(f"sum by (topic) ({rate('retention_output_records_total')})", "{{topic}}")], stacked=True),
        lines("Busy by stage", """Share of one core's time that each stage of a batch takes, summed over instances. What is
              missing to the number of workers is idle.""", "percentunit",
              [(f"sum by (stage) ({rate(stage + '_sum')})", "{{stage}}")], stacked=True),
        lines("Time of a batch by stage", "What 99 % of the batches stay below, for each stage.", "s",
              [(quantile(0.99, stage, "stage"), "{{stage}}")]),
        lines("Signals out", "Signals committed, by type.", "reqps",
              [(f"sum by (signal_type) ({rate('retention_signals_total')})", "{{signal_type}}")], stacked=True),
    ]


def outcomes():
    return [
        row("Outcomes and dead letters"),
        lines("Outcomes", "What became of the records read.", "reqps",
              [(f"sum by (outcome) ({rate('retention_records_total')})", "{{outcome}}")], stacked=True),
        lines("Dead letters", "Records that could not be used, by topic and reason.", "short",
              [(f"sum by (topic, reason) ({increase('retention_dead_letter_records_total')}) > 0",
                "{{topic}} {{reason}}")], stacked=True, bars=True),
        lines("Share of dead letters", """Of all records but skipped ones. The service stops when a partition passes its
              configured limit.""", "percentunit",
              [(f"""sum({rate('retention_records_total', 'outcome="dead_lettered"')})
                    / sum({rate('retention_records_total', 'outcome!="skipped"')})""", "share")]),
        lines("Late records", "Accepted records with a time before their partition's clock.", "reqps",
              [(f"sum({rate('retention_late_records_total')})", "late")]),
        lines("Remarks", """Accepted records that someone may want to look into: conflicts, cancellations without effect,
              test orders, ledgers that are full.""", "reqps",
              [(f"sum by (remark) ({rate('retention_record_remarks_total')})", "{{remark}}")]),
        lines("Log messages", "Messages by level. Errors ask for someone, warnings are odd but handled.", "short",
              [(f"sum by (level) ({increase('retention_log_messages_total')})", "{{level}}")]),
    ]


def transactions():
    duration, records = "retention_transaction_duration_seconds", "retention_transaction_records"
    return [
        row("Transactions"),
        lines("Transactions", "Committed and aborted transactions.", "ops",
              [(f"sum by (result) ({rate('retention_transactions_total')})", "{{result}}")]),
        lines("Time of a transaction", "From its begin to the known outcome.", "s",
              [(quantile(0.5, duration), "half"), (quantile(0.99, duration), "99 %")]),
        lines("Records of a transaction", "Mean of the records written in a transaction.", "short",
              [(f"sum({rate(records + '_sum')}) / sum({rate(records + '_count')})", "mean")]),
        lines("Commit age", "Time since each instance's last known commit.", "s",
              [("time() - (@retention_commit_last_success_timestamp_seconds@ > 0)", "{{instance}}")], width=12),
        lines("Producers fenced", "Times that the broker turned a producer away for a newer one.", "short",
              [(f"sum by (instance) ({increase('retention_producer_fenced_total')})", "{{instance}}")], width=12),
    ]


def group():
    return [
        row("Consumer group"),
        lines("Partitions by instance", "Partitions that each instance owns.", "short",
              [("max by (instance) (@retention_assigned_partitions@)", "{{instance}}")], stacked=True),
        lines("Rebalances", "Rebalances that moved a partition, by kind. Lost: without a hand-over.", "short",
              [(f"sum by (kind) ({increase('retention_rebalances_total')})", "{{kind}}")], bars=True, stacked=True),
        lines("Time of a rebalance", "What 99 % of the rebalances stay below, restore aside.", "s",
              [(quantile(0.99, "retention_rebalance_duration_seconds", "instance"), "{{instance}}")]),
    ]


def restore():
    return [
        row("Restore"),
        lines("Partitions being restored", "Owned partitions that are read back from the changelog.", "short",
              [("sum by (instance) (@retention_restore_partitions@)", "{{instance}}")], width=6),
        lines("Records to go", "Changelog records that are still to be read: the sum, and the largest partition.",
              "short", [("sum(@retention_restore_remaining_records@)", "all"),
                        ("max(@retention_restore_remaining_records@)", "largest")], width=6),
        figure("Ready in", "Records to go over the rate at which they are read now.", "s",
               f"""sum(@retention_restore_remaining_records@)
                   / (sum({rate('retention_restored_records_total')}) > 0)""", width=4, height=8),
        lines("Restored records", "Changelog records read back.", "reqps",
              [(f"sum by (instance) ({rate('retention_restored_records_total')})", "{{instance}}")], width=4),
        lines("Time of a restore", "What half and 99 % of the finished restores stay below.", "s",
              [(quantile(0.5, "retention_restore_duration_seconds"), "half"),
               (quantile(0.99, "retention_restore_duration_seconds"), "99 %")], width=4),
        lines("Age of the snapshots", """Of the partition whose local snapshot is oldest: a restart reads what came since from the
              changelog. Snapshots that cannot be written, for lack of room or permission, grow old.""", "s",
              [("""time() - min by (instance) (@retention_snapshot_last_success_timestamp_seconds@ > 0)
                   or 0 * min by (instance) (@retention_snapshot_last_success_timestamp_seconds@)""", "{{instance}}")]),
        lines("Size of the snapshots", "Bytes of the newest local snapshots.", "bytes",
              [("sum by (instance) (@retention_snapshot_bytes@)", "{{instance}}")]),
        lines("Time of a snapshot", "What half and 99 % of the snapshots stay below, from the first slice on.", "s",
              [(quantile(0.5, "retention_snapshot_duration_seconds"), "half"),
               (quantile(0.99, "retention_snapshot_duration_seconds"), "99 %")]),
    ]


def state():
    delay = "retention_timer_delay_seconds"
    return [
        row("State and timers"),
        lines("Customers held", "Entries of the state, erasure markers included.", "short",
              [("sum by (instance) (@retention_state_entries@)", "{{instance}}")], stacked=True),
        lines("Memory of the state", "Bytes of the state, and the largest partition.", "bytes",
              [("sum by (instance) (@retention_state_bytes@)", "{{instance}}"),
               ("max(@retention_state_bytes@)", "largest partition")]),
        lines("Bytes a customer", "Bytes of the state over its entries.", "bytes",
              [("sum(@retention_state_bytes@) / sum(@retention_state_entries@)", "mean")]),
        lines("Timers", "Timers that are set, and those whose time has passed.", "short",
              [("sum(@retention_timers_pending@)", "pending"), ("sum(@retention_timers_overdue@)", "overdue")]),
        lines("Timers fired", "By the signal that they gave; none: figures moved with their window.", "ops",
              [(f"sum by (signal_type) ({rate('retention_timers_fired_total')})", "{{signal_type}}")], stacked=True),
        lines("Delay of timers", """How long after deadline and grace timers fired, while caught up. The objective is 60 s
              for 99 %.""", "s", [(quantile(0.5, delay), "half"), (quantile(0.99, delay), "99 %")]),
    ]


def saturation():
    return [
        row("Saturation"),
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
        lines("HTTP latency", "What 99 % of the answers stay below, by route.", "s",
              [(quantile(0.99, "retention_http_request_duration_seconds", "route"), "{{route}}")], width=12),
    ]


def dashboard():
    parts = [health, freshness, throughput, outcomes, transactions, group, restore, state, saturation]
    return panels.dashboard(
        "retention-pipeline", "Retention signals: pipeline",
        "Whether the service keeps up, and where it does not. For whoever runs it.",
        [one for part in parts for one in part()], links=[("Customers", "retention-customers")])
