# SPDX-License-Identifier: GPL-2.0-only
#
# Each target runs one script. KDIR, RUSTC, LLVM, ARCH and FIXES can be given, in the environment or as
# arguments.

export KDIR RUSTC LLVM ARCH FIXES

.PHONY: help setup tree refresh kernel image vm kunit run mutants bench board deb test test-long clean

help:
	@echo 'make run           what a consumer sees without release fences and with them; set-up included'
	@echo 'make test          the test suite; set-up included'
	@echo 'make test-long     the same, the long forms, arm64, and third-party programs'
	@echo
	@echo 'make setup         install the packages and tools that are missing'
	@echo 'make tree          unpack Linux 6.12 into build/linux, apply patches/series, link the overlay into it'
	@echo 'make refresh       write the commits of build/linux back to patches/'
	@echo 'make kernel        build the kernel of the virtual machine; make -s image prints its path'
	@echo "make vm CMD='...'  run a command in the virtual machine"
	@echo 'make kunit         run the KUnit suites and doctests [FILTER=suite.case]'
	@echo 'make mutants       build deliberately broken kernels: a suite must catch each [MUTANTS=name]'
	@echo 'make bench         what release fences cost [BENCH=quick: instructions only]: docs/bench.md'
	@echo 'make board         build the kernel for boards with the RK3566 (PineTab2) into build/board/'
	@echo 'make deb           Debian packages in build/deb/: vb2-fence; with ARCH=arm64 also the kernel for boards'
	@echo 'make clean         remove build/; the cache is ~/.cache/vb2-release-fences'
	@echo
	@echo 'KDIR=/path/to/linux-6.12.y, RUSTC=, LLVM=, ARCH=x86_64|arm64|um can be given. FIXES=0 leaves out'
	@echo 'patches/fixes/, in a tree of its own, build/linux-feature.'
	@echo 'tests/run GROUP runs one group of the tests: see docs/testing.md.'

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

bench: setup
	@scripts/bench $(BENCH)

board:
	@ARCH=arm64 scripts/setup
	@scripts/build-rk3566

deb:
	@ARCH=$(ARCH:amd64=x86_64) scripts/setup --deb
	@scripts/deb

test: setup
	@tests/run

test-long: setup
	@tests/run --long

clean:
	rm -rf build
