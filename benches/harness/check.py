"""Whether the systems say the same of the same input: over the fields that all of them write."""

import json
import sys
from collections import Counter

from . import command, measure

COMMON_SIGNALS = {"first_order", "second_order", "at_risk", "lapsed", "recovered", "won_back", "order_returned"}
# What only the service works out.
OWN_FIELDS = ("customer_type", "windows")
OWN_BLOCK_FIELDS = ("cancelled", "unattributed", "excess")
EXAMPLES = 5
# The loader's last records, all of one instant, which only move the clocks.
CLOSING = "customer-9"
QUIET_MS = 3000


def run(stage, systems, options):
    """Compares every other system with the first; 1 if any differs."""
    words = options.systems.split(",")
    command.load(stage, options)
    written = {word: outputs(stage, systems, options, word) for word in words}
    base, *others = words
    said = Counter(json.loads(signal)["type"] for signal in written[base][0].elements())
    missing = COMMON_SIGNALS - set(said) if options.returns > 0 else set()
    faults = [f"no {each} occurs: the input is too small to compare anything" for each in sorted(missing)]
    for word in others:
        faults += differences(base, written[base], word, written[word])
    for fault in faults:
        print(fault, file=sys.stderr)
    profiles, signals = len(written[base][1]), sum(said.values())
    print(f"{len(words)} systems, {profiles} profiles, {signals} common signals: " + ("differences" if faults else "all equal"))
    return 1 if faults else 0


def outputs(stage, systems, options, word):
    """The multiset of common signals and the last profile of each customer, in the fields that all write."""
    name, interval = command.split(word, options)
    job = stage.job(f"check-{word.replace('@', '-')}", interval)
    process, _ = measure.drain(stage, systems[name], job)
    signals, profiles, ids = Counter(), {}, Counter()
    for line in lines(stage, job, "signals"):
        signal = json.loads(line)
        ids[signal.pop("id")] += 1
        del signal["policy"]["version"]
        if signal["type"] in COMMON_SIGNALS and not signal["customer_id"].startswith(CLOSING):
            signals[json.dumps(signal, sort_keys=True)] += 1
    doubled = [each for each, count in ids.items() if count > 1]
    if doubled:
        raise SystemExit(f"{word} said {len(doubled)} signals more than once")
    for line in lines(stage, job, "customers"):
        profile = json.loads(line)
        if not profile["customer_id"].startswith(CLOSING):
            profiles[profile["customer_id"]] = common(profile)
    process.terminate()
    command.say(f"{word}: {sum(signals.values())} common signals, {len(profiles)} profiles")
    return signals, profiles


def lines(stage, job, what):
    path = job.folder / f"{what}.jsonl"
    stage.tool.ask("dump", topic=job.topic(what), file=path, quiet_ms=QUIET_MS)
    with open(path) as file:
        yield from file


def common(profile):
    for field in OWN_FIELDS:
        profile.pop(field, None)
    for field in OWN_BLOCK_FIELDS:
        profile["all_time"].pop(field, None)
    return json.dumps(profile, sort_keys=True)


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
