# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# vb2-fence, the program for users: what it says of the test drivers and of the emulated hardware,
# with release fences and without, and of everything that it cannot do. What needs no device is in
# crates/vb2-fence/tests/, which the group static runs.

TOOL=$CARGO_OUT/vb2-fence
TOOL_STREAMS=$BUILD/tool
TOOL_TAP=$TEST_LOGS/tool.tap

tool_build()
{
	"$ROOT/scripts/build-program"
	rm -rf "$TOOL_STREAMS"
	mkdir -p "$TOOL_STREAMS"
	"$TESTS/programs/make-streams" "$TOOL_STREAMS"
	ls -l "$TOOL_STREAMS"
}

tool_run()
{
	local status=0
	rm -f "$BUILD/vm/scratch/tool.tap"
	"$ROOT/scripts/vm" --timeout 1800 ${TOOL_IMAGE:+--image "$TOOL_IMAGE"} -- \
		"$TESTS/guest/tool" "$TOOL" "$TOOL_STREAMS" || status=$?
	cp "$BUILD/vm/scratch/tool.tap" "$TOOL_TAP"
	return "$status"
}

check "vb2-fence builds" tool_build
check "on every driver, and used wrongly" tool_run
cases ktap "vb2-fence" "$TOOL_TAP"
