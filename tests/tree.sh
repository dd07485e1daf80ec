# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# make tree and make refresh, in a small repository with a kernel of three files.

# fixture: makes both in $fixture, with the tools of this repository
fixture()
{
	fixture=$(mktemp -d)
	unset KDIR
	mkdir -p "$fixture/kernel/drivers/media" "$fixture/repo/patches" "$fixture/repo/drivers/media/new"
	cp -r "$ROOT/scripts" "$fixture/repo/scripts"
	printf 'VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 7\n' >"$fixture/kernel/Makefile"
	seq 1 20 >"$fixture/kernel/drivers/media/old.c"
	seq 1 20 >"$fixture/kernel/drivers/media/other.c"
	echo 'new file' >"$fixture/repo/drivers/media/new/new.c"
	git init -q "$fixture/kernel"
	fixture_git "$fixture/kernel" add -A
	fixture_git "$fixture/kernel" commit -q -m kernel
	git init -q "$fixture/repo"
	fixture_patch fixes/old/first.patch drivers/media/old.c 5 five
	fixture_patch feature/second.patch drivers/media/old.c 15 fifteen
	export KDIR=$fixture/kernel
	tree=$(make_tree_path)
}

fixture_git()
{
	git -C "$1" -c user.name=Test -c user.email=test@localhost "${@:2}"
}

# fixture_patches: all of patches/, and the names
fixture_patches() { (cd "$fixture/repo/patches" && find . -type f | sort | xargs tail -v -n +1); }

# fixture_patch NAME FILE LINE TEXT
fixture_patch()
{
	local old=$3
	mkdir -p "$fixture/repo/patches/$(dirname "$1")"
	echo "$1" >>"$fixture/repo/patches/series"
	cat >"$fixture/repo/patches/$1" <<END
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Test <test@localhost>
Date: Thu, 1 Jan 2026 00:00:00 +0000
Subject: [PATCH] media: say $4

Since it is a number.

Signed-off-by: Test <test@localhost>
---
 $2 | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/$2 b/$2
--- a/$2
+++ b/$2
@@ -$((old - 1)),3 +$((old - 1)),3 @@
 $((old - 1))
-$old
+$4
 $((old + 1))
END
}

# The same with a kernel that is no repository: objects in it stay there and do not come along.
tree_of_a_directory()
{
	fixture
	rm -rf "$KDIR/.git"
	printf 'mrproper:\n\trm -f drivers/media/old.o\n' >>"$KDIR/Makefile"
	touch "$KDIR/drivers/media/old.o"
	make_tree
	grep -q fifteen "$tree/drivers/media/old.c"
	[[ ! -e $tree/drivers/media/old.o && -e $KDIR/drivers/media/old.o && ! -e $KDIR/.git ]]
	rm -rf "$fixture"
}

make_tree() { "$fixture/repo/scripts/tree"; }
make_tree_path() { KDIR=$fixture/kernel bash -c ". '$fixture/repo/scripts/lib.sh'; echo \"\$TREE\""; }

tree_as_series()
{
	fixture
	make_tree
	diff <(git -C "$tree" log --format=%s) <(printf '%s\n' 'media: say fifteen' 'media: say five' 'Linux 6.12.7')
	grep -q fifteen "$tree/drivers/media/old.c"
	[[ -L $tree/drivers/media/new/new.c && $(<"$tree/drivers/media/new/new.c") == 'new file' ]]
	[[ -z $(git -C "$tree" status --short) ]]
	[[ -z $(git -C "$KDIR" status --short) && $(git -C "$KDIR" rev-list --count --all) == 1 ]]
	rm -rf "$fixture"
}

tree_touches_little()
{
	local before
	fixture
	make_tree
	touch -d '2020-01-01' "$tree/drivers/media/"{old,other}.c
	before=$(stat -c %Y "$tree/drivers/media/other.c")
	rm "$fixture/repo/drivers/media/new/new.c"
	echo else >"$fixture/repo/drivers/media/else.c"
	sed -i s/fifteen/zero/ "$fixture/repo/patches/feature/second.patch"
	make_tree
	grep -q zero "$tree/drivers/media/old.c"
	[[ $(stat -c %Y "$tree/drivers/media/other.c") == "$before" ]]
	[[ ! -L $tree/drivers/media/new/new.c && -L $tree/drivers/media/else.c ]]
	rm -rf "$fixture"
}

tree_wrong_version()
{
	fixture
	make_tree
	sed -i 's/^PATCHLEVEL.*/PATCHLEVEL = 6/' "$KDIR/Makefile"
	expect 1 make_tree
	has "KDIR=$KDIR is Linux 6.6.7"
	[[ $(git -C "$tree" log -1 --format=%s) == 'media: say fifteen' ]]
	rm -rf "$fixture"
}

tree_patch_does_not_apply()
{
	local before
	fixture
	make_tree
	before=$(git -C "$tree" rev-parse HEAD)
	sed -i s/^-15/-99/ "$fixture/repo/patches/feature/second.patch"
	expect 1 make_tree
	has "patches/feature/second.patch does not apply"
	[[ $(git -C "$tree" rev-parse HEAD) == "$before" && -z $(git -C "$tree" status --short) ]]
	rm -rf "$tree"
	expect 1 make_tree
	has "patches/feature/second.patch does not apply"
	[[ ! -e $tree ]]
	rm -rf "$fixture"
}

# A patch that nothing lists, and one that is not there: neither is left out without a word.
tree_series_is_whole()
{
	fixture
	echo feature/third.patch >>"$fixture/repo/patches/series"
	expect 1 make_tree
	has "patches/series and the patches below patches/ differ: feature/third.patch"
	sed -i '$d' "$fixture/repo/patches/series"
	cp "$fixture/repo/patches/feature/second.patch" "$fixture/repo/patches/fixes/old/forgotten.patch"
	expect 1 make_tree
	has "differ: "
	has "fixes/old/forgotten.patch"
	[[ ! -e $tree ]]
	rm -rf "$fixture"
}

# A new commit before the last fix is a fix, named by its subject.
tree_refresh_new_fix()
{
	local series
	fixture
	make_tree
	series=$(git -C "$tree" rev-list --reverse base..HEAD)
	git -C "$tree" reset -q --hard base
	echo mine >>"$tree/drivers/media/other.c"
	fixture_git "$tree" commit -q -a -m 'media: some/driver: be mine'
	# shellcheck disable=SC2086
	fixture_git "$tree" cherry-pick $series >/dev/null
	"$fixture/repo/scripts/refresh"
	diff "$fixture/repo/patches/series" <(printf '%s\n' fixes/some-driver/be-mine.patch \
		fixes/old/first.patch feature/second.patch)
	rm -rf "$fixture"
}

tree_own_edits()
{
	fixture
	make_tree
	echo mine >>"$tree/drivers/media/other.c"
	make_tree
	sed -i s/fifteen/zero/ "$fixture/repo/patches/feature/second.patch"
	expect 1 make_tree
	has "run make refresh"
	grep -q mine "$tree/drivers/media/other.c"
	grep -q fifteen "$tree/drivers/media/old.c"
	rm -rf "$fixture"
}

tree_refresh()
{
	local first
	fixture
	make_tree
	"$fixture/repo/scripts/refresh"
	first=$(fixture_patches)
	"$fixture/repo/scripts/refresh"
	[[ $(fixture_patches) == "$first" ]]
	echo mine >>"$tree/drivers/media/other.c"
	expect 1 "$fixture/repo/scripts/refresh"
	has drivers/media/other.c
	fixture_git "$tree" commit -q -a -m 'media: mine'
	"$fixture/repo/scripts/refresh"
	diff "$fixture/repo/patches/series" <(printf '%s\n' fixes/old/first.patch feature/second.patch \
		feature/media-mine.patch)
	(cd "$fixture/repo/patches" && find . -type f) | grep -c . | grep -qx 4
	first=$(git -C "$tree" rev-parse 'HEAD^{tree}')
	make_tree
	rm -rf "$tree"
	make_tree
	[[ $(git -C "$tree" rev-parse 'HEAD^{tree}') == "$first" ]]
	echo added >"$tree/drivers/media/added.c"
	fixture_git "$tree" add -f drivers/media/added.c
	fixture_git "$tree" commit -q -m 'media: add a file'
	expect 1 "$fixture/repo/scripts/refresh"
	has "drivers/media/added.c"
	rm -rf "$fixture"
}

check "tree: one commit per patch, files linked, KDIR left as it was" tree_as_series
check "tree: KDIR that is no git repository" tree_of_a_directory
check "tree: an update touches what changes and nothing else" tree_touches_little
check "tree: wrong kernel version" tree_wrong_version
check "tree: a patch that does not apply" tree_patch_does_not_apply
check "tree: a series with a patch too many, or too few" tree_series_is_whole
check "tree: edits of its own are not overwritten" tree_own_edits
check "tree: make refresh gives the patches back" tree_refresh
check "tree: make refresh gives a new fix a name" tree_refresh_new_fix
