#!/bin/sh
# Continuous integration of geodata without a CI system's features: makes what is stale, checks
# everything that is published, and leaves reports. Call it from any CI, cron or a Makefile.
#
#   GEO_ASSETS_SOURCE, GEO_ASSETS_ROOT   where data comes from and goes to
#   GEO_ASSETS=geo-assets                the command
#   REPORTS=reports                      where reports are written
#   SELECTION                            Dagster's selection syntax; empty for everything
#
# Exit code: 0 all checks passed, 1 one failed or something could not be made,
#            2 something could not be tried at all.
set -u

geo_assets=${GEO_ASSETS:-geo-assets}
reports=${REPORTS:-reports}
mkdir -p "$reports"

made=0
"$geo_assets" run ${SELECTION:+"$SELECTION"} || made=$?
# A partition that failed must not hide what the checks find in the others.
[ "$made" -le 1 ] || exit "$made"

checked=0
"$geo_assets" check ${SELECTION:+"$SELECTION"} \
    --junit "$reports/junit.xml" --json "$reports/checks.json" || checked=$?

[ "$checked" -ne 0 ] && exit "$checked"
exit "$made"
