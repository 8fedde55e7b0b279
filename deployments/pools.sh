#!/bin/sh
# Creates the two work pools where they are missing. Wants PREFECT_API_URL and a server that answers.
#   bmac-live      the markets that `python -m flows worker` runs in one process
#   bmac-process   the markets of which each run is a process of its own: `prefect worker start --pool bmac-process`
set -eu
for pool in bmac-live bmac-process; do
    prefect work-pool create "$pool" --type process >/dev/null 2>&1 || prefect work-pool inspect "$pool" >/dev/null
    echo "$pool is there"
done
