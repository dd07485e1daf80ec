#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Makes the commits of the series that series/list describes, in the repository of the kernel tree.

    series-commits.py TREE BASE APPLIED < files of the overlay

Each series gets the reference refs/series/NAME, with refs/series/NAME-base before its first commit. All
commits in one line, as a reader of all series would apply them, are refs/series/all; the last tree there is
that of make tree, with the diffs of series/commits. Neither the index nor the files of the tree change.
Prints a line for each series: name, commits.
"""

import os
import subprocess
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERIES = ROOT / "series"
GIT = ["git", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.autocrlf=false"]


def die(text):
    """Ends with one line."""
    sys.exit(f"series: error: {text}")


class Repository:
    """The kernel tree's, with an index of its own."""

    def __init__(self, tree, index):
        self.tree = tree
        self.env = os.environ | {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_INDEX_FILE": index,
            "GIT_COMMITTER_NAME": "make series",
            "GIT_COMMITTER_EMAIL": "series@localhost",
        }

    def run(self, *arguments, text="", **env):
        """Returns what git prints, or None if it fails."""
        command, env = [*GIT, *arguments], self.env | env
        done = subprocess.run(
            command, cwd=self.tree, env=env, input=text.encode(), capture_output=True, check=False
        )
        self.said = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
        return None if done.returncode else done.stdout.decode(errors="replace").strip()

    def __call__(self, *arguments, **more):
        """The same; it does not fail."""
        printed = self.run(*arguments, **more)
        if printed is None:
            die(f"git {' '.join(map(str, arguments))}: {self.said}")
        return printed

    def add(self, files):
        """Puts {path: (mode, blob)} into the index."""
        lines = (f"{mode} {blob}\t{path}\n" for path, (mode, blob) in files.items())
        self("update-index", "--add", "--index-info", text="".join(lines))

    def files(self):
        """All of the index, as for add()."""
        lines = self("ls-files", "-s").splitlines()
        return {path: tuple(meta.split()[:2]) for meta, path in (line.split("\t") for line in lines)}


class Commit:
    """One of the list: its name, and what it adds of the overlay."""

    def __init__(self, name):
        self.name, self.globs = name, []
        self.new = name.startswith("new/")
        self.path = SERIES / f"commits/{name[4:]}.patch" if self.new else ROOT / f"patches/{name}.patch"
        if not self.path.is_file():
            die(f"series/list: {name}: there is no {self.path.relative_to(ROOT)}")

    def message(self, git):
        """Returns its header, its message and its diff, which may be empty."""
        with tempfile.TemporaryDirectory() as tmp:
            info = git("mailinfo", f"{tmp}/message", f"{tmp}/diff", text=self.path.read_text(encoding="utf-8"))
            head = dict(line.split(": ", 1) for line in info.splitlines())
            text, diff = (Path(tmp, name).read_text(encoding="utf-8") for name in ("message", "diff"))
            return head, f"{head['Subject']}\n\n{text}", diff if "\ndiff --git " in diff else ""


def read_list():
    """Returns the stages as (name, commit) and the series as {name: (base, commits)}."""
    names = [
        line.split()[0].removesuffix(".patch")
        for line in (ROOT / "patches/series").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    stages, series, left, commits = [], {}, list(names), []
    for number, line in enumerate((SERIES / "list").read_text(encoding="utf-8").splitlines(), 1):
        match line.split():
            case [] | ["#", *_]:
                pass
            case ["stage", stage, "until", name]:
                stages.append((stage, name))
            case ["series", name, "on", base] if base == "base" or base in series:
                series[name] = (base, commits := [])
            case [glob] if line.startswith("\t") and commits:
                commits[-1].globs.append(glob)
            case [name] if series and not line.startswith("\t"):
                found = [n for n in left if fnmatchcase(n, name)]
                if name.startswith("new/"):
                    found = [name]
                if not found:
                    die(f"series/list:{number}: no patch of patches/series that is left matches {name}")
                commits += map(Commit, found)
                left = [n for n in left if n not in found]
            case _:
                die(f"series/list:{number}: not understood: {line}")
    if left:
        die(f"series/list has no place for {left[0]}.patch: add a line for it")
    known = {commit.name for _, commits in series.values() for commit in commits}
    for stage, name in stages:
        if name not in known:
            die(f"series/list: stage {stage}: there is no commit {name}")
    return stages, series


def assign(series, overlay):
    """Returns {commit: the files that it adds}. The glob that says most of a path counts."""
    added = {}
    for path in overlay:
        fits = [
            (len(glob.replace("*", "")), commit.name)
            for _, commits in series.values()
            for commit in commits
            for glob in commit.globs
            if fnmatchcase(path, glob)
        ]
        if not fits:
            die(f"series/list: no commit adds {path}: add it below the commit that first needs it")
        added.setdefault(max(fits)[1], []).append(path)
    for _, commits in series.values():
        for commit in commits:
            if commit.globs and commit.name not in added:
                die(f"series/list: {commit.name}: no file of the overlay matches {commit.globs[0]}")
    return added


class Maker:
    """Makes commits."""

    def __init__(self, git, forms, overlay, stages, added):
        self.git, self.forms_git, self.stages, self.added = git, forms, stages, added
        modes = ["100755" if os.access(ROOT / path, os.X_OK) else "100644" for path in overlay]
        paths = "".join(f"{ROOT / path}\n" for path in overlay)
        blobs = git("hash-object", "-w", "--no-filters", "--stdin-paths", text=paths)
        self.final = dict(zip(overlay, zip(modes, blobs.split())))
        self.forms = {}

    def form(self, before):
        """The overlay as it is after these commits: without the stages that are not over."""
        active = tuple(stage for stage, until in self.stages if until not in before)
        git = self.forms_git
        if active not in self.forms:
            git("read-tree", "--empty")
            git.add(self.final)
            for stage in active:
                path = SERIES / "stages" / f"{stage}.patch"
                if git.run("apply", "--cached", "--whitespace=nowarn", str(path)) is None:
                    die(
                        f"series/stages/{stage}.patch does not apply ({git.said.splitlines()[0]}): change it so"
                        " that it takes out of the final form what comes with a later commit"
                    )
            self.forms[active] = git.files()
        return self.forms[active]

    def commit(self, commit, parent, before):
        """Makes a commit on parent, which is in the index, after these; returns it."""
        head, message, diff = commit.message(self.git)
        old, new = self.form(before), self.form([*before, commit.name])
        there = [path for name in before for path in self.added.get(name, [])]
        files = {path: new[path] for path in there if new[path] != old[path]}
        files |= {path: new[path] for path in self.added.get(commit.name, [])}
        if not files and not diff:
            die(f"series/list: {commit.name} changes nothing")
        if diff and self.git.run("apply", "--cached", "--whitespace=nowarn", text=diff) is None:
            where = commit.path.relative_to(ROOT)
            die(f"{where} does not apply in its place of series/list: {self.git.said.splitlines()[0]}")
        self.git.add(files)
        date = head["Date"]
        return self.git(
            *("commit-tree", self.git("write-tree"), "-p", parent, "-F", "-"),
            text=message,
            GIT_AUTHOR_NAME=head["Author"],
            GIT_AUTHOR_EMAIL=head["Email"],
            GIT_AUTHOR_DATE=date,
            GIT_COMMITTER_DATE=date,
        )

    def line(self, start, commits):
        """Makes commits in a line. Start and end of it are (commit, names of the commits before)."""
        parent, before = start[0], list(start[1])
        self.git("read-tree", parent)
        for commit in commits:
            parent = self.commit(commit, parent, before)
            before.append(commit.name)
        return parent, before


def main():
    """Does what the description says."""
    tree, base, applied = sys.argv[1:]
    overlay = sys.stdin.read().splitlines()
    stages, series = read_list()
    with tempfile.TemporaryDirectory() as tmp:
        git, forms = (Repository(tree, f"{tmp}/{name}") for name in ("index", "forms"))
        maker = Maker(git, forms, overlay, stages, assign(series, overlay))
        ends = {"base": (base, [])}
        for name, (start, commits) in series.items():
            ends[name] = maker.line(ends[start], commits)
            git("update-ref", f"refs/series/{name}-base", ends[start][0])
            git("update-ref", f"refs/series/{name}", ends[name][0])
            print(name, len(commits))
        # All of them in one line: those are made again that begin elsewhere.
        line, names = (base, []), []
        for name, (_, commits) in series.items():
            same = line[0] == ends[series[name][0]][0]
            line = ends[name] if same else maker.line(line, commits)
            names += commits
        git("update-ref", "refs/series/all", line[0])
        git("read-tree", applied)
        git.add(maker.final)
        for commit in names:
            if commit.new and (diff := commit.message(git)[2]):
                git("apply", "--cached", "--whitespace=nowarn", text=diff)
        expected = git("write-tree")
        if git("rev-parse", f"{line[0]}^{{tree}}") != expected:
            files = git("diff", "--name-only", expected, line[0]).splitlines()
            die(f"the series do not make the tree of make tree: {files[0]} and {len(files) - 1} others differ")


main()
