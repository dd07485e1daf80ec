# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The system calls that a compositor makes for a picture, by strace, with release fences off and on.
# What a program does before and after its loop is the difference between two runs.

SYSCALLS=$BUILD/vm/scratch/syscalls
SYSCALLS_FEW=5
SYSCALLS_MANY=45

syscalls_run()
{
	local image
	"$ROOT/scripts/build-program"
	image=$("$ROOT/scripts/kernel")
	"$ROOT/scripts/vm" --timeout 1200 --image "$image" -- "$TESTS/guest/syscalls" \
		"$CARGO_OUT/vb2-fence" "$SYSCALLS_FEW" "$SYSCALLS_MANY"
}

# syscalls_status WAIT FENCES STATUS: of the run of many pictures. In that of few, a busy machine can
# be late for each of them.
syscalls_status()
{
	local name=$SYSCALLS/$1-$2-$SYSCALLS_MANY
	expect 0 cat "$name.txt"
	has "$SYSCALLS_MANY pictures of rockchip-rga"
	[[ $(<"$name.status") == "$3" ]] || {
		echo "$1, $2: status $(<"$name.status"), and not $3"
		return 1
	}
}

syscalls_right()
{
	local wait
	for wait in client sync-file dma-buf kernel; do
		syscalls_status "$wait" on 0
		has "$SYSCALLS_MANY had a release fence; 0 were shown before the job was over: RIGHT"
	done
}

# Without fences only the client can wait.
syscalls_early()
{
	local wait
	syscalls_status client off 0
	has "0 had a release fence; 0 were shown before the job was over: RIGHT"
	for wait in sync-file dma-buf kernel; do
		syscalls_status "$wait" off 1
		has "0 had a release fence"
	done
}

syscalls_table()
{
	"$TESTS/programs/syscalls-per-picture" "$SYSCALLS" "$SYSCALLS_FEW" "$SYSCALLS_MANY" | tee "$BUILD/syscalls.txt"
}

check "a compositor's loop under strace, four ways to wait, off and on" syscalls_run
check "with release fences, each way is right" syscalls_right
check "without, only the client's wait is" syscalls_early
check "per picture as many with release fences as without" syscalls_table
