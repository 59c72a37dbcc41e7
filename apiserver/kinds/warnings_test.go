package kinds

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

const warnedTemplate = `"template":{"metadata":{"labels":{"a":"b"}},"spec":{"nodeSelector":{"beta.kubernetes.io/arch":"arm64"},"containers":[{"name":"c","image":"i"}]}}`

// A workload's name and template are warned of on create, and the template again only by who changes the spec.
func TestWorkloadWarnings(t *testing.T) {
	const (
		name     = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
		template = `spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead`
	)
	for _, c := range []struct {
		row         *Kind
		spec        string
		onCreate    []string
		onNewSpec   []string
		onOtherwise []string
	}{
		{deployment(), warnedTemplate, []string{name, template}, []string{template}, nil},
		{replicaSet(), warnedTemplate, []string{name, template}, []string{template}, nil},
		{replicationController(), warnedTemplate, []string{name, template}, []string{template}, nil},
		{daemonSet(), warnedTemplate, []string{template}, []string{template}, nil},
		{job(), warnedTemplate, []string{name, template}, []string{template}, nil},
		{statefulSet(), warnedTemplate + `,"volumeClaimTemplates":[{"metadata":{"name":"d"},"spec":{"resources":{"requests":{"storage":"1500m"}}}}],"revisionHistoryLimit":-1`,
			[]string{template,
				`spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer`,
				"spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"},
			[]string{template,
				`spec.volumeClaimTemplates[0].Spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer`,
				"spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"},
			[]string{
				`spec.volumeClaimTemplates[0].Spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer`,
				"spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"}},
		{cronJob(), `"schedule":"TZ=UTC * * * * *","jobTemplate":{"spec":{` + warnedTemplate + `}}`,
			[]string{name, "spec.jobTemplate." + template},
			[]string{"spec.jobTemplate." + template, "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"},
			[]string{"cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"}},
	} {
		t.Run(c.row.Kind, func(t *testing.T) {
			object := fromJSON(t, c.row, `{"metadata":{"name":"shop.web"},"spec":{`+c.spec+`}}`)
			object.SetGeneration(1)
			same, changed := object.DeepCopyObject().(Object), object.DeepCopyObject().(Object)
			changed.SetGeneration(2)
			for when, test := range map[string]struct{ got, want []string }{
				"on create":                 {c.row.Warnings(object, nil), c.onCreate},
				"on a change of the spec":   {c.row.Warnings(changed, object), c.onNewSpec},
				"on a change of its labels": {c.row.Warnings(same, object), c.onOtherwise},
			} {
				if diff := cmp.Diff(test.want, test.got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", when, diff)
				}
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		name   string
		row    *Kind
		object string
		want   []string
	}{
		{"pod's name", pod(), `{"metadata":{"name":"a.b"},"spec":{"containers":[{"name":"c","image":"i"}]}}`, []string{
			"metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"}},
		{"storage class", storageClass(), `{"metadata":{"name":"s"},"provisioner":"p","allowedTopologies":[{"matchLabelExpressions":[
			{"key":"topology.kubernetes.io/zone","values":["z"]},{"key":"failure-domain.beta.kubernetes.io/zone","values":["z"]}]}]}`, []string{
			`allowedTopologies[0].matchLabelExpressions[1].key: deprecated since v1.17; use "topology.kubernetes.io/zone" instead`}},
		{"runtime class", runtimeClass(), `{"metadata":{"name":"r"},"handler":"h","scheduling":{"nodeSelector":{"beta.kubernetes.io/os":"linux"}}}`, []string{
			`scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead`}},
		{"service account", serviceAccount(), `{"metadata":{"name":"a","annotations":{"kubernetes.io/enforce-mountable-secrets":"true"}}}`, []string{
			"metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"}},
		{"volume", persistentVolume(), `{"metadata":{"name":"v","annotations":{"volume.beta.kubernetes.io/storage-class":"s"}},"spec":{"persistentVolumeReclaimPolicy":"Recycle",
			"hostPath":{"path":"/x"},"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"beta.kubernetes.io/os","operator":"In","values":["linux"]}]}]}}}}`, []string{
			`metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead`,
			"spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
			`spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead`}},
		{"headless service", service(), `{"metadata":{"name":"s"},"spec":{"type":"ClusterIP","clusterIP":"None","clusterIPs":["None"],"sessionAffinity":"ClientIP","externalIPs":["192.0.2.1"],"loadBalancerIP":"192.0.2.2"}}`, []string{
			"spec.loadBalancerIP is ignored for headless services", "spec.externalIPs is ignored for headless services",
			"spec.SessionAffinity is ignored for headless services"}},
		{"ingress", ingress(), `{"metadata":{"name":"i","annotations":{"kubernetes.io/ingress.class":"nginx"}}}`, []string{
			`annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.row.Warnings(fromJSON(t, c.row, c.object), nil)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// Files of one volume that are in each other's way are warned of, with their source where there are several.
func TestOverlappingFilesWarn(t *testing.T) {
	for volume, want := range map[string][]string{
		`"configMap":{"name":"c","items":[{"key":"a","path":"x/y"},{"key":"b","path":"x/y"}]}`: {
			`volume "v" (ConfigMap "c"): overlapping paths: "x/y" with "x/y"`},
		`"secret":{"secretName":"s","items":[{"key":"a","path":"x"},{"key":"b","path":"x/y"}]}`: {
			`volume "v" (Secret "s"): overlapping paths: "x/y" with "x"`},
		`"downwardAPI":{"items":[{"path":"x/y"},{"path":"x/"}]}`: {
			`volume "v" (DownwardAPI): overlapping paths: "x" with "x/y"`},
		`"projected":{"sources":[{},{"configMap":{"name":"c","items":[{"key":"a","path":"token"}]}},{"serviceAccountToken":{"path":"token"}}]}`: {
			`volume "v" (Projected) has no sources provided`,
			`volume "v" (Projected): overlapping paths: "token" (ServiceAccountToken) with "token" (ConfigMap "c")`},
		`"configMap":{"name":"c","items":[{"key":"a","path":"x"},{"key":"b","path":"xy"}]}`: nil,
	} {
		object := fromJSON(t, podTemplate(), `{"template":{"spec":{"volumes":[{"name":"v",`+volume+`}]}}}`)
		template := object.(*corev1.PodTemplate).Template
		w := warner{spec: &template.Spec, meta: &template.ObjectMeta}
		w.overlaps()
		if diff := cmp.Diff(want, w.warnings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", volume, diff)
		}
	}
}
