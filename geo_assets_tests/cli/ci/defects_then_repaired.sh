#!/bin/sh
# What happens in CI when a delivery has defects, from the first red run to the green one:
#
#   1. as delivered: examples/ci/check.sh ends with 1, and JUnit names what was planted
#   2. the declaration repairs: gaps, overlaps and bow-ties are gone; districts that were delivered
#      twice are not, so it is 1 again
#   3. they are taken out of the delivery: 0
#
# In an empty folder, with geo-assets and python on the path: defects_then_repaired.sh REPOSITORY
set -eu

repository=$1
here=$(dirname "$0")

export GEO_ASSETS_SOURCE="$PWD/source" GEO_ASSETS_ROOT="$PWD/store"
export GEO_ASSETS_SCRATCH="$PWD/scratch" DAGSTER_HOME="$PWD/home"
export GEO_ASSETS_DEFINITIONS="$here/definitions.py"

expect() {
    code=$1
    stage=$2
    got=0
    echo "== $stage: expects exit code $code"
    REPORTS="reports/$stage" "$repository/examples/ci/check.sh" || got=$?
    [ "$got" -eq "$code" ] || { echo "$stage ended with $got, not with $code" >&2; exit 1; }
}

# names of the failed checks in a report, sorted, in one line
failed() {
    python - "reports/$1/junit.xml" <<'PYTHON'
import sys
from xml.etree import ElementTree
cases = ElementTree.parse(sys.argv[1]).getroot().iter("testcase")
print(*sorted(f"{case.get('classname')}:{case.get('name')}" for case in cases if len(case)))
PYTHON
}

same() {
    [ "$1" = "$2" ] || { printf 'got      %s\nexpected %s\n' "$1" "$2" >&2; exit 1; }
}

mkdir -p home
printf 'telemetry:\n  enabled: false\n' > home/dagster.yaml

expect 1 delivered
same "$(failed delivered)" "core/districts:geometry out/topology_report:duplicates \
out/topology_report:gaps out/topology_report:overlaps out/topology_report:shapes"

export REPAIRED=1
expect 1 repaired
same "$(failed repaired)" "out/topology_report:duplicates"

python "$here/without_duplicates.py" "$GEO_ASSETS_SOURCE"
expect 0 corrected
same "$(failed corrected)" ""
