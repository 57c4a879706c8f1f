"""Grafana panels in their classic JSON, with the rules that hold for every panel.

A query is written with @metric@ in place of a metric: `build` puts the selectors of job and instance there, so that
no query can forget them. Braces behind the second @ add further selectors: @metric@{topic="orders"}.
"""

import re

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTORS = 'job=~"$job",instance=~"$instance"'
WIDTH = 24


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


def quantile(share, metric, by="", further=""):
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) ({rate(metric + '_bucket', further)}))"


def panel(kind, title, description, unit, queries, width=8, height=8, options=None, defaults=None, overrides=None):
    """A panel; `queries` are pairs of a query and the name of its series."""
    return {
        "type": kind,
        "title": title,
        "description": " ".join(description.split()),
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


def figure(title, description, unit, query, steps=None, width=4, height=4, mappings=None, name="", decimals=None):
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
    return panel("stat", title, description, unit, [(query, name)], width, height, options, defaults)


def heat_map(title, description, unit, query, **more):
    """A histogram over time."""
    options = {
        "calculate": False,
        "yAxis": {"unit": unit},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": False},
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


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": WIDTH, "h": 1}}


def place(panels):
    """Sets panels from left to right, and below when a line is full."""
    left = top = tallest = 0
    for number, one in enumerate(panels, start=1):
        position = one["gridPos"]
        if one["type"] == "row" or left + position["w"] > WIDTH:
            left, top, tallest = 0, top + tallest, 0
        position["x"], position["y"] = left, top
        left, tallest = left + position["w"], max(tallest, position["h"])
        one["id"] = number
    return panels


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


def dashboard(uid, title, description, panels, variables=(), links=()):
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
    ]
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
        "annotations": {"list": []},
        "templating": {"list": templating},
        "links": [
            {"title": text, "type": "link", "url": f"/d/{other}", "keepTime": True, "includeVars": False}
            for text, other in links
        ],
        "panels": place(panels),
    }
