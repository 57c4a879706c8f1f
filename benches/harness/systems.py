"""The systems that are measured, each at its best setting: how one is started on given topics."""

from dataclasses import dataclass, field
from pathlib import Path

from . import build

# Ways to end before a restart: SIGKILL; SIGTERM; SIGTERM, and the local state is lost.
KILL, STOP, WITHOUT_STATE = WAYS = ("kill", "stop", "without state")
# Topics of a run that are compacted, as the service demands of its own.
COMPACTED = ("customers", "changelog", "shop-metrics")
# Topics of a run with one partition, whatever the others have.
SINGLE = ("shares", "shop-metrics")


# Without signals that the peers do not have: nobody in the load has so many orders that later ones are compared with earlier ones.
COMMON = ("signals.earlier_min=100",)


TIERS = """\
[[tiers]]
name = "silver"
from = "150.00"
[[tiers]]
name = "gold"
from = "500.00"
"""


@dataclass
class Job:
    """What a system is to work on, under names of its own."""

    name: str
    servers: str
    folder: Path
    orders: str
    returns: str
    has_returns: bool
    erasures: str
    interval_ms: int
    extra: list = field(default_factory=list)

    def topic(self, what):
        return f"{self.name}.{what}"

    @property
    def inputs(self):
        return [self.orders, self.returns]


class Ours:
    """The service: metrics on, the longest backlog interval, the clock left at the last event so that runs are alike."""

    def __init__(self, binary, workers, settings=()):
        self.binary = binary
        self.workers = workers
        self.settings = settings
        self.outputs = ("signals", "customers", "dead-letters", "changelog")
        self.restarts = (KILL, STOP, WITHOUT_STATE)

    def internal_topics(self, job):
        return []

    def command(self, job, restart):
        config = job.folder / "retention-signals.toml"
        config.write_text(
            f"""\
application = "{job.name}"
instance = "{job.name}-1"
workers = {self.workers}
state_dir = "{job.folder / 'state'}"
[topics]
orders = "{job.orders}"
returns = "{job.returns}"
erasures = "{job.erasures}"
signals = "{job.topic('signals')}"
customers = "{job.topic('customers')}"
dead_letters = "{job.topic('dead-letters')}"
changelog = "{job.topic('changelog')}"
[shop]
currency = "EUR"
[clock]
at_end = "stay"
[lapse]
policy = "fixed"
[signals]
history = "publish"
[commit]
interval = "{job.interval_ms}ms"
backlog_interval = "5s"
[http]
listen = "127.0.0.1:0"
[kafka]
"bootstrap.servers" = "{job.servers}"
"""
        )
        sets = [word for setting in (*self.settings, *job.extra) for word in ("--set", setting)]
        return [self.binary, "run", "--config", config, *sets]


class Decisions(Ours):
    """The service with all that retention teams decide by: the policy `model`, segments by cut points of a file, and shop metrics of whole
    days. The load lies too long ago for days to be counted."""

    def __init__(self, binary, workers):
        cuts = build.ROOT / "schemas" / "examples" / "story" / "cuts.jsonl"
        settings = ("lapse.policy=model", "segments.enabled=true", "metrics.shares=true", f"registry.file={cuts}")
        super().__init__(binary, workers, settings)
        self.outputs += SINGLE

    def command(self, job, restart):
        topics = [f"topics.{what.replace('-', '_')}={job.topic(what)}" for what in SINGLE]
        return [*super().command(job, restart), *(word for topic in topics for word in ("--set", topic))]


class Rules(Ours):
    """The service with every rule of `deploy/rules`, and the points, tiers and segments that they ask for."""

    def command(self, job, restart):
        files = sorted((build.ROOT / "deploy" / "rules").glob("*.toml"))
        cuts = build.ROOT / "schemas" / "examples" / "story" / "cuts.jsonl"
        names = ",".join(str(file) for file in files)
        settings = (f"rules.files={names}", f"registry.file={cuts}", "segments.enabled=true", "points.per=1.00", "rules.holdout=0.05")
        command = super().command(job, restart)
        config = job.folder / "retention-signals.toml"
        config.write_text(config.read_text() + TIERS)
        return [*command, *(word for setting in settings for word in ("--set", setting))]


class Intake(Ours):
    """The intake: one worker that reads `webhooks`, which are Shopify's."""

    def __init__(self, binary):
        super().__init__(binary, 1)
        self.outputs = ("dead-letters",)

    def command(self, job, restart):
        binary, _, *rest = super().command(job, restart)
        source = ["--set", "intake.sources.shop.topics=webhooks", "--set", "intake.sources.shop.map=shopify"]
        return [binary, "intake", "--from-beginning", *rest, *source]


class Java:
    """A peer: one JVM."""

    def __init__(self, module, heap, jvm=(), **options):
        self.module = module
        self.heap = heap
        self.jvm = list(jvm)
        self.options = options
        self.outputs = ("signals", "customers")
        self.restarts = (KILL,)

    def internal_topics(self, job):
        return [f"{job.name}-customers-changelog"] if self.module == "streams" else []

    def command(self, job, restart):
        options = {
            "servers": job.servers,
            "application": job.name,
            "orders": job.orders,
            "returns": job.returns if job.has_returns else "",
            "signals": job.topic("signals"),
            "profiles": job.topic("customers"),
            "interval_ms": job.interval_ms,
            "folder": job.folder / "state",
            "restart": str(restart).lower(),
            **self.options,
        }
        jvm = [f"-Xmx{self.heap}", *self.jvm, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        words = [f"{key}={value}" for key, value in options.items()]
        return [build.java(), *jvm, "-cp", build.class_path(self.module), f"peers.{self.module}.Main", *words]


# Flink reaches into the JDK for its serializers.
FLINK_OPENS = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.util", "java.util.concurrent", "java.nio", "java.time", "java.net")
]


def all_systems(binary, jvm=(), against=None):
    """By name; `jvm` are more options of the peers' JVMs, `against` is another build of the service."""
    flink = [*FLINK_OPENS, *jvm]
    return ({"other": Ours(against, workers=1)} if against else {}) | {
        "ours": Ours(binary, workers=1),
        "ours-2": Ours(binary, workers=2),
        "ours-decisions": Decisions(binary, workers=1),
        "ours-rules": Rules(binary, workers=1),
        "ours-common": Ours(binary, workers=1, settings=COMMON),
        "ours-2-common": Ours(binary, workers=2, settings=COMMON),
        "streams": Java("streams", "2g", jvm, store="memory"),
        "streams-rocksdb": Java("streams", "2g", jvm, store="rocksdb"),
        "flink": Java("flink", "2g", flink, parallelism=2),
        "flink-p1": Java("flink", "2g", flink, parallelism=1),
    }
