"""Grafana panels in their classic JSON, with the rules that hold for every panel.

A query is written with @metric@ in place of a metric: `with_selectors` puts the selectors of job and instance there, so that
no query can forget them. Braces behind the second @ add further selectors: @metric@{topic="orders"}.

Gauges of a partition vanish while it moves to another instance; `steady` keeps their last values, so that a rebalance does not
look like a loss of customers.
"""

import re

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTORS = 'job=~"$job",instance=~"$instance"'
WIDTH = 24

# Where the runbook is. `deploy/runbook-links` puts a URL there.
RUNBOOK = "docs/RUNBOOK.md"

# How long the last value of a gauge stands in for one that is gone. A hand-over takes seconds, a restore minutes.
STEADY = "5m"


def with_selectors(query):
    """Fills in the selectors of every @metric@."""
    def fill(match):
        metric, further = match.group(1), match.group(2)
        return f"{metric}{{{SELECTORS}{',' + further if further else ''}}}"
    return re.sub(r"@(\w+)@(?:\{([^}]*)\})?", fill, " ".join(query.split()))


def rate(metric, further=""):
    return f"rate(@{metric}@{{{further}}}[$__rate_interval])"


def increase(metric, further="", over="$__rate_interval"):
    return f"increase(@{metric}@{{{further}}}[{over}])"


def steady(by, metric, further="", function="max"):
    """The gauge over instances, or its last values where no instance exports it at this moment."""
    now = f"{function} by ({by}) (@{metric}@{{{further}}})"
    return f"({now} or {function} by ({by}) (last_over_time(@{metric}@{{{further}}}[{STEADY}])))"


def quantile(share, metric, by="", further=""):
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) ({rate(metric + '_bucket', further)}))"


def panel(kind, title, description, unit, queries, width=8, height=8, options=None, defaults=None, overrides=None,
          runbook=None):
    """A panel; `queries` are pairs of a query and the name of its series, `runbook` is an alert that it helps with."""
    return {
        "type": kind,
        "title": title,
        "description": " ".join(description.split()),
        "links": [runbook_link(runbook)] if runbook else [],
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {
            "defaults": {"unit": unit, "noValue": "no data", **(defaults or {})},
            "overrides": overrides or [],
        },
        "options": options or {},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": with_selectors(query),
                "legendFormat": name,
                "range": True,
            }
            for place, (query, name) in enumerate(queries)
        ],
    }


def runbook_link(alert):
    return {"title": f"Runbook: {alert}", "url": f"${{runbook}}#{alert.lower()}", "targetBlank": True}


def lines(title, description, unit, queries, stacked=False, bars=False, **more):
    """Curves over time."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1,
        "fillOpacity": 60 if bars else (35 if stacked else 8),
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    defaults = {"custom": custom, **more.pop("defaults", {})}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, description, unit, queries, options=options, defaults=defaults, **more)


def figure(title, description, unit, query, steps=None, width=4, height=4, mappings=None, name="", decimals=None,
           runbook=None):
    """One number; `steps` are pairs of a bound and a colour, the first bound is None."""
    steps = steps or [(None, "text")]
    defaults = {
        "thresholds": {"mode": "absolute", "steps": [{"value": bound, "color": colour} for bound, colour in steps]},
        "mappings": mappings or [],
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background" if len(steps) > 1 else "none",
        "graphMode": "none",
        "textMode": "auto",
    }
    return panel("stat", title, description, unit, [(query, name)], width, height, options, defaults, None, runbook)


def word(title, description, query, name, width=4, height=4):
    """The name of the one series that a query finds."""
    made = figure(title, description, "none", query, width=width, height=height, name=name)
    made["options"]["textMode"] = "name"
    # Over a range, a name that it had before would stand beside the one that it has now.
    made["targets"][0] |= {"instant": True, "range": False}
    return made


def columns(title, description, unit, queries, width=12, height=8):
    """The last value of each series as a column."""
    made = panel("bargauge", title, description, unit, queries, width, height, options={
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "vertical",
        "displayMode": "basic",
        "showUnfilled": False,
    }, defaults={"min": 0, "color": {"mode": "fixed", "fixedColor": "blue"}})
    for target in made["targets"]:
        target |= {"instant": True, "range": False}
    return made


def of_all(title, description, part, whole, missing="missing", colour="red", width=4, height=4, runbook=None):
    """How many of how many, and how many are missing: in `colour` if any is."""
    made = figure(title, description, "none", part, width=width, height=height, name="now", decimals=0, runbook=runbook)
    made["options"] |= {"textMode": "value_and_name", "orientation": "vertical", "colorMode": "value"}
    for place, (query, name) in enumerate([(whole, "of"), (f"({whole}) - ({part})", missing)], start=1):
        made["targets"].append({**made["targets"][0], "refId": chr(ord("A") + place), "expr": with_selectors(query),
                                "legendFormat": name})
    steps = [{"value": None, "color": "green"}, {"value": 1, "color": colour}]
    made["fieldConfig"]["overrides"] = [{"matcher": {"id": "byName", "options": missing}, "properties": [
        {"id": "thresholds", "value": {"mode": "absolute", "steps": steps}},
    ]}]
    return made


def alerts(title, description, query, width=6, height=8):
    """What fires now, a line for each alert, with a link to the runbook."""
    made = panel("table", title, description, "none", [(query, "")], width, height, options={
        "showHeader": False, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "countRows": False},
    }, defaults={"noValue": "none", "custom": {"align": "left", "cellOptions": {"type": "auto"}, "inspect": False}})
    made["targets"][0] |= {"format": "table", "instant": True, "range": False}
    columns = ["severity", "alertname", "instance", "partition"]
    made["transformations"] = [{"id": "organize", "options": {
        "includeByName": {name: True for name in columns},
        "indexByName": {name: place for place, name in enumerate(columns)},
        "excludeByName": {name: True for name in ["Time", "Value", "__name__", "alertstate", "job"]},
        "renameByName": {},
    }}]
    colours = {"page": {"color": "red", "index": 0}, "ticket": {"color": "orange", "index": 1}}
    made["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": "severity"}, "properties": [
            {"id": "mappings", "value": [{"type": "value", "options": colours}]},
            {"id": "custom.cellOptions", "value": {"type": "color-background"}},
            {"id": "custom.width", "value": 70},
        ]},
        {"matcher": {"id": "byName", "options": "alertname"}, "properties": [
            {"id": "links", "value": [{"title": "Runbook", "url": "${runbook}", "targetBlank": True}]},
        ]},
    ]
    return made


def table(title, description, labels, columns, width=24, height=8):
    """A line for each combination of labels; `columns` are a name, a unit and a query each."""
    made = panel("table", title, description, "none", [(query, "") for _, _, query in columns], width, height, options={
        "showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "countRows": False},
    }, defaults={"custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}})
    for target in made["targets"]:
        target |= {"format": "table", "instant": True, "range": False}
    names = {f"Value #{target['refId']}": name for target, (name, _, _) in zip(made["targets"], columns)}
    made["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": {
        "includeByName": {},
        "indexByName": {name: place for place, name in enumerate([*labels, *names])},
        "excludeByName": {"Time": True},
        "renameByName": names,
    }}]
    made["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}, {"id": "decimals", "value": decimals}]}
        for name, unit, decimals in [(name, unit, 1 if unit == "percentunit" else 0) for name, unit, _ in columns]
    ]
    return made


def heat_map(title, description, unit, query, **more):
    """A histogram over time."""
    options = {
        "calculate": False,
        "yAxis": {"unit": unit},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "cellGap": 1,
        "tooltip": {"show": True, "yHistogram": False},
    }
    made = panel("heatmap", title, description, unit, [(query, "{{le}}")], options=options, **more)
    made["targets"][0]["format"] = "heatmap"
    return made


def timeline(title, description, unit, queries, **more):
    """What was on when."""
    options = {
        "mergeValues": True,
        "showValue": "never",
        "rowHeight": 0.8,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
    }
    return panel("state-timeline", title, description, unit, queries, options=options, **more)


def row(title, *panels, collapsed=True):
    """A row and the panels below it, in lines from left to right. A list of panels is one column, from top to bottom."""
    return {"type": "row", "title": title, "collapsed": collapsed, "panels": list(panels),
            "gridPos": {"w": WIDTH, "h": 1, "x": 0}}


def place(rows):
    """Sets every row and its panels; those of an open row stand behind it, as Grafana wants it."""
    placed, top, number = [], 0, 0
    for one in rows:
        number += 1
        one |= {"id": number}
        one["gridPos"]["y"] = top
        left, line, tallest, inside = 0, top + 1, 0, []
        for column in one["panels"]:
            column = column if isinstance(column, list) else [column]
            width = max(panel["gridPos"]["w"] for panel in column)
            if left + width > WIDTH:
                left, line, tallest = 0, line + tallest, 0
            height = 0
            for panel in column:
                number += 1
                panel["id"] = number
                panel["gridPos"] |= {"x": left, "y": line + height}
                height += panel["gridPos"]["h"]
                inside.append(panel)
            left, tallest = left + width, max(tallest, height)
        placed.append(one)
        if one["collapsed"]:
            one["panels"], top = inside, top + 1
        else:
            one["panels"], top = [], line + tallest
            placed.extend(inside)
    return placed


def choice(name, label, values, default):
    """A variable with fixed values."""
    options = [{"text": value, "value": value, "selected": value == default} for value in values]
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ",".join(values),
        "options": options,
        "current": {"text": default, "value": default},
        "multi": False,
        "includeAll": False,
    }


def label_values(name, label, query):
    """A variable with the values that a label has in the chosen time."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def constant(name, value):
    """A variable that nobody sees: `deploy/runbook-links` changes it."""
    return {
        "name": name,
        "type": "constant",
        "query": value,
        "hide": 2,
        "skipUrlSync": True,
        "current": {"text": value, "value": value},
    }


def marks(name, colour, query, text, step, at_value=False):
    """Vertical lines at what has happened."""
    made = {
        "name": name,
        "enable": True,
        "iconColor": colour,
        "datasource": DATASOURCE,
        "expr": with_selectors(query),
        "titleFormat": text,
        "step": step,
    }
    return made | {"useValueForTime": "on"} if at_value else made


def dashboard(uid, title, description, rows, variables=(), links=(), annotations=()):
    datasource = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
    }
    templating = [
        datasource,
        label_values("job", "Job", "label_values(retention_build_info, job)"),
        label_values("instance", "Instance", 'label_values(retention_build_info{job=~"$job"}, instance)'),
        *variables,
        constant("runbook", RUNBOOK),
    ]
    boards = [
        {"title": text, "type": "link", "icon": "dashboard", "tooltip": "", "tags": [], "asDropdown": False, "targetBlank": False,
         "url": f"/d/{other}", "keepTime": True, "includeVars": False}
        for text, other in links
    ]
    runbook = {"title": "Runbook", "type": "link", "icon": "doc", "tooltip": "What each alert means, and what to do", "tags": [],
               "asDropdown": False, "targetBlank": True, "url": "${runbook}", "keepTime": False, "includeVars": False}
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["retention-signals"],
        "editable": False,
        "schemaVersion": 39,
        "version": 1,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": list(annotations)},
        "templating": {"list": templating},
        "links": [*boards, runbook],
        "panels": place(rows),
    }
