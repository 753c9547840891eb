"""Checks what the chart makes: against Kubernetes' schemas, and for what no schema sees.

    check.py HELM TRIBUTARY

renders the chart with each set of values in values/, refuses each in broken/, compares the YAML of
`tributary kubernetes render` with the chart's, and sabotages a rendering in ways that must be found.
Needs PyYAML and kubernetes-validate.
"""

import copy
import pathlib
import re
import subprocess
import sys

import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
CHART = HERE.parent / "tributary"
RUN_FILE = ROOT / "examples/hypergrid.toml"
KUBERNETES = "1.32"
CUSTOM = {"ServiceMonitor", "PodMonitor", "ScaledObject"}
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def helm(helm, values, *more):
    command = [helm, "template", "grid", CHART, "--namespace", "science", "-f", values, *more]
    return subprocess.run(command, capture_output=True, text=True)


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


class Checks:
    """Collects what is wrong with the objects of one rendering."""

    def __init__(self, objects):
        self.objects, self.wrong = objects, []
        for thing in objects:
            self.of_any(thing)
        names = [(o["kind"], o["metadata"]["name"]) for o in objects]
        self.expect(len(names) == len(set(names)), "two objects of one name")
        for workload in self.kind("StatefulSet") + self.kind("Deployment"):
            self.of_workload(workload)
        for service in self.kind("Service"):
            self.of_service(service)
        for policy in self.kind("NetworkPolicy"):
            self.of_policy(policy)
        for budget in self.kind("PodDisruptionBudget"):
            self.one_workload(budget["spec"]["selector"]["matchLabels"], "budget")
        for scaler in self.kind("ScaledObject") + self.kind("HorizontalPodAutoscaler"):
            self.of_scaler(scaler)
        for monitor in self.kind("ServiceMonitor"):
            self.of_monitor(monitor)
        for monitor in self.kind("PodMonitor"):
            workload = self.one_workload(monitor["spec"]["selector"]["matchLabels"], "PodMonitor")
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                self.expect(workload and endpoint["port"] in self.ports(workload), "port of a PodMonitor")

    def kind(self, kind):
        return [o for o in self.objects if o["kind"] == kind]

    def expect(self, fine, message):
        if not fine:
            self.wrong.append(message)

    def named(self, kind, name):
        return next((o for o in self.kind(kind) if o["metadata"]["name"] == name), None)

    def of_any(self, thing):
        metadata = thing["metadata"]
        self.expect(NAME.fullmatch(metadata["name"]), f"name {metadata['name']}")
        self.expect(metadata.get("namespace") == "science", f"namespace of {metadata['name']}")
        for key, value in metadata["labels"].items():
            self.expect(re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value), f"label {key}")
        if thing["kind"] not in CUSTOM:
            try:
                kubernetes_validate.validate(thing, KUBERNETES, strict=True)
            except kubernetes_validate.ValidationError as error:
                self.wrong.append(f"schema of {thing['kind']}: {error}")

    def selected(self, labels):
        """Workloads whose Pods have these labels."""
        workloads = self.kind("StatefulSet") + self.kind("Deployment")
        of = lambda workload: workload["spec"]["template"]["metadata"]["labels"].items()
        return [w for w in workloads if labels.items() <= of(w)]

    def one_workload(self, labels, what):
        found = self.selected(labels)
        self.expect(len(found) == 1, f"a {what} selects {len(found)} workloads")
        return found[0] if len(found) == 1 else None

    def ports(self, workload):
        spec = workload["spec"]["template"]["spec"]
        return {p["name"]: p["containerPort"] for c in spec["containers"] for p in c.get("ports", [])}

    def of_workload(self, workload):
        spec, name = workload["spec"], workload["metadata"]["name"]
        pod = spec["template"]["spec"]
        self.expect(self.one_workload(spec["selector"]["matchLabels"], "workload") is workload, f"selector of {name}")
        if workload["kind"] == "StatefulSet":
            self.expect(self.named("Service", spec["serviceName"]), f"serviceName of {name}")
        scaled = self.kind("ScaledObject") + self.kind("HorizontalPodAutoscaler")
        if workload["kind"] == "Deployment":
            self.expect(("replicas" in spec) != bool(scaled), f"replicas of {name} beside a scaler")
        claims = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])}
        volumes = {v["name"] for v in pod.get("volumes", [])}
        self.expect(not claims & volumes, f"a volume and a claim of {name} have one name")
        for volume in pod.get("volumes", []):
            if "configMap" in volume:
                self.expect(self.named("ConfigMap", volume["configMap"]["name"]), f"ConfigMap of {volume['name']}")
        numbers = self.ports(workload)
        self.expect(len(set(numbers.values())) == len(numbers), f"ports of {name}")
        for container in pod["containers"]:
            mounts = container["volumeMounts"]
            self.expect({m["name"] for m in mounts} == claims | volumes, f"mounts of {name}")
            self.expect(len({m["mountPath"] for m in mounts}) == len(mounts), f"mount paths of {name}")
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container.get(probe, {})
                if "httpGet" in asked:
                    self.expect(asked["httpGet"]["port"] in numbers, f"port of {probe}")
                if "grpc" in asked:
                    self.expect(asked["grpc"]["port"] == numbers.get("probes"), f"port of {probe}")
            self.of_arguments(container, numbers, mounts)
            self.restricted(pod, container, name)

    def of_arguments(self, container, numbers, mounts):
        """What the program is told is what the rest says."""
        given = dict(a[2:].split("=", 1) for a in container["args"] if a.startswith("--") and "=" in a)
        for option, port in (("listen", "grpc"), ("http", "http"), ("probes", "probes"), ("metrics", "metrics")):
            if option in given:
                self.expect(given[option] == f"0.0.0.0:{numbers.get(port)}", f"--{option} and the port {port}")
        if "learner" in given:
            host, port = given["learner"].removeprefix("https://").split(":")
            service = self.named("Service", host)
            ports = {p["name"]: p["port"] for p in service["spec"]["ports"]} if service else {}
            self.expect(ports.get("grpc") == int(port), "--learner and the Service")
        if "advertise" in given:
            self.expect(self.named("Service", given["advertise"]), "--advertise and the Service")
        for option in ("run-file", "run-dir", "credentials", "spool"):
            if option in given:
                paths = [m["mountPath"] for m in mounts]
                self.expect(any(given[option].startswith(p + "/") or given[option] == p for p in paths), f"--{option} is not mounted")

    def restricted(self, pod, container, name):
        """The restricted Pod Security Standard, and a root that is read-only."""
        security, own = pod["securityContext"], container["securityContext"]
        fine = (
            security["runAsNonRoot"] and security["runAsUser"] > 0
            and security["seccompProfile"]["type"] == "RuntimeDefault"
            and own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"]
            and own["capabilities"] == {"drop": ["ALL"]} and not own.get("privileged")
            and not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
            and pod["automountServiceAccountToken"] is False
        )
        self.expect(fine, f"Pod Security of {name}")
        kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
        self.expect(kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}, f"volumes of {name}: {kinds}")
        grace = pod["terminationGracePeriodSeconds"]
        self.expect(grace > 10, f"{name} cannot drain in {grace} s")

    def of_service(self, service):
        workload = self.one_workload(service["spec"]["selector"], "Service")
        for port in service["spec"]["ports"]:
            numbers = self.ports(workload) if workload else {}
            self.expect(numbers.get(port["targetPort"]) == port["port"], f"port {port['name']} of a Service")

    def of_policy(self, policy):
        spec = policy["spec"]
        workload = self.one_workload(spec["podSelector"]["matchLabels"], "NetworkPolicy")
        for rule in spec["ingress"]:
            for port in rule["ports"]:
                self.expect(workload and port["port"] in self.ports(workload), "port of an ingress")
        peers = [p for rules in (spec["ingress"], spec["egress"]) for r in rules for p in r.get("from", r.get("to", []))]
        for peer in peers:
            if "matchLabels" in peer.get("podSelector", {}):
                self.one_workload(peer["podSelector"]["matchLabels"], "NetworkPolicy's peer")
        for rule in spec["egress"]:
            for peer in rule.get("to", []):
                for target in self.selected(peer.get("podSelector", {}).get("matchLabels", {"": ""})):
                    numbers = set(self.ports(target).values())
                    self.expect({p["port"] for p in rule["ports"]} <= numbers, "port of an egress")

    def of_scaler(self, scaler):
        spec = scaler["spec"]
        target = spec["scaleTargetRef"]
        self.expect(self.named(target.get("kind", "Deployment"), target["name"]), "target of a scaler")
        counts = [spec.get(a, spec.get(b)) for a, b in (("minReplicaCount", "minReplicas"), ("maxReplicaCount", "maxReplicas"))]
        self.expect(counts[0] <= counts[1], "a scaler's min is above its max")
        for trigger in spec.get("triggers", []):
            given = trigger["metadata"]
            self.expect(all(isinstance(v, str) and v for v in given.values()), "a trigger's values are texts")
            self.expect("tributary_learner_actors_wanted" in given["query"], "a trigger's metric")
            for label, value in re.findall(r'(namespace|service)="([^"]*)"', given["query"]):
                known = value == "science" if label == "namespace" else self.named("Service", value)
                self.expect(known, f"{label} of a trigger's query")

    def of_monitor(self, monitor):
        labels = monitor["spec"]["selector"]["matchLabels"]
        services = [s for s in self.kind("Service") if labels.items() <= s["metadata"]["labels"].items()]
        self.expect(len(services) == 1, f"a ServiceMonitor selects {len(services)} Services")
        for endpoint in monitor["spec"]["endpoints"]:
            names = {p["name"] for s in services for p in s["spec"]["ports"]}
            self.expect(endpoint["port"] in names, "port of a ServiceMonitor")
            self.expect(self.named("Service", endpoint["tlsConfig"]["serverName"]), "serverName of a ServiceMonitor")


def sabotages():
    """Mistakes that a schema does not see: a name, and what makes it."""
    find = lambda objects, kind: next(o for o in objects if o["kind"] == kind)
    pod = lambda objects, kind: find(objects, kind)["spec"]["template"]["spec"]
    learner = lambda objects: pod(objects, "StatefulSet")["containers"][0]
    actor = lambda objects: pod(objects, "Deployment")["containers"][0]
    return {
        "a Service that selects nothing": lambda o: find(o, "Service")["spec"]["selector"].update({"app.kubernetes.io/component": "x"}),
        "a target port of no container": lambda o: find(o, "Service")["spec"]["ports"][0].update(targetPort="rpc"),
        "a mount of no volume": lambda o: learner(o)["volumeMounts"][0].update(name="runs"),
        "a claim of another name": lambda o: find(o, "StatefulSet")["spec"]["volumeClaimTemplates"][0]["metadata"].update(name="data"),
        "a ConfigMap that is not there": lambda o: find(o, "ConfigMap")["metadata"].update(name="other"),
        "a probe of no port": lambda o: learner(o)["livenessProbe"]["httpGet"].update(port="health"),
        "a port that is not listened on": lambda o: learner(o)["ports"][0].update(containerPort=4200),
        "actors that look elsewhere": lambda o: actor(o)["args"].__setitem__(1, "--learner=https://learner:4100"),
        "a selector that is not the Pods'": lambda o: find(o, "Deployment")["spec"]["template"]["metadata"]["labels"].update({"app.kubernetes.io/instance": "b"}),
        "a name that is none": lambda o: find(o, "Deployment")["metadata"].update(name="Grid_actor"),
        "a Pod that is root": lambda o: pod(o, "Deployment")["securityContext"].update(runAsUser=0),
        "a scaler of nothing": lambda o: find(o, "ScaledObject")["spec"]["scaleTargetRef"].update(name="grid"),
        "a field that does not exist": lambda o: learner(o).update(imagee="x"),
        "a monitor of no port": lambda o: find(o, "ServiceMonitor")["spec"]["endpoints"][0].update(port="metrics"),
        "a monitor of no port of a Pod": lambda o: actor(o)["ports"][0].update(name="http"),
        "metrics that are shown elsewhere": lambda o: actor(o)["ports"][0].update(containerPort=4191),
        "a policy for nobody": lambda o: find(o, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].update({"app.kubernetes.io/component": "x"}),
    }


def compare(program, tributary):
    """`tributary kubernetes render` says what the chart says."""
    rendered = subprocess.run(
        [tributary, "kubernetes", "render", RUN_FILE, "--name", "grid", "--namespace", "science", "--actors", "3"],
        capture_output=True, text=True, check=True,
    ).stdout
    more = ["--set-file", f"runFile={RUN_FILE}", "--set", "actor.replicas=3"]
    chart = helm(program, HERE / "values/plain.yaml", *more).stdout
    of_render, of_chart = ({(o["kind"], o["metadata"]["name"]): o for o in documents(text)} for text in (rendered, chart))
    assert of_render.keys() == of_chart.keys(), "other objects"
    for key, theirs in of_chart.items():
        ours = of_render[key]
        for thing in (ours, theirs):
            thing["metadata"]["labels"].pop("app.kubernetes.io/managed-by")
            if key[0] == "StatefulSet":
                thing["spec"]["template"]["metadata"]["annotations"].pop("tributary/run-file")
            if key[0] == "ConfigMap":
                thing["data"]["run.toml"] = thing["data"]["run.toml"].rstrip()
        assert ours == theirs, f"{key} differs between `tributary kubernetes render` and the chart: write plain.yaml anew (deploy/helm/plain.sh)"
    assert of_render["ConfigMap", "grid-run-file"]["data"]["run.toml"] == RUN_FILE.read_text().rstrip()
    assert not Checks(documents(rendered)).wrong


def main(program, tributary):
    run_file = ["--set-file", f"runFile={RUN_FILE}"]
    for values in sorted((HERE / "values").glob("*.yaml")):
        subprocess.run([program, "lint", "--quiet", CHART, "-f", values, *run_file], check=True)
        rendered = helm(program, values, *run_file)
        assert rendered.returncode == 0, rendered.stderr
        objects = documents(rendered.stdout)
        wrong = Checks(objects).wrong
        assert not wrong, f"{values.name}: {wrong}"
        print(f"{values.name}: {len(objects)} objects")
    for values in sorted((HERE / "broken").glob("*.yaml")):
        named = values.read_text().splitlines()[0].removeprefix("# The refusal names: ")
        refused = helm(program, values, *([] if "runFile" in named else run_file))
        assert refused.returncode != 0, f"{values.name} is not refused"
        for word in named.split(" "):
            assert word in refused.stderr, f"{values.name}: {word} is not in\n{refused.stderr}"
    plain = (ROOT / "deploy/src/kubernetes/plain.yaml").read_text()
    made = subprocess.run([HERE.parent / "plain.sh"], env={"HELM": program, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True).stdout
    assert plain == made, "deploy/src/kubernetes/plain.yaml is not what the chart makes: write it anew with deploy/helm/plain.sh"
    compare(program, tributary)
    whole = documents(helm(program, HERE / "values/keda.yaml", *run_file).stdout)
    for name, sabotage in sabotages().items():
        broken = copy.deepcopy(whole)
        sabotage(broken)
        assert Checks(broken).wrong, f"not seen: {name}"
    print(f"{len(list((HERE / 'broken').glob('*.yaml')))} sets of values refused, {len(sabotages())} mistakes seen, plain YAML as the chart")


main(*sys.argv[1:])
