"""One measurement: a system drains a backlog, follows live orders, or comes back after a kill."""

import shutil
import time
from dataclasses import dataclass

from .process import Process
from .systems import COMPACTED, KILL, SINGLE, WITHOUT_STATE, Job

# No system that works is silent for so long; a start and a restore included.
STALL_PATIENCE = 180
LINE_PATIENCE = 1.0
MEGA = 1_000_000
# So many times as long as is measured. A JVM compiles for half a minute what it runs then: that of the broker and that of the load
# would take the cores from what is measured.
WARM_UPS = 3


class SystemFailed(Exception):
    """A measured system ended, or made no progress."""


@dataclass
class Sample:
    """What was known when committed offsets were seen to move."""

    at: float
    committed: int
    cpu: float
    broker_cpu: float
    # Partitions that hold something of which nothing is committed.
    untouched: int = 0


@dataclass
class Drain:
    """How a backlog was worked off. Rates are from the first committed progress of all partitions to the last, so no start is in them."""

    events_per_second: float
    cpu_per_million: float
    broker_cpu_per_million: float
    second_half_per_second: float
    memory_peak: int
    start_seconds: float
    cpu_total: float
    output_records: int


@dataclass
class Stage:
    """Where measurements take place: node, tool, folder, and the inputs that are loaded."""

    node: object
    tool: object
    folder: object
    partitions: int
    customers: int
    orders: str = "orders"
    returns: str = "returns"
    erasures: str = "erasures"
    has_returns: bool = False
    end_ms: int = 0

    def job(self, name, interval_ms, **changes):
        folder = self.folder / name
        folder.mkdir()
        inputs = {"orders": self.orders, "returns": self.returns, "erasures": self.erasures, **changes}
        return Job(name, self.node.servers, folder, has_returns=self.has_returns, interval_ms=interval_ms, **inputs)


def create_outputs(stage, system, job):
    for what in system.outputs:
        settings = {"settings": "cleanup.policy:compact"} if what in COMPACTED else {}
        partitions = 1 if what in SINGLE else stage.partitions
        stage.tool.ask("create", topics=job.topic(what), partitions=partitions, **settings)


def delete_outputs(stage, system, job):
    topics = [job.topic(what) for what in system.outputs] + system.internal_topics(job)
    stage.tool.ask("delete", topics=",".join(topics))
    shutil.rmtree(job.folder, ignore_errors=True)


def start(stage, system, job, restart=False):
    stem = "again" if restart else "system"
    return Process(stem, system.command(job, restart), job.folder)


def follow(stage, process, job):
    """Samples at each committed step until the inputs are drained."""
    samples, last = [], time.monotonic()
    while True:
        line = stage.tool.next_line(LINE_PATIENCE)
        now = time.monotonic()
        if line and line[0] == "ok":
            return samples
        if process.has_ended() or now - last > STALL_PATIENCE:
            stage.tool.ask("cancel")
            reason = "ended" if process.has_ended() else "made no progress"
            raise SystemFailed(f"{job.name} {reason}\n{process.tail()}")
        if line and int(line[1].split()[0]) >= 0:
            committed, _, untouched = (int(word) for word in line[1].split())
            samples.append(Sample(now, committed, process.cpu_seconds(), stage.node.process.cpu_seconds(), untouched))
            last = now


def watch(stage, job):
    stage.tool.send("watch", group=job.name, topics=",".join(job.inputs))


def drain(stage, system, job):
    """Lets a system work off the loaded inputs; returns the process, still running, and how it went."""
    create_outputs(stage, system, job)
    watch(stage, job)
    begin = time.monotonic()
    process = start(stage, system, job)
    try:
        samples = follow(stage, process, job)
        return process, summary(stage, system, job, process, begin, samples)
    except BaseException:
        process.kill()
        raise


def summary(stage, system, job, process, begin, samples):
    progress = [sample for sample in samples if sample.committed > 0]
    last = progress[-1]
    start_seconds = progress[0].at - begin
    # Before each thread has committed, some have spent time on what is counted later.
    first = next(sample for sample in progress if sample.untouched == 0)
    if first.committed > last.committed / 2:
        # Too little to measure between two commits: the start is in the rate.
        first = Sample(begin, 0, 0.0, samples[0].broker_cpu)
    events = last.committed - first.committed
    half = next(sample for sample in [first, *progress] if sample.committed >= last.committed / 2)
    half = half if half.committed < last.committed else first
    # Changelogs are outputs too, the service's as well as those that Kafka Streams keeps for itself.
    topics = [job.topic(what) for what in system.outputs] + system.internal_topics(job)
    outputs = stage.tool.ask("size", topics=",".join(topics))
    return Drain(
        events_per_second=events / (last.at - first.at),
        cpu_per_million=(last.cpu - first.cpu) / events * MEGA,
        broker_cpu_per_million=(last.broker_cpu - first.broker_cpu) / events * MEGA,
        second_half_per_second=(last.committed - half.committed) / (last.at - half.at),
        memory_peak=process.memory_peak(),
        start_seconds=start_seconds,
        cpu_total=last.cpu,
        output_records=outputs["records"],
    )


def restart(stage, system, job, process, way):
    """Ends a system that has drained everything, starts it again, and takes the seconds until 100 more orders are committed."""
    if way == KILL:
        process.kill()
    else:
        process.terminate()
    if way == WITHOUT_STATE:
        shutil.rmtree(job.folder / "state")
    stage.end_ms += 3_600_000
    stage.tool.ask(
        "more", orders=stage.orders, returns=stage.returns, customers=stage.customers, at_ms=stage.end_ms,
        first=stage.end_ms, seed=stage.end_ms, count=100,
    )  # fmt: skip
    watch(stage, job)
    begin = time.monotonic()
    process = start(stage, system, job, restart=True)
    try:
        samples = follow(stage, process, job)
        return process, samples[-1].at - begin
    except BaseException:
        process.kill()
        raise


def latency(stage, system, job, rate, seconds):
    """Orders of now at a steady rate: from handing over to the producer until visible to a reader of committed records."""
    inputs = [job.orders, job.returns, job.erasures]
    stage.tool.ask("create", topics=",".join(inputs), partitions=stage.partitions)
    create_outputs(stage, system, job)
    # A start is not what is measured: some orders are worked off first.
    stage.tool.ask(
        "more", orders=job.orders, returns=job.returns, customers=stage.customers, at_ms=int(time.time() * 1000), count=100
    )
    watch(stage, job)
    process = start(stage, system, job)
    try:
        follow(stage, process, job)
        result = stage.tool.ask(
            "live", orders=job.orders, profiles=job.topic("customers"), rate=rate, warm_up=WARM_UPS * seconds,
            seconds=seconds, customers=stage.customers,
        )  # fmt: skip
        if process.has_ended():
            raise SystemFailed(f"{job.name} ended\n{process.tail()}")
        return result
    finally:
        process.terminate()
        delete_outputs(stage, system, job)
        stage.tool.ask("delete", topics=",".join(inputs))
