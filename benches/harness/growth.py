"""The service alone over many sizes: how throughput, cost and memory change with customers, partitions, workers, skew and interval."""

import csv
import statistics
from argparse import Namespace
from dataclasses import dataclass, replace

from . import build, command, measure, plot, report
from .systems import Ours

FOLDER = build.ROOT / "docs" / "performance"
PAGE = build.ROOT / "docs" / "PERFORMANCE.md"
BEGIN, END = "<!-- growth: written by benches/compare --growth -->", "<!-- /growth -->"
COLUMNS = (
    "series", "customers", "partitions", "workers", "skew", "interval_ms", "backlog_interval_ms", "events", "events_per_second",
    "cpu_seconds_per_million", "broker_cpu_seconds_per_million", "memory_mib", "p50_ms", "p99_ms", "p999_ms",
    "commit",
)  # fmt: skip
TEXTS = ("series", "skew", "commit")


@dataclass(frozen=True)
class Point:
    """One size to measure."""

    series: str
    customers: int = 200_000
    partitions: int = 4
    workers: int = 1
    skew: str = "uniform"
    interval_ms: int = 100
    backlog_interval_ms: int = 5000
    has_latency: bool = False

    def shape(self, events):
        """What has to be loaded for it. A customer has four orders or more, so that state is what is measured."""
        return (self.customers, self.partitions, self.skew, max(events, 4 * self.customers))


def points(customers_max):
    base = Point("customers")
    sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size <= customers_max]
    found = [replace(base, customers=size) for size in sizes]
    for workers in (1, 2):
        found += [Point(f"partitions, workers: {workers}", partitions=count, workers=workers) for count in (1, 4, 16, 64)]
    found += [Point("skew", skew=skew) for skew in ("uniform", "zipf")]
    for interval in (20, 50, 100, 250, 500, 1000):
        found.append(Point("interval", interval_ms=interval, backlog_interval_ms=interval, has_latency=True))
    return found


def run(stage, binary, options):
    """Measures every point, loading each shape of input once; writes a table, plots and the page's section."""
    wanted = [point for point in points(options.customers_max) if point.series.split(",")[0] in options.series.split(",")]
    rows = [] if options.quick else others(wanted)
    shapes = dict.fromkeys(point.shape(options.events) for point in wanted)
    for number, shape in enumerate(shapes):
        load(stage, number, shape, options)
        for point in wanted:
            if point.shape(options.events) == shape:
                rows.append(measure_point(stage, binary, options, point, number, len(rows)))
                if not options.quick:
                    # A long run that is stopped leaves what it has measured.
                    keep(rows)
        stage.tool.ask("delete", topics=",".join([stage.orders, stage.returns, stage.erasures]))
    order = list(dict.fromkeys(point.series for point in points(options.customers_max)))
    rows.sort(key=lambda row: order.index(row["series"]))
    write(rows, options)
    return 0


def others(wanted):
    """What was measured before of series that are not measured now."""
    table = FOLDER / "growth.csv"
    if not table.exists():
        return []
    series = {point.series for point in wanted}
    with open(table, newline="") as file:
        return [
            {name: value if name in TEXTS else number(value) for name, value in row.items()}
            for row in csv.DictReader(file)
            if row["series"] not in series
        ]


def number(text):
    return "" if text == "" else float(text) if "." in text else int(text)


def load(stage, number, shape, options):
    customers, partitions, skew, events = shape
    stage.partitions, stage.customers = partitions, customers
    stage.orders, stage.returns, stage.erasures = (f"{name}-{number}" for name in ("orders", "returns", "erasures"))
    command.load(stage, Namespace(**{**vars(options), "events": events, "customers": customers, "skew": skew}))


def measure_point(stage, binary, options, point, number, index):
    system = Ours(binary, point.workers)
    extra = [f"commit.backlog_interval={point.backlog_interval_ms}ms", *options.set]
    drains = []
    for turn in range(options.rounds):
        job = stage.job(f"g{index}-{turn}", point.interval_ms)
        job.extra = extra
        process, drained = measure.drain(stage, system, job)
        drains.append(drained)
        process.terminate()
        measure.delete_outputs(stage, system, job)
    row = {
        "series": point.series, "customers": point.customers, "partitions": point.partitions, "workers": point.workers,
        "skew": point.skew, "interval_ms": point.interval_ms, "backlog_interval_ms": point.backlog_interval_ms,
        "events": point.shape(options.events)[3],
        "events_per_second": round(median(drains, "events_per_second")),
        "cpu_seconds_per_million": round(median(drains, "cpu_per_million"), 3),
        "broker_cpu_seconds_per_million": round(median(drains, "broker_cpu_per_million"), 3),
        "memory_mib": round(median(drains, "memory_peak") / report.MEBI),
        "commit": report.commit(),
    }  # fmt: skip
    if point.has_latency and not options.no_latency:
        stem = f"g{index}-live"
        job = stage.job(stem, point.interval_ms, orders=f"{stem}.orders", returns=f"{stem}.returns", erasures=f"{stem}.erasures")
        job.extra = extra
        latency = measure.latency(stage, system, job, options.rate or 30_000, options.latency_seconds)
        row.update({name: latency[name] for name in ("p50_ms", "p99_ms", "p999_ms")})
    command.say("  ".join(f"{key}={value}" for key, value in row.items()))
    return row


def median(drains, name):
    return statistics.median(getattr(each, name) for each in drains)


def write(rows, options):
    lines = report.table(COLUMNS, [[cell(row.get(column, "")) for column in COLUMNS] for row in rows])
    print("\n".join(lines))
    if options.quick:
        return
    keep(rows)
    images = plots(rows)
    section = [BEGIN, *report.machine(), "", *images, "", *lines, END]
    page = PAGE.read_text() if PAGE.exists() else "# Performance\n"
    if BEGIN not in page:
        page += f"\n{BEGIN}\n{END}\n"
    before, rest = page.split(BEGIN, 1)
    PAGE.write_text(before + "\n".join(section) + rest.split(END, 1)[1])


def keep(rows):
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / "growth.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def cell(value):
    return f"{value:,}" if isinstance(value, (int, float)) and value >= 10_000 else str(value)


def plots(rows):
    def line(series, x, y):
        return [(row[x], row[y]) for row in rows if row["series"] == series and row.get(y) not in (None, "")]

    workers = ("partitions, workers: 1", "partitions, workers: 2")
    charts = {
        "customers": ("Throughput and customers", "customers", "events per second", {
            "1 worker": line("customers", "customers", "events_per_second"),
        }),
        "memory": ("Memory and customers", "customers", "peak resident MiB", {
            "1 worker": line("customers", "customers", "memory_mib"),
        }),
        "partitions": ("Throughput and partitions", "partitions", "events per second", {
            f"{index + 1} worker{'s' * index}": line(name, "partitions", "events_per_second") for index, name in enumerate(workers)
        }),
        "interval": ("CPU and commit interval", "commit interval, ms", "CPU seconds per million events", {
            "service": line("interval", "interval_ms", "cpu_seconds_per_million"),
            "broker": line("interval", "interval_ms", "broker_cpu_seconds_per_million"),
        }),
        "latency": ("Latency and commit interval", "commit interval, ms", "ms from append to visible", {
            name: line("interval", "interval_ms", f"{name}_ms") for name in ("p50", "p99", "p999")
        }),
    }  # fmt: skip
    images = []
    for name, (title, x, y, series) in charts.items():
        if any(len(each) > 1 for each in series.values()):
            (FOLDER / f"{name}.svg").write_text(plot.lines(title, x, y, series))
            images.append(f"![{title}](performance/{name}.svg)")
    return images
