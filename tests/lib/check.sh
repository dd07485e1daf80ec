# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by tests/run after lib.sh and tree-lib.sh: what the groups are made of.
#
# A group is a file tests/groups/NAME.sh, which runs in a process of its own, with its name in $GROUP
# and a directory for its logs in $TEST_LOGS. Results are written to $RESULTS, a JSON object a line, by
# the Python package tests/results, which also reads what suites print.
# shellcheck shell=bash disable=SC2034,SC2164

# Goes before the names of a group's checks, when another group runs it
PREFIX=

# prefix TEXT: from now on
prefix() { PREFIX=$1; }

# results ARGUMENT...: see tests/results/__main__.py. It ends with 1 if something failed.
results()
{
	TREE=$TREE PYTHONPATH=$TESTS PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m results "$@"
}

# show_end LOG: its last lines, and those that scripts/vm has from a report of the kernel
show_end()
{
	awk -v lines="$(wc -l <"$1")" '
		/^vm: the log from line / { until = NR + 90 }
		NR <= until || NR > lines - 12' "$1"
}

# check_log NAME: the path of that check's log
check_log() { echo "$TEST_LOGS/${1//[^A-Za-z0-9]/-}.log"; }

# check [--machines] NAME COMMAND...: the command may be a function; set -e holds inside. Ends with
# the verdict in $check_failed. With --machines, the state of the machines that it ran counts in the
# summary.
check()
{
	local status=0 started=$SECONDS counted=() name log
	if [[ $1 == --machines ]]; then
		counted=(--ledger)
		shift
	fi
	name=$PREFIX$1
	log=$(check_log "$name")
	shift
	[[ ! ${counted[*]} ]] || counted+=("${log%.log}.machines")
	(
		exec 9>&2 >"$log" 2>&1 </dev/null
		export PROGRESS_FD=9 VM_LEDGER=${log%.log}.machines
		rm -f "$VM_LEDGER"
		"$@"
	) &
	wait $! || status=$?
	check_failed=$((status != 0))
	results check --group "$GROUP" --name "$name" --status "$status" --log "$log" \
		--seconds $((SECONDS - started)) "${counted[@]}" || show_end "$log" | sed 's/^/         /'
}

# check_once NAME KEY COMMAND...: KEY is of everything that the result depends on
check_once()
{
	local name=$1 mark=$CACHE/checks/$2
	shift 2
	if [[ -e $mark ]]; then
		touch "$mark"
		results check --group "$GROUP" --name "$PREFIX$name" --status 0 --seconds 0 \
			--note "(as before: same input, same tools)"
		return
	fi
	check "$name" "$@"
	((check_failed)) || touch "$mark"
}

# key WORD...: of the words, the tree with all edits, and the tools
key()
{
	{
		printf '%s\n' "$@" "$ARCH"
		base_id
		diffs_hash
		links_hash '^(Documentation|tools)/'
		edits_hash
		cat "$ROOT/scripts/lib.sh" "$TESTS"/lib/check.sh "$TESTS/groups/$GROUP.sh"
		"$CLANG" --version | sed -n 1p
		"$RUSTC" --version
		"$BINDGEN" --version
	} | sha256sum | cut -c1-32
}

# cases ktap|kunit|junit NAME FILE: the cases in what a suite printed; a failed one is no failure of this
cases() { results "$1" --group "$GROUP" --name "$PREFIX$2" "$3" || [[ $? == 1 ]]; }

# counts FILE...: the lines of counts in files that have no cases
counts() { results counts --group "$GROUP" "$@"; }

# host_tests NAME [ARGUMENT...]: the cases of tests/host/test_NAME.py, with arguments for pytest
host_tests()
{
	local xml=$TEST_LOGS/$1.xml status=0
	rm -f "$xml"
	ROOT=$ROOT PYTHONDONTWRITEBYTECODE=1 "$VENV/bin/python" -m pytest -q -p no:cacheprovider \
		--junit-xml="$xml" "${@:2}" "$TESTS/host/test_$1.py" >"$TEST_LOGS/$1.log" 2>&1 </dev/null || status=$?
	cases junit "test_$1.py" "$xml"
	# 1: a case failed
	((status <= 1)) || show_end "$TEST_LOGS/$1.log" | sed 's/^/         /'
}

# expect STATUS COMMAND...: what the command printed is in $output
expect()
{
	local want=$1 got=0
	shift
	output=$("$@" 2>&1) || got=$?
	printf '%s\n' "$output"
	[[ $got == "$want" ]] || {
		echo "status $got, and not $want: $*"
		return 1
	}
}

# has TEXT: in what expect saw
has()
{
	[[ $output == *"$1"* ]] || {
		echo "not in the output: $1"
		return 1
	}
}
