"""The command line of benches/compare, and the order in which things are measured."""

import argparse
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from . import build, measure, report
from .node import Node
from .systems import all_systems
from .tool import Tool

# Of the growth, as `growth.points` names them.
SERIES = "customers,partitions,skew,interval"

DEFAULT_SYSTEMS = "ours,ours-2,ours-common,ours-2-common,streams@1s,streams@5s,streams-rocksdb@1s,flink@1s,flink-p1@1s,flink-p1@5s"


def duration_ms(text):
    """`100ms` or `1s`."""
    for unit, factor in (("ms", 1), ("s", 1000)):
        if text.endswith(unit) and text[: -len(unit)].isdigit():
            return int(text[: -len(unit)]) * factor
    raise argparse.ArgumentTypeError(f"{text} is no duration such as 100ms or 1s")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="benches/compare", description="Measures the service side by side with its peers.")
    add = parser.add_argument
    add("--events", type=int, default=2_000_000, help="orders and returns in the backlog (%(default)s)")
    add("--customers", type=int, default=200_000, help="customers (%(default)s)")
    add("--partitions", type=int, default=4, help="partitions of every topic (%(default)s)")
    add("--skew", choices=("uniform", "zipf"), default="uniform", help="who buys (%(default)s)")
    add("--returns", type=float, default=0.0, help="share of events that are returns (%(default)s)")
    add("--repeats", type=float, default=0.0, help="share of events that are exact repetitions (%(default)s)")
    add("--days", type=float, default=180, help="days of shop life that the backlog spans (%(default)s)")
    add("--seed", type=int, default=1, help="another number gives another history (%(default)s)")
    add("--commit-interval", type=duration_ms, default="100ms", help="between two commits (100ms)")
    add("--rounds", type=int, default=3, help="times that each system drains the backlog (%(default)s)")
    add("--systems", help=f"which, each with @INTERVAL for another commit interval ({DEFAULT_SYSTEMS}; with --against ours,other)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the service, as its own --set")
    add("--jvm", action="append", default=[], metavar="OPTION", help="a JVM option of the peers, such as --jvm=-XX:+UseParallelGC")
    add("--no-latency", action="store_true", help="measures no latency")
    add("--no-restart", action="store_true", help="measures no restart")
    add("--rate", type=float, help="orders a second for latencies; default: half of the slowest system's rate")
    add("--latency-seconds", type=int, default=30, help="measured, after three times as many to warm up (%(default)s)")
    add("--binary", help="the service's program; default: what deploy/build makes, or cargo for --check and --quick")
    add("--against", metavar="BINARY", help="another build of the service, measured in turns with it as `other`, and without peers")
    add("--out", type=Path, help="where to write the results; default: benches/RESULTS.md unless --quick")
    add("--quick", action="store_true", help="a small run to see that everything works; writes no results unless told where")
    add("--check", action="store_true", help="compares what the systems write, not how fast")
    add("--growth", action="store_true", help="the service alone over many sizes; writes docs/PERFORMANCE.md")
    add("--intake", action="store_true", help="the intake alone, on webhooks of 12 KB; prints what it costs")
    add("--webhooks", type=int, default=30_000, help="of --intake (%(default)s)")
    add("--series", default=SERIES, help="which of --growth (%(default)s)")
    add("--customers-max", type=int, default=1_000_000, help="the most customers of --growth (%(default)s)")
    options = parser.parse_args(arguments)
    unknown = set(options.series.split(",")) - set(SERIES.split(","))
    if unknown:
        parser.error(f"no such series of --growth: {', '.join(sorted(unknown))}; there are {SERIES}")
    options.systems = options.systems or ("ours,other" if options.against else DEFAULT_SYSTEMS)
    if options.quick:
        options.events, options.customers, options.rounds = min(options.events, 100_000), min(options.customers, 10_000), 1
        options.webhooks, options.latency_seconds = min(options.webhooks, 2_000), 5
    if options.check:
        options.events, options.customers = min(options.events, 30_000), min(options.customers, 2_000)
        options.returns, options.repeats = options.returns or 0.05, options.repeats or 0.02
        # Longer than the longest window, and than the service's ledger.
        options.days = max(options.days, 600)
    options.unusual = 0.02 if options.check else 0.0
    return options


def main(arguments):
    options = parse(arguments)
    # Asked to end, it still removes its folder: the node's logs are gigabytes.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    report.commit()
    against = build.service(options.against, is_measured=False) if options.against else None
    if not options.binary:
        say("building the service, which takes some minutes")
    binary = build.service(options.binary, is_measured=not (options.check or options.quick))
    build.peers()
    systems = all_systems(binary, options.jvm, against)
    for word in options.systems.split(","):
        if split(word, options)[0] not in systems:
            raise SystemExit(f"no system is named {word}: there are {', '.join(systems)}")
    with tempfile.TemporaryDirectory(prefix="compare-", ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        node = Node(folder / "kafka")
        tool = Tool(node.servers, folder)
        try:
            tool.ask("ready")
            stage = measure.Stage(node, tool, folder, options.partitions, options.customers)
            if options.check:
                from . import check

                return check.run(stage, systems, options)
            if options.intake:
                from . import intake

                return intake.run(stage, binary, options)
            if options.growth:
                from . import growth

                return growth.run(stage, binary, options)
            return compare(stage, systems, options, arguments)
        finally:
            tool.process.kill()
            node.process.kill()


def load(stage, options):
    """Creates and fills the inputs."""
    topics = ",".join([stage.orders, stage.returns, stage.erasures])
    stage.tool.ask("create", topics=topics, partitions=stage.partitions)
    stage.has_returns = options.returns > 0
    loaded = stage.tool.ask(
        "load", orders=stage.orders, returns=stage.returns, events=options.events, customers=options.customers,
        skew=options.skew, returned=options.returns, repeated=options.repeats, unusual=options.unusual, days=options.days,
        seed=options.seed,
    )  # fmt: skip
    stage.end_ms = loaded["end_ms"]
    say(f"loaded {loaded['records']:,} records, {loaded['bytes'] / loaded['records']:.0f} B each with key")
    return loaded


def say(line):
    print(line, file=sys.stderr, flush=True)


def split(word, options):
    """A system's name and its commit interval."""
    name, _, interval = word.partition("@")
    return name, duration_ms(interval) if interval else options.commit_interval


def compare(stage, systems, options, arguments):
    words = options.systems.split(",")
    loaded = load(stage, options)
    results = {word: {"drains": [], "events": loaded["records"]} for word in words}
    if not options.quick:
        warm_up(stage, systems, options, words[0])
    for turn in range(options.rounds):
        # Another order each time, so that no system always follows the same one.
        shift = turn % len(words)
        for word in words[shift:] + words[:shift]:
            one_drain(stage, systems, options, results, word, turn)
    if not options.no_latency:
        rates = [report.median_of(results, word, lambda each: each.events_per_second) for word in words]
        rate = options.rate or min(rates) / 2
        for word in words:
            one_latency(stage, systems, options, results, word, rate)
    else:
        rate = None
    finish(options, arguments, results, loaded, rate)
    return 0


def warm_up(stage, systems, options, word):
    """Drains once without counting: a node that has just started is slower for whoever comes first."""
    system, job, process, _ = drain(stage, systems, options, word, "warm-up")
    process.terminate()
    measure.delete_outputs(stage, system, job)


def drain(stage, systems, options, word, prefix):
    name, interval = split(word, options)
    job = stage.job(f"{prefix}-{word.replace('@', '-')}", interval)
    job.extra = options.set
    return systems[name], job, *measure.drain(stage, systems[name], job)


def one_drain(stage, systems, options, results, word, turn):
    system, job, process, drained = drain(stage, systems, options, word, f"r{turn + 1}")
    results[word]["drains"].append(drained)
    say(
        f"round {turn + 1} {word:<18} {drained.events_per_second:>9,.0f} events/s  {drained.cpu_per_million:6.2f} CPU s per million  "
        f"broker {drained.broker_cpu_per_million:5.2f}  {drained.memory_peak / report.MEBI:6.0f} MiB"
    )
    if turn == options.rounds - 1 and not options.no_restart:
        for way in system.restarts:
            process, seconds = measure.restart(stage, system, job, process, way)
            results[word].setdefault("restarts", {})[way] = seconds
            say(f"        {word:<18} back after {seconds:.2f} s ({way})")
    process.terminate()
    measure.delete_outputs(stage, system, job)


def one_latency(stage, systems, options, results, word, rate):
    name, interval = split(word, options)
    stem = f"live-{word.replace('@', '-')}"
    job = stage.job(stem, interval, orders=f"{stem}.orders", returns=f"{stem}.returns", erasures=f"{stem}.erasures")
    job.has_returns = False
    job.extra = options.set
    latency = measure.latency(stage, systems[name], job, rate, options.latency_seconds)
    results[word]["latency"] = latency
    say(f"latency {word:<18} {latency}")


def finish(options, arguments, results, loaded, rate):
    base = next((word for word in results if word.startswith("ours")), next(iter(results)))
    lines = report.comparison(results, base)
    print("\n".join(lines))
    out = options.out or (None if options.quick else build.ROOT / "benches" / "RESULTS.md")
    if out is None:
        return
    page = (Path(__file__).parent / "results.md").read_text()
    command = shlex.join(["benches/compare", *arguments])
    size = loaded["bytes"] / loaded["records"]
    out.write_text(
        page.format(
            command=command,
            machine="\n".join(report.machine()),
            table="\n".join(lines),
            load=f"{options.events:,} events of {size:.0f} B on average with key, {options.customers:,} customers, "
            f"{options.partitions} partitions, {options.skew}, {options.returns:.0%} returns, over {options.days:g} days; "
            f"{options.rounds} round{'s' * (options.rounds != 1)}; commit interval {options.commit_interval} ms where no other is named",
            rate=f"{rate:,.0f}" if rate else "–",
        )
    )
