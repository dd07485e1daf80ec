# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Load, in one boot: vim2m by vb2-fence stress, then rockchip-rga, hantro and visl by load_test, each
# with 1, 8 and 32 contexts and consumers, and then all of them at once. Every fence ends, and memory
# is as it was before.
#
# LOAD_FENCES is how many there are at least, in all; a share with continuous integration. Without SHARE:
# that memory which is not given back is seen, too, and hantro and visl have 1 and 32 contexts. With it
# they have 8 alone, and 32 together with all other devices.
LOAD_FENCES=${LOAD_FENCES:-1000}
# A job of rockchip-rga or hantro has two fences, one of visl has one, and of vim2m those of the CAPTURE
# queues are counted. Each is run with three numbers of contexts. visl and vim2m are slow: they draw
# with the processor. Theirs is a smaller part, of enough jobs for all contexts.
LOAD_SLOW=8
LOAD_ALONE=$((LOAD_FENCES < 50000 ? LOAD_FENCES : 50000))
LOAD_JOBS=$((LOAD_ALONE * LOAD_SLOW / (3 * (2 + 2) * LOAD_SLOW + 3 * (1 + 1)) + 1))
LOAD_SLOW_JOBS=$((LOAD_JOBS / LOAD_SLOW + 50))
# One device has one job at a time, so that it does not keep two processors busy. Of a long run most is
# done by all devices together, in which a job has more than 1.7 fences.
LOAD_MIXED_JOBS=$(((LOAD_FENCES - LOAD_ALONE) * 10 / 17 + 200))

LOAD_CASES=()
[[ ! ${SHARE:-} ]] || LOAD_CASES=(-V h264_1 -V h264_32 -V visl_1 -V visl_32)

# Other groups use the machine without a name at the same time.
export VM_NAME=load
LOAD_RESULTS=$BUILD/vm-$VM_NAME/scratch/load

load_run()
{
	local programs
	programs=$("$ROOT/scripts/build-selftests")
	"$ROOT/scripts/build-program"
	rm -rf "$LOAD_RESULTS"
	mkdir -p "$LOAD_RESULTS"
	# kmemleak reports nothing that is younger than five seconds; load_test has it begin anew.
	"$ROOT/scripts/vm" --timeout $((3600 + LOAD_FENCES / 10)) -- sh -ec "
		echo scan >/sys/kernel/debug/kmemleak
		echo clear >/sys/kernel/debug/kmemleak
		for contexts in 1 8 32; do
			'$CARGO_OUT/vb2-fence' stress --contexts \$contexts --jobs $LOAD_SLOW_JOBS \
				--seconds 1000000 --job-ms 1 --tolerance-ms 10000 --size 64x64 \
				--json >\$VM_SCRATCH/load/vim2m-\$contexts.json
		done
		sleep 6
		echo scan >/sys/kernel/debug/kmemleak
		echo scan >/sys/kernel/debug/kmemleak
		cat /sys/kernel/debug/kmemleak >\$VM_SCRATCH/load/vim2m.leaks
		LOAD_JOBS=$LOAD_JOBS LOAD_SLOW_JOBS=$LOAD_SLOW_JOBS LOAD_MIXED_JOBS=$LOAD_MIXED_JOBS \
			'$programs/load_test' ${LOAD_CASES[*]} >\$VM_SCRATCH/load/load_test.tap"
}

# load_vim2m: what kmemleak said after the jobs on vim2m alone, if it was asked
load_vim2m()
{
	cat "$LOAD_RESULTS/vim2m.leaks"
	[[ ! -s $LOAD_RESULTS/vim2m.leaks ]]
}

# load_count: what was armed and signalled, as the trace events tell
load_count()
{
	results fences --suite load --at-least "$LOAD_FENCES" "$LOAD_RESULTS"/*.{json,tap}
	sed -nE '/^# ([0-9]+ jobs in|opened )/p' "$LOAD_RESULTS/load_test.tap"
}

# load_fails: what is still in use is seen
load_fails()
{
	local programs
	programs=$("$ROOT/scripts/build-selftests")
	expect 1 "$ROOT/scripts/vm" -- sh -c "LOAD_JOBS=50 LOAD_KEEPS_DMABUFS=1 \
		'$programs/load_test' -r load.rga_8.all_jobs"
	has "Expected self->dmabufs ("
	has "Expected KEPT_KIB ("
	has "Expected KEPT_OBJECTS(load->played) ("
}

check --machines "jobs on vim2m, rockchip-rga, hantro and visl, and nothing is left of them" load_run
cases ktap load_test "$LOAD_RESULTS/load_test.tap"
counts "$LOAD_RESULTS"/*.json
check "kmemleak finds nothing that the jobs on vim2m alone have left" load_vim2m
[[ ${SHARE:-} ]] || check "memory that is not given back is seen" load_fails
load_name="at least $LOAD_FENCES fences, all of them signalled"
check "$load_name" load_count
sed -n 's/^load: [0-9]* fences.*/        &/p' "$(check_log "$load_name")"
