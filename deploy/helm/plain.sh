#!/usr/bin/env bash
# Prints what the chart makes, with {{marks}} where `tributary kubernetes render` puts a run's own values:
#     deploy/helm/plain.sh > deploy/src/kubernetes/plain.yaml
# HELM names the program helm.
set -euo pipefail
cd "$(dirname "$0")"

"${HELM:-helm}" template name-mark tributary --namespace namespace-mark \
  --set runFile=run-file-mark,dataFiles.data-mark=data-mark \
  --set learner.image=learner-image-mark,actor.image=actor-image-mark \
  --set learner.arguments[0]=--set=mark,actor.replicas=100003,learner.storage.size=100003Gi |
  sed -E \
    -e '/^# Source: /d' \
    -e 's/(managed-by:) Helm/\1 tributary/' \
    -e 's/(tributary\/run-file:) "?[0-9a-f]{32}"?/\1 "{{run_file_hash}}"/' \
    -e 's/replicas: 100003/replicas: {{actors}}/' \
    -e 's/storage: 100003Gi/storage: {{storage}}/' \
    -e 's/^ *- --set=mark$/{{overrides}}/' \
    -e 's/^ *run-file-mark$/{{run_file}}/' \
    -e '/^  data-mark: \|2-$/d' -e 's/^ *data-mark$/{{data_files}}/' \
    -e 's/name-mark/{{name}}/g' -e 's/namespace-mark/{{namespace}}/g' -e 's/namespace: name\{\{/namespace: {{/' \
    -e 's/(learner|actor)-image-mark/{{\1_image}}/'
