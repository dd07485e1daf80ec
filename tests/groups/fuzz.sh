# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The fuzzer: many calls on all drivers with release fences, in several threads, with broken arguments.
# After each input everything has to be signalled, the kernel log has no report, and after all of them
# nothing is left behind. Without SHARE: that the fuzzer finds what is wrong on purpose, too.

FUZZ=$CARGO_OUT/vb2-fuzz
FUZZ_CALLS=${FUZZ_CALLS:-30000}
FUZZ_SEED=${FUZZ_SEED:-1}
# Enough for a run in which something is wrong on purpose
FUZZ_FEW=500

# Other groups use the machine without a name at the same time.
export VM_NAME=fuzz

fuzz_build()
{
	local bad
	"$ROOT/scripts/build-program" --package vb2-fuzz
	for bad in "--calls many" "--calls 0" "--seed 0" "--seed -1" "--replay /nonexistent"; do
		# shellcheck disable=SC2086
		expect 1 "$ROOT/scripts/fuzz" $bad
		has "error: $bad: "
	done
	for bad in "nonsense" "--calls" "--seed 1 --replay"; do
		# shellcheck disable=SC2086
		expect 1 "$ROOT/scripts/fuzz" $bad
		has "usage: scripts/fuzz"
	done
	expect 2 env VB2_FUZZ_CALLS=many "$FUZZ"
	has "VB2_FUZZ_CALLS=many: not a number"
}

# fuzz_inputs SEED COUNT: sets $made to what is said of so many inputs, without any calls, on this
# machine
fuzz_inputs()
{
	expect 0 env VB2_FUZZ_DRY=1 VB2_FUZZ_CALLS="$2" VB2_FUZZ_SEED="$1" \
		"$FUZZ" -seed="$1" -max_len=512 -len_control=0 -verbosity=0
	# shellcheck disable=SC2154
	made=$(sed -n "s/.* in $2 inputs (digest \([0-9a-f]*, of the seed [0-9a-f]*\)).*/\1/p" <<<"$output")
	[[ -n $made ]]
}

fuzz_same_inputs()
{
	local first
	fuzz_inputs "$FUZZ_SEED" 3000
	first=$made
	fuzz_inputs "$FUZZ_SEED" 3000
	[[ $made == "$first" ]]
	fuzz_inputs $((FUZZ_SEED + 1)) 3000
	[[ ${made%%,*} != "${first%%,*}" && ${made#*, } != "${first#*, }" ]]
}

# All inputs are of the seed alone, in the machine as here; in the long run half of them.
fuzz_run()
{
	local driver summary calls inputs seeded=(--seeded)
	((FUZZ_CALLS <= 50000)) || seeded=()
	expect 0 "$ROOT/scripts/fuzz" --calls "$FUZZ_CALLS" --seed "$FUZZ_SEED" "${seeded[@]}"
	for driver in vim2m visl hantro-vpu rockchip-rga; do
		has "$driver"
	done
	summary=$(grep "^vb2-fuzz: seed $FUZZ_SEED: .* fences [1-9]" <<<"$output")
	calls=${summary%% calls*}
	((${calls##* } >= FUZZ_CALLS))
	has "fuzz: nothing left behind: "
	inputs=${summary%% inputs*}
	((${inputs##* } >= 200)) || {
		echo "FUZZ_CALLS=$FUZZ_CALLS: too few to compare the inputs; 30000 are enough"
		return 1
	}
	fuzz_inputs "$FUZZ_SEED" "${inputs##* }"
	[[ $summary == *"${made#*, }"* ]]
}

# The oracle can fail, the input is kept, and without the mistake it is fine.
fuzz_fails()
{
	local again
	expect 77 "$ROOT/scripts/fuzz" --calls "$FUZZ_FEW" --mistake fence-stays
	has "FAILED: dma-buf "
	has "is not ready 12 s after everything was closed"
	again=$(sed -n 's/.*to try it again: scripts\/fuzz //p' <<<"$output")
	cd "$ROOT"
	# shellcheck disable=SC2086
	expect 0 "$ROOT/scripts/fuzz" $again
	has "in 1 inputs"
}

# What the program says nothing of: a dma-buf that is there after its end.
fuzz_leaves()
{
	expect 3 "$ROOT/scripts/fuzz" --calls 1 --seeded --mistake buffer-stays
	has "FAILED: left behind: "
	has "to try it again: scripts/fuzz --calls 1 --seed 1 --seeded"
	[[ $output != *"FAILED: dma-buf"* ]]
}

# What is in no table is not asked whether it is ready.
fuzz_descriptor()
{
	expect 77 "$ROOT/scripts/fuzz" --calls "$FUZZ_FEW" --mistake descriptor-stays
	has "FAILED: descriptors are open when everything was closed: "
}

fuzz_without_fences()
{
	expect 1 "$ROOT/scripts/fuzz" --calls "$FUZZ_FEW" --mistake no-fences
	has "FAILED: no fence was armed"
}

check "the fuzzer builds, and says what it does not understand" fuzz_build
check "the same seed makes the same inputs, another one others" fuzz_same_inputs
fuzz_name="$FUZZ_CALLS calls, all fences signalled, no report"
check --machines "$fuzz_name" fuzz_run
counts "$(check_log "$fuzz_name")"
[[ ! ${SHARE:-} ]] || return 0
check "a fence that stays is found, and its input tried again" fuzz_fails
check "a dma-buf that is left behind is found" fuzz_leaves
check "a descriptor that is left behind is found" fuzz_descriptor
check "a run without any fence is none" fuzz_without_fences
