# SPDX-License-Identifier: GPL-2.0-only
"""Reads what KUnit and the selftests print.

KTAP is parsed by kunit_parser, the parser of the kernel's own kunit.py. What a suite counts is in
diagnostic lines of the form

    # counts: {"suite": "lifetimes", "operations": {"close": 41}, "fences": {"made": 52, "left": 0}}

one JSON object each, before which a kernel's time stamp, indentation and KUnit's name of the case may
stand.
"""

import io
import json
import os
import re
import sys
from pathlib import Path

COUNTS = re.compile(r"#\s+(?:[\w.-]+:\s+)?counts:\s+(\{.*\})\s*$")
NAMELESS = re.compile(r"^(\s*(?:not )?ok \d+) # SKIP (.*)$")
PLAN = re.compile(r"1\.\.\d+")
ROOT = Path(__file__).resolve().parent.parent.parent


def parser():
    """Returns the module kunit_parser of the kernel tree."""
    tree = os.environ.get("TREE", ROOT / "build/linux")
    path = str(Path(tree) / "tools/testing/kunit")
    if path not in sys.path:
        sys.path.append(path)
    try:
        import kunit_parser  # pylint: disable=import-outside-toplevel
    except ImportError as error:
        raise SystemExit(f"no kunit_parser in {path}: run make tree") from error
    return kunit_parser


def counts(text):
    """Returns the objects of the lines of counts in a text, or of the JSON document that it is."""
    if text.lstrip().startswith("{"):
        document = json.loads(text)
        return [document["counts"]] if "counts" in document else []
    found = (COUNTS.search(line) for line in text.splitlines())
    return [json.loads(match.group(1)) for match in found if match]


def planned(lines):
    """Whether the number of cases comes before the first case, as KTAP has it."""
    for line in lines:
        if re.search(r"\b1\.\.\d+", line):
            return True
        if re.search(r"\b(not )?ok \d", line):
            return False
    return False


class Case:
    """One case of a suite: its name, "ok", "FAIL" or "SKIP", the lines that it printed, and more."""

    def __init__(self, name, verdict, said=(), **more):
        self.name, self.verdict, self.said, self.more = name, verdict, list(said), more


class Log:
    """A KTAP log: suites (name and cases), what is wrong with its form, and the test at the top."""

    def __init__(self, text):
        module = parser()
        said = io.StringIO()
        # It prints what it finds, errors of form among it.
        module.stdout = type(module.stdout)(said)
        # kselftest.h has skipped tests without a name, of which the parser reads none.
        lines = [NAMELESS.sub(r"\1 \2 # SKIP", line) for line in text.splitlines()]
        if not planned(lines):
            # A number of cases where none is expected: the parser would look at that line for ever.
            lines = [line for line in lines if not PLAN.match(line)]
        self.top = module.parse_run_tests(lines)
        self.verdicts = {
            module.TestStatus.SUCCESS: "ok",
            module.TestStatus.SKIPPED: "SKIP",
        }
        self.errors = [
            line.partition("[ERROR] ")[2] for line in said.getvalue().splitlines() if "[ERROR]" in line
        ]
        if not self.top.expected_count:
            self.errors.append("no number of cases at the top")

    def cases(self, test=None, prefix=""):
        """Yields the cases below a test, with the names of what they are in."""
        for sub in (test or self.top).subtests:
            if sub.subtests:
                yield from self.cases(sub, f"{prefix}{sub.name}.")
            else:
                yield Case(prefix + sub.name, self.verdicts.get(sub.status, "FAIL"), sub.log)

    def suites(self):
        """Yields name and cases of each suite in a log of several, as KUnit's is."""
        for sub in self.top.subtests:
            yield sub.name, list(self.cases(sub))
