# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# vb2-fence, the program for users: what it says of the test drivers and of the emulated hardware,
# with release fences and without, and of everything that it cannot do.

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

# This machine's own kernel has no release fences.
tool_help()
{
	local command
	expect 0 "$TOOL" --help
	for command in report list probe watch stress generate consumers scene compositor; do
		has "  $command  "
	done
	for command in report list probe watch stress generate consumers scene compositor; do
		expect 0 "$TOOL" "$command" --help
		has Examples
		has "Exit status"
	done
	expect 2 "$TOOL"
	expect 2 "$TOOL" probe
	expect 2 "$TOOL" nonsense
	expect 0 "$TOOL" list
	has "without release fences"
	"$TOOL" list --json | /usr/bin/python3 -m json.tool >/dev/null
}

tool_generate()
{
	local page=$TOOL_STREAMS/vb2-fence.1
	"$TOOL" generate bash >"$TOOL_STREAMS/completion"
	bash -n "$TOOL_STREAMS/completion"
	# What bash would offer
	expect 0 bash -c "source '$TOOL_STREAMS/completion'; COMP_WORDS=(vb2-fence pro) COMP_CWORD=1
		\$(complete -p vb2-fence | sed 's/.* -F \([^ ]*\) .*/\1/') vb2-fence pro vb2-fence
		echo \"\${COMPREPLY[@]}\""
	has probe
	"$TOOL" generate zsh | grep -q '^#compdef vb2-fence'
	"$TOOL" generate fish | grep -q '^complete -c vb2-fence'
	"$TOOL" generate man >"$page"
	grep -q '^\.TH ' "$page"
	grep -q 'PROBE' "$page"
	expect 2 "$TOOL" generate nonsense
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
check "tool: it says what it can do" tool_help
check "tool: the man page and completions" tool_generate
check "tool: on every driver, and used wrongly" tool_run
tool_count
