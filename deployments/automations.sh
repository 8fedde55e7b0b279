#!/bin/sh
# Creates the automations of automations.yaml, which tell whom the config.json of BASE_DIR names:
#
#   sh deployments/automations.sh BASE_DIR [FILE]
#
# Safe to repeat: those of the same names are replaced. Wants PREFECT_API_URL, a server that answers, and this project
# installed where the server runs (make setup does it), for it is the server that sends.
set -eu
base_dir=$(realpath "$1")
file=$(realpath "${2:-$(dirname "$0")/automations.yaml}")
cd "$(dirname "$0")/.."
filled=$(mktemp -d)
trap 'rm -rf "$filled"' EXIT
python -m flows.blocks "$base_dir" --automations "$file" >"$filled/automations.yaml"
prefect automation create --from-file "$filled/automations.yaml"
