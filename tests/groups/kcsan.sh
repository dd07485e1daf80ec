# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Data races: the KUnit suites on two processors under KCSAN. A report fails if a function of the
# project is in one of its stacks, those of the suites among them, which is so for nearly all that
# they make videobuf2 and dma-buf do. Others are races of the base kernel; they are listed, and so are
# those of mutexes, which read their owner and their context without a lock, before they take it.

kcsan_configs=()
for part in vm "vm-$ARCH" release-fences kcsan; do
	kcsan_configs+=(--config "$ROOT/scripts/configs/$part.config")
done
kcsan_run=$BUILD/kunit-kcsan
kcsan_names=$TEST_LOGS/functions

kcsan_build()
{
	"$ROOT/scripts/kernel" --name kcsan "${kcsan_configs[@]}" >"$TEST_LOGS/image"
}

# defined_functions FILE...: "static NAME" or "global NAME", for each C function
defined_functions()
{
	awk '
		/^[a-z][a-z0-9_ *]*\(/ {
			name = $0
			sub(/\(.*/, "", name)
			sub(/.*[ *]/, "", name)
			linkage = $1 == "static" ? "static" : "global"
		}
		/^}$/ {
			print linkage, name
			linkage = name = ""
		}' "$@"
}

# kcsan_functions SYSTEM.MAP: of the shim, the exports' objects and the suites, by name; of Rust, by what is
# in the mangled name. What the kernel does not have is an error: after a renaming, races would no longer
# count. Only static functions may be missing, since they may be inlined.
kcsan_functions()
{
	local dir=$ROOT/drivers/media/common/videobuf2 symbols=$TEST_LOGS/symbols linkage name
	awk '{ print $3 }' "$1" | LC_ALL=C sort -u >"$symbols"
	{
		defined_functions "$dir"/videobuf2-{release-fence,plane-resv}.c "$dir"/tests/*.c
		echo 'pattern _R.*(release_fence|dma_buf).*'
		echo 'pattern !(__)?ww_mutex_(un)?lock.*'
		echo 'pattern !(__)?mutex_.*'
	} | while read -r linkage name; do
		[[ $linkage == static ]] || grep -qxE -e "${name#!}" "$symbols" || {
			echo "no function of the kernel: $linkage '$name'" >&2
			return 1
		}
		echo "$name"
	done
}

kcsan_suites()
{
	local image
	image=$(<"$TEST_LOGS/image")
	kcsan_functions "${image%/"$ARCH_IMAGE"}/System.map" >"$kcsan_names"
	"$ROOT/scripts/kunit" --image "$image" --dir "$kcsan_run" --timeout 900 \
		--races-of "$kcsan_names" 'vb2-*'
}

# The one race that a suite makes on purpose, taken for one that is not expected
kcsan_fails()
{
	grep -v 'expected-report-' "$kcsan_run/test.log" >"$TEST_LOGS/unexpected.log"
	expect 1 "$ROOT/scripts/kernel-log-check" --races-of "$kcsan_names" "$TEST_LOGS/unexpected.log"
	has "BUG: KCSAN: data-race in write_unmarked"
}

rm -rf "$kcsan_run"
check "the kernel builds" kcsan_build
check "no data race in what the suites do" kcsan_suites
sed -n '/data races that do not count/,/^kunit: /{/^kunit: /!p}' "$(check_log "no data race in what the suites do")" |
	sed 's/^/         /'
check "a data race in a file of the project is a failure" kcsan_fails
