# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# hantro and rockchip-rga on the emulated blocks: the kselftests of rkemu. Each case counts, a skipped
# one as failed: nothing is missing in the machine that they run in.

RKEMU_TESTS=(pixels_test rga_test vpu_test fault_test removal_test suspend_test)
# What is shown by counting takes this many frames.
RKEMU_MANY=1000
RKEMU_BIN=$BUILD/selftests/rkemu

rkemu_build()
{
	mkdir -p "$RKEMU_BIN"
	make -C "$ROOT/tools/testing/selftests/media_tests/rkemu" CC="$CLANG" KSRC="$TREE" \
		OUTPUT="$RKEMU_BIN"
}

# rkemu_run FRAMES [NAME=]PROGRAM-AND-ARGUMENTS...: what each prints is left in rkemu-NAME.tap. A
# program that fails does not keep the next one from running.
rkemu_run()
{
	local frames=$1 script='' status=0 test
	shift
	for test; do
		script+="'$RKEMU_BIN'/${test#*=} >\$VM_SCRATCH/rkemu-${test%%=*}.tap || status=1
"
	done
	rm -f "$BUILD"/vm/scratch/rkemu-*.tap
	"$ROOT/tools/vm" --timeout 2400 -- env "RKEMU_FRAMES=$frames" \
		sh -c "status=0; $script exit \$status" || status=$?
	cp "$BUILD"/vm/scratch/rkemu-*.tap "$TEST_LOGS"
	for test; do
		grep '^1\.\.[1-9]' "$TEST_LOGS/rkemu-${test%%=*}.tap"
	done
	return "$status"
}

# rkemu_count NAME: one line for the cases that passed, and one for each other
rkemu_count()
{
	local tap=$TEST_LOGS/rkemu-$1.tap good bad=()
	[[ -s $tap ]] || return 0
	good=$(grep -E '^ok [0-9]+ ' "$tap" | grep -vc '# SKIP' || [[ $? == 1 ]])
	mapfile -t bad < <(grep -E '^not ok [0-9]+ |^ok [0-9]+ .*# SKIP' "$tap" || [[ $? == 1 ]])
	passed=$((passed + good)) failed=$((failed + ${#bad[@]}))
	((!good)) || printf 'ok   rkemu: %s: %s cases\n' "$1" "$good"
	((!${#bad[@]})) || printf 'FAIL rkemu: %s\n' "${bad[@]}"
}

rm -f "$TEST_LOGS"/rkemu-*.tap
check "rkemu: the selftests build" rkemu_build
check "rkemu: all selftests end, and the kernel log has no report" \
	rkemu_run 50 "${RKEMU_TESTS[@]}"
for name in "${RKEMU_TESTS[@]}"; do
	rkemu_count "$name"
done
check "rkemu: $RKEMU_MANY frames each, asked about in the middle of the job" \
	rkemu_run "$RKEMU_MANY" "rga=pixels_test -r pixels.rga.off -r pixels.rga.on" \
	"h264=pixels_test -r pixels.h264.off -r pixels.h264.on"
for name in rga h264; do
	rkemu_count "$name"
	grep -E '^# ([0-9]+ frames|stale)' "$TEST_LOGS/rkemu-$name.tap" | sed 's/^#/        /'
done
