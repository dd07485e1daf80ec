# SPDX-License-Identifier: GPL-2.0-only
"""Writes down what a test run finds, and prints a line of each result.

An entry is a JSON object on a line of its own, appended by one write, so that groups can run side by
side. Kinds of entries:

    check   one command: group, name, verdict, passed, failed, seconds; note, log, machines, counts
    suite   a program with cases of its own: the same, and cases (name, verdict, seconds)
    group   its name and seconds
"""

import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from . import ktap

# Of a failed case, so many of its lines are shown.
SHOWN = 20
NOISE = ("#  RUN ", "#          FAIL ", "#            OK ")


def append(path, entry):
    """Adds an entry to the file."""
    with open(path, "ab", buffering=0) as file:
        file.write((json.dumps(entry) + "\n").encode())


def entries(path):
    """Returns all entries of the file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def machines(path):
    """Returns what scripts/vm says of its machines in a ledger; none is not known."""
    if not os.path.exists(path):
        return []
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def check(group, name, status, seconds, note="", log=None, ledger=None):
    """Returns the entry of a command that ended with that status. A ledger counts in the summary."""
    entry = {
        "kind": "check",
        "group": group,
        "name": name,
        "verdict": "FAIL" if status else "ok",
        "passed": int(not status),
        "failed": int(bool(status)),
        "seconds": seconds,
        "log": log,
    }
    if note:
        entry["note"] = note
    if ledger:
        entry["machines"] = machines(ledger)
    print(f"{entry['verdict']:<4} {group}: {name} ({seconds} s){note and ' ' + note}")
    return entry


def suite(group, name, cases, errors=(), **more):
    """Returns the entry of a suite. Each case counts, a skipped one as failed, as nothing is missing
    where it runs; so does each error in the form of what it printed."""
    bad = [case for case in cases if case.verdict != "ok"]
    good = len(cases) - len(bad)
    took = f" ({more['seconds']:.0f} s)" if "seconds" in more else ""
    if good:
        print(f"ok   {group}: {name}: {good} cases{took}")
    for case in bad:
        print(f"FAIL {group}: {name}: {case.name}{' (skipped)' * (case.verdict == 'SKIP')}")
        for line in [line for line in case.said if not line.startswith(NOISE)][-SHOWN:]:
            print(f"         {line}")
    errors = list(errors) if cases or errors else ["no cases"]
    for error in errors:
        print(f"FAIL {group}: {name}: {error}")
    return {
        "kind": "suite",
        "group": group,
        "name": name,
        "verdict": "FAIL" if bad or errors else "ok",
        "passed": good,
        "failed": len(bad) + len(errors),
        "cases": [{"name": case.name, "verdict": case.verdict, **case.more} for case in cases],
        "errors": errors,
        **more,
    }


def read(path):
    """Returns the text of a file, or None if nothing wrote it."""
    if not path or not os.path.exists(path):
        return None
    return Path(path).read_text(encoding="utf-8", errors="replace")


def ktap_suite(group, name, path):
    """Yields the entry of a KTAP log of one suite, with what it counted."""
    text = read(path)
    if text is None:
        yield suite(group, name, [], [f"there is no {path}"])
        return
    log = ktap.Log(text)
    yield suite(group, name, list(log.cases()), log.errors, log=path, counts=ktap.counts(text))


def ktap_suites(group, prefix, path):
    """Yields an entry for each suite in a KTAP log of several. What was counted is in the last one."""
    text = read(path)
    if text is None:
        yield suite(group, prefix, [], [f"there is no {path}"])
        return
    log = ktap.Log(text)
    for name, cases in log.suites():
        yield suite(group, f"{prefix}{name}", cases, log=path)
    if log.errors:
        yield suite(group, f"{prefix}log", [], log.errors, log=path)
    yield {"kind": "counts", "group": group, "counts": ktap.counts(text)}


def junit_suite(group, name, path):
    """Yields the entry of what pytest wrote."""
    text = read(path)
    if text is None:
        yield suite(group, name, [], ["pytest did not end"])
        return
    cases, seconds = [], 0.0
    for case in ElementTree.fromstring(text).iter("testcase"):
        said = [child for child in case if child.tag in ("failure", "error", "skipped")]
        verdict = {"skipped": "SKIP"}.get(said[0].tag, "FAIL") if said else "ok"
        cases.append(
            ktap.Case(
                ".".join([case.get("classname").split(".")[-1], case.get("name")]),
                verdict,
                [line for child in said for line in (child.text or "").splitlines()],
                seconds=float(case.get("time")),
            )
        )
        seconds += float(case.get("time"))
    yield suite(group, name, cases, log=path, seconds=seconds)
