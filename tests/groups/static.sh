# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# What needs no running kernel: style, lints, warnings, documentation, licences.

# touched: files of the kernel that the patches (or edits in the tree) change
touched() { tgit -C "$TREE" diff --name-only --diff-filter=M "$(state base)" --; }
# ours SUFFIX...: new files, with one of these endings
ours()
{
	local IFS='|'
	grep -E "\.($*)\$" "$STATE/links" || [[ $? == 1 ]]
}

# checkpatch ARGUMENT...: without git it does not run spdxcheck.py, which needs more packages
checkpatch()
{
	cd "$TREE"
	GIT_DIR=/nonexistent perl scripts/checkpatch.pl --strict --no-summary --terse "$@"
}

style_patches()
{
	local files upstream
	mapfile -t files < <(patch_files | grep -v '/fixes/upstream/')
	mapfile -t upstream < <(patch_files | grep '/fixes/upstream/')
	((${#files[@]} && ${#upstream[@]})) || { echo "no patches"; return 1; }
	# The tree has none of the kernel's commits, so it does not know those that a patch mends. A commit
	# that could not be looked up is not named: a bug may be for stable kernels without a Fixes: tag.
	# What prints the argument of an ioctl goes on with the line that names the ioctl.
	checkpatch --ignore UNKNOWN_COMMIT_ID,MISSING_FIXES_TAG,LOGGING_CONTINUATION "${files[@]}" || return
	# They begin as in stable kernels: commit ... upstream.
	checkpatch --ignore UNKNOWN_COMMIT_ID,GIT_COMMIT_ID "${upstream[@]}"
}

style_files()
{
	local files
	mapfile -t files < <(ours c h rs rst)
	((${#files[@]})) || { echo "no new files"; return 1; }
	local trace=() other=() file
	for file in "${files[@]}"; do
		if [[ $file == include/trace/* ]]; then trace+=("$file"); else other+=("$file"); fi
	done
	checkpatch -f "${other[@]}"
	# A trace event is laid out as all of the kernel's are, which checkpatch takes for calls.
	checkpatch --ignore OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT -f "${trace[@]}"
}

style_rust()
{
	local file bad=0
	cd "$TREE"
	while IFS= read -r file; do
		# With --check it ends well whatever standard input is like. Both read the file, and none writes it.
		# shellcheck disable=SC2094
		"$RUST_BIN/rustfmt" --edition 2021 --config-path .rustfmt.toml <"$file" |
			diff -u --label "$file" --label formatted "$file" - || bad=1
	done < <(ours rs; touched | grep '\.rs$' || [[ $? == 1 ]])
	return "$bad"
}

style_program()
{
	cd "$ROOT/crates"
	env -u RUSTC cargo fmt --all --check
}

# in_workspace COMMAND [ARGUMENT...]: of cargo, for all crates
in_workspace()
{
	env -u RUSTC cargo "$1" --workspace --profile "$PROGRAMS_PROFILE" --quiet --locked \
		--manifest-path "$ROOT/crates/Cargo.toml" --target-dir "$BUILD/cargo" "${@:2}"
}

lint_program()
{
	lock "$BUILD/cargo.lock" "build of the programs"
	seed_cargo "$PROGRAMS_PROFILE"
	in_workspace clippy --all-targets -- -D warnings
	in_workspace test
	keep_cargo "$PROGRAMS_PROFILE" tests
}

# The tests of vb2-fence's command line, by name. lint_program built them, as long as the same packages
# are selected: others have other features of the crates that they share.
command_line() { in_workspace test --test command_line -- "$@"; }

command_line_checks()
{
	local name names
	command_line --list --format terse >"$TEST_LOGS/command-line-tests"
	mapfile -t names < <(sed -n 's/: test$//p' "$TEST_LOGS/command-line-tests")
	check "vb2-fence: it has tests of its command line" test "${#names[@]}" -gt 0
	for name in "${names[@]}"; do
		check "vb2-fence: ${name//_/ }" command_line --exact "$name"
	done
}

lint_scripts()
{
	cd "$ROOT"
	git ls-files --cached --others --exclude-standard --deduplicate -- scripts tests mutants .ci |
		while IFS= read -r file; do
			[[ ! -f $file ]] || ! head -n 3 "$file" | grep -q -E '^#!.*bash|shellcheck shell=bash' ||
				printf '%s\0' "$file"
		done | xargs -0 shellcheck -x
}

# What is Python by its first line or its name
lint_python()
{
	cd "$ROOT"
	git ls-files --cached --others --exclude-standard --deduplicate -- scripts tests mutants .ci |
		while IFS= read -r file; do
			[[ ! -f $file ]] || [[ $file != *.py ]] && ! head -n 1 "$file" | grep -q '^#!.*python' ||
				printf '%s\0' "$file"
		done | xargs -0 "$VENV/bin/python" -m pyflakes
}

# Every file names its licence in its first two lines, in the form that the kernel asks for.
licences()
{
	local file bad=0 texts
	cd "$ROOT"
	texts=$(find LICENSES -type f)
	while IFS= read -r file; do
		case $file in
		LICENSES/* | patches/* | *.patch | */Cargo.lock | *.json | *.md5 | tests/expected/*) continue ;;
		# What vb2-fence drew
		*.png | *.svg) continue ;;
		esac
		[[ -s $file ]] || continue
		head -n 2 "$file" | grep -q -E 'SPDX-License-Identifier: \(?GPL-2\.0' || {
			echo "no SPDX line: $file"
			bad=1
		}
		! head -n 2 "$file" | grep -q 'WITH Linux-syscall-note' || [[ $texts == *syscall-note* ]] || {
			echo "$file: its exception is not in LICENSES"
			bad=1
		}
	done < <(git ls-files --cached --others --exclude-standard --deduplicate)
	return "$bad"
}

# documentation: what kernel-doc says of a touched file and did not say before the patches
documentation()
{
	local file dir bad=0
	dir=$(mktemp -d)
	cd "$TREE"
	while IFS= read -r file; do
		mkdir -p "$dir/$(dirname "$file")"
		tgit show "$(state base):$file" >"$dir/$file"
		comm -13 <(kernel_doc "$dir" "$file") <(kernel_doc "$TREE" "$file")
	done < <(touched | grep '\.[ch]$') >"$dir/new"
	while IFS= read -r file; do
		kernel_doc "$TREE" "$file"
	done < <(ours c h) >>"$dir/new"
	cat "$dir/new"
	[[ ! -s $dir/new ]] || bad=1
	rm -rf "$dir"
	return "$bad"
}

kernel_doc()
{
	(cd "$1" && perl "$TREE/scripts/kernel-doc" -none -Wall "$2" 2>&1 | sed 's/:[0-9]*:/:/' | sort) ||
		[[ $? == 1 ]]
}

# documented_paths: every file of the repository that README.md and docs/ name, every target of a link, and
# every group of tests
documented_paths()
{
	local file word bad=0
	cd "$ROOT"
	for file in README.md CONTRIBUTING.md docs/*.md Documentation/*/media/*.rst; do
		while IFS= read -r word; do
			compgen -G "$word" >/dev/null || {
				echo "$file: there is no $word"
				bad=1
			}
		done < <(
			grep -oP '(?<![\w/.<>-])(scripts|tests|docs|crates|mutants|patches|drivers|rust|include|samples|tools|Documentation)/[\w./*-]*\w' "$file" |
				grep -v '^crates/target/'
			grep -oP '\]\(\K[^):]+(?=\))' "$file" | sed "s,^,$(dirname "$file")/,"
			sed -n 's,.*tests/run \([a-z0-9]\+\).*,tests/groups/\1.sh,p' "$file"
		)
	done
	return "$bad"
}

# readme_by_hand: what README.md has a user type makes the files of build/linux. From tracked files only:
# what was built in the clone is no part of the overlay.
readme_by_hand()
{
	local dir commands files
	dir=$(mktemp -d)
	mkdir "$dir"/{repo,tree,expected}
	cd "$ROOT"
	linked_files | tar -c -T - patches | tar -x -C "$dir/repo"
	mapfile -t files < <(tgit -C "$TREE" diff --name-only "$(state base)" "$(state applied)")
	tgit -C "$TREE" archive "$(state base)" "${files[@]}" | tar -x -C "$dir/tree"
	tgit -C "$TREE" archive "$(state applied)" "${files[@]}" | tar -x -C "$dir/expected"
	linked_files | tar -c -T - | tar -x -C "$dir/expected"
	tgit init -q "$dir/tree"
	tgit -C "$dir/tree" add -f -A
	commands=$(sed -n '/^## On your own kernel/,/^## /s/^    \(sed \|cp \)/\1/p' README.md)
	[[ $(wc -l <<<"$commands") == 2 ]]
	cd "$dir/tree"
	export GIT_AUTHOR_NAME=Test GIT_AUTHOR_EMAIL=test@localhost
	tgit commit -q -m base
	REPO=$dir/repo GIT_COMMITTER_NAME=Test GIT_COMMITTER_EMAIL=test@localhost \
		bash -e -o pipefail -c "$commands"
	diff -r --exclude=.git "$dir/expected" .
	rm -rf "$dir"
}

# compile_checked FLAG...: the kernel crate and every touched or new object, into check.log
compile_checked()
{
	local targets file
	local obj=obj-check
	mapfile -t targets < <({
		touched
		ours c
		# Not the other modules of a crate: make knows the first one of each.
		ours rs | while IFS= read -r file; do
			[[ ! -f $TREE/${file%/*}/Makefile ]] ||
				! grep -qw "$(basename "$file" .rs)\.o" "$TREE/${file%/*}/Makefile" || echo "$file"
		done
	} | sed -n -E 's,^(drivers/.*)\.(c|rs)$,\1.o,p' | sort -u)
	mkdir -p "$LOGS"
	# They imply "prepare". Beside it, make would make each of them alone, after all of "prepare" again.
	kmake "$TREE" "$obj" -j"$(nproc)" "$@" "${targets[@]}"
}

# complaints LOG: lines of a compiler or checker about our files, but for those that warnings.base
# has a reason for; a line there that nothing says any more is a complaint, too
complaints()
{
	local known=$ROOT/tests/expected/warnings file text status=0
	{
		touched
		cat "$STATE/links"
	} | sed 's/[.[\*^$]/\\&/g' | awk '{ print "(^|--> )(\\.\\./)*" $0 ":[0-9]+" }' >"$1.patterns"
	# The helpers of Rust have no prototypes, on purpose: the kernel builds them with
	# -Wno-missing-prototypes, and bindgen reads the definitions.
	grep -E -f "$1.patterns" "$1" |
		grep -v -E '^(\.\./)*rust/helpers/.*was not declared' >"$1.found" || [[ $? == 1 ]]
	while IFS=$'\t' read -r file text _; do
		if ! awk -v file="$file:" -v text="$text" '
			index($0, file) && substr($0, length($0) - length(text) + 1) == text { n++; next }
			{ print }
			END { exit !n }' "$1.found" >"$1.left"; then
			echo "$known: nothing says any more: $file: $text"
			status=1
		fi
		mv "$1.left" "$1.found"
	done < <(grep -v '^#' "$known")
	sort -u "$1.found"
	[[ ! -s $1.found ]] || status=1
	return "$status"
}

compile_check()
{
	local log=$TEST_LOGS/compile-$1.txt
	shift
	"$ROOT/scripts/kernel" --name check --from vm "${check_configs[@]}" --configure
	compile_checked "$@" >"$log" 2>&1 || {
		show_errors "$log"
		return 1
	}
	complaints "$log"
}

check_configs=()
for part in vm "vm-$ARCH" debug release-fences check; do
	check_configs+=(--config "$ROOT/scripts/configs/$part.config")
done

check "checkpatch --strict on the patches" style_patches
check "checkpatch --strict on the new files" style_files
check "rustfmt" style_rust
check "the programs' rustfmt" style_program
check "the programs' clippy and unit tests" lint_program
command_line_checks
check "shellcheck" lint_scripts
check "pyflakes" lint_python
host_tests results
host_tests summary
host_tests compare_verdicts
host_tests promises
check "SPDX lines and licence texts" licences
check "kernel-doc" documentation
check "the documents name files that exist" documented_paths
check "the commands of README.md make the files of make tree" readme_by_hand
static_key=$(key static "$(cat "$ROOT"/scripts/configs/*.config "$ROOT/tests/expected/warnings")")
check_once "clippy, W=1 and sparse" "$static_key-w" compile_check clippy CLIPPY=1 W=1 C=2
