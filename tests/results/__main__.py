# SPDX-License-Identifier: GPL-2.0-only
"""The command line of the results, for the shell of tests/run. RESULTS names the file of entries.

    results check   --group G --name N --status S --seconds T [--note TEXT] [--log F] [--ledger F]
    results ktap    --group G --name N FILE           the cases of a KTAP log, one suite
    results kunit   --group G --name PREFIX FILE      those of a log with several suites
    results junit   --group G --name N FILE           those that pytest wrote
    results counts  --group G FILE...                 only the lines of counts in any files
    results fences  --suite S --at-least N FILE...    were so many made, and has each one ended?
    results group   --name G --seconds T
    results summary                                   the table of what the suites met
    results finish FILE                               prints the totals; writes all as one document

check, ktap, kunit and junit end with 1 if something failed; fences and summary, if something is not as it has to
be; finish, if anything failed.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from . import ktap, record, summary


def arguments():
    """Returns what the command line says."""
    parser = argparse.ArgumentParser(prog="results", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check")
    check.add_argument("--status", type=int, required=True)
    check.add_argument("--note", default="")
    check.add_argument("--log")
    check.add_argument("--ledger")
    for name in ("ktap", "kunit", "junit"):
        commands.add_parser(name).add_argument("file")
    commands.add_parser("counts").add_argument("files", nargs="+")
    fences = commands.add_parser("fences")
    fences.add_argument("--suite", required=True)
    fences.add_argument("--at-least", type=int, required=True)
    fences.add_argument("files", nargs="+")
    commands.add_parser("group")
    for name in ("check", "ktap", "kunit", "junit", "counts"):
        commands.choices[name].add_argument("--group", required=True)
    for name in ("check", "ktap", "kunit", "junit", "group"):
        commands.choices[name].add_argument("--name", required=True)
    for name in ("check", "group"):
        commands.choices[name].add_argument("--seconds", type=int, required=True)
    commands.add_parser("summary")
    commands.add_parser("finish").add_argument("file")
    return parser.parse_args()


def made(args):
    """Returns the entries that a command makes."""
    match args.command:
        case "check":
            return [
                record.check(
                    args.group, args.name, args.status, args.seconds, args.note, args.log, args.ledger
                )
            ]
        case "ktap":
            return list(record.ktap_suite(args.group, args.name, args.file))
        case "kunit":
            return list(record.ktap_suites(args.group, args.name, args.file))
        case "junit":
            return list(record.junit_suite(args.group, args.name, args.file))
        case "counts":
            return [{"kind": "counts", "group": args.group, "counts": counted(args.files)}]
        case _:
            return [{"kind": "group", "name": args.name, "seconds": args.seconds}]


def counted(files):
    """Returns all counts in files."""
    return [counts for file in files for counts in ktap.counts(record.read(file) or "")]


def fences(suite, wanted, files):
    """Prints how many fences a suite made, and how many are left; returns the exit status."""
    found = [counts.get("fences", {}) for counts in counted(files) if counts["suite"] == suite]
    made = sum(fences.get("made", 0) for fences in found)
    left = sum(fences.get("left", 0) for fences in found)
    print(f"{suite}: {made} fences made, {left} left; at least {wanted} are wanted")
    return int(left != 0 or made < wanted)


def finish(results, path):
    """Prints the seconds by group, and as the last line the totals; returns the exit status."""
    entries = record.entries(results)
    groups = [entry for entry in entries if entry["kind"] == "group"]
    passed = sum(entry.get("passed", 0) for entry in entries)
    failed = sum(entry.get("failed", 0) for entry in entries)
    document = {
        "passed": passed,
        "failed": failed,
        "groups": [{key: group[key] for key in ("name", "seconds")} for group in groups],
        "results": [entry for entry in entries if entry["kind"] != "group"],
    }
    Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print("Seconds by group: " + ", ".join(f"{g['name']} {g['seconds']}" for g in groups))
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


def main():
    """Does what the command line says."""
    args = arguments()
    if args.command == "fences":
        return fences(args.suite, args.at_least, args.files)
    results = os.environ["RESULTS"]
    match args.command:
        case "summary":
            sums = summary.Sums(record.entries(results))
            print("\n".join(sums.text()))
            return int(bool(sums.wrong))
        case "finish":
            return finish(results, args.file)
    entries = made(args)
    for entry in entries:
        record.append(results, entry)
    return int(any(entry.get("failed") for entry in entries))


sys.exit(main())
