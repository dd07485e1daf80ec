# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The KUnit suites and the doctests. Each case counts, a skipped one as failed; one line per suite, and
# one per failed case.

kunit_run()
{
	local status=0
	"$ROOT/scripts/kunit" --image "$("$ROOT/scripts/kernel")" || status=$?
	cp "$BUILD/kunit/test.log" "$TEST_LOGS/kunit-cases.log"
	return "$status"
}

# kunit_results FILE: "suite passed failed" per line, and "- case" for failed ones after it
kunit_results()
{
	/usr/bin/python3 - "$1" <<'END'
import json
import sys


def cases(group, path=""):
    for case in group.get("test_cases", []):
        yield path + case["name"], case["status"]
    for sub in group.get("sub_groups", []):
        yield from cases(sub, f"{path}{sub['name']}.")


with open(sys.argv[1], encoding="utf-8") as file:
    for suite in json.load(file).get("sub_groups", []):
        results = list(cases(suite))
        # Nothing is missing in the machine that they run in.
        bad = [
            name + " (skipped)" * (status == "SKIP")
            for name, status in results
            if status != "PASS"
        ]
        print(suite["name"], sum(status == "PASS" for _, status in results), len(bad))
        for name in bad:
            print("-", f"{suite['name']}.{name}")
END
}

kunit_count()
{
	local suite good bad
	[[ -s $BUILD/kunit/results.json ]] || return 0
	while read -r suite good bad; do
		if [[ $suite == - ]]; then
			printf 'FAIL %skunit: %s\n' "$PREFIX" "$good${bad:+ $bad}"
			continue
		fi
		passed=$((passed + good)) failed=$((failed + bad))
		((!good)) || printf 'ok   %skunit: %s: %s cases\n' "$PREFIX" "$suite" "$good"
		((!bad)) || printf 'FAIL %skunit: %s: %s cases:\n' "$PREFIX" "$suite" "$bad"
	done < <(kunit_results "$BUILD/kunit/results.json")
}

rm -rf "$BUILD/kunit" "$TEST_LOGS/kunit-cases.log"
check "kunit: all suites end, and the kernel log has no report" kunit_run
kunit_count
