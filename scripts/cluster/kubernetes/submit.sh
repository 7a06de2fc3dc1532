#!/usr/bin/env bash
# Runs the four stages, one after another: a job of Kubernetes cannot wait for another job.
#
#   scripts/cluster/kubernetes/submit.sh
#
# Run it again after a stop, or with more slides in the table: only what is missing is done. Shards
# with failed slides count as failed indexes; the next stage goes on with the others.
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")"
for stage in maps fit draw collect; do
    kubectl delete --ignore-not-found "job/heatmaps-$stage"
    kubectl apply --filename "$stage.yaml"
    until ended=$(kubectl get "job/heatmaps-$stage" --output 'jsonpath={.status.conditions[*].type}') \
        && grep --extended-regexp --only-matching 'Complete|Failed' <<< "$ended"; do
        sleep "${POLL_S:-15}"
    done
done
