# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The kselftests: vim2m, and hantro and rockchip-rga on the emulated blocks. Each case counts, a
# skipped one as failed: nothing is missing in the machine that they run in.

# Two machines side by side: the tests mostly wait for jobs, and one machine alone leaves more than half
# of two processors idle.
SELFTESTS_ONE=(release_fences_test pixels_test rga_test vpu_test fault_test removal_test suspend_test)
SELFTESTS_ONE+=(export_test starting_test visl_test planes_test holder_test)
SELFTESTS_TWO=(lifetime_test drawing_test request_test import_test resize_test sw_sync_test rights_test)
SELFTESTS_TWO+=(slices_test acquire_test capture_test explicit_test)
if [[ $ARCH == x86_64 ]]; then
	# What is shown by counting is the same for them.
	for name in explicit_test_32 explicit_test_time64; do
		SELFTESTS_TWO+=("$name=$name -F frames -T refused")
	done
fi
# Faults on every device and with every memory take as long as all the others.
case ${SELFTESTS_FAULTS:-share} in
all) SELFTESTS_TWO+=(failnth_test probe_test) FAIL_STRIDE=1 ;;
*)
	SELFTESTS_TWO+=("failnth_test=failnth_test -f begin -v rga -v h264_import -r prepare.h264.open \
		-r stream.rga_planes_import.qbuf_picture -f leaks" probe_test)
	FAIL_STRIDE=13
	;;
esac
# What is shown by counting takes this many frames, besides those that all tests have.
SELFTESTS_MANY=${SELFTESTS_MANY:-0}

# selftests_run FRAMES [NAME=]PROGRAM-AND-ARGUMENTS...: what each prints is left in NAME.tap. A program
# that fails does not keep the next one from running. The machine's name is VM_NAME.
selftests_run()
{
	local frames=$1 script='' status=0 test programs=$BUILD/selftests-$ARCH
	local scratch=$BUILD/vm${VM_NAME:+-$VM_NAME}/scratch/selftests
	shift
	for test; do
		script+="'$programs'/${test#*=} >\$VM_SCRATCH/selftests/${test%%=*}.tap 2>&1 || status=1
echo \"${test%%=*} ended at \$(cut -d. -f1 /proc/uptime) s\"
"
	done
	rm -rf "$scratch"
	mkdir -p "$scratch"
	"$ROOT/scripts/vm" --timeout $((4800 * ${RKEMU_LIFETIMES:-1})) -- env "RKEMU_FRAMES=$frames" \
		"RKEMU_LIFETIMES=${RKEMU_LIFETIMES:-1}" "FAIL_STRIDE=$FAIL_STRIDE" sh -c "status=0; $script exit \$status" || status=$?
	cp "$scratch"/*.tap "$TEST_LOGS"
	return "$status"
}

selftests_all()
{
	local one two status=0
	# Not by both at the same time
	"$ROOT/scripts/kernel" >/dev/null
	VM_NAME=one selftests_run 50 "${SELFTESTS_ONE[@]}" &
	one=$!
	VM_NAME=two selftests_run 50 "${SELFTESTS_TWO[@]}" &
	two=$!
	wait "$one" || status=$?
	wait "$two" || status=$?
	return "$status"
}

check "the selftests build" "$ROOT/scripts/build-selftests"
check --machines "all selftests end, and the kernel log has no report" selftests_all
for name in "${SELFTESTS_ONE[@]}" "${SELFTESTS_TWO[@]}"; do
	cases ktap "${name%%=*}" "$TEST_LOGS/${name%%=*}.tap"
done
if ((SELFTESTS_MANY)); then
	check "$SELFTESTS_MANY frames each, asked about in the middle of the job" \
		selftests_run "$SELFTESTS_MANY" "rga=pixels_test -r pixels.rga.off -r pixels.rga.on" \
		"h264=pixels_test -r pixels.h264.off -r pixels.h264.on" \
		"events=explicit_test -r frames.vim2m.event_and_fence -r frames.hantro.event_and_fence"
	for name in rga h264 events; do
		cases ktap "$name" "$TEST_LOGS/$name.tap"
		sed -nE '/^# ([0-9]+ frames|stale)/s/^#/        /p' "$TEST_LOGS/$name.tap"
	done
fi
