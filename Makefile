# SPDX-License-Identifier: GPL-2.0-only
#
# The front door. Every target is a script; what others rely on are the targets' names.
# KDIR, RUSTC, LLVM and ARCH may be given, in the environment or as arguments.

export KDIR RUSTC LLVM ARCH

.PHONY: help setup tree refresh kernel image vm kunit run mutants board test test-long clean

help:
	@echo 'make run       from a bare machine to the report of the main job, set-up included'
	@echo 'make test      from a bare machine through the whole test suite, set-up included'
	@echo 'make test-long  the same and what takes longer: arm64, the kernel for boards, other programs'
	@echo 'make setup     install the packages and tools that are missing'
	@echo 'make tree      unpack Linux 6.12 into build/, apply patches/, link the files of the project in'
	@echo 'make refresh   write the commits of that tree back to patches/'
	@echo 'make kernel    build the image of the virtual machine; make -s image prints its path'
	@echo "make vm CMD='...'  run a command in the virtual machine; scripts/vm passes its exit status on"
	@echo 'make kunit     run the KUnit suites and doctests [FILTER=suite.case]'
	@echo 'make mutants   break the kernel on purpose, a patch at a time: a suite must catch each [MUTANTS=name]'
	@echo 'make board     build the kernel for boards with the RK3566 (PineTab2) into build/board/'
	@echo 'make clean     remove build/; the cache is in ~/.cache/vb2-release-fences'
	@echo
	@echo 'KDIR=/path/to/a/6.12.y/tree, RUSTC=, LLVM=, ARCH=x86_64|arm64|um can be given.'

setup:
	@scripts/setup

tree: setup
	@scripts/tree

refresh:
	@scripts/refresh

kernel: setup
	@scripts/kernel >/dev/null

image: setup
	@scripts/kernel

vm: setup
	@test -n "$(CMD)" || { echo "make vm: give CMD='command'" >&2; exit 1; }
	@scripts/vm -- sh -c '$(subst ','\'',$(CMD))'

kunit: setup
	@scripts/kunit $(if $(FILTER),'$(FILTER)')

run: setup
	@scripts/run

mutants: setup
	@mutants/run $(MUTANTS)

board:
	@ARCH=arm64 scripts/setup
	@scripts/build-rk3566

test: setup
	@tests/run

test-long: setup
	@tests/run --long

clean:
	rm -rf build
