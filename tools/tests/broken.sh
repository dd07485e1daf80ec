# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Negative controls: the suites have to catch kernels that are broken on purpose. One here; all of
# them with BROKEN=all, or by tools/mutants, which makes a table and takes an hour or two.

# shellcheck source=tools/mutant-lib.sh
. "$ROOT/tools/mutant-lib.sh"

# Each costs a link of the kernel.
BROKEN_SHARE=1

broken() { mutant_run "$1" "$TEST_LOGS/broken-$(basename "$1" .patch).txt"; }

# broken_patches: those that nobody runs here do not rot unseen
broken_patches()
{
	local patch bad=0 tree=$BUILD/variant-patches
	clone_tree "$tree"
	cd "$tree"
	while IFS= read -r patch; do
		GIT_CEILING_DIRECTORIES=$BUILD git apply --check "$patch" || bad=1
		if ! grep -q '^Broken on purpose: ' "$patch" || [[ -z $(mutant_lines "$patch" Caught-by) ]]; then
			echo "$patch does not say what is broken, or what catches it"
			bad=1
		fi
	done < <(mutant_patches)
	cd "$ROOT"
	rm -rf "$tree"
	return "$bad"
}

check "broken: all patches apply, and say what catches them" broken_patches
if [[ ${BROKEN:-} == all ]]; then
	mapfile -t broken_chosen < <(mutant_patches)
else
	mapfile -t broken_chosen < <(mutant_patches | xargs -d '\n' grep -lx 'Run-in: ci')
	((${#broken_chosen[@]} == BROKEN_SHARE)) ||
		result 1 "broken: $BROKEN_SHARE of them are run here, not ${#broken_chosen[@]}" 0
fi
for patch in "${broken_chosen[@]}"; do
	output=$TEST_LOGS/broken-$(basename "$patch" .patch).txt
	check "broken: $(basename "$patch" .patch) is caught" broken "$patch"
	[[ ! -s $output.by ]] || sed "s|^|         by $(<"$output.by"): |" "$output.why" | cut -c1-150
done
