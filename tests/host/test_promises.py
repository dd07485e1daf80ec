# SPDX-License-Identifier: GPL-2.0-only
"""Checks the table of docs/testing.md of which test shows which promise: nothing in it is gone."""

import re

from conftest import ROOT

DOCUMENTS = ROOT / "Documentation/driver-api/media"
KUNIT = ROOT / "drivers/media/common/videobuf2/tests"
SELFTESTS = ROOT / "tools/testing/selftests/media_tests"
PREFIX = "vb2-release-fence-"


def section(path, title, end):
    """Returns the text between a title and what ends it."""
    text = path.read_text(encoding="utf-8")
    assert text.count(title) == 1, title
    return text.split(title)[1].split(end)[0]


def rows():
    """Returns the lines of the table: a promise, names of tests, names of mutants."""
    table = section(ROOT / "docs/testing.md", "## Which test shows which promise\n", "\n## ")
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert lines
    cells = [line.strip("| ").split(" | ") for line in lines]
    return [(promise, named(tests), named(mutants)) for promise, tests, mutants in cells]


def named(cell):
    """Returns what a cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def all_tests():
    """Returns SUITE.CASE of KUnit and PROGRAM: CASE of the selftests."""
    found = set()
    for path in KUNIT.glob("*.c"):
        text = path.read_text(encoding="utf-8")
        for suite in re.findall(rf'\.name = "{PREFIX}([\w-]+)"', text):
            found.update(f"{suite}.{case}" for case in re.findall(r"KUNIT_CASE\w*\((\w+)", text))
    for path in SELFTESTS.glob("*/*_test.c"):
        cases = re.findall(r"^TEST_F\w*\(\w+, (\w+)", path.read_text(encoding="utf-8"), re.M)
        found.update(f"{path.stem}: {case}" for case in cases)
    return found


def suite_of(test):
    """Returns what a mutant names in order to have that test run."""
    return test.split(":")[0] if ":" in test else PREFIX + test.split(".")[0]


def numbers(document, title, end):
    """Returns the numbers of the rules that a document has between a title and what follows them."""
    rules = section(DOCUMENTS / document, f"{title}\n~", end)
    return set(range(1, len(re.findall(r"^#\. ", rules, re.M)) + 1))


def test_every_rule_has_a_line():
    release = numbers("v4l2-release-fences.rst", "What a consumer can rely on", "\nReaders and")
    acquire = numbers("v4l2-acquire-fences.rst", "What a program can rely on", "\nThe timeout")
    assert len(release) > 1 and len(acquire) > 1
    named = {promise.split(":")[0] for promise, _, _ in rows()}
    there = {str(number) for number in release} | {f"acquire {number}" for number in acquire}
    assert {name for name in named if name[-1].isdigit()} == there


def test_tests_exist():
    there = all_tests()
    for promise, tests, _ in rows():
        assert tests, promise
        assert set(tests) <= there, promise


def test_mutants_exist_and_their_suites_are_in_the_line():
    patches = {path.stem: path for path in (ROOT / "mutants").glob("*/*.patch")}
    for promise, tests, mutants in rows():
        assert set(mutants) <= set(patches), promise
        for mutant in mutants:
            lines = re.findall(r"^Suite: \w+ (\S+)", patches[mutant].read_text(encoding="utf-8"), re.M)
            suites = {line.split(".")[0] for line in lines}
            assert suites & {suite_of(test) for test in tests}, (promise, mutant)
