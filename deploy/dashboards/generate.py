#!/usr/bin/env python3
"""Writes pipeline.json and customers.json beside this file; with --check, says whether they are up to date."""

import json
import pathlib
import sys

import customers
import pipeline

HERE = pathlib.Path(__file__).parent


def main():
    stale = []
    for name, made in [("pipeline.json", pipeline.dashboard()), ("customers.json", customers.dashboard())]:
        text = json.dumps(made, indent=1) + "\n"
        path = HERE / name
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        sys.exit(f"{', '.join(stale)}: run python3 deploy/dashboards/generate.py")


if __name__ == "__main__":
    main()
