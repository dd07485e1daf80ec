# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# make tree, make refresh and make series, in a small repository with a kernel of three files; that the
# patches can be taken apart, and that git am of the series makes the tree.

host_tests tree

# applied COMMIT PATCH...: what these patches, in this order, make of the tree of that commit
applied()
{
	local commit=$1
	shift
	(
		export GIT_INDEX_FILE=$TEST_LOGS/index
		tgit -C "$TREE" read-tree "$commit"
		tgit -C "$TREE" apply --cached --whitespace=nowarn "${@/#/$PATCHES/}"
		tgit -C "$TREE" write-tree
	)
}

# in_order DIRECTORY...: the patches of these directories below patches/fixes/
in_order()
{
	local directory
	for directory; do
		all_series | grep "^fixes/$directory/"
	done
}

# The feature needs none of the fixes. Their directories are independent of each other, and a fix that
# does not say what it comes after is independent of all.
patches_apply_apart()
{
	local base alone feature directories reversed rotated fixes after name
	base=$(state base)
	mapfile -t feature < <(all_series | grep '^feature/')
	mapfile -t directories < <(all_series | sed -n 's,^fixes/\([^/]*\)/.*,\1,p' | uniq)
	alone=$(applied "$base" "${feature[@]}")
	mapfile -t reversed < <(printf '%s\n' "${directories[@]}" | tac)
	rotated=("${directories[@]:3}" "${directories[@]::3}")
	mapfile -t fixes < <(in_order "${directories[@]}")
	after=$(applied "$alone" "${fixes[@]}")
	echo "${#directories[@]} directories: $after"
	[[ $after == "$(tgit -C "$TREE" rev-parse "$(state applied)^{tree}")" || ${FIXES:-1} == 0 ]]
	# shellcheck disable=SC2046
	[[ $(applied "$alone" $(in_order "${reversed[@]}")) == "$after" ]]
	# shellcheck disable=SC2046
	[[ $(applied "$alone" $(in_order "${rotated[@]}")) == "$after" ]]
	tgit -C "$TREE" read-tree --index-output="$TEST_LOGS/index" "$base"
	while IFS= read -r name; do
		grep -q -E '^Needs "|Applies after' "$PATCHES/$name" ||
			GIT_INDEX_FILE=$TEST_LOGS/index tgit -C "$TREE" apply --cached --check "$PATCHES/$name" || {
			echo "patches/$name does not apply alone, and does not say what it comes after"
			return 1
		}
	done < <(all_series | grep '^fixes/')
}

check "the feature applies alone, and the fixes in other orders" patches_apply_apart
check "git am of all series on the pristine source makes the tree of make tree" "$ROOT/scripts/series" --check
