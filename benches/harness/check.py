"""Whether the systems say the same of the same input: the signals that all of them have, the profiles, and the headers of both."""

import json
import sys
from collections import Counter

from . import command, measure

COMMON_SIGNALS = {"first_order", "second_order", "at_risk", "lapsed", "recovered", "won_back", "order_returned"}
CUSTOMER_TYPES = {None, "one_time", "recurring", "repeat", "returning"}
EXAMPLES = 5
# The loader's last records, all of one instant, which only move the clocks.
CLOSING = "customer-9"
QUIET_MS = 3000


def run(stage, systems, options):
    """Compares every other system with the first; 1 if any differs."""
    words = options.systems.split(",")
    loaded = command.load(stage, options)
    written = {word: outputs(stage, systems, options, word) for word in words}
    base, *others = words
    signals = [json.loads(signal)[0] for signal in written[base][0].elements()]
    profiles = [json.loads(profile)[0] for profile in written[base][1].values()]
    faults = [f"no {each} occurs: the input is too small to compare anything" for each in missing(signals, profiles, loaded)]
    for word in others:
        faults += differences(base, written[base], word, written[word])
    for fault in faults:
        print(fault, file=sys.stderr)
    counts = f"{len(words)} systems, {len(profiles)} profiles, {len(signals)} common signals"
    print(f"{counts}: " + ("not shown to be equal, see above" if faults else "all equal"))
    return 1 if faults else 0


def missing(signals, profiles, loaded):
    """What the peers have code for, and what the base wrote does not show."""
    yield from COMMON_SIGNALS - {signal["type"] for signal in signals}
    yield from (f"customer_type {each}" for each in CUSTOMER_TYPES - {profile["customer_type"] for profile in profiles})
    returned = [signal["data"] for signal in signals if signal["type"] == "order_returned"]
    # Whether it names an order, and whether that was placed.
    kinds = {(data["order_id"] is not None, data["order_placed_at"] is not None) for data in returned}
    if (False, False) not in kinds:
        yield "return that names no order"
    if (True, False) not in kinds:
        yield "return of an order that nobody placed"
    if loaded["corrections"] == 0:
        yield "correction of an order"


def outputs(stage, systems, options, word):
    """The multiset of common signals and the last profile of each customer, with their headers."""
    name, interval = command.split(word, options)
    job = stage.job(f"check-{word.replace('@', '-')}", interval)
    process, _ = measure.drain(stage, systems[name], job)
    signals, profiles, ids = Counter(), {}, Counter()
    for signal, headers in records(stage, job, "signals"):
        if headers.pop("ce_id", None) != signal["id"]:
            raise SystemExit(f"{word} gave a signal another id in its headers: {signal['id']}")
        ids[signal.pop("id")] += 1
        del signal["policy"]["version"]
        if signal["type"] in COMMON_SIGNALS and not signal["customer_id"].startswith(CLOSING):
            signals[text(signal, headers)] += 1
    for profile, headers in records(stage, job, "customers"):
        ids[headers.pop("ce_id", None)] += 1
        if not profile["customer_id"].startswith(CLOSING):
            profiles[profile["customer_id"]] = text(profile, headers)
    doubled = [each for each, count in ids.items() if count > 1]
    if doubled:
        raise SystemExit(f"{word} gave {len(doubled)} ids more than once")
    process.terminate()
    command.say(f"{word}: {sum(signals.values())} common signals, {len(profiles)} profiles")
    return signals, profiles


def records(stage, job, what):
    """The records of an output: value and headers, of which only the source may differ from system to system."""
    path = job.folder / f"{what}.tsv"
    stage.tool.ask("dump", topic=job.topic(what), file=path, quiet_ms=QUIET_MS)
    with open(path) as file:
        for line in file:
            value, *headers = line.rstrip("\n").split("\t")
            headers = dict(header.split("=", 1) for header in headers)
            if headers.pop("ce_source", None) != job.name:
                raise SystemExit(f"{path} holds a record that does not name {job.name} as its source: {line}")
            yield json.loads(value), headers


def text(value, headers):
    return json.dumps([value, headers], sort_keys=True)


def differences(base, ours, word, theirs):
    faults = []
    for kind, only in (
        (f"{base} alone says", ours[0] - theirs[0]),
        (f"{word} alone says", theirs[0] - ours[0]),
    ):
        faults += [f"{kind} ({len(only)} such): {each}" for each in sorted(only)[:EXAMPLES]]
    unlike = [key for key in sorted(ours[1].keys() | theirs[1].keys()) if ours[1].get(key) != theirs[1].get(key)]
    for key in unlike[:EXAMPLES]:
        faults.append(f"{len(unlike)} profiles differ, such as\n  {base}: {ours[1].get(key)}\n  {word}: {theirs[1].get(key)}")
    return faults
