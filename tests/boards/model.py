"""Reads dashboards with Grafana's own model of them and says what it does not know: a field, an option of a panel, a unit.

    python model.py FILE...
"""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.models import dashboard, units

UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}

# Fields of marks and variables that the plugin of the data source reads, and the model of dashboards does not hold.
OF_THE_PLUGIN = {"definition", "step", "titleFormat", "useValueForTime"}


def lost(before, after, path):
    """What is in `before` and not in `after`, by its path."""
    if isinstance(before, dict):
        for name, value in before.items():
            here = f"{path}.{name}"
            if not isinstance(after, dict) or name not in after:
                # The model leaves out what is its default.
                if value not in (None, "", [], {}, False) and name not in OF_THE_PLUGIN:
                    yield f"{here} is not known"
            else:
                yield from lost(value, after[name], here)
    elif isinstance(before, list):
        if not isinstance(after, list) or len(before) != len(after):
            yield f"{path} is no list"
        else:
            for place, (one, other) in enumerate(zip(before, after)):
                yield from lost(one, other, f"{path}[{place}]")
    elif before != after:
        yield f"{path} is {before!r} and was read as {after!r}"


def plain(value):
    """As JSON holds it: the model keeps objects of its own inside."""
    return json.loads(json.dumps(value, default=lambda model: model.to_json()))


def unknown_units(value, path):
    if isinstance(value, dict):
        unit = value.get("unit")
        if isinstance(unit, str) and unit not in UNITS:
            yield f"{path} has the unit {unit}"
        if value.get("id") == "unit" and value.get("value") not in UNITS:
            yield f"{path} has the unit {value.get('value')}"
        for name, inner in value.items():
            yield from unknown_units(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from unknown_units(inner, f"{path}[{place}]")


def main(paths):
    plugins.register_default_plugins()
    faults = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
        after = plain(dashboard.Dashboard.from_json(before))
        faults += lost(before, after, path)
        faults += unknown_units(before, path)
    sys.exit("\n".join(faults) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
