# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# v4l2-compliance on every node that no other group asks: with streaming, and the media devices. Their
# drivers have no release fences, and so nothing that could be off; no verdict may differ from those of
# the unpatched kernel, which tests/expected/nodes holds. It was recorded with all of the series' C taken back,
# but rkemu, which is hardware:
#
#   git -C build/linux diff HEAD "$(cat build/linux/.git/vb2/base)" -- drivers include \
#       ':!drivers/media/test-drivers/'{Kconfig,Makefile} >build/unpatched.patch
#   NODES_UNPATCHED=$(scripts/kernel --patch build/unpatched.patch) tests/run nodes
#   cp build/logs/test/nodes/verdicts.txt tests/expected/nodes

NODES=(vivid-000-{vbi,touch,sdr}-cap vivid-000-vbi-out vivid-000-rad-{rx,tx})
NODES+=(stateful-encoder stateful-decoder stateless-decoder)
NODES+=(media:{vivid,vicodec,vim2m,visl,hantro-vpu})
# Those of the groups compliance, clients and thirdparty
NODES_ELSEWHERE=(vim2m visl vivid-000-{vid,meta}-{cap,out} rockchip-rga "rockchip,rk3568-vpu-dec")

nodes_all()
{
	local nodes
	# Not by expect, which takes what scripts/vm says for nodes: in a new clone it has to try KVM.
	nodes=$("$ROOT/scripts/vm" --image "$NODES_IMAGE" -- "$TESTS/guest/compliance" / --list) || return
	diff <(printf '%s\n' "${NODES[@]}" "${NODES_ELSEWHERE[@]}" | sort) <(sort <<<"$nodes")
}

nodes_compliance()
{
	# One test takes more buffers of vivid-000-vbi-cap than 2 GiB have room for.
	"$ROOT/scripts/vm" --timeout 7200 --qemu -m --qemu 6G --image "$NODES_IMAGE" -- "$TESTS/guest/compliance" \
		"$("$ROOT/scripts/debian-rootfs")" --short "${NODES[@]}" >"$TEST_LOGS/verdicts.txt"
	grep Total "$TEST_LOGS/verdicts.txt"
	diff "$TESTS/expected/nodes" "$TEST_LOGS/verdicts.txt"
}

NODES_IMAGE=${NODES_UNPATCHED:-$("$ROOT/scripts/kernel")}
check "no node is forgotten" nodes_all
check "v4l2-compliance -s 10 as on the unpatched kernel" nodes_compliance
