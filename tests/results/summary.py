# SPDX-License-Identifier: GPL-2.0-only
"""What the suites of a run met, as a table, from the entries of the run.

Rows are operations, columns are suites, and a number says how often the suite met the operation: "-"
if it does not have it, "?" if nothing counted it, which is an error. Below it, what became of all
fences, the state of the machines, and what kmemleak said.
"""

import json
from collections import Counter

# What each column shows, and the suite of "counts" that it is of
COLUMNS = {
    "orders": "lifetimes",
    "overlaps": "races",
    "faults": "faults",
    "load": "load",
    "fuzz calls": "fuzz",
}

# Operation, and its names in the suites, in the order of the columns
ROWS = [
    ("open()", [], [], ["open"], [], ["open video"]),
    ("probe of the device", [], [], ["probe"], [], []),
    ("S_FMT, TRY_FMT", [], [], ["S_FMT"], [], ["S_FMT", "TRY_FMT"]),
    (
        "REQBUFS, CREATE_BUFS",
        ["REQBUFS(0)"],
        [],
        ["reqbufs", "create_bufs", "setup"],
        [],
        ["REQBUFS", "CREATE_BUFS"],
    ),
    ("REMOVE_BUFS", ["REMOVE_BUFS"], [], [], [], ["REMOVE_BUFS"]),
    ("EXPBUF", [], ["expbuf"], ["expbuf", "export"], [], ["EXPBUF"]),
    ("last close of an export", [], ["last close"], [], [], []),
    (
        "QBUF, PREPARE_BUF",
        [],
        [],
        ["qbuf_picture", "qbuf_input", "prepare_buf", "prepare", "import"],
        ["QBUF, PREPARE_BUF", "QBUF"],
        ["QBUF", "PREPARE_BUF"],
    ),
    ("QBUF with a fence", [], [], [], [], ["QBUF IN_FENCE", "QBUF OUT_FENCE"]),
    ("EXPFENCE", [], [], [], [], ["EXPFENCE"]),
    ("requests", [], [], [], [], ["REQUEST_ALLOC", "REQUEST_QUEUE", "REQUEST_REINIT"]),
    ("STREAMON", [], [], ["streamon"], [], ["STREAMON"]),
    (
        "start of a job",
        ["jobs", "start of a job"],
        ["arm"],
        ["next_job", "attach", "attach_imported", "attach_job"],
        ["start of a job", "jobs"],
        ["armed"],
    ),
    ("end of a job", [], ["done"], [], ["end of a job", "done"], []),
    ("error in a job", [], ["error"], [], [], ["failed"]),
    ("timeout of a job", [], ["timeout", "deadline"], [], [], []),
    ("STREAMOFF", ["STREAMOFF"], ["streamoff"], [], [], ["STREAMOFF"]),
    ("close() of the node", ["close"], ["close"], [], [], []),
    ("close() of anything", [], [], [], [], ["close"]),
    ("unbind of the device", ["unbind"], [], [], [], []),
    ("rmmod", ["rmmod"], [], [], [], []),
    ("EXPORT_SYNC_FILE", [], [], ["export_sync_file"], [], ["EXPORT_SYNC_FILE"]),
    ("callbacks of a consumer", [], ["callbacks"], [], ["callbacks of a consumer", "callbacks"], []),
    ("locks in another order", [], ["other order"], [], [], []),
]

# The groups whose results are added up; modules, which has the row rmmod, may be left out.
GROUPS = ("kunit", "selftests", "load", "fuzz")
OPTIONAL = "modules"
# Suites in which fences are made for sure
MAKERS = ("lifetimes", "load", "fuzz")
# kmemleak is asked by the tests of faults, twice by those of visl, after the load and by the fuzzer.
ASKED = 5
GOOD = {"debug_locks": 1, "reports": 0}


class Sums:
    """What the entries of a run have counted."""

    def __init__(self, entries):
        self.operations = {suite: Counter() for suite in COLUMNS.values()}
        self.made, self.left = Counter(), Counter()
        self.kmemleak = []
        self.machines = Counter()
        self.wrong = []
        self.groups = {entry["name"] for entry in entries if entry["kind"] == "group"}
        wanted = [*GROUPS, *({OPTIONAL} & self.groups)]
        with_machines = set()
        for entry in entries:
            if entry.get("group") not in wanted:
                continue
            for counts in entry.get("counts", []):
                self.add(counts)
            for machine in entry.get("machines", []):
                self.machines[json.dumps(machine, sort_keys=True)] += 1
                with_machines.add(entry["group"])
        # KUnit has no machine of scripts/vm.
        for group in wanted:
            if group != "kunit" and group not in with_machines:
                self.wrong.append(f"the state of the machines of {group} is not known")

    def add(self, counts):
        """Adds one object of counts."""
        suite = counts["suite"]
        if suite not in self.operations:
            self.wrong.append(f"a suite {suite} is not known")
            return
        self.operations[suite].update(counts.get("operations", {}))
        fences = counts.get("fences", {})
        self.made[suite] += fences.get("made", 0)
        self.left[suite] += fences.get("left", 0)
        self.kmemleak += counts.get("kmemleak", [])

    def cell(self, suite, names):
        """Returns what the table says of an operation with these names in that suite."""
        met = self.operations[suite]
        if not names:
            return "-"
        if not any(name in met for name in names):
            return "?"
        return str(sum(met[name] for name in names))

    def table(self):
        """Yields the lines of the table, and notes the rows of which nothing tells."""
        yield f"{'':<26}" + "".join(f"{name:>12}" for name in COLUMNS)
        unknown = []
        for name, *names in ROWS:
            cells = [self.cell(*pair) for pair in zip(COLUMNS.values(), names)]
            yield f"{name:<26}" + "".join(f"{cell:>12}" for cell in cells)
            if "?" in cells and (name != "rmmod" or OPTIONAL in self.groups):
                unknown.append(name)
        if unknown:
            self.wrong.append("nothing counted: " + "; ".join(unknown))

    def text(self):
        """Returns all lines; what is wrong is in self.wrong then."""
        lines = list(self.table())
        for suite in self.operations:
            if self.made[suite] or self.left[suite] or suite in MAKERS:
                lines.append(f"{suite}: {self.made[suite]} fences, {self.left[suite]} left")
            if self.left[suite]:
                self.wrong.append(f"{suite}: fences are left")
            if suite in MAKERS and not self.made[suite]:
                self.wrong.append(f"{suite}: no fences were made")
        for state, count in self.machines.items():
            lines.append(f"{count} machines of these suites: {state}")
            if json.loads(state) != GOOD:
                self.wrong.append(f"a machine ended with {state}")
        lines.append(
            f"kmemleak was asked {len(self.kmemleak)} times: {sum(map(abs, self.kmemleak))} objects"
        )
        if any(self.kmemleak):
            self.wrong.append("kmemleak suspects objects")
        if len(self.kmemleak) < ASKED:
            self.wrong.append(f"kmemleak was asked less than {ASKED} times")
        return lines + [f"WRONG: {line}" for line in self.wrong]


def can_be_made(entries):
    """Whether all groups that the table is of were run."""
    return set(GROUPS) <= {entry["name"] for entry in entries if entry["kind"] == "group"}
