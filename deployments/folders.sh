#!/bin/sh
# Makes the base directories of prefect.yaml from the example configurations; a config.json that exists is kept.
set -eu
cd "$(dirname "$0")/.."
for example in deployments/configs/*/config.json; do
    market=$(basename "$(dirname "$example")")
    mkdir -p "data/$market"
    test -e "data/$market/config.json" || cp "$example" "data/$market/config.json"
done
