# SPDX-License-Identifier: GPL-2.0-only
"""Checks what tests/results reads of the logs of suites, and what it makes of them."""

import json
import sys

import pytest

from conftest import ROOT
from results import ktap

SELFTEST = """\
some line before it
TAP version 13
1..3
# Starting 3 tests from 1 test cases.
#  RUN           rga.one ...
# counts: {"suite": "lifetimes", "operations": {"close": 41}, "fences": {"made": 52, "left": 0}}
#            OK  rga.one
ok 1 rga.one
#  RUN           rga.two ...
# rga_test.c:77:two:Expected 1 (1) == 2 (2)
#          FAIL  rga.two
not ok 2 rga.two
#      SKIP      there is none
ok 3 rga.three # SKIP there is none
# FAILED: 2 / 3 tests passed.
# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0
"""
KUNIT = """\
[    1.000000] KTAP version 1
[    1.000001] 1..2
[    1.000002]     KTAP version 1
[    1.000003]     # Subtest: vb2-fence
[    1.000004]     1..2
[    1.000005]     # armed: counts: {"suite": "races", "operations": {"arm": 7}}
[    1.000006]     ok 1 armed
[    1.000007]     ok 2 signalled # SKIP no clock
[    1.000008] ok 1 vb2-fence
[    1.000009]     KTAP version 1
[    1.000010]     # Subtest: vb2-pairs
[    1.000011]     1..1
[    1.000012]         KTAP version 1
[    1.000013]         # Subtest: pairs
[    1.000014] # counts: {"suite": "races", "operations": {"done": 3}}
[    1.000015]         ok 1 arm, done
[    1.000016]         # pairs.c:7
[    1.000017]         not ok 2 arm, error
[    1.000018]     # pairs: pass:1 fail:1 skip:0 total:2
[    1.000019]     not ok 1 pairs
[    1.000020] not ok 2 vb2-pairs
"""
JUNIT = """\
<testsuites><testsuite name="pytest" tests="3">
<testcase classname="test_tree" name="test_one" time="0.5"/>
<testcase classname="test_tree" name="test_two" time="0.25"><failure message="m">assert 1
E 2</failure></testcase>
<testcase classname="test_tree" name="test_three" time="0"><skipped message="m">no</skipped></testcase>
</testsuite></testsuites>
"""


class Results:
    """The command line of the results, with files of its own."""

    def __init__(self, run, directory):
        self.run, self.directory = run, directory
        self.env = {"PYTHONPATH": str(ROOT / "tests"), "RESULTS": str(directory / "results")}

    def __call__(self, *arguments, status=0):
        return self.run(sys.executable, "-m", "results", *arguments, status=status, env=self.env).output

    def file(self, name, text):
        """Writes a file; returns its path."""
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def finish(self, status):
        """What the run ends with, as data."""
        self("finish", self.directory / "all.json", status=status)
        return json.loads((self.directory / "all.json").read_text(encoding="utf-8"))


@pytest.fixture
def results(run, tmp_path):
    """Results of a run that has just begun."""
    return Results(run, tmp_path)


def test_a_check(results):
    assert results("check", "--group", "tree", "--name", "one", "--status", 0, "--seconds", 7) == (
        "ok   tree: one (7 s)\n"
    )
    said = results(
        *("check", "--group", "tree", "--name", "two", "--status", 3, "--seconds", 1, "--note", "(n)"),
        status=1,
    )
    assert said == "FAIL tree: two (1 s) (n)\n"
    results("group", "--name", "tree", "--seconds", 8)
    done = results.finish(1)
    assert (done["passed"], done["failed"]) == (1, 1)
    assert done["groups"] == [{"name": "tree", "seconds": 8}]
    assert [result["verdict"] for result in done["results"]] == ["ok", "FAIL"]
    assert results("finish", results.directory / "all.json", status=1).splitlines() == [
        "Seconds by group: tree 8",
        "1 passed, 1 failed",
    ]


def test_machines_of_a_check(results):
    ledger = results.file("ledger", '{"debug_locks": 1, "reports": 0}\n' * 2)
    results(
        *("check", "--group", "load", "--name", "one", "--status", 0, "--seconds", 7),
        *("--ledger", ledger),
    )
    assert results.finish(0)["results"][0]["machines"] == [{"debug_locks": 1, "reports": 0}] * 2


def test_a_selftest(results):
    said = results("ktap", "--group", "g", "--name", "rga_test", results.file("tap", SELFTEST), status=1)
    assert said.splitlines() == [
        "ok   g: rga_test: 1 cases",
        "FAIL g: rga_test: rga.two",
        "         # rga_test.c:77:two:Expected 1 (1) == 2 (2)",
        "FAIL g: rga_test: rga.three (skipped)",
        "         #      SKIP      there is none",
    ]
    done = results.finish(1)
    assert (done["passed"], done["failed"]) == (1, 2)
    assert done["results"][0]["counts"][0]["operations"] == {"close": 41}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no TAP\n",
        SELFTEST.replace("1..3\n", ""),
        SELFTEST.replace("1..3", "1..4"),
        SELFTEST.replace("1..3", "1..0"),
        SELFTEST.replace("1..3\n", "") + "1..3\n",
        "".join(SELFTEST.splitlines(keepends=True)[:8]),
    ],
)
def test_a_selftest_that_did_not_end(results, text):
    good = text.replace("not ok", "ok").replace(" # SKIP there is none", "")
    results("ktap", "--group", "g", "--name", "t", results.file("tap", good), status=1)
    assert results.finish(1)["failed"] >= 1


def test_a_selftest_that_wrote_nothing(results):
    said = results("ktap", "--group", "g", "--name", "t", results.directory / "none", status=1)
    assert "there is no " in said


def test_kunit(results):
    said = results("kunit", "--group", "g", "--name", "", results.file("log", KUNIT), status=1)
    assert "ok   g: vb2-fence: 1 cases" in said
    assert "FAIL g: vb2-fence: signalled (skipped)" in said
    assert "FAIL g: vb2-pairs: pairs.arm, error" in said
    done = results.finish(1)
    assert (done["passed"], done["failed"]) == (2, 2)
    assert [list(counts["operations"]) for counts in done["results"][-1]["counts"]] == [["arm"], ["done"]]


def test_pytest(results):
    said = results("junit", "--group", "g", "--name", "tree", results.file("xml", JUNIT), status=1)
    assert said.splitlines() == [
        "ok   g: tree: 1 cases (1 s)",
        "FAIL g: tree: test_tree.test_two",
        "         assert 1",
        "         E 2",
        "FAIL g: tree: test_tree.test_three (skipped)",
        "         no",
    ]
    assert results.finish(1)["results"][0]["seconds"] == 0.75


def test_pytest_that_did_not_end(results):
    assert "pytest did not end" in results(
        *("junit", "--group", "g", "--name", "tree", results.directory / "none"), status=1
    )


@pytest.mark.parametrize(
    "before", ["", "    ", "[    3.250000] ", "[    3.250000]         ", "[   12.000000][  T77]     "]
)
@pytest.mark.parametrize("name", ["", "vb2_pairs: ", "vb2-pairs.arm: "])
def test_a_line_of_counts(before, name):
    line = f'{before}# {name}counts: {{"suite": "races", "kmemleak": [0]}}'
    assert ktap.counts(line) == [{"suite": "races", "kmemleak": [0]}]


def test_counts_of_a_document():
    assert ktap.counts('{\n "jobs": 3, "counts": {"suite": "load"}}\n') == [{"suite": "load"}]
    assert not ktap.counts('{"jobs": 3}\n')


def test_fences(results):
    good = results.file("good", '# counts: {"suite": "load", "fences": {"made": 7, "left": 0}}\n' * 2)
    left = results.file("left", '# counts: {"suite": "load", "fences": {"made": 7, "left": 1}}\n')
    assert "14 fences made, 0 left" in results("fences", "--suite", "load", "--at-least", 14, good)
    results("fences", "--suite", "load", "--at-least", 15, good, status=1)
    results("fences", "--suite", "load", "--at-least", 1, good, left, status=1)
    results("fences", "--suite", "fuzz", "--at-least", 1, good, status=1)
