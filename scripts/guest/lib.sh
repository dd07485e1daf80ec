# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by what runs in the virtual machine: nodes, the emulated hardware, release fences off and on.
# shellcheck shell=bash disable=SC2034

debugfs=/sys/kernel/debug
rkemu=$debugfs/rkemu
trace=/sys/kernel/tracing

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# nodes NAME: the devices of that name; media:MODEL is a media device
nodes()
{
	local file
	for file in /sys/class/video4linux/*/name /sys/bus/media/devices/*/model; do
		case $file in
		*/name) [[ $(<"$file") == "$1" ]] || continue ;;
		*) [[ media:$(<"$file") == "$1" ]] || continue ;;
		esac
		file=${file%/*}
		echo "/dev/${file##*/}"
	done
}

# node NAME: the only device of that name
node()
{
	local found
	found=$(nodes "$1")
	[[ $found && $found != *$'\n'* ]] ||
		die "not one node is called $1, but: ${found:-none of $(cat /sys/class/video4linux/*/name)}"
	echo "$found"
}

# enable_rkemu: the emulated hardware, and its nodes. udevadm's own limit of two minutes is not enough
# on a busy machine.
enable_rkemu()
{
	echo 1 >/sys/module/rkemu/parameters/enable
	udevadm settle --timeout=600
}

# fences on|off [MODULE...]: of the drivers in these modules; without one, of all that have release fences
fences()
{
	local state=$1 value files=() file module
	shift
	case $state in
	on) value=Y ;;
	off) value=N ;;
	*) die "fences $state: neither on nor off" ;;
	esac
	if (($#)); then
		for module; do
			files+=("/sys/module/$module/parameters/"*release_fences)
		done
	else
		files=(/sys/module/*/parameters/*release_fences)
	fi
	for file in "${files[@]}"; do
		[[ -e $file ]] || die "no $file"
		[[ $(<"$file") != "$value" ]] || continue
		echo "$value" >"$file"
		[[ $(<"$file") == "$value" ]] || die "$file: $(<"$file"), and not $value"
		[[ $file != */vivid/* ]] || rebind_vivid
	done
}

# rebind_vivid: it looks at its parameters when it is bound. Its nodes get the same numbers.
rebind_vivid()
{
	echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
	echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
	udevadm settle --timeout=600
}

# traced EVENT...: from now on
traced()
{
	local event
	for event; do
		echo 1 >"$trace/events/$event/enable"
	done
}

# kmemleak WORD: it refuses if it has switched itself off
kmemleak()
{
	echo "$1" >"$debugfs/kmemleak" || die "FAILED: kmemleak does not $1"
}

# kmemleak_suspects: prints what it suspects. Nothing that is younger than 5 s is suspected, nor what the
# first scan sees for the first time.
kmemleak_suspects()
{
	local _
	for _ in 1 2; do
		sleep 6
		kmemleak scan
	done
	cat "$debugfs/kmemleak"
}
