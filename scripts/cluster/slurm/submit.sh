#!/usr/bin/env bash
# Queues a cohort: maps on GPUs, their common scaling, drawing on CPUs, and the report.
#
#   scripts/cluster/slurm/submit.sh OUTPUT SHARDS SLIDE... -m MODEL -t CLASS [OPTIONS of maps]
#
# The same line again, also with more slides, does only what is missing. Partitions, accounts and
# limits of your cluster: SBATCH_PARTITION, SBATCH_ACCOUNT and so on, or the lines of stage.sbatch.
set -euo pipefail
output=$1 shards=$2
shift 2
stage=$(dirname -- "${BASH_SOURCE[0]}")/stage.sbatch

queue() { sbatch --parsable --kill-on-invalid-dep=yes "$@" | cut -d ';' -f 1; }

maps=$(queue --job-name=maps --array="1-$shards" --gres=gpu:1 --export="ALL,SHARDS=$shards" \
    "$stage" maps "$@" -o "$output")
fit=$(queue --job-name=fit --dependency="afterok:$maps" "$stage" fit "$output")
draw=$(queue --job-name=draw --array="1-$shards" --export="ALL,SHARDS=$shards" \
    --dependency="afterok:$fit" "$stage" draw "$output")
# After any end: what is drawn is in the report, whatever became of the rest.
queue --job-name=collect --dependency="afterany:$draw" "$stage" collect "$output"
