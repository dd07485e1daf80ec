# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Media as modules: builds, loads, does the main job, and can be unloaded, also in the middle of a job.
#
# RKEMU_ORDER_STRIDE=1 is all orders of going away. With SHARE it is rockchip-rga alone, in one order
# for each thing that may be held.
#
# Each load of a module takes lock classes and stack traces from lockdep, which never come back. So each
# driver's orders have a machine of their own, which says how much was left.

modules_image=$TEST_LOGS/image
modules_drivers=$TEST_LOGS/drivers
modules_configs=()
for part in vm "vm-$ARCH" debug release-fences modules; do
	modules_configs+=(--config "$ROOT/scripts/configs/$part.config")
done

modules_build()
{
	# It stays from an earlier build if the kernel comes from the cache.
	rm -f "$LOGS/kernel-modules.log"
	"$ROOT/scripts/kernel" --name modules --from vm "${modules_configs[@]}" >"$modules_image"
	[[ ! -f $LOGS/kernel-modules.log ]] || ! grep -E 'WARNING: modpost|undefined!' "$LOGS/kernel-modules.log"
}

modules_run()
{
	local image home
	image=$(<"$modules_image")
	[[ -n $image ]]
	home=${image%/"$ARCH_IMAGE"}
	"$ROOT/scripts/build-program"
	"$ROOT/scripts/vm" --image "$image" -- sh -ec "
		modprobe -d '$home' vim2m
		modprobe -d '$home' visl
		'$CARGO_OUT/vb2-fence' report --json \$VM_SCRATCH/modules.json
		modprobe -d '$home' -r vim2m visl
		modprobe -d '$home' -r videobuf2_v4l2 videobuf2_memops
		! grep videobuf2 /proc/modules"
}

# modules_drivers: those that module_orders_test has cases for, one a line
modules_drivers()
{
	local programs
	programs=$("$ROOT/scripts/build-selftests")
	"$programs/module_orders_test" --drivers >"$modules_drivers"
	[[ -s $modules_drivers ]]
}

# modules_selftest PROGRAM [ARGUMENT...]: what keeps a module, and what does not
modules_selftest() { "$ROOT/scripts/vm-modules" "$(<"$modules_image")" "$@" >"$TEST_LOGS/$1${3:+-$3}.tap"; }

# modules_cases NAME PROGRAM [ARGUMENT...]: a check that it ends well, and its cases
modules_cases()
{
	check --machines "$1" modules_selftest "${@:2}"
	cases ktap "$2${4:+-$4}" "$TEST_LOGS/$2${4:+-$4}.tap"
}

# The sample, built by the project's Kbuild against the tree, as a user's own module would be.
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

rm -f "$modules_image"
: >"$modules_drivers"
check "videobuf2 and the drivers build as modules" modules_build
if [[ ${SHARE:-} ]]; then
	RKEMU_ORDER_STRIDE=1000 modules_cases "rga goes away in some orders, while a part of a job is held" \
		module_orders_test -v rga
	return
fi
check "they load, do the main job and unload" modules_run
modules_cases "they go away in the middle of a job" module_test
check "the selftest says which drivers it has" modules_drivers
for driver in $(<"$modules_drivers"); do
	modules_cases "$driver goes away in every order, while a part of a job is held" \
		module_orders_test -v "$driver"
done
modules_cases "buffers, file and device go away in every order, while all of a job is held" \
	lifetime_test
check "one that goes away under a dma-buf is seen" \
	mutant_is_caught "$ROOT/mutants/videobuf2/dma-buf-keeps-no-module.patch"
check_once "the sample builds against the tree, and shows a fence's way" \
	"$(key sample "$(cat "$ROOT"/scripts/configs/*.config)")-sample" sample_run
