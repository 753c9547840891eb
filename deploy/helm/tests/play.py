"""Runs what `tributary kubernetes render` prints with `podman kube play`: real Pods, no Kubernetes.

    play.py PODMAN NETWORK_NAMESPACE TRIBUTARY

PODMAN has a network "tributary" in that namespace, whose names are looked up. Podman knows Pods and Deployments; of the
learner's StatefulSet the Pod is run, under the Service's name. Volumes that Kubernetes would bring (the claim, the
Secrets, the ConfigMap) are folders of this machine, and probes are asked from that namespace, since podman would
need a shell in the image for them. Everything else is as rendered: programs, arguments, users, capabilities, a root
that is read-only.
"""

import copy
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import yaml

ROOT = pathlib.Path(__file__).parents[3]
USER = 65532
VERSION = "test"
RUN_FILE = """
[run]
name = "grid"
[environment]
kind = "hypergrid"
dimensions = 4
side = 8
[reward]
kind = "original"
durable = true
# Two actors bring at most 400 a second, whatever the machine.
delay = "5ms"
[learner]
generated = 6_000
batch = 16
checkpoint_every = "5s"
[policy]
hidden = [32]
[evaluation]
every = "2s"
"""


def wait(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


class Cluster:
    def __init__(self, podman, namespace, tributary, folder):
        self.podman, self.namespace, self.tributary, self.folder = podman, namespace, tributary, folder
        self.run_dir = folder / "claim/run"

    def pm(self, *arguments, check=True):
        done = subprocess.run([self.podman, *arguments], capture_output=True, text=True, cwd=self.folder)
        if check and done.returncode:
            raise AssertionError(f"podman {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout

    def prepare(self):
        run = lambda *command: subprocess.run([self.tributary, *command], capture_output=True, text=True, check=True).stdout
        (self.folder / "run.toml").write_text(RUN_FILE)
        run("certs", self.folder / "certs", "--host", "grid-learner")
        text = run(
            "kubernetes", "render", self.folder / "run.toml", "--actors", "2",
            "--learner-image", f"localhost/tributary-learner:{VERSION}", "--actor-image", f"localhost/tributary-actor:{VERSION}",
        )
        objects = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text) if o}
        (self.folder / "run-file").mkdir()
        (self.folder / "run-file/run.toml").write_text(objects["ConfigMap", "grid-run-file"]["data"]["run.toml"])
        (self.folder / "claim").mkdir()
        for path in (self.folder / "claim", self.folder / "certs"):
            for each in [path, *path.rglob("*")]:
                os.chown(each, USER, USER)
        folders = {"run-file": "run-file", "run": "claim", "grid-learner": "certs/learner", "grid-actor": "certs/actor-1"}
        self.learner = self.play(self.pod(objects["StatefulSet", "grid-learner"]), folders)
        self.actors = self.play(copy.deepcopy(objects["Deployment", "grid-actor"]), folders)

    def pod(self, stateful):
        """The learner's Pod, with the claim as a volume."""
        template = copy.deepcopy(stateful["spec"]["template"])
        for claim in stateful["spec"]["volumeClaimTemplates"]:
            template["spec"]["volumes"].append({"name": claim["metadata"]["name"], "persistentVolumeClaim": {}})
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": stateful["spec"]["serviceName"]}, "spec": template["spec"]}

    def play(self, thing, folders):
        """Writes it for podman."""
        spec = thing["spec"]["template"]["spec"] if thing["kind"] == "Deployment" else thing["spec"]
        spec["restartPolicy"] = "Never" if thing["kind"] == "Pod" else "Always"
        for volume in spec["volumes"]:
            if "emptyDir" in volume:
                # As Kubernetes would by fsGroup.
                path = self.folder / f"{thing['kind']}-{volume['name']}"
                path.mkdir(mode=0o777)
                path.chmod(0o777)
            else:
                secret = volume.get("secret", {}).get("secretName")
                path = self.folder / folders[secret or volume["name"]]
            name = volume["name"]
            volume.clear()
            volume.update({"name": name, "hostPath": {"path": str(path), "type": "Directory"}})
        for container in spec["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                container.pop(probe, None)
            # No kubelet fills it in.
            container["args"] = [a.replace("$(POD_NAME)", "actor") for a in container["args"]]
            container["env"] = [e for e in container.get("env", []) if "valueFrom" not in e]
            container["resources"].pop("requests", None)
        path = self.folder / f"{thing['kind']}.yaml"
        path.write_text(yaml.safe_dump(thing))
        return path

    def start(self, path):
        self.pm("kube", "play", "--network", "tributary", str(path))

    def containers(self):
        return json.loads(self.pm("ps", "-a", "--format", "json"))

    def of(self, part):
        return [c for c in self.containers() if part in c["Names"][0] and not c["IsInfra"]]

    def start_again(self):
        """The learner's Pod, whose only container has ended: podman stops the rest of it by itself, a moment later."""
        state = lambda: json.loads(self.pm("pod", "inspect", "grid-learner"))["State"]
        wait("the learner's Pod has ended", 60, lambda: state() == "Exited")
        self.pm("pod", "start", "grid-learner")

    def probe(self, page):
        """The status code of a page on the probes' port, asked for within the network."""
        address = self.pm("inspect", self.of("learner")[0]["Id"], "--format", "{{.Pod}}").strip()
        infra = json.loads(self.pm("pod", "inspect", address))["InfraContainerID"]
        ip = json.loads(self.pm("inspect", infra))[0]["NetworkSettings"]["Networks"]["tributary"]["IPAddress"]
        script = (
            "import urllib.request, urllib.error\n"
            f"try: print(urllib.request.urlopen('http://{ip}:4102/{page}', timeout=5).status)\n"
            "except urllib.error.HTTPError as error: print(error.code)\n"
            "except OSError as error: print(error)\n"
        )
        command = ["nsenter", f"--net={self.namespace}", "python3", "-c", script]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    def figures(self):
        lines = (self.run_dir / "metrics.jsonl").read_text().splitlines() if (self.run_dir / "metrics.jsonl").exists() else []
        return json.loads(lines[-1]) if lines else {}

    def generated(self):
        return self.figures().get("generated", 0)

    def logs(self):
        for container in self.containers():
            print("---", container["Names"][0], container["State"], container.get("ExitCode"))
            print(subprocess.run([self.podman, "logs", "--tail", "15", container["Id"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout)


def main(podman, namespace, tributary):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tributary-play-"))
    cluster = Cluster(podman, namespace, tributary, folder)
    cluster.prepare()
    try:
        cluster.start(cluster.actors)
        cluster.start(cluster.learner)
        wait("the learner lives", 60, lambda: cluster.probe("healthz") == "200")
        wait("trajectories come", 60, lambda: cluster.generated() > 500)
        assert cluster.probe("readyz") == "200", "a learner with actors is ready"
        assert cluster.probe("metrics") == "404", "nothing but probes"
        print("two actors of a Deployment train a learner")

        before = cluster.generated()
        learner = cluster.of("learner")[0]["Names"][0]
        cluster.pm("kill", "-s", "KILL", learner)
        cluster.start_again()
        wait("the learner goes on from its volume", 60, lambda: cluster.generated() > before + 500)
        print("a learner that was killed goes on, and its actors with it")

        actor = cluster.of("actor")[0]["Names"][0]
        began = time.monotonic()
        cluster.pm("stop", "-t", "30", actor)
        took = time.monotonic() - began
        code = json.loads(cluster.pm("inspect", actor))[0]["State"]["ExitCode"]
        assert code == 0, f"an actor's drain: exit code {code} after {took:.1f} s"
        print(f"an actor drains on SIGTERM in {took:.1f} s")

        wait("the run reaches its goal", 180, lambda: (cluster.run_dir / "summary.json").exists())
        wait("the learner stays, without a run", 30, lambda: cluster.probe("readyz") == "503")
        assert cluster.probe("healthz") == "200"
        # The actor that was stopped ended its Pod.
        states = {c["Names"][0]: c["State"] for c in cluster.of("learner") + cluster.of("actor")}
        assert sorted(states.values()) == ["exited", "running", "running"], states
        cluster.pm("stop", "-t", "20", learner)
        cluster.start_again()
        wait("a learner that starts after the end stays, too", 60, lambda: cluster.probe("healthz") == "200" and cluster.probe("readyz") == "503")
        cluster.pm("stop", "-t", "20", learner)
        code = json.loads(cluster.pm("inspect", learner))[0]["State"]["ExitCode"]
        assert code == 0, f"the learner's exit code after its run is {code}"
        summary = json.loads((cluster.run_dir / "summary.json").read_text())
        assert not summary["interrupted"] and summary["trajectories"] >= 6_000, summary
        print(f"complete, total variation {summary['total_variation']:.3f}; learner and actors stay until they are stopped")
    except BaseException:
        cluster.logs()
        raise
    finally:
        cluster.pm("pod", "rm", "-f", "-a", check=False)
        shutil.rmtree(folder, ignore_errors=True)


main(*sys.argv[1:])
