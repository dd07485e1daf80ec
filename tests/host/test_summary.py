# SPDX-License-Identifier: GPL-2.0-only
"""Checks tests/results/summary.py on entries as the groups of tests/run record them."""

import copy

import pytest

from results import summary

GOOD = {"debug_locks": 1, "reports": 0}
LIFETIMES = {
    "suite": "lifetimes",
    "operations": {"STREAMOFF": 5, "REQBUFS(0)": 5, "REMOVE_BUFS": 5, "unbind": 5, "close": 5}
    | {"jobs": 42},
    "fences": {"made": 94, "left": 0},
}
RACES = {
    "suite": "races",
    "operations": dict.fromkeys(
        "expbuf,last close,arm,done,error,timeout,streamoff,close,callbacks,other order".split(","), 11
    ),
}
FAULTS = {
    "suite": "faults",
    "operations": dict.fromkeys(
        "open reqbufs expbuf qbuf_input streamon next_job export_sync_file probe S_FMT".split(), 3
    ),
    "kmemleak": [0],
}
LOAD = {
    "suite": "load",
    "operations": dict.fromkeys(
        ("QBUF, PREPARE_BUF", "start of a job", "end of a job", "callbacks of a consumer"), 600
    ),
    "fences": {"made": 1002, "left": 0},
    "kmemleak": [0],
}
FUZZ = {
    "suite": "fuzz",
    "operations": dict.fromkeys(
        "open video,S_FMT,REQBUFS,REMOVE_BUFS,EXPBUF,QBUF,REQUEST_ALLOC,STREAMON,STREAMOFF,close".split(",")
        + ["EXPORT_SYNC_FILE", "EXPFENCE", "QBUF IN_FENCE", "armed", "failed"],
        5,
    ),
    "fences": {"made": 9, "left": 0},
    "kmemleak": [0],
}


def run():
    """The entries of a run in which all is as it has to be."""
    return copy.deepcopy(
        [
            {"kind": "counts", "group": "kunit", "counts": [RACES, {"suite": "faults"}]},
            {"kind": "check", "group": "selftests", "machines": [GOOD]},
            {"kind": "suite", "group": "selftests", "counts": [LIFETIMES]},
            {"kind": "suite", "group": "selftests", "counts": [FAULTS, {**FAULTS, "kmemleak": [0, 0]}]},
            {"kind": "check", "group": "load", "machines": [GOOD]},
            {"kind": "suite", "group": "load", "counts": [LOAD]},
            {"kind": "check", "group": "fuzz", "machines": [GOOD], "counts": [FUZZ]},
            {"kind": "check", "group": "tool", "machines": [{"debug_locks": 0, "reports": 3}]},
            *({"kind": "group", "name": name, "seconds": 1} for name in summary.GROUPS),
        ]
    )


def modules(**counts):
    """What the group modules adds."""
    return [
        {"kind": "check", "group": "modules", "machines": [GOOD]},
        {"kind": "suite", "group": "modules", "counts": [{"suite": "lifetimes", **counts}]},
        {"kind": "group", "name": "modules", "seconds": 1},
    ]


def said(entries):
    """The text, and what is wrong."""
    sums = summary.Sums(entries)
    return "\n".join(sums.text()), sums.wrong


def counted(entries, suite):
    """The first counts of a suite in the entries."""
    return next(c for e in entries for c in e.get("counts", []) if c["suite"] == suite)


def test_good():
    text, wrong = said(run())
    assert not wrong
    assert "load: 1002 fences, 0 left" in text
    assert "3 machines of these suites" in text
    assert "kmemleak was asked 5 times: 0 objects" in text
    assert "start of a job                      42          11           6         600           5" in text


def test_rows_have_a_name_for_each_column():
    assert {len(row) for row in summary.ROWS} == {1 + len(summary.COLUMNS)}


@pytest.mark.parametrize("suite", ["lifetimes", "races", "faults", "load", "fuzz"])
def test_a_suite_without_counts(suite):
    entries = run()
    for entry in entries:
        entry["counts"] = [c for c in entry.get("counts", []) if c["suite"] != suite]
    text, wrong = said(entries)
    assert any(line.startswith("nothing counted: ") for line in wrong), text


@pytest.mark.parametrize("suite", ["lifetimes", "races", "faults", "load", "fuzz"])
def test_an_operation_that_nothing_counted(suite):
    entries = run()
    for counts in (c for e in entries for c in e.get("counts", []) if c["suite"] == suite):
        counts.get("operations", {}).pop({"lifetimes": "unbind", "races": "done", "faults": "probe"}.get(
            suite, {"load": "end of a job", "fuzz": "EXPBUF"}.get(suite)), None)
    assert said(entries)[1]


@pytest.mark.parametrize("suite", ["lifetimes", "load", "fuzz"])
def test_a_fence_is_left(suite):
    entries = run()
    counted(entries, suite)["fences"]["left"] = 2
    text, wrong = said(entries)
    assert f"{suite}: fences are left" in wrong
    assert ", 2 left" in text


@pytest.mark.parametrize("suite", ["lifetimes", "load", "fuzz"])
def test_no_fences(suite):
    entries = run()
    counted(entries, suite)["fences"]["made"] = 0
    assert f"{suite}: no fences were made" in said(entries)[1]


@pytest.mark.parametrize("group", ["selftests", "load", "fuzz"])
@pytest.mark.parametrize("state", [{"debug_locks": 0}, {"reports": 2}, {"debug_locks": None}])
def test_a_machine(group, state):
    entries = run()
    next(e for e in entries if e.get("group") == group)["machines"] = [GOOD, {**GOOD, **state}]
    assert any(line.startswith("a machine ended with") for line in said(entries)[1])


@pytest.mark.parametrize("group", ["selftests", "load", "fuzz"])
def test_no_machine(group):
    entries = run()
    next(e for e in entries if e.get("group") == group)["machines"] = []
    assert f"the state of the machines of {group} is not known" in said(entries)[1]


@pytest.mark.parametrize("objects", [3, -2])
def test_kmemleak(objects):
    entries = run()
    counted(entries, "load")["kmemleak"] = [objects]
    text, wrong = said(entries)
    assert "kmemleak suspects objects" in wrong
    assert f"5 times: {abs(objects)} objects" in text


def test_kmemleak_was_not_asked():
    entries = run()
    counted(entries, "fuzz")["kmemleak"] = []
    assert said(entries)[1] == ["kmemleak was asked less than 5 times"]


def test_an_unknown_suite():
    entries = run()
    counted(entries, "fuzz")["suite"] = "fuzzing"
    assert "a suite fuzzing is not known" in said(entries)[1]


def test_modules():
    good = modules(operations={"rmmod": 3}, fences={"made": 12, "left": 0})
    text, wrong = said(run() + good)
    assert not wrong
    assert "lifetimes: 106 fences, 0 left" in text
    assert "4 machines of these suites" in text
    assert said(run() + modules(operations={"rmmod": 3}, fences={"left": 1}))[1]
    assert said(run() + modules(fences={"made": 12}))[1] == ["nothing counted: rmmod"]
    assert said(run() + good[1:])[1] == ["the state of the machines of modules is not known"]
    good[0]["machines"] = [{"debug_locks": 0, "reports": 1}]
    assert said(run() + good)[1]


def test_modules_of_another_run():
    assert not said(run() + modules(fences={"left": 1})[:2])[1]


def test_groups_that_were_not_run():
    entries = run()
    assert summary.can_be_made(entries)
    entries.pop()
    assert not summary.can_be_made(entries)
