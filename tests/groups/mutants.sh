# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The suites have to catch each mutant. One here; all of them with MUTANTS=all, or by mutants/run, which
# makes a table and takes an hour or two.

# shellcheck source=mutants/lib.sh
. "$ROOT/mutants/lib.sh"

# Each costs a link of the kernel.
MUTANTS_SHARE=1

# mutants_apply: also those that are not run here
mutants_apply()
{
	local patch bad=0 tree=$BUILD/mutants
	clone_tree "$tree"
	cd "$tree"
	while IFS= read -r patch; do
		GIT_CEILING_DIRECTORIES=$BUILD git apply --check "$patch" || bad=1
		if ! grep -q '^Mutant: ' "$patch" || [[ -z $(mutant_lines "$patch" Caught-by) ]]; then
			echo "$patch does not say what it breaks, or what catches it"
			bad=1
		fi
	done < <(mutant_patches)
	cd "$ROOT"
	rm -rf "$tree"
	return "$bad"
}

check "all patches apply, and say what catches them" mutants_apply
if [[ ${MUTANTS:-} == all ]]; then
	mapfile -t mutants_chosen < <(mutant_patches)
else
	mapfile -t mutants_chosen < <(mutant_patches | xargs -d '\n' grep -lx 'Run-in: ci')
	check "$MUTANTS_SHARE of them is run here" test "${#mutants_chosen[@]}" = "$MUTANTS_SHARE"
fi
for patch in "${mutants_chosen[@]}"; do
	output=$TEST_LOGS/$(basename "$patch" .patch).txt
	check "$(basename "$patch" .patch) is caught" mutant_is_caught "$patch"
	[[ ! -s $output.by ]] || sed "s|^|         by $(<"$output.by"): |" "$output.why" | cut -c1-150
done
