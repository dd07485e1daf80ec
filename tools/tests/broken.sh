# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Negative controls. Each patch under tests/broken breaks one rule; the suite has to catch it, and
# for the reason that the patch itself names in lines "Caught-by: EXTENDED-REGEX": each must match a
# line that a failing test or a kernel report printed.

# broken PATCH: what catches it is left in a file
broken()
{
	local patch=$1 image output caught=0
	output=$TEST_LOGS/broken-$(basename "$patch" .patch).txt
	grep -q '^Caught-by: ' "$patch" || {
		echo "$patch has no Caught-by line"
		return 1
	}
	: >"$output.why"
	image=$("$ROOT/tools/kernel" --patch "$patch")
	# What dies with its locks held has the next case wait for ever: no case after an oops.
	if ! "$ROOT/tools/kunit" --image "$image" --timeout 180 --dir "$BUILD/kunit-broken" \
		--append oops=panic --append panic=-1 >"$output" 2>&1; then
		caught=1
		cat "$BUILD/kunit-broken/test.log" >>"$output"
	fi
	if ! broken_reasons "$patch" "$output"; then
		"$ROOT/tools/program"
		if ! "$ROOT/tools/vm" --image "$image" -- "$BUILD/cargo/release/vb2-fence" report \
			--json "$BUILD/vm/scratch/broken.json" >>"$output" 2>&1; then
			caught=1
		fi
		broken_reasons "$patch" "$output" || {
			tail -n 30 "$output"
			echo "caught: $caught, but not for its reason: $(sed -n 's/^Caught-by: //p' "$patch")"
			return 1
		}
	fi
	((caught)) || {
		echo "no test failed"
		return 1
	}
	cat "$output.why"
}

# broken_reasons PATCH OUTPUT: whether every reason is in the output, other than in what passed
broken_reasons()
{
	local pattern
	: >"$2.why"
	# Not piped: the first match would end the pipe, and that would be a failure.
	grep -v -E '\[PASSED\]|^ *ok [0-9]|^\[ *[0-9.]+\] *ok ' "$2" >"$2.failed"
	while IFS= read -r pattern; do
		grep -m 1 -E -e "$pattern" "$2.failed" >>"$2.why" || return 1
	done < <(sed -n 's/^Caught-by: //p' "$1")
}

mapfile -t broken_patches < <(find "$ROOT" -path "$BUILD" -prune -o -path '*/tests/broken/*.patch' -print | sort)
((${#broken_patches[@]} >= 3)) || result 1 "broken: there are at least three negative controls" 0
for patch in "${broken_patches[@]}"; do
	check "broken: $(basename "$patch" .patch) is caught" broken "$patch"
	sed 's/^/         /' "$TEST_LOGS/broken-$(basename "$patch" .patch).txt.why" | cut -c1-150
done
