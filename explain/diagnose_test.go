package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"kubette/client"
	"kubette/scheduler"
)

// now is the moment at which the broken clusters are looked at.
var now = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

var clusterWide = []string{"Node", "PersistentVolume", "StorageClass", "IngressClass", "Namespace"}

// parse reads manifests with their status; --- stands between them.
func parse(t *testing.T, text string) []client.Object {
	t.Helper()
	var objects []client.Object
	for _, document := range strings.Split(text, "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		data, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		typed := object.(client.Object)
		if typed.GetNamespace() == "" && !slices.Contains(clusterWide, refOf(typed).Kind) {
			typed.SetNamespace("default")
		}
		if stamp := typed.GetCreationTimestamp(); stamp.IsZero() {
			stamp = metav1Time(now.Add(-time.Hour))
			typed.SetCreationTimestamp(stamp)
		}
		objects = append(objects, typed)
	}
	return objects
}

// Parts of manifests that many cases have in common.
const (
	nodeOne = "\n---\n{apiVersion: v1, kind: Node, metadata: {name: worker-1, labels: {kubernetes.io/hostname: worker-1}}, status: {conditions: [{type: Ready, status: 'True'}], allocatable: {cpu: '2', memory: 4Gi, pods: '110'}}}\n---\n"
	running = "startTime: '2026-05-04T09:50:00Z', podIP: 10.97.1.2, phase: Running"
	isUp    = "{" + running + ", conditions: [{type: Ready, status: 'True'}], containerStatuses: [{name: c, ready: true, started: true, state: {running: {startedAt: '2026-05-04T09:50:00Z'}}}]}"
)

// podWith is a pod on worker-1 with one container and a status.
func podWith(spec, status string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {app: web}}, spec: {nodeName: worker-1, restartPolicy: Always, containers: [{name: c, image: app:1%s}]}, status: %s}%s", spec, status, nodeOne)
}

// waitingFor is the status of a pod whose container waits.
func waitingFor(reason, message, last string) string {
	return fmt.Sprintf("{%s, containerStatuses: [{name: c, restartCount: 3, state: {waiting: {reason: %s, message: %q}}%s}]}", running, reason, message, last)
}

func lastEnded(exit int, reason, message string) string {
	return fmt.Sprintf(", lastState: {terminated: {exitCode: %d, reason: %q, message: %q, startedAt: '2026-05-04T09:58:00Z', finishedAt: '2026-05-04T09:59:30Z'}}", exit, reason, message)
}

func eventAbout(kind, name, reason, message string) string {
	return fmt.Sprintf("\n---\n{apiVersion: v1, kind: Event, metadata: {name: %s.%s}, involvedObject: {kind: %s, namespace: default, name: %s, fieldPath: 'spec.containers{c}'}, type: Warning, reason: %s, message: %q, count: 4, lastTimestamp: '2026-05-04T09:59:00Z'}\n---\n",
		strings.ToLower(name), strings.ToLower(reason), kind, name, reason, message)
}

func service(spec string) string {
	return "\n---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: " + spec + "}\n---\n"
}

func ingress(name, spec string) string {
	return "\n---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: " + name + ", creationTimestamp: '2026-05-04T09:00:0" + fmt.Sprint(len(name)) + "Z'}, spec: " + spec + "}\n---\n"
}

func rule(host, service string, port int) string {
	return fmt.Sprintf("{rules: [{host: %s, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %s, port: {number: %d}}}}]}}]}", host, service, port)
}

const slice = "\n---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{port: 80}], endpoints: [{addresses: [10.97.1.2], conditions: {ready: %t}}]}\n---\n"

func replicaSet(status string) string {
	return "\n---\n{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-1, uid: rs, annotations: {deployment.kubernetes.io/revision: '1'}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: dep, controller: true}]}, spec: {replicas: 2, selector: {matchLabels: {app: web}}}, status: " + status + "}\n---\n"
}

func deployment(spec, status string) string {
	return "\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, uid: dep}, spec: {replicas: 2, progressDeadlineSeconds: 600" + spec + "}, status: " + status + "}\n---\n"
}

func claim(spec, status string) string {
	return "\n---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}" + spec + "}, status: {phase: " + status + "}}\n---\n"
}

// broken is a cluster in which something is wrong, and what a diagnosis must find.
type broken struct {
	name    string
	objects string
	facts   Facts
	about   string         // kind/name
	want    string         // the reason of a finding
	args    map[string]any // facts that it must name
	says    string         // a part of the sentence, the advice or the tables
}

func listening(answer Listening) Facts {
	return Facts{Listens: func(context.Context, *corev1.Pod, int32) Listening { return answer }}
}

func pausedFact(name string) Facts {
	return Facts{Paused: func(component string) bool { return component == name }}
}

func decided(d scheduler.Decision) Facts {
	return Facts{Decisions: func(string, string) []scheduler.Decision { return []scheduler.Decision{d} }}
}

func refusedBy(plugin, reason string) Facts {
	return decided(scheduler.Decision{Attempt: 3, Outcome: scheduler.OutcomeUnschedulable, Message: "0/1 nodes are available: 1 " + reason + ".",
		Nodes: []scheduler.NodeVerdict{{Node: "worker-1", Refusal: &scheduler.Refusal{Plugin: plugin, Code: "Unschedulable", Reasons: []string{reason}}}}})
}

const pendingPod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {%s containers: [{name: c, image: app, resources: {requests: {cpu: '8'}}}]}, status: {phase: Pending}}" + nodeOne

var clusters = []broken{
	// Pending
	{"too much cpu", fmt.Sprintf(pendingPod, ""), refusedBy("NodeResourcesFit", "Insufficient cpu"), "Pod/p", "PodUnschedulable", map[string]any{"attempts": 3}, "Insufficient cpu"},
	{"what is free", fmt.Sprintf(pendingPod, ""), refusedBy("NodeResourcesFit", "Insufficient cpu"), "Pod/p", "PodUnschedulable", nil, "worker-1 8 2 0 4Gi"},
	{"no such label", fmt.Sprintf(pendingPod, "nodeSelector: {disk: ssd},"), refusedBy("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"), "Pod/p", "PodUnschedulable", nil, "disk ssd —"},
	{"a taint", fmt.Sprintf(pendingPod, ""), refusedBy("TaintToleration", "node(s) had untolerated taint(s)"), "Pod/p", "PodUnschedulable", nil, "toleration"},
	{"cordoned", fmt.Sprintf(pendingPod, ""), refusedBy("NodeUnschedulable", "node(s) were unschedulable"), "Pod/p", "PodUnschedulable", nil, "uncordon"},
	{"a scheduling gate", fmt.Sprintf(pendingPod, "schedulingGates: [{name: example.com/wait}],"), Facts{}, "Pod/p", "PodGated", nil, "example.com/wait"},
	{"another scheduler", fmt.Sprintf(pendingPod, "schedulerName: mine,"), Facts{}, "Pod/p", "PodOtherScheduler", map[string]any{"scheduler": "mine"}, ""},
	{"the scheduler is paused", fmt.Sprintf(pendingPod, ""), pausedFact("default-scheduler"), "Pod/p", "ComponentPaused", map[string]any{"component": "default-scheduler"}, "kubette resume default-scheduler"},
	{"nothing decided yet", fmt.Sprintf(pendingPod, ""), Facts{}, "Pod/p", "SchedulerNotYet", nil, ""},
	{"only the condition is left", strings.Replace(fmt.Sprintf(pendingPod, ""), "phase: Pending", "phase: Pending, conditions: [{type: PodScheduled, status: 'False', message: '0/1 nodes'}]", 1), Facts{}, "Pod/p", "PodUnschedulable", nil, "0/1 nodes"},
	{"no such claim", fmt.Sprintf(pendingPod, "volumes: [{name: v, persistentVolumeClaim: {claimName: dat}}],") + claim("", "Bound"), Facts{}, "Pod/p", "ClaimMissing", map[string]any{"claim": "dat"}, `"data"`},
	// Images
	{"no such tag", podWith("", waitingFor("ImagePullBackOff", `Back-off pulling image "app:1"`, "")) + eventAbout("Pod", "p", "Failed", `Failed to pull image "app:1": manifest unknown`), Facts{}, "Pod/p", "ImageNotFound", map[string]any{"image": "app:1"}, "manifest unknown"},
	{"a private image", podWith("", waitingFor("ErrImagePull", "pull access denied", "")), Facts{}, "Pod/p", "ImageDenied", nil, "imagePullSecrets"},
	{"no network", podWith("", waitingFor("ErrImagePull", "dial tcp: lookup registry: no such host", "")), Facts{}, "Pod/p", "RegistryUnreachable", nil, "docker load"},
	{"an unknown pull error", podWith("", waitingFor("ErrImagePull", "disk full", "")), Facts{}, "Pod/p", "ImagePullFailed", nil, "disk full"},
	{"a bad image name", podWith("", waitingFor("InvalidImageName", "invalid", "")), Facts{}, "Pod/p", "InvalidImageName", nil, ""},
	{"never pulled", podWith("", waitingFor("ErrImageNeverPull", "", "")), Facts{}, "Pod/p", "ImageNeverPull", nil, "IfNotPresent"},
	// Crashes
	{"exit code 1", podWith("", waitingFor("CrashLoopBackOff", "back-off 40s restarting failed container=c", lastEnded(1, "Error", ""))), Facts{Log: func(context.Context, *corev1.Pod, string, bool, int64) []string { return []string{"no database"} }}, "Pod/p", "CrashLoop", map[string]any{"exitCode": int32(1), "restarts": int32(3), "backOff": "40s"}, "in 10s"},
	{"ends by itself", podWith("", waitingFor("CrashLoopBackOff", "back-off 10s restarting", lastEnded(0, "Completed", ""))), Facts{}, "Pod/p", "ProgramEnds", nil, "Job"},
	{"too little memory", podWith(", resources: {limits: {memory: 64Mi}}", waitingFor("CrashLoopBackOff", "", lastEnded(137, "OOMKilled", ""))), Facts{}, "Pod/p", "OutOfMemory", map[string]any{"limit": "64Mi"}, ""},
	{"no such command", podWith(", command: [pythn]", waitingFor("CrashLoopBackOff", "", lastEnded(128, "StartError", `exec: "pythn": executable file not found in $PATH`))), Facts{}, "Pod/p", "CommandNotFound", map[string]any{"command": "pythn"}, ""},
	{"not executable", podWith("", waitingFor("CrashLoopBackOff", "", lastEnded(126, "Error", ""))), Facts{}, "Pod/p", "CommandNotExecutable", nil, "chmod"},
	{"killed from outside", podWith("", waitingFor("CrashLoopBackOff", "", lastEnded(137, "Error", ""))), Facts{}, "Pod/p", "ContainerKilled", nil, "not recorded"},
	{"the end is unknown", podWith("", waitingFor("CrashLoopBackOff", "", "")), Facts{}, "Pod/p", "CrashLoopUnknown", nil, "not recorded"},
	{"killed by its liveness probe", podWith(", livenessProbe: {httpGet: {path: /live, port: 80}}", waitingFor("CrashLoopBackOff", "", lastEnded(0, "Completed", ""))) + eventAbout("Pod", "p", "Killing", "Container c failed liveness probe, will be restarted") + eventAbout("Pod", "p", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 404"), Facts{}, "Pod/p", "LivenessKilled", map[string]any{"asked": "GET http://:80/live"}, "404"},
	{"an init container fails", strings.Replace(podWith("", "{"+running+", initContainerStatuses: [{name: i, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}"+lastEnded(2, "Error", "")+"}], containerStatuses: [{name: c, state: {waiting: {reason: PodInitializing}}}]}"), "containers: [", "initContainers: [{name: i, image: setup}], containers: [", 1), Facts{}, "Pod/p", "CrashLoop", map[string]any{"container": "i"}, ""},
	// Configuration
	{"no such ConfigMap", podWith(", envFrom: [{configMapRef: {name: config}}]", waitingFor("CreateContainerConfigError", "", "")) + "{apiVersion: v1, kind: ConfigMap, metadata: {name: confg}}", Facts{}, "Pod/p", "ConfigMapMissing", map[string]any{"missing": "config"}, `"confg"`},
	{"a ConfigMap elsewhere", podWith(", envFrom: [{configMapRef: {name: config}}]", waitingFor("CreateContainerConfigError", "", "")) + "{apiVersion: v1, kind: ConfigMap, metadata: {name: config, namespace: other}}", Facts{}, "Pod/p", "ConfigMapMissing", nil, "namespace other"},
	{"no such key", podWith(", env: [{name: T, valueFrom: {configMapKeyRef: {name: config, key: TITLE}}}]", waitingFor("CreateContainerConfigError", "", "")) + "{apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {TITEL: x}}", Facts{}, "Pod/p", "ConfigMapKeyMissing", map[string]any{"keys": "TITEL"}, `"TITEL"`},
	{"no such Secret", podWith(", envFrom: [{secretRef: {name: secrets}}]", waitingFor("CreateContainerConfigError", "", "")), Facts{}, "Pod/p", "SecretMissing", nil, ""},
	{"no such key of a Secret", podWith(", env: [{name: T, valueFrom: {secretKeyRef: {name: s, key: K}}}]", waitingFor("CreateContainerConfigError", "", "")) + "{apiVersion: v1, kind: Secret, metadata: {name: s}}", Facts{}, "Pod/p", "SecretKeyMissing", nil, ""},
	{"a volume's ConfigMap", strings.Replace(podWith("", waitingFor("ContainerCreating", "", "")), "containers: [", "volumes: [{name: v, configMap: {name: config}}], containers: [", 1), Facts{}, "Pod/p", "ConfigMapMissing", map[string]any{"where": "volume v"}, ""},
	{"must not be root", podWith("", waitingFor("CreateContainerConfigError", "container has runAsNonRoot and image will run as root", "")), Facts{}, "Pod/p", "RunsAsRoot", nil, "runAsUser"},
	{"changed after the start", podWith(", envFrom: [{configMapRef: {name: config}}]", isUp) + "{apiVersion: v1, kind: ConfigMap, metadata: {name: config, managedFields: [{manager: kubectl, operation: Apply, time: '2026-05-04T09:55:00Z'}]}}", Facts{}, "Pod/p", "ConfigChangedSince", map[string]any{"source": "configmap/config"}, "rollout restart"},
	{"a secret with a line break", "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {KEY: YWJjCg==}}", Facts{}, "Secret/s", "SecretNewline", map[string]any{"key": "KEY"}, "echo -n"},
	// Probes and ports
	{"readiness", podWith(", ports: [{containerPort: 8000}], readinessProbe: {httpGet: {path: /health, port: 80}}", "{"+running+", containerStatuses: [{name: c, started: true, state: {running: {startedAt: '2026-05-04T09:50:00Z'}}}]}") + eventAbout("Pod", "p", "Unhealthy", "Readiness probe failed: dial tcp 10.97.1.2:80: connect: connection refused"), Facts{}, "Pod/p", "ReadinessProbeFailing", map[string]any{"asked": "GET http://:80/health"}, "declares: 8000"},
	{"startup", podWith(", startupProbe: {tcpSocket: {port: 80}}", "{"+running+", containerStatuses: [{name: c, started: false, state: {running: {startedAt: '2026-05-04T09:50:00Z'}}}]}") + eventAbout("Pod", "p", "Unhealthy", "Startup probe failed: timeout"), Facts{}, "Pod/p", "StartupProbeFailing", map[string]any{"asked": "tcp :80"}, "timeout"},
	{"not probed yet", podWith(", readinessProbe: {exec: {command: [cat, /ready]}, periodSeconds: 5, initialDelaySeconds: 20}", "{"+running+", containerStatuses: [{name: c, started: true, state: {running: {startedAt: '2026-05-04T09:50:00Z'}}}]}"), Facts{}, "Pod/p", "ProbeNotYet", map[string]any{"asked": "cat /ready"}, ""},
	{"nobody listens", podWith(", ports: [{containerPort: 8000}]", isUp), listening(ListenRefused), "Pod/p", "PortNotListening", map[string]any{"port": int32(8000)}, ""},
	{"only on localhost", podWith(", ports: [{containerPort: 8000}]", isUp), listening(ListenLoopback), "Pod/p", "PortOnlyLocalhost", nil, "0.0.0.0"},
	// Services
	{"selector and labels differ", podWith("", isUp) + service("{selector: {app: wbe}, ports: [{port: 80}]}"), Facts{}, "Service/web", "SelectorMatchesNothing", map[string]any{"near": "p"}, "app wbe ≠ web"},
	{"pods in another namespace", strings.Replace(podWith("", isUp), "name: p,", "name: p, namespace: other,", 1) + service("{selector: {app: web}, ports: [{port: 80}]}"), Facts{}, "Service/web", "SelectorMatchesNothing", nil, "namespace other"},
	{"no selector", service("{ports: [{port: 80}]}"), Facts{}, "Service/web", "ServiceNoSelector", nil, ""},
	{"no pod is ready", podWith("", strings.Replace(isUp, "status: 'True'", "status: 'False'", 1)) + service("{selector: {app: web}, ports: [{port: 80}]}") + fmt.Sprintf(slice, false), Facts{}, "Service/web", "ServicePodsNotReady", map[string]any{"pods": 1}, ""},
	{"a wrong targetPort", podWith(", ports: [{containerPort: 8000}]", isUp) + service("{selector: {app: web}, ports: [{port: 80, targetPort: 80}]}") + fmt.Sprintf(slice, true), Facts{Listens: func(_ context.Context, _ *corev1.Pod, port int32) Listening {
		if port == 8000 {
			return ListenYes
		}
		return ListenRefused
	}}, "Service/web", "TargetPortDeaf", map[string]any{"target": int32(80)}, "targetPort: 8000"},
	{"a targetPort on localhost only", podWith(", ports: [{containerPort: 8000}]", isUp) + service("{selector: {app: web}, ports: [{port: 80, targetPort: 8000}]}") + fmt.Sprintf(slice, true), listening(ListenLoopback), "Service/web", "TargetPortLocalhost", map[string]any{"target": int32(8000)}, "0.0.0.0"},
	{"a targetPort of no name", podWith(", ports: [{name: http, containerPort: 8000}]", isUp) + service("{selector: {app: web}, ports: [{port: 80, targetPort: htp}]}"), Facts{}, "Service/web", "TargetPortUnnamed", map[string]any{"declared": "http=8000"}, `"http"`},
	{"the endpoints' controller is paused", podWith("", isUp) + service("{selector: {app: web}, ports: [{port: 80}]}"), pausedFact("endpointslice-controller"), "Service/web", "ComponentPaused", nil, ""},
	// Ingresses
	{"no such service", ingress("i", rule("a.kub.example.org", "wb", 80)) + service("{ports: [{port: 80}]}"), Facts{}, "Ingress/i", "IngressServiceMissing", map[string]any{"services": "web"}, `"web"`},
	{"the container's port", ingress("i", rule("a.kub.example.org", "web", 8000)) + service("{ports: [{port: 80}]}"), Facts{}, "Ingress/i", "IngressPortMissing", map[string]any{"ports": "80"}, "not the container's"},
	{"nobody behind the service", ingress("i", rule("a.kub.example.org", "web", 80)) + service("{selector: {app: web}, ports: [{port: 80}]}"), Facts{}, "Ingress/i", "IngressNoEndpoints", nil, "why service/web"},
	{"a host that is taken", ingress("first", rule("a.example.org", "web", 80)) + ingress("second", rule("a.example.org", "web", 80)), Facts{}, "Ingress/second", "IngressHostTaken", map[string]any{"other": "default/first"}, ""},
	{"kube for kub", ingress("first", rule("a.kub.example.org", "web", 80)) + ingress("second", rule("b.kube.example.org", "web", 80)), Facts{}, "Ingress/second", "IngressHostAlike", map[string]any{"theirs": "kub.example.org"}, ""},
	{"no such class", ingress("i", "{ingressClassName: traefik}") + "{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginx}, spec: {controller: kubette.io/ingress}}", Facts{}, "Ingress/i", "IngressClassMissing", map[string]any{"classes": "nginx"}, ""},
	{"no certificate", ingress("i", "{tls: [{hosts: [a.example.org], secretName: cert}]}"), Facts{}, "Ingress/i", "IngressSecretMissing", map[string]any{"secret": "cert"}, ""},
	{"no rules", ingress("i", "{}"), Facts{}, "Ingress/i", "IngressNoRules", nil, ""},
	// Workloads
	{"quota", deployment("", "{}") + replicaSet("{}") + eventAbout("ReplicaSet", "web-1", "FailedCreate", `pods "web-1-x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`) + "{apiVersion: v1, kind: ResourceQuota, metadata: {name: q}, spec: {hard: {pods: '2'}}, status: {used: {pods: '2'}}}", Facts{}, "Deployment/web", "QuotaExceeded", map[string]any{"wanted": int32(2), "present": int32(0)}, "pods 2 2"},
	{"pod security", deployment("", "{}") + replicaSet("{}") + eventAbout("ReplicaSet", "web-1", "FailedCreate", `pods "web-1-x" is forbidden: violates PodSecurity "restricted:latest"`), Facts{}, "Deployment/web", "PodSecurityRefused", nil, "securityContext"},
	{"no such service account", deployment("", "{}") + replicaSet("{}") + eventAbout("ReplicaSet", "web-1", "FailedCreate", `error looking up service account default/ghost: serviceaccount "ghost" not found`), Facts{}, "Deployment/web", "ServiceAccountMissing", nil, ""},
	{"a limit range", deployment("", "{}") + replicaSet("{}") + eventAbout("ReplicaSet", "web-1", "FailedCreate", `pods "web-1-x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi`), Facts{}, "Deployment/web", "LimitRangeRefused", nil, "1Gi"},
	{"a quota that needs requests", deployment("", "{}") + replicaSet("{}") + eventAbout("ReplicaSet", "web-1", "FailedCreate", `pods "web-1-x" is forbidden: failed quota: q: must specify cpu for: c`), Facts{}, "Deployment/web", "QuotaNeedsLimits", nil, "must specify cpu"},
	{"no such priority class", deployment("", "{}") + replicaSet("{}") + eventAbout("ReplicaSet", "web-1", "FailedCreate", `pods "web-1-x" is forbidden: no PriorityClass with name high was found`), Facts{}, "Deployment/web", "PriorityClassMissing", nil, "high"},
	{"a namespace that goes away", deployment("", "{}") + replicaSet("{}") + eventAbout("ReplicaSet", "web-1", "FailedCreate", `pods "web-1-x" is forbidden: unable to create new content in namespace default because it is being terminated`), Facts{}, "Deployment/web", "NamespaceGoing", nil, ""},
	{"an unknown refusal", deployment("", "{}") + replicaSet("{}") + eventAbout("ReplicaSet", "web-1", "FailedCreate", `a webhook said no`), Facts{}, "Deployment/web", "CreateRefused", nil, "a webhook said no"},
	{"a stuck rollout", deployment("", "{conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]}") + replicaSet("{replicas: 2, readyReplicas: 0}"), Facts{}, "Deployment/web", "RolloutStuck", map[string]any{"set": "web-1"}, "rollout undo"},
	{"a paused rollout", deployment(", paused: true", "{}"), Facts{}, "Deployment/web", "DeploymentPaused", nil, "rollout resume"},
	{"no replicas wanted", strings.Replace(deployment("", "{}"), "replicas: 2", "replicas: 0", 1), Facts{}, "Deployment/web", "ScaledToZero", nil, ""},
	{"the controller is paused", deployment("", "{}"), pausedFact("deployment-controller"), "Deployment/web", "ComponentPaused", nil, ""},
	{"pods are on their way", deployment("", "{}") + replicaSet("{}"), Facts{}, "Deployment/web", "PodsToCome", map[string]any{"missing": int32(2)}, ""},
	{"one after another", "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, uid: sts}, spec: {replicas: 2, serviceName: ''}}\n---\n" + strings.Replace(podWith("", waitingFor("ErrImagePull", "not found", "")), "name: p,", "name: db-0, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: sts, controller: true}],", 1), Facts{}, "StatefulSet/db", "WaitsForOrdinal", map[string]any{"next": "db-1"}, ""},
	{"no node for a DaemonSet", "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent}, spec: {template: {spec: {nodeSelector: {disk: ssd}}}}}" + nodeOne, Facts{}, "DaemonSet/agent", "NoNodeEligible", nil, "worker-1 disk ssd —"},
	{"a job that gave up", "{apiVersion: batch/v1, kind: Job, metadata: {name: j, uid: j}, spec: {backoffLimit: 2}, status: {failed: 3, conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded}]}}", Facts{}, "Job/j", "JobBackoffLimitExceeded", map[string]any{"failed": int32(3), "limit": int32(2)}, ""},
	{"a job out of time", "{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {activeDeadlineSeconds: 30}, status: {conditions: [{type: Failed, status: 'True', reason: DeadlineExceeded}]}}", Facts{}, "Job/j", "JobDeadlineExceeded", map[string]any{"seconds": int64(30)}, ""},
	{"a suspended Job", "{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {suspend: true}, status: {conditions: [{type: Suspended, status: 'True'}]}}", Facts{}, "Job/j", "JobSuspended", nil, ""},
	{"a suspended CronJob", "{apiVersion: batch/v1, kind: CronJob, metadata: {name: j}, spec: {suspend: true, schedule: '* * * * *'}}", Facts{}, "CronJob/j", "CronJobSuspended", nil, ""},
	// Volumes
	{"no such class of storage", claim(", storageClassName: fast", "Pending") + "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: standard}, provisioner: x}", Facts{}, "PersistentVolumeClaim/data", "StorageClassMissing", map[string]any{"classes": "standard"}, ""},
	{"a claim without a pod", claim(", storageClassName: standard", "Pending") + "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: standard}, provisioner: x, volumeBindingMode: WaitForFirstConsumer}", Facts{}, "PersistentVolumeClaim/data", "ClaimWaitsForPod", nil, ""},
	{"no volume fits", claim(", storageClassName: manual", "Pending") + "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: manual}, provisioner: kubernetes.io/no-provisioner}", Facts{}, "PersistentVolumeClaim/data", "ClaimNoVolumeFits", map[string]any{"size": "1Gi"}, ""},
	{"a lost claim", claim(", volumeName: pv-1", "Lost"), Facts{}, "PersistentVolumeClaim/data", "ClaimLost", map[string]any{"volume": "pv-1"}, ""},
	{"a volume that is kept", "{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv}, spec: {persistentVolumeReclaimPolicy: Retain, claimRef: {namespace: default, name: data}}, status: {phase: Released}}", Facts{}, "PersistentVolume/pv", "VolumeReleased", map[string]any{"claim": "default/data"}, ""},
	{"an image in another's place", podWith("", isUp) + eventAbout("Pod", "p", "StandInImage", "busybox cannot be pulled because the registry docker.io cannot be reached, so kubette's own kubette.local/shell runs in its place."), Facts{}, "Pod/p", "StandInUnreachable", map[string]any{"image": "busybox", "registry": "docker.io", "own": "kubette.local/shell"}, ""},
	{"an image in another's place in the simulation", podWith("", isUp) + eventAbout("Pod", "p", "StandInImage", `Image "nginx:1" is replaced by kubette's own kubette.local/web, which runs inside the simulation`), Facts{}, "Pod/p", "StandInReplaced", map[string]any{"image": "nginx:1", "own": "kubette.local/web"}, ""},
	{"an image that is simulated", podWith("", isUp) + eventAbout("Pod", "p", "StandInImage", `Image "app:1" is simulated: nothing is pulled, its program does not run, and its probes are taken to succeed`), Facts{}, "Pod/p", "StandInSimulated", map[string]any{"image": "app:1"}, ""},
	{"refused by its node", podWith("", "{phase: Failed, reason: OutOfcpu, message: 'Pod was rejected: too much'}"), Facts{}, "Pod/p", "PodRefused", nil, "OutOfcpu: too much"},
	// Nodes
	{"a silent node", strings.Replace(nodeOne, "status: 'True'", "status: Unknown, lastHeartbeatTime: '2026-05-04T09:59:00Z'", 1), Facts{}, "Node/worker-1", "NodeSilent", map[string]any{"silent": "1m0s"}, ""},
	{"a pod on a silent node", strings.Replace(podWith("", isUp), "{type: Ready, status: 'True'}], allocatable", "{type: Ready, status: Unknown}], allocatable", 1), Facts{}, "Pod/p", "PodOnDownNode", map[string]any{"node": "worker-1"}, "No controller owns"},
	{"a node broken on purpose", nodeOne, Facts{Broken: func(string) string { return "stop-node-worker-1" }}, "Node/worker-1", "NodeBroken", nil, "fault undo stop-node-worker-1"},
	{"a pod on a node broken on purpose", podWith("", isUp), Facts{Broken: func(string) string { return "stop-node-worker-1" }}, "Pod/p", "PodOnBrokenNode", nil, ""},
	{"a node that does not exist", strings.Replace(podWith("", isUp), "nodeName: worker-1", "nodeName: worker-9", 1), Facts{}, "Pod/p", "PodOnMissingNode", map[string]any{"node": "worker-9"}, ""},
	{"the kubelet is paused", podWith("", "{phase: Pending}"), pausedFact("kubelet-worker-1"), "Pod/p", "ComponentPaused", nil, ""},
	{"a cordoned node", strings.Replace(nodeOne, "status: {", "spec: {unschedulable: true}, status: {", 1), Facts{}, "Node/worker-1", "NodeCordoned", nil, ""},
	{"held by a finalizer", strings.Replace(podWith("", "{phase: Running}"), "name: p,", "name: p, deletionTimestamp: '2026-05-04T09:00:00Z', finalizers: [example.com/f],", 1), Facts{}, "Pod/p", "DeletionHeld", nil, "example.com/f"},
	{"evicted", podWith("", "{phase: Failed, reason: Evicted, message: low on memory}"), Facts{}, "Pod/p", "PodEvicted", nil, "low on memory"},
}

// What the table covers is what a student meets: each of these is in it, and in no less than so many clusters.
func TestTheTableCoversWhatGoesWrong(t *testing.T) {
	if len(clusters) < 80 {
		t.Errorf("%d clusters are broken: there were 80", len(clusters))
	}
	wanted := map[string]bool{}
	for _, c := range clusters {
		wanted[c.want] = true
	}
	for about, reasons := range map[string][]string{
		"pending":         {"PodUnschedulable", "PodGated", "ClaimMissing", "SchedulerNotYet"},
		"images":          {"ImageNotFound", "ImageDenied", "RegistryUnreachable", "InvalidImageName"},
		"crashes":         {"CrashLoop", "ProgramEnds", "OutOfMemory", "CommandNotFound", "LivenessKilled"},
		"probes":          {"ReadinessProbeFailing", "StartupProbeFailing", "ProbeNotYet"},
		"services":        {"SelectorMatchesNothing", "ServiceNoSelector", "ServicePodsNotReady"},
		"ports":           {"PortNotListening", "PortOnlyLocalhost", "TargetPortDeaf", "TargetPortUnnamed", "TargetPortLocalhost"},
		"404 and 503":     {"IngressServiceMissing", "IngressPortMissing", "IngressNoEndpoints", "IngressHostTaken", "IngressClassMissing"},
		"configuration":   {"ConfigMapMissing", "ConfigMapKeyMissing", "SecretMissing", "SecretKeyMissing"},
		"refusals":        {"QuotaExceeded", "QuotaNeedsLimits", "LimitRangeRefused", "PodSecurityRefused", "ServiceAccountMissing", "CreateRefused"},
		"rollouts":        {"RolloutStuck", "DeploymentPaused"},
		"stopped by hand": {"ComponentPaused", "NodeBroken", "NodeCordoned"},
	} {
		for _, reason := range reasons {
			if !wanted[reason] {
				t.Errorf("%s: no cluster has %s", about, reason)
			}
		}
	}
}

func TestDiagnose(t *testing.T) {
	for _, c := range clusters {
		t.Run(c.name, func(t *testing.T) {
			snapshot := NewSnapshot(now, parse(t, c.objects)...)
			kind, name, _ := strings.Cut(c.about, "/")
			ref := Ref{Kind: kind, Name: name, Namespace: "default"}
			object, ok := snapshot.Object(ref)
			if !ok {
				ref.Namespace = ""
				if object, ok = snapshot.Object(ref); !ok {
					t.Fatalf("the test's cluster has no %s", c.about)
				}
			}
			findings := Diagnose(context.Background(), snapshot, c.facts, object)
			Render(findings, "en")
			found := slices.IndexFunc(findings, func(f Finding) bool { return f.Reason == c.want })
			if found < 0 {
				t.Fatalf("no finding %s, but:\n%s", c.want, said(findings))
			}
			f := findings[found]
			for key, want := range c.args {
				if f.Args[key] != want {
					t.Errorf("%s is %v (%[2]T), want %v (%[3]T)", key, f.Args[key], want)
				}
			}
			if text := said([]Finding{f}); !strings.Contains(text, c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, text)
			}
			checkWords(t, findings)
		})
	}
}

// said is all that findings say, for people.
func said(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Reason, f.Text)
		for _, table := range f.Tables {
			for _, row := range table.Rows {
				fmt.Fprintln(&b, " ", strings.Join(row, " "))
			}
		}
		for _, advice := range f.Try {
			fmt.Fprintln(&b, "  -", advice.Text)
		}
	}
	return b.String()
}

// checkWords finds sentences that are not in a catalogue, or that miss an argument, in each language.
func checkWords(t *testing.T, findings []Finding) {
	t.Helper()
	english := map[string]bool{}
	for _, language := range Languages {
		Render(findings, language)
		for _, f := range findings {
			if f.Text == "" || language != "en" && english[f.Text] {
				t.Errorf("%s in %s is empty, or English: %q", f.Reason, language, f.Text)
			}
			if language == "en" {
				english[f.Text] = true
			}
			texts := []string{f.Text}
			for _, advice := range f.Try {
				texts = append(texts, advice.Text)
			}
			for _, table := range f.Tables {
				texts = append(append(texts, table.Title), table.Heads...)
			}
			for _, text := range texts {
				if strings.Contains(text, "{") || text == f.Reason || strings.HasPrefix(text, "column.") || strings.HasPrefix(text, "table.") {
					t.Errorf("%s in %s is not in words: %q", f.Reason, language, text)
				}
			}
			for _, key := range holes(Catalogue(language)[f.Reason]) {
				if _, ok := f.Args[key]; !ok {
					t.Errorf("%s in %s has no argument %s", f.Reason, language, key)
				}
			}
			for _, advice := range f.Try {
				for _, key := range holes(Catalogue(language)[advice.Key]) {
					if _, ok := advice.Args[key]; !ok {
						t.Errorf("%s in %s has no argument %s", advice.Key, language, key)
					}
				}
			}
		}
	}
}

// A cluster in which nothing is wrong has no findings.
func TestNothingWrong(t *testing.T) {
	snapshot := NewSnapshot(now, parse(t, podWith("", isUp)+service("{selector: {app: web}, ports: [{port: 80}]}")+fmt.Sprintf(slice, true)+ingress("i", rule("a.example.org", "web", 80)))...)
	for _, ref := range []Ref{{Kind: "Pod", Namespace: "default", Name: "p"}, {Kind: "Service", Namespace: "default", Name: "web"}, {Kind: "Ingress", Namespace: "default", Name: "i"}, {Kind: "Node", Name: "worker-1"}} {
		object, _ := snapshot.Object(ref)
		if findings := Diagnose(context.Background(), snapshot, listening(ListenYes), object); len(findings) > 0 {
			Render(findings, "en")
			t.Errorf("%s: %s", ref, said(findings))
		}
	}
}
