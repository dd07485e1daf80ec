#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Prints the cover letter of a series, with the results of the last run of the tests.

    series-letter.py NAME VERSION NUMBER KERNEL
    series-letter.py --known    only checks that there are results that can be told

A line of series/letters/NAME.txt may be @objections, the table of NAME.objections; @evidence, from
build/results.json and build/report.json; or @base.
"""

import json
import re
import sys
import textwrap
from datetime import datetime, timezone
from pathlib import Path
from platform import machine

ROOT = Path(__file__).resolve().parent.parent
LETTERS = ROOT / "series/letters"
RESULTS, REPORT = ROOT / "build/results.json", ROOT / "build/report.json"
WIDTHS = 22, 32, 19


def die(text):
    """Ends with one line."""
    sys.exit(f"series: error: {text}")


def known():
    """Returns results and report, if they are those of what the series have."""
    for path, command in ((RESULTS, "make test"), (REPORT, "make run")):
        if not path.is_file():
            die(f"no {path.relative_to(ROOT)}: the letters tell the results of a run; {command} makes it")
    written = RESULTS.stat().st_mtime
    for name in ("patches", "drivers", "rust", "include", "samples", "tools"):
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and path.stat().st_mtime > written:
                die(f"{path.relative_to(ROOT)} is newer than build/results.json: run make test")
    results, report = (json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS, REPORT))
    if results["failed"]:
        die(f"build/results.json has {results['failed']} failures: mend them, and run make test")
    ran = {group["name"] for group in results["groups"]}
    for path in LETTERS.glob("*.objections"):
        for group in re.findall(r"tests/run (\w+)", path.read_text(encoding="utf-8")):
            if group not in ran:
                die(f"build/results.json has no group {group}, which {path.relative_to(ROOT)} names: run make test")
    return results, report


def lines(path):
    """The lines of a file but for comments."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def objections(name):
    """Yields the table: objection, answer, command."""
    rows = [row.split("\t") for row in lines(LETTERS / f"{name}.objections")]
    rule = "+".join("-" * (width + 1 + (i > 0)) for i, width in enumerate(WIDTHS))
    for row in [("Objection", "Answer", "Shown by"), *rows]:
        cells = [textwrap.wrap(cell, width) for cell, width in zip(row, WIDTHS, strict=True)]
        for i in range(max(map(len, cells))):
            parts = (cell[i] if i < len(cell) else "" for cell in cells)
            yield " | ".join(part.ljust(width) for part, width in zip(parts, WIDTHS)).rstrip()
        yield rule


def evidence(results, report, kernel):
    """Yields what the last run says."""
    day = datetime.fromtimestamp(RESULTS.stat().st_mtime, timezone.utc).strftime("%d %B %Y").lstrip("0")
    machines = [m for r in results["results"] for m in r.get("machines", [])]
    silent = sum(m.get("debug_locks") == 1 and m.get("reports") == 0 for m in machines)
    text = (
        f"All series together on Linux {kernel}, {machine()}, {day}: {results['passed']} checks and test cases"
        f" passed, {results['failed']} failed. Of {len(machines)} virtual machines {silent} ended with lockdep"
        f" on and nothing to report. What consumers see of {report['driver']}, off and on: {report['right']} of"
        f" {report['judged']} observations are as they should be."
    )
    yield from textwrap.wrap(text, 75)
    yield ""
    for group in results["groups"]:
        ours = [r for r in results["results"] if r.get("group") == group["name"]]
        passed, failed = (sum(r.get(key, 0) for r in ours) for key in ("passed", "failed"))
        yield f"  {group['name']:<12} {passed:>5} passed {failed:>3} failed {group['seconds']:>6} s"


def main():
    """Does what the description says."""
    results, report = known()
    if sys.argv[1:] == ["--known"]:
        return
    name, version, number, kernel = sys.argv[1:]
    letter = lines(LETTERS / f"{name}.txt")
    if not any(line.startswith(f"v{version}:") for line in letter):
        die(f"series/letters/{name}.txt does not say what changed: add a line that begins with v{version}:")
    for line in letter:
        match line:
            case "@objections":
                print("\n".join(objections(name)))
            case "@evidence":
                print("\n".join(evidence(results, report, kernel)))
            case "@base":
                text = (
                    f"This is series {number} of {len(list(LETTERS.glob('*.txt')))}. The base is Linux {kernel}"
                    " as in Debian's package linux-source-6.12, which comes without history: base-commit is a"
                    " commit of that source in a local repository, and in no public one."
                )
                print("\n".join(textwrap.wrap(text, 75)))
            case _:
                print(line)


main()
