# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC1003,SC2016,SC2164
#
# scripts/vm and the scanner of kernel logs: what they say is what all other checks rely on.

vm_status()
{
	local want=$1
	shift
	expect "$want" "$ROOT/scripts/vm" "$@"
}

vm_arguments()
{
	local want='<a b><><;><"><'"'"'><$HOME><\><'$'line\nbreak''><*><é>' out
	out=$("$ROOT/scripts/vm" -- sh -c 'printf "<%s>" "$@"
		! touch "$0" 2>/dev/null && ! touch /usr/touched 2>/dev/null' \
		"$ROOT/touched" 'a b' '' ';' '"' "'" '$HOME' '\' $'line\nbreak' '*' 'é')
	printf '%s\n' "$out"
	[[ $out == "$want" ]]
}

vm_streams()
{
	local dir status=0
	dir=$(mktemp -d)
	echo before >"$dir/out"
	"$ROOT/scripts/vm" -- sh -c 'echo to stdout; echo to stderr >&2; pwd; echo kept >"$VM_SCRATCH/file"; exit 7' \
		>>"$dir/out" 2>"$dir/err" || status=$?
	cat "$dir/out" "$dir/err"
	[[ $status == 7 ]]
	diff "$dir/out" <(printf '%s\n' before 'to stdout' "$PWD")
	grep -qx 'to stderr' "$dir/err"
	[[ $(<"$BUILD/vm/scratch/file") == kept ]]
	rm -rf "$dir" "$BUILD/vm/scratch/file"
}

vm_warning()
{
	vm_status 90 -- sh -c 'echo WARNING >/sys/kernel/debug/provoke-crash/DIRECT'
	has "WARNING: CPU:"
	# The log itself, too: its trace
	has "lkdtm_do_action"
}

vm_panic()
{
	vm_status 90 -- sh -c 'echo PANIC >/sys/kernel/debug/provoke-crash/DIRECT'
	has "Kernel panic"
}

vm_timeout()
{
	local started=$SECONDS
	vm_status 124 --timeout 20 -- sleep 999
	((SECONDS - started <= 30))
}

vm_does_not_boot()
{
	local image
	image=$(mktemp)
	head -c 4M /dev/zero >"$image"
	vm_status 125 --timeout 8 --image "$image" -- true || vm_status 124 --timeout 8 --image "$image" -- true
	rm "$image"
}

# vm_with_qemu STATUS TIMES SCRIPT: how a command that exits with 5 ends, where the first so many
# starts of QEMU are SCRIPT instead
vm_with_qemu()
{
	local want=$1 times=$2 script=$3 dir qemu
	dir=$(mktemp -d)
	qemu=$(command -v qemu-system-x86_64)
	printf '%s' "$times" >"$dir/left"
	cat >"$dir/qemu-system-x86_64" <<-END
		#!/bin/bash
		left=\$(<"$dir/left")
		if [[ " \$* " == *" -kernel "* ]] && ((left)); then
			printf '%s' "\$((left - 1))" >"$dir/left"
			$script
		fi
		exec "$qemu" "\$@"
	END
	chmod +x "$dir/qemu-system-x86_64"
	PATH=$dir:$PATH vm_status "$want" -- sh -c 'echo done; exit 5'
	rm -rf "$dir"
}

vm_qemu_crashes()
{
	vm_with_qemu "$1" "$2" 'kill -SEGV $$'
	has "QEMU crashed before the command began"
}

vm_hangs()
{
	VM_BOOT_LIMIT=5 vm_with_qemu 5 1 'exec sleep 999'
	has "the command did not begin within 5 s"
}

check "klog: reports in a kernel log, and expected ones" "$TESTS/kernel-log-check-test"
check "vm: arguments arrive as they are, the root file system is read-only" vm_arguments
check "vm: stdout, stderr, status, scratch directory" vm_streams
check "vm: a WARNING ends with 90" vm_warning
check "vm: a panic ends with 90" vm_panic
check "vm: the time limit ends with 124" vm_timeout
check "vm: an image that does not boot is not a success" vm_does_not_boot
check "vm: QEMU crashes while the machine starts: once more" vm_qemu_crashes 5 1
check "vm: QEMU crashes each time: an error" vm_qemu_crashes 125 2
check "vm: the machine hangs while it starts: once more" vm_hangs
