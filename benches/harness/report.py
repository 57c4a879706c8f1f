"""Tables of what was measured, on the screen and in benches/RESULTS.md."""

import datetime
import functools
import platform
import re
import statistics
from pathlib import Path

from . import build
from .process import run
from .systems import WAYS

MEBI = 1024 * 1024


def machine():
    """What the figures depend on, as lines of Markdown."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(re.findall(r"^processor\s*:", Path("/proc/cpuinfo").read_text(), re.M))
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    java = run("java", [build.java(), "-version"]).splitlines()[0]
    pom = (build.ROOT / "benches" / "peers" / "pom.xml").read_text()
    node = (build.ROOT / "tests" / "kafka" / "pom.xml").read_text()
    version = {name: re.search(rf"<{name}>(.*)</{name}>", pom)[1] for name in ("kafka.version", "flink.version")}
    broker = re.search(r"<kafka.version>(.*)<", node)[1]
    return [
        f"- Date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC; service at commit {commit()}",
        f"- CPU: {cpu[1] if cpu else platform.machine()}, {cores} cores; memory {memory / 2**30:.0f} GiB; Linux {platform.release()}",
        f"- Apache Kafka {broker} (one node, on the same cores), Kafka Streams {version['kafka.version']}, "
        f"Flink {version['flink.version']}, {java}",
    ]


@functools.cache
def commit():
    """What is measured, as it was when first asked: a run writes pages itself."""
    return run("git", ["git", "describe", "--always", "--dirty"], cwd=build.ROOT).strip()


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" if i == 0 else "---:" for i in range(len(head))) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def spread(values, form):
    if not values:
        return "–"
    median = form(statistics.median(values))
    return median if len(values) == 1 else f"{median} ({form(min(values))}–{form(max(values))})"


def thousands(value):
    return f"{value / 1000:,.1f} k"


def seconds(value):
    return f"{value:.2f}"


def ratio(ours, theirs):
    return f"{ours / theirs:.1f}×" if ours and theirs else "–"


def median_of(results, name, pick):
    drains = results.get(name, {}).get("drains", [])
    return statistics.median([pick(each) for each in drains]) if drains else None


def comparison(results, base):
    """One row a system: speed, cost, memory, latency, restart."""
    head = [
        "system", "events/s (min–max)", f"{base} is faster", "CPU s per million events", "events per CPU s",
        f"{base} needs less CPU", "broker CPU s per million", "second half, events/s", "peak memory MiB", "first commit s",
        "output records per event", "p50 / p99 / p99.9 ms",
        *(f"restart s, {way}" for way in WAYS),
    ]  # fmt: skip
    our_rate = median_of(results, base, lambda each: each.events_per_second)
    our_cpu = median_of(results, base, lambda each: each.cpu_per_million)
    rows = []
    for name, result in results.items():
        drains = result["drains"]
        rate = median_of(results, name, lambda each: each.events_per_second)
        cpu = median_of(results, name, lambda each: each.cpu_per_million)
        latency, restarts = result.get("latency"), result.get("restarts", {})
        rows.append(
            [
                name,
                spread([each.events_per_second for each in drains], thousands),
                ratio(our_rate, rate),
                spread([each.cpu_per_million for each in drains], seconds),
                thousands(1_000_000 / cpu) if cpu else "–",
                ratio(cpu, our_cpu),
                spread([each.broker_cpu_per_million for each in drains], seconds),
                spread([each.second_half_per_second for each in drains], thousands),
                spread([each.memory_peak / MEBI for each in drains], lambda value: f"{value:.0f}"),
                spread([each.start_seconds for each in drains], seconds),
                spread([each.output_records / result["events"] for each in drains], seconds),
                "{p50_ms:.0f} / {p99_ms:.0f} / {p999_ms:.0f}".format(**latency) if latency else "–",
                *(seconds(restarts[way]) if way in restarts else "–" for way in WAYS),
            ]
        )
    return table(head, rows)
