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
        done = subprocess.run(
            [*GIT, *arguments], cwd=self.tree, env=self.env | env, input=text.encode(), capture_output=True, check=False
        )
        self.said = done.stderr.decode(errors="replace")
        return None if done.returncode else done.stdout.decode(errors="replace").strip()

    def __call__(self, *arguments, **more):
        """The same; it does not fail."""
        printed = self.run(*arguments, **more)
        if printed is None:
            die(f"git {' '.join(map(str, arguments))}: {self.said.strip()}")
        return printed

    def add(self, files):
        """Puts {path: (mode, blob)} into the index."""
        self("update-index", "--add", "--index-info", text="".join(f"{m} {b}\t{p}\n" for p, (m, b) in files.items()))

    def files(self):
        """All of the index, as for add()."""
        lines = self("ls-files", "-s").splitlines()
        return {path: tuple(meta.split()[:2]) for meta, path in (line.split("\t") for line in lines)}


class Commit:
    """One of the list: its name, and what it adds of the overlay."""

    def __init__(self, name):
        self.name, self.globs = name, []
        self.path = SERIES / "commits" / f"{name[4:]}.patch" if name.startswith("new/") else ROOT / "patches" / f"{name}.patch"
        if not self.path.is_file():
            die(f"series/list: {name}: there is no {self.path.relative_to(ROOT)}")

    def message(self, git):
        """Returns author, date, message and diff."""
        with tempfile.TemporaryDirectory() as tmp:
            info = git("mailinfo", f"{tmp}/message", f"{tmp}/diff", text=self.path.read_text(encoding="utf-8"))
            head = dict(line.split(": ", 1) for line in info.splitlines())
            text = Path(tmp, "message").read_text(encoding="utf-8")
            diff = Path(tmp, "diff").read_text(encoding="utf-8")
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
                found = [name] if name.startswith("new/") else [n for n in left if fnmatchcase(n, name)]
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

    def __init__(self, git, base, overlay, stages, added):
        self.git, self.base, self.stages, self.added = git, base, stages, added
        modes = ["100755" if os.access(ROOT / path, os.X_OK) else "100644" for path in overlay]
        blobs = git("hash-object", "-w", "--no-filters", "--stdin-paths", text="".join(f"{ROOT / p}\n" for p in overlay))
        self.final = dict(zip(overlay, zip(modes, blobs.split())))
        self.forms = {}

    def form(self, active):
        """The overlay with these stages."""
        if active not in self.forms:
            self.git("read-tree", "--empty")
            self.git.add(self.final)
            for stage in active:
                path = SERIES / "stages" / f"{stage}.patch"
                if self.git.run("apply", "--cached", "--whitespace=nowarn", str(path)) is None:
                    die(
                        f"series/stages/{stage}.patch does not apply to the final form"
                        f" ({self.git.said.splitlines()[0]}): mend it there, it takes out what a later commit brings"
                    )
            self.forms[active] = self.git.files()
        return self.forms[active]

    def line(self, start, commits):
        """Makes commits in a line, from start on: (commit, names of the commits before)."""
        parent, before = start
        before = list(before)
        have = {}
        self.git("read-tree", parent)
        for commit in commits:
            head, message, diff = commit.message(self.git)
            active = lambda names: tuple(s for s, until in self.stages if until not in names)
            old_form, brought = active(before), [p for n in before for p in self.added.get(n, [])]
            before.append(commit.name)
            index = self.git.env["GIT_INDEX_FILE"]
            # The index is that of the line while a form is made.
            saved = index + ".form"
            self.git.env["GIT_INDEX_FILE"] = saved
            old, new = self.form(old_form), self.form(active(before))
            self.git.env["GIT_INDEX_FILE"] = index
            have = {p: old[p] for p in brought}
            want = {p: new[p] for p in brought + self.added.get(commit.name, [])}
            if diff and self.git.run("apply", "--cached", "--whitespace=nowarn", text=diff) is None:
                die(f"{commit.path.relative_to(ROOT)} does not apply in its place of series/list: {self.git.said.splitlines()[0]}")
            changed = {p: f for p, f in want.items() if have.get(p) != f}
            if changed:
                self.git.add(changed)
            elif not diff:
                die(f"series/list: {commit.name} changes nothing")
            author = {"GIT_AUTHOR_NAME": head["Author"], "GIT_AUTHOR_EMAIL": head["Email"]}
            author |= {"GIT_AUTHOR_DATE": head["Date"], "GIT_COMMITTER_DATE": head["Date"]}
            tree = self.git("write-tree")
            parent = self.git("commit-tree", tree, "-p", parent, "-F", "-", text=message, **author)
        return parent, before


def main():
    """Does what the description says."""
    tree, base, applied = sys.argv[1:]
    overlay = sys.stdin.read().splitlines()
    stages, series = read_list()
    with tempfile.TemporaryDirectory() as tmp:
        git = Repository(tree, f"{tmp}/index")
        maker = Maker(git, base, overlay, stages, assign(series, overlay))
        ends = {"base": (base, [])}
        for name, (start, commits) in series.items():
            ends[name] = maker.line(ends[start], commits)
            git("update-ref", f"refs/series/{name}-base", ends[start][0])
            git("update-ref", f"refs/series/{name}", ends[name][0])
            print(name, len(commits))
        # From the last series on that begins another line
        line, names = (base, []), []
        for name, (_, commits) in series.items():
            same = line[0] == ends[series[name][0]][0]
            line = ends[name] if same else maker.line(line, commits)
            names += commits
        git("update-ref", "refs/series/all", line[0])
        git("read-tree", applied)
        git.add(maker.final)
        for commit in names:
            if commit.name.startswith("new/") and (diff := commit.message(git)[2]):
                git("apply", "--cached", "--whitespace=nowarn", text=diff)
        expected = git("write-tree")
        if git("rev-parse", f"{line[0]}^{{tree}}") != expected:
            files = git("diff", "--name-only", expected, line[0]).splitlines()
            die(f"the series do not make the tree of make tree: {len(files)} files differ, first {files[0]}")


main()
