# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# vb2-fence, the program for users: what it says of the test drivers and of the emulated hardware,
# with release fences and without, and of everything that it cannot do. What needs no device is in
# crates/vb2-fence/tests/, which tests/static.sh runs.

TOOL=$BUILD/cargo/release/vb2-fence
TOOL_STREAMS=$BUILD/tool
TOOL_TAP=$TEST_LOGS/tool.tap

tool_build()
{
	"$ROOT/scripts/build-program"
	rm -rf "$TOOL_STREAMS"
	mkdir -p "$TOOL_STREAMS"
	"$TESTS/tool-streams" "$TOOL_STREAMS"
	ls -l "$TOOL_STREAMS"
}

tool_run()
{
	local status=0
	rm -f "$TOOL_TAP" "$BUILD/vm/scratch/tool.tap"
	"$ROOT/scripts/vm" --timeout 1800 ${TOOL_IMAGE:+--image "$TOOL_IMAGE"} -- \
		"$TESTS/tool-guest" "$TOOL" "$TOOL_STREAMS" || status=$?
	cp "$BUILD/vm/scratch/tool.tap" "$TOOL_TAP"
	[[ $(tail -n 1 "$TOOL_TAP") == end ]]
	return "$status"
}

# One line for the cases that passed, and one for each other
tool_count()
{
	local good bad=()
	[[ -s $TOOL_TAP ]] || return 0
	good=$(grep -c '^ok ' "$TOOL_TAP" || [[ $? == 1 ]])
	mapfile -t bad < <(sed -n 's/^not ok //p' "$TOOL_TAP")
	passed=$((passed + good)) failed=$((failed + ${#bad[@]}))
	((!good)) || printf 'ok   tool: %s cases\n' "$good"
	((!${#bad[@]})) || printf 'FAIL tool: %s\n' "${bad[@]}"
}

rm -f "$TOOL_TAP"
check "tool: vb2-fence builds" tool_build
check "tool: on every driver, and used wrongly" tool_run
tool_count
