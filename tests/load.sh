# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Load, in one boot: vim2m by vb2-fence stress, then rockchip-rga, hantro and visl by load_test, each
# with 1, 8 and 32 contexts and consumers, and then all of them at once. Every fence ends, and memory
# is as it was before.
#
# LOAD_FENCES is how many there are at least, in all; a share with continuous integration.
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

load_run()
{
	local programs
	programs=$("$ROOT/scripts/build-selftests")
	"$ROOT/scripts/build-program"
	rm -f "$BUILD"/vm/scratch/load*
	# kmemleak reports nothing that is younger than five seconds; load_test has it begin anew.
	"$ROOT/scripts/vm" --timeout $((3600 + LOAD_FENCES / 10)) -- sh -ec "
		echo scan >/sys/kernel/debug/kmemleak
		echo clear >/sys/kernel/debug/kmemleak
		for contexts in 1 8 32; do
			'$BUILD/cargo/release/vb2-fence' stress --contexts \$contexts --jobs $LOAD_SLOW_JOBS \
				--seconds 1000000 --job-ms 1 --tolerance-ms 10000 --size 64x64 \
				--json >\$VM_SCRATCH/load-\$contexts.json
		done
		sleep 6
		echo scan >/sys/kernel/debug/kmemleak
		echo scan >/sys/kernel/debug/kmemleak
		cat /sys/kernel/debug/kmemleak >\$VM_SCRATCH/load-vim2m.leaks
		LOAD_JOBS=$LOAD_JOBS LOAD_SLOW_JOBS=$LOAD_SLOW_JOBS LOAD_MIXED_JOBS=$LOAD_MIXED_JOBS \
			'$programs/load_test' >\$VM_SCRATCH/load.tap"
}

# load_vim2m: what kmemleak said after the jobs on vim2m alone, if it was asked
load_vim2m()
{
	cat "$BUILD/vm/scratch/load-vim2m.leaks"
	[[ ! -s $BUILD/vm/scratch/load-vim2m.leaks ]]
}

# load_count: what was armed and signalled, as the trace events tell
load_count()
{
	python3 - "$LOAD_FENCES" "$BUILD"/vm/scratch/load.tap "$BUILD"/vm/scratch/load-*.json <<-'E'
		import json, re, sys

		wanted, tap, *reports = sys.argv[1:]
		armed = signalled = jobs = 0
		for report in map(json.load, map(open, reports)):
		    traced = report["traced"]
		    assert traced["lost_events"] == 0 and not traced["errors"], report
		    jobs += report["jobs"]
		    armed += traced["armed"]
		    signalled += traced["signalled"]
		for line in open(tap):
		    found = re.match(r"# (\d+) jobs in .*; (\d+) fences armed, (\d+) signalled,", line)
		    if found:
		        numbers = [int(number) for number in found.groups()]
		        jobs, armed, signalled = jobs + numbers[0], armed + numbers[1], signalled + numbers[2]
		print(f"{jobs} jobs, {armed} fences armed, {signalled} signalled")
		assert armed == signalled >= int(wanted)
	E
	grep -E '^# ([0-9]+ jobs in|opened |lockdep: debug_locks|kmemleak)' "$BUILD/vm/scratch/load.tap"
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

check "load: jobs on vim2m, rockchip-rga, hantro and visl, and nothing is left of them" load_run
check "load: kmemleak finds nothing that the jobs on vim2m alone have left" load_vim2m
check "load: memory that is not given back is seen" load_fails
check "load: at least $LOAD_FENCES fences, all of them signalled" load_count
sed -n 's/^[0-9]* jobs, .*/        &/p' "$TEST_LOGS"/load--at-least-*.log
