package kubelet_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: data}
}

func TestEnvironment(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.create(configMap("settings", map[string]string{"APP_TITLE": "Users", "COLOUR": "blue"}))
		b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "keys"}, Data: map[string][]byte{"password": []byte("hunter2")}})
		b.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "back-end"}, Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.20", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}})
		b.pass(10 * time.Millisecond)
		b.pod("it", `{restartPolicy: Never, containers: [{name: app, image: busybox, command: [env],
			resources: {limits: {cpu: 300m, memory: 200Mi}},
			envFrom: [{configMapRef: {name: settings}}, {prefix: S_, secretRef: {name: keys}}, {configMapRef: {name: absent, optional: true}}],
			env: [
				{name: PLAIN, value: "a"}, {name: NESTED, value: "$(PLAIN)-$(APP_TITLE)-$$(PLAIN)-$(NOBODY)"},
				{name: COLOUR, value: red},
				{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}},
				{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
				{name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.name"}}},
				{name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}},
				{name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}},
				{name: TITLE, valueFrom: {configMapKeyRef: {name: settings, key: APP_TITLE}}},
				{name: ABSENT, valueFrom: {secretKeyRef: {name: keys, key: nothing, optional: true}}},
				{name: URL, value: "http://$(BACK_END_SERVICE_HOST):$(BACK_END_SERVICE_PORT_HTTP)"}]}]}`)
		output, err := b.logs("it", corev1.PodLogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"APP_TITLE=Users", "COLOUR=red", "S_password=hunter2", "PLAIN=a", "NESTED=a-Users-$(PLAIN)-$(NOBODY)", "NODE=worker-1",
			"IP=10.97.1.2", "LABEL=it", "CPU=300", "MEMORY=209715200", "TITLE=Users", "URL=http://10.96.0.20:80",
			"BACK_END_PORT_80_TCP=tcp://10.96.0.20:80", "BACK_END_PORT_80_TCP_ADDR=10.96.0.20", "HOSTNAME=it",
		} {
			if !strings.Contains("\n"+output, "\n"+want+"\n") {
				t.Errorf("there is no %s in\n%s", want, output)
			}
		}
		if strings.Contains(output, "ABSENT") {
			t.Error("an optional variable is there")
		}
	})
}

func TestConfigMapAppearsLater(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, envFrom: [{configMapRef: {name: settings}}]}]}`)
		b.pass(time.Second)
		b.want("it", "Pending | app:CreateContainerConfigError")
		b.create(configMap("settings", map[string]string{"A": "1"}))
		b.pass(time.Second)
		b.want("it", "Running | app:Running ready")
	})
}

func TestMountedMapFollowsItsSource(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.create(configMap("page", map[string]string{"index.html": "one", "other": "x"}))
		b.pod("it", `{volumes: [{name: v, configMap: {name: page, items: [{key: index.html, path: www/index.html}]}}, {name: tmp, emptyDir: {}}],
			containers: [
				{name: app, image: busybox, volumeMounts: [{name: v, mountPath: /srv}, {name: tmp, mountPath: /shared}]},
				{name: other, image: busybox, volumeMounts: [{name: tmp, mountPath: /data}]}]}`)
		read := func(container, file string) string {
			text, err := b.exec("it", container, "cat", file)
			if err != nil {
				return err.Error() + " " + text
			}
			return text
		}
		if got := read("app", "/srv/www/index.html"); got != "one" {
			t.Errorf("the file holds %q", got)
		}
		if _, err := client.Of[*corev1.ConfigMap](b.user).Patch(b.ctx, "default", "page", types.MergePatchType, []byte(`{"data":{"index.html":"two"}}`)); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Second)
		if got := read("app", "/srv/www/index.html"); got != "two" {
			t.Errorf("after a change the file holds %q", got)
		}
		if text, err := b.exec("it", "app", "write", "/shared/note", "hello"); err != nil {
			t.Fatal(err, text)
		}
		if got := read("other", "/data/note"); got != "hello" {
			t.Errorf("the other container reads %q", got)
		}
		if text, err := b.exec("it", "app", "write", "/srv/note", "hello"); err == nil {
			t.Errorf("a mounted map could be written: %s", text)
		}
	})
}

func TestServiceAccountToken(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.create(configMap("kube-root-ca.crt", map[string]string{"ca.crt": "certificate"}))
		b.pod("it", `{serviceAccountName: default, volumes: [{name: api, projected: {sources: [
				{serviceAccountToken: {path: token, expirationSeconds: 3607}},
				{configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}},
				{downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}}]}}],
			containers: [{name: app, image: busybox, volumeMounts: [{name: api, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]}]}`)
		dir := "/var/run/secrets/kubernetes.io/serviceaccount/"
		first, err := b.exec("it", "app", "cat", dir+"token", dir+"ca.crt", dir+"namespace")
		if err != nil || !strings.HasPrefix(first, "token of default at ") || !strings.HasSuffix(first, "certificatedefault") {
			t.Fatalf("the files hold %q, %v", first, err)
		}
		b.pass(50 * time.Minute)
		second, err := b.exec("it", "app", "cat", dir+"token")
		if err != nil || strings.HasPrefix(first, second) {
			t.Errorf("the token was not renewed: %q, %v", second, err)
		}
	})
}

func TestPersistentVolume(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.create(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: corev1.PersistentVolumeSpec{
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/volumes/pv"}},
			ClaimRef:               &corev1.ObjectReference{Namespace: "default", Name: "data"},
		}})
		b.create(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeName: "pv",
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}})
		spec := `{volumes: [{name: v, persistentVolumeClaim: {claimName: data}}], containers: [{name: app, image: busybox, volumeMounts: [{name: v, mountPath: /data}]}]}`
		b.pod("one", spec)
		b.want("one", "Pending | app:ContainerCreating")
		b.wantEvent("one", "PVC default/data has non-bound phase")
		claim, err := client.Of[*corev1.PersistentVolumeClaim](b.user).Get(b.ctx, "default", "data")
		if err != nil {
			t.Fatal(err)
		}
		bound := claim.DeepCopy()
		bound.Status.Phase = corev1.ClaimBound
		if _, err := client.Of[*corev1.PersistentVolumeClaim](b.user).UpdateStatus(b.ctx, bound); err != nil {
			t.Fatal(err)
		}
		b.pass(3 * time.Second)
		b.want("one", "Running | app:Running ready")
		if text, err := b.exec("one", "app", "write", "/data/note", "kept"); err != nil {
			t.Fatal(err, text)
		}
		b.delete("one", nil)
		b.pod("two", spec)
		if text, err := b.exec("two", "app", "cat", "/data/note"); err != nil || text != "kept" {
			t.Errorf("the next pod reads %q, %v", text, err)
		}
	})
}

func TestNamesAndResolver(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{hostname: db-0, subdomain: db, hostAliases: [{ip: 10.1.2.3, hostnames: [old.example]}], containers: [{name: app, image: busybox}],
			dnsConfig: {options: [{name: ndots, value: "2"}]}}`)
		hosts, err := b.exec("it", "app", "cat", "/etc/hosts", "/etc/resolv.conf")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"10.97.1.2\tdb-0.db.default.svc.cluster.local\tdb-0\n", "10.1.2.3\told.example\n", "nameserver 10.96.0.10\n",
			"search default.svc.cluster.local svc.cluster.local cluster.local\n", "options ndots:2\n",
		} {
			if !strings.Contains(hosts, want) {
				t.Errorf("there is no %q in\n%s", want, hosts)
			}
		}
	})
}
