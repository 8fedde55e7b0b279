#!/bin/sh
# Creates the two work pools where they are missing. Wants PREFECT_API_URL and a server that answers.
#   bmac-live      the markets that `python -m flows worker` runs in one process
#   bmac-process   the markets of which each run is a process of its own: `prefect worker start --pool bmac-process`
# The type is given because a pool that `prefect worker start` finds missing would be made without being asked for.
set -eu
for pool in bmac-live bmac-process; do
    prefect work-pool inspect "$pool" >/dev/null 2>&1 || prefect work-pool create "$pool" --type process
done
