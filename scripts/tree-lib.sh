# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced after lib.sh by what works on the kernel tree under build/. The tree is a git
# repository: first commit the unpacked source, then one commit per line of patches/series. What the
# scripts remember about it is in .git/vb2/: base-id, base, applied (commits), patches (hash), links.
# shellcheck shell=bash

STATE=$TREE/.git/vb2
PATCHES=$ROOT/patches

# The user's settings and hooks do not apply here. clone_tree makes hard links, which change the ctime
# of the files: with core.trustctime git would read the whole tree again each time.
tgit()
{
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 \
	GIT_COMMITTER_NAME="make tree" GIT_COMMITTER_EMAIL=tree@localhost \
	git -c core.hooksPath=/dev/null -c gc.auto=0 -c maintenance.auto=false \
		-c core.autocrlf=false -c core.trustctime=false -c advice.detachedHead=false "$@"
}

tree_exists() { [[ -f $STATE/applied ]]; }
state() { cat "$STATE/$1"; }

# all_series: the names of the patches, below patches/, in order
all_series()
{
	[[ ! -f $PATCHES/series ]] || sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$PATCHES/series"
}

# series: those that this tree has; with FIXES=0 the feature alone
series()
{
	if [[ ${FIXES:-1} == 0 ]]; then
		all_series | sed '/^fixes\//d'
	else
		all_series
	fi
}

# patch_files: the same as paths
patch_files() { series | sed "s,^,$PATCHES/,"; }

# check_series: every patch is in the series once, and every line of it is a patch
check_series()
{
	local odd
	odd=$(comm -3 <(all_series | LC_ALL=C sort) \
		<(cd "$PATCHES" && find . -name '*.patch' -printf '%P\n' | LC_ALL=C sort))
	[[ -z $odd ]] ||
		die "patches/series and the patches below patches/ differ: ${odd//[$'\n\t']/ }"
}

# patch_subject FILE
patch_subject() { tgit mailinfo /dev/null /dev/null <"$1" | sed -n 's/^Subject: //p'; }

# patches_hash: of names and contents, in order
patches_hash()
{
	local file
	series | while IFS= read -r file; do
		echo "$file"
		cat "$PATCHES/$file"
	done | sha256sum | cut -d' ' -f1
}

# diffs_hash: of what the series changes, in order, whatever its messages say
diffs_hash()
{
	local file
	patch_files | while IFS= read -r file; do
		sed -n '/^diff --git /,$p' "$file"
	done | sha256sum | cut -d' ' -f1
}

# base_id: names the source that the tree starts from
base_id()
{
	if [[ -z $KDIR ]]; then
		[[ -r $BASE_TARBALL ]] || die "no $BASE_TARBALL: run make setup, or give KDIR=/path/to/a/6.12.y/tree"
		echo "debian $(sha256sum <"$BASE_TARBALL" | cut -d' ' -f1)"
	elif kdir_is_git; then
		echo "git $(git -C "$KDIR" rev-parse HEAD) $(git -C "$KDIR" diff HEAD | sha256sum | cut -d' ' -f1)"
	else
		echo "directory $KDIR $(stat -c %Y "$KDIR/Makefile")"
	fi
}

kdir_is_git() { [[ $(git -C "$KDIR" rev-parse --show-toplevel 2>/dev/null) == "$KDIR" ]]; }

# tree_version DIRECTORY
tree_version()
{
	awk -F ' *= *' '$1 == "VERSION" { v = $2 } $1 == "PATCHLEVEL" { p = $2 }
		$1 == "SUBLEVEL" { print v "." p "." $2; exit }' "$1/Makefile"
}

check_version()
{
	local version=
	[[ ! -f $1/Makefile ]] || version=$(tree_version "$1")
	[[ $version == 6.12.* ]] ||
		die "$2 is Linux ${version:-(no kernel source)}; this project is for 6.12.y"
}

# own_edits: what the tree has that the patches did not put there, one line each
own_edits()
{
	local applied
	applied=$(state applied)
	[[ $(tgit -C "$TREE" rev-parse HEAD) == "$applied" ]] ||
		tgit -C "$TREE" log --format='commit %h %s' "$applied..HEAD" --
	tgit -C "$TREE" diff --name-only HEAD --
}

# edits_hash: of own_edits; empty if there are none
edits_hash()
{
	local applied
	applied=$(state applied)
	tgit -C "$TREE" diff --quiet "$applied" -- ||
		tgit -C "$TREE" diff --full-index "$applied" -- | sha256sum | cut -d' ' -f1
}

# links_hash ERE: names and contents of the linked files that do not match
links_hash()
{
	linked_files | sed -E "\\,$1,d" | LC_ALL=C sort |
		(cd "$ROOT" && tr '\n' '\0' | xargs -0 -r sha256sum --) | sha256sum | cut -d' ' -f1
}

# clone_tree DIRECTORY: the tree again, by hard links, own edits included, objects left out. The
# project's files are copied, so that a patch can change them. Times are kept.
clone_tree()
{
	local entry file
	rm -rf "$1"
	mkdir -p "$1"
	for entry in "$TREE"/* "$TREE"/.[!.]*; do
		case ${entry##*/} in
		.git | obj*) ;;
		*) cp -al "$entry" "$1/" ;;
		esac
	done
	while IFS= read -r file; do
		rm "$1/$file"
		cp -p "$ROOT/$file" "$1/$file"
	done <"$STATE/links"
}

# clone_objects DIRECTORY OBJ [FROM]: those of the tree, in FROM (OBJ by default), into the tree or a
# clone_tree. The recorded commands of objtool and Rust have absolute paths, and would make everything
# anew.
clone_objects()
{
	local from=${3:-$2}
	rm -rf "${1:?}/$2"
	cp -a "$TREE/$from" "$1/$2"
	# The key of another build
	rm -f "$1/$2/.image-key"
	# grep finds none in objects that were made elsewhere, and those work as they are.
	{ grep -rlIZ --include='.*.cmd' -F "$TREE/" "$1/$2" || [[ $? == 1 ]]; } |
		xargs -0 -r sed -i "s,$TREE/$from/,$1/$2/,g; s,$TREE/,$1/,g"
}

# checkpatch_commit COMMIT: what checkpatch --strict says of a commit of make series; fails if it says
# anything. Without git it does not run spdxcheck.py, which needs more packages.
checkpatch_commit()
{
	# The tree has none of the kernel's commits, so it does not know those that a patch mends. A commit
	# that could not be looked up is not named: a bug may be for stable kernels without a Fixes: tag. What
	# prints the argument of an ioctl goes on with the line that names the ioctl. MAINTAINERS has its own
	# commit. Backports begin as in stable kernels: commit ... upstream.
	local ignore=UNKNOWN_COMMIT_ID,MISSING_FIXES_TAG,LOGGING_CONTINUATION,FILE_PATH_CHANGES
	! tgit -C "$TREE" log -1 --format=%b "$1" | grep -q '^commit [0-9a-f]\{40\} upstream' ||
		ignore+=,GIT_COMMIT_ID
	tgit -C "$TREE" format-patch -q -1 --no-signature --no-renames --stdout "$1" |
		(cd "$TREE" && { GIT_DIR=/nonexistent perl scripts/checkpatch.pl --strict --no-summary --terse \
			--show-types --showfile --ignore "$ignore" - || [[ $? == 1 ]]; }) |
		# A trace event is laid out as all of the kernel's are, which checkpatch takes for calls. A
		# configuration of kunit.py names itself in the command that uses it.
		awk '/^include\/trace\/.*:(OPEN_ENDED_LINE|PARENTHESIS_ALIGNMENT):/ { next }
			/kunitconfig.*:EMBEDDED_FILENAME:/ { next }
			{ print; bad = 1 }
			END { exit bad }'
}
