# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced after lib.sh and tree-lib.sh by what runs mutants: a mutant is the kernel with
# one change that breaks it, a patch in this directory. A suite has to catch it, and for the reason that
# the patch gives. Its first lines say what it breaks, and these how it is found out:
#
#   Caught-by: EXTENDED-REGEX    each matches a line that a failing test or a kernel report printed
#   Suite: kunit [GLOB]          what is run; repeat it. Without: all of KUnit, then the report
#   Suite: report
#   Suite: selftests PROGRAM [ARGUMENT...]
#   Suite: modules PROGRAM [ARGUMENT...]    a selftest, on a kernel in which media is modules; the only one
#   Run-in: ci                   tests/groups/mutants.sh runs it, too
# shellcheck shell=bash disable=SC2164

# mutant_patches: their files, one per line
mutant_patches()
{
	find "$ROOT/mutants" -name '*.patch' | LC_ALL=C sort
}

# mutant_lines PATCH FIELD: what the lines of that name say
mutant_lines() { sed -n "/^--- /q; s/^$2: //p" "$1"; }

mutant_suites()
{
	local suites
	suites=$(mutant_lines "$1" Suite)
	printf '%s\n' "${suites:-kunit
report}"
}

# mutant_key PATCH: of everything that its result depends on
mutant_key()
{
	{
		cat "$1" "$ROOT"/mutants/lib.sh "$ROOT"/scripts/{kunit,vm,vm-guest,vm-modules,kernel-log-check} "$ROOT"/scripts/configs/*.config
		base_id
		diffs_hash
		links_hash '^(Documentation|tools)/'
		edits_hash
		! mutant_suites "$1" | grep -q -E '^(selftests|modules)' ||
			find "$ROOT/tools/testing/selftests" -name '*.[ch]' -exec cat {} +
		! mutant_suites "$1" | grep -q ^report ||
			find "$ROOT"/crates/{uapi,vb2-fence} "$ROOT"/crates/Cargo.* -type f -exec cat {} +
		"$CLANG" --version | sed -n 1p
		"$RUSTC" --version
	} | sha256sum | cut -c1-32
}

# mutant_try IMAGE OUTPUT SUITE [ARGUMENT...]: ends well if the suite finds nothing wrong
mutant_try()
{
	local image=$1 output=$2 suite=$3 status=0
	shift 3
	case $suite in
	kunit)
		# What dies with its locks held has the next case wait for ever: no case after an oops.
		"$ROOT/scripts/kunit" --image "$image" --dir "$BUILD/kunit-mutant" \
			--append oops=panic --append panic=-1 "$@" >"$output" 2>&1 || status=$?
		((!status)) || cat "$BUILD/kunit-mutant/test.log" >>"$output"
		;;
	report)
		"$ROOT/scripts/build-program"
		"$ROOT/scripts/vm" --image "$image" -- "$CARGO_OUT/vb2-fence" report \
			--json "$BUILD/vm/scratch/mutant.json" >"$output" 2>&1 || status=$?
		;;
	selftests)
		"$ROOT/scripts/vm" --timeout 600 --image "$image" -- \
			"$("$ROOT/scripts/build-selftests")/$1" "${@:2}" >"$output" 2>&1 || status=$?
		((!status)) || cat "$BUILD/vm/console.log" >>"$output"
		;;
	modules)
		RKEMU_ORDER_STRIDE=1 "$ROOT/scripts/vm-modules" "$image" "$@" >"$output" 2>&1 || status=$?
		;;
	*)
		die "Suite: $suite is none of kunit, report, selftests, modules"
		;;
	esac
	return "$status"
}

# mutant_reasons PATCH OUTPUT: whether every reason is in the output, other than in what passed
mutant_reasons()
{
	local pattern
	: >"$2.why"
	# Not piped: the first match would end the pipe, and that would be a failure.
	grep -v -E '\[PASSED\]|^ *ok [0-9]|^\[ *[0-9.]+\] *ok ' "$2" >"$2.failed"
	while IFS= read -r pattern; do
		grep -m 1 -E -e "$pattern" "$2.failed" >>"$2.why" || return 1
	done < <(mutant_lines "$1" Caught-by)
}

# mutant_natively PATCH OUTPUT: whether its suites, all of them KUnit's, catch it on User Mode Linux, which
# takes a fraction of the time. That has one processor and no debugging options: the reasons of some
# cannot show there.
mutant_natively()
{
	local image suite=() reports='KASAN|lock|WARNING|possible|kernel BUG'
	if mutant_suites "$1" | grep -q -v ^kunit || mutant_lines "$1" Caught-by | grep -q -E "$reports"; then
		return 1
	fi
	image=$(ARCH=um "$ROOT/scripts/kernel" --patch "$1") || return 1
	while read -r -u 3 -a suite; do
		! ARCH=um "$ROOT/scripts/kunit" --image "$image" --dir "$BUILD/kunit-mutant" --timeout 120 \
			"${suite[@]:1}" >"$2" 2>&1 || continue
		cat "$BUILD/kunit-mutant/test.log" >>"$2"
		if mutant_reasons "$1" "$2"; then
			echo "${suite[*]}, natively" >"$2.by"
			return
		fi
	done 3< <(mutant_suites "$1")
	return 1
}

# mutant_run PATCH OUTPUT: builds it and runs its suites up to the one that catches it. The
# suite's name is left in OUTPUT.by, and what it said in OUTPUT.why.
mutant_run()
{
	local patch=$1 output=$2 image suite=() caught=0
	rm -f "$output" "$output".*
	[[ -n $(mutant_lines "$patch" Caught-by) ]] || {
		echo "$patch has no Caught-by line"
		return 1
	}
	if mutant_natively "$patch" "$output"; then
		return
	fi
	if [[ $(mutant_suites "$patch") == modules* ]]; then
		local configs=() part
		for part in vm "vm-$ARCH" debug release-fences modules; do
			configs+=(--config "$ROOT/scripts/configs/$part.config")
		done
		image=$("$ROOT/scripts/kernel" --name modules "${configs[@]}" --patch "$patch")
	else
		image=$("$ROOT/scripts/kernel" --patch "$patch")
	fi
	while read -r -u 3 -a suite; do
		! mutant_try "$image" "$output" "${suite[@]}" || continue
		caught=1
		if mutant_reasons "$patch" "$output"; then
			echo "${suite[*]}" >"$output.by"
			return
		fi
	done 3< <(mutant_suites "$patch")
	tail -n 30 "$output"
	if ((caught)); then
		echo "caught, but not for its reason: $(mutant_lines "$patch" Caught-by)"
	else
		echo "no test failed"
	fi
	return 1
}

# mutant_is_caught PATCH: as a check of tests/run
mutant_is_caught() { mutant_run "$1" "$TEST_LOGS/mutants-$(basename "$1" .patch).txt"; }
