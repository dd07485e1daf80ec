# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The KUnit suites and the doctests. Each case counts; one line per suite, and one per failed case.

kunit_run() { "$ROOT/tools/kunit" --image "$("$ROOT/tools/kernel")"; }

# kunit_results FILE: "suite passed failed" per line, and "- case" for failed ones after it
kunit_results()
{
	/usr/bin/python3 - "$1" <<'END'
import json
import sys

def walk(group, path):
    cases = group.get("test_cases", [])
    if cases:
        bad = [c["name"] for c in cases if c["status"] not in ("PASS", "SKIP")]
        good = sum(c["status"] == "PASS" for c in cases)
        print(path, good, len(bad))
        for name in bad:
            print("-", name)
    for sub in group.get("sub_groups", []):
        walk(sub, f"{path}.{sub['name']}" if path else sub["name"])

with open(sys.argv[1], encoding="utf-8") as file:
    walk(json.load(file), "")
END
}

kunit_count()
{
	local suite good bad
	[[ -s $BUILD/kunit/results.json ]] || return 0
	while read -r suite good bad; do
		if [[ $suite == - ]]; then
			printf 'FAIL kunit: %s\n' "$good"
			continue
		fi
		passed=$((passed + good)) failed=$((failed + bad))
		((!good)) || printf 'ok   kunit: %s: %s cases\n' "$suite" "$good"
		((!bad)) || printf 'FAIL kunit: %s: %s cases:\n' "$suite" "$bad"
	done < <(kunit_results "$BUILD/kunit/results.json")
}

rm -rf "$BUILD/kunit"
check "kunit: all suites end, and the kernel log has no report" kunit_run
kunit_count
