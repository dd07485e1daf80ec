# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Media as modules: builds, loads, does the main job, and can be unloaded, also in the middle of a job.
#
# RKEMU_ORDER_STRIDE=1 is all orders of going away. MODULES=share is rockchip-rga alone, in one order
# for each thing that may be held.
#
# Each load of a module takes lock classes and stack traces from lockdep, which never come back. So each
# driver's orders have a machine of their own, which says how much was left.

modules_configs=()
for part in vm "vm-$ARCH" debug release-fences modules; do
	modules_configs+=(--config "$ROOT/scripts/configs/$part.config")
done

modules_build()
{
	"$ROOT/scripts/kernel" --name modules "${modules_configs[@]}" >"$TEST_LOGS/modules-image"
	! grep -E 'WARNING: modpost|undefined!' "$LOGS/kernel-modules.log"
}

modules_run()
{
	local image home
	image=$(<"$TEST_LOGS/modules-image")
	[[ -n $image ]]
	home=${image%/"$ARCH_IMAGE"}
	"$ROOT/scripts/build-program"
	"$ROOT/scripts/vm" --image "$image" -- sh -ec "
		modprobe -d '$home' vim2m
		modprobe -d '$home' visl
		'$BUILD/cargo/release/vb2-fence' report --json \$VM_SCRATCH/modules.json
		modprobe -d '$home' -r vim2m visl
		modprobe -d '$home' -r videobuf2_v4l2 videobuf2_memops
		! grep videobuf2 /proc/modules"
}

# The drivers of module_orders_test, of which its -l has a column under three lines of heading. It ends
# as one that was skipped.
modules_drivers()
{
	local programs
	programs=$("$ROOT/scripts/build-selftests")
	expect 4 "$programs/module_orders_test" -l
	# expect sets $output
	# shellcheck disable=SC2154
	sed 1,3d <<<"$output" | cut -c22-47 | grep -o '[^ ]*[^ ]' >"$TEST_LOGS/modules-drivers"
}

# modules_selftest PROGRAM [ARGUMENT...]: what keeps a module, and what does not. A skipped case is a
# failure.
modules_selftest()
{
	local tap=$TEST_LOGS/modules-$1${3:+-$3}.tap
	"$ROOT/scripts/vm-modules" "$(<"$TEST_LOGS/modules-image")" "$@" >"$tap"
	cat "$tap"
	! grep -E '^not ok|# SKIP' "$tap"
	grep -Eq '^# PASSED: ([1-9][0-9]*) / \1 tests passed' "$tap"
}

# The sample, built by the project's Kbuild against the tree, as somebody's own module would be.
sample_run()
{
	local objects sample=$BUILD/sample
	objects=$("$ROOT/scripts/kernel" --objects)
	rm -rf "$sample"
	mkdir -p "$sample"
	cp -r "$ROOT/Kbuild" "$ROOT/samples" "$sample"
	kmake "$TREE" "${objects##*/}" M="$sample" CONFIG_SAMPLE_RUST_RELEASE_FENCE=m modules
	expect 0 "$ROOT/scripts/vm" -- sh -ec "
		insmod '$sample/samples/release_fence/rust_release_fence.ko'
		dmesg | grep rust_release_fence:
		rmmod rust_release_fence"
	has "before the job: the buffer is ready"
	has "during the job: the buffer is not ready"
	has "after the job: the buffer is ready"
}

# shellcheck source=mutants/lib.sh
. "$ROOT/mutants/lib.sh"

rm -f "$TEST_LOGS/modules-image"
: >"$TEST_LOGS/modules-drivers"
check "modules: videobuf2 and the drivers build as modules" modules_build
if [[ ${MODULES:-} == share ]]; then
	RKEMU_ORDER_STRIDE=1000 check "modules: rga goes away in some orders, while a part of a job is held" \
		modules_selftest module_orders_test -v rga
	return
fi
check "modules: they load, do the main job and unload" modules_run
check "modules: they go away in the middle of a job" modules_selftest module_test
check "modules: the selftest says which drivers it has" modules_drivers
for driver in $(<"$TEST_LOGS/modules-drivers"); do
	check "modules: $driver goes away in every order, while a part of a job is held" \
		modules_selftest module_orders_test -v "$driver"
done
check "modules: buffers, file and device go away in every order, while all of a job is held" \
	modules_selftest lifetime_test
check "modules: one that goes away under a dma-buf is seen" \
	mutant_is_caught "$ROOT/mutants/videobuf2/dma-buf-keeps-no-module.patch"
check_once "modules: the sample builds against the tree, and shows a fence's way" \
	"$(key sample "$(cat "$ROOT"/scripts/configs/*.config)")-sample" sample_run
