# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The kselftests: vim2m, and hantro and rockchip-rga on the emulated blocks. Each case counts, a
# skipped one as failed: nothing is missing in the machine that they run in.

SELFTESTS=(release_fences_test pixels_test rga_test vpu_test fault_test removal_test suspend_test)
SELFTESTS+=(export_test starting_test visl_test request_test import_test resize_test planes_test)
SELFTESTS+=(holder_test sw_sync_test rights_test lifetime_test drawing_test)
# Faults on every device and with every memory take as long as all the others.
case ${SELFTESTS_FAULTS:-share} in
all) SELFTESTS+=(failnth_test probe_test) PROBE_STRIDE=1 ;;
*)
	SELFTESTS+=("failnth_test=failnth_test -f begin -v rga -v h264_import -r prepare.h264.open \
		-r stream.rga_planes_import.qbuf_picture -f leaks" probe_test)
	PROBE_STRIDE=13
	;;
esac
# What is shown by counting takes this many frames, besides those that all tests have.
SELFTESTS_MANY=${SELFTESTS_MANY:-0}

# selftests_run FRAMES [NAME=]PROGRAM-AND-ARGUMENTS...: what each prints is left in selftests-NAME.tap. A
# program that fails does not keep the next one from running.
selftests_run()
{
	local frames=$1 script='' status=0 test programs
	shift
	programs=$("$ROOT/scripts/build-selftests")
	for test; do
		script+="'$programs'/${test#*=} >\$VM_SCRATCH/selftests-${test%%=*}.tap 2>&1 || status=1
echo \"${test%%=*} ended at \$(cut -d. -f1 /proc/uptime) s\"
"
	done
	rm -f "$BUILD"/vm/scratch/selftests-*.tap
	"$ROOT/scripts/vm" --timeout $((4800 * ${RKEMU_LIFETIMES:-1})) -- env "RKEMU_FRAMES=$frames" \
		"RKEMU_LIFETIMES=${RKEMU_LIFETIMES:-1}" "PROBE_STRIDE=$PROBE_STRIDE" sh -c "status=0; $script exit \$status" || status=$?
	cp "$BUILD"/vm/scratch/selftests-*.tap "$TEST_LOGS"
	for test; do
		grep -q '^1\.\.[1-9]' "$TEST_LOGS/selftests-${test%%=*}.tap" || {
			echo "${test%%=*} does not say how many cases it has"
			status=1
		}
	done
	return "$status"
}

# selftests_bad TAP: a line for each case that did not pass, and below it what it said about that
selftests_bad()
{
	awk -v "prefix=FAIL ${PREFIX}selftests: " '
		/^#  RUN / { said = "" }
		/^# [^ ]+:[0-9]+:|^# [^ ]+: Test / { said = said "         " $0 "\n" }
		/^not ok [0-9]+ |^ok [0-9]+ .*# SKIP/ { printf "%s%s\n%s", prefix, $0, said }' "$1"
}

# selftests_count NAME: one line for the cases that passed, and those of selftests_bad
selftests_count()
{
	local tap=$TEST_LOGS/selftests-$1.tap good bad
	[[ -s $tap ]] || return 0
	good=$(grep -E '^ok [0-9]+ ' "$tap" | grep -vc '# SKIP' || [[ $? == 1 ]])
	bad=$(grep -cE '^not ok [0-9]+ |^ok [0-9]+ .*# SKIP' "$tap" || [[ $? == 1 ]])
	passed=$((passed + good)) failed=$((failed + bad))
	((!good)) || printf 'ok   %sselftests: %s: %s cases\n' "$PREFIX" "$1" "$good"
	selftests_bad "$tap"
}

rm -f "$TEST_LOGS"/selftests-*.tap
check "selftests: the selftests build" "$ROOT/scripts/build-selftests"
check "selftests: all selftests end, and the kernel log has no report" \
	selftests_run 50 "${SELFTESTS[@]}"
for name in "${SELFTESTS[@]}"; do
	selftests_count "${name%%=*}"
done
if ((SELFTESTS_MANY)); then
	check "selftests: $SELFTESTS_MANY frames each, asked about in the middle of the job" \
		selftests_run "$SELFTESTS_MANY" "rga=pixels_test -r pixels.rga.off -r pixels.rga.on" \
		"h264=pixels_test -r pixels.h264.off -r pixels.h264.on"
	for name in rga h264; do
		selftests_count "$name"
		grep -E '^# ([0-9]+ frames|stale)' "$TEST_LOGS/selftests-$name.tap" | sed 's/^#/        /'
	done
fi
