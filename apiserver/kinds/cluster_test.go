package kinds

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Bodies of the kinds around the workloads, as small as they may be.
const (
	basicService  = `{"metadata":{"name":"s"},"spec":{"selector":{"a":"b"},"ports":[{"port":80}]}}`
	basicMap      = `{"metadata":{"name":"m"},"data":{"a":"b"}}`
	basicSecret   = `{"metadata":{"name":"s"},"stringData":{"a":"b"}}`
	basicNode     = `{"metadata":{"name":"n"},"spec":{"podCIDR":"10.97.1.0/24"}}`
	basicIngress  = `{"metadata":{"name":"i"},"spec":{"defaultBackend":{"service":{"name":"s","port":{"number":80}}}}}`
	basicClass    = `{"metadata":{"name":"c"},"provisioner":"example.com/p"}`
	basicClaim    = `{"metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}`
	basicVolume   = `{"metadata":{"name":"v"},"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/data"}}}`
	basicPriority = `{"metadata":{"name":"p"},"value":10}`
	basicBinding  = `{"metadata":{"name":"b"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"u"}]}`
	basicBudget   = `{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}}}`
	basicScaler   = `{"metadata":{"name":"h"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"maxReplicas":5}}`
	basicPolicy   = `{"metadata":{"name":"p"},"spec":{"podSelector":{}}}`
	basicSlice    = `{"metadata":{"name":"s"},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"port":80}]}`
	basicHandler  = `{"metadata":{"name":"r"},"handler":"h"}`
	basicLease    = `{"metadata":{"name":"l"},"spec":{"holderIdentity":"me","leaseDurationSeconds":15}}`
	basicQuota    = `{"metadata":{"name":"q"},"spec":{"hard":{"pods":"1"}}}`
)

// What an update may change, and which of them are a new generation.
func TestClusterUpdates(t *testing.T) {
	type fields = map[string]any
	for _, c := range []struct {
		name       string
		row        *Kind
		body       string
		change     fields
		want       []string
		generation int64
	}{
		{"map", configMap(), basicMap, fields{"data/a": "c"}, nil, 0},
		{"map made immutable", configMap(), basicMap, fields{"immutable": true}, nil, 0},
		{"immutable map", configMap(), `{"metadata":{"name":"m"},"immutable":true,"data":{"a":"b"}}`, fields{"data/a": "c"},
			[]string{"data: Forbidden: field is immutable when `immutable` is set"}, 0},
		{"immutable map made mutable", configMap(), `{"metadata":{"name":"m"},"immutable":true}`, fields{"immutable": nil},
			[]string{"immutable: Forbidden: field is immutable when `immutable` is set"}, 0},
		{"secret of another type", secret(), basicSecret, fields{"type": "example.com/t"}, []string{`type: Invalid value: "example.com/t": field is immutable`}, 0},
		{"immutable secret", secret(), `{"metadata":{"name":"s"},"immutable":true,"data":{"a":"Yg=="}}`, fields{"data/a": "Yw=="},
			[]string{"data: Forbidden: field is immutable when `immutable` is set"}, 0},
		{"node with another range", node(), basicNode, fields{"spec/podCIDR": "10.97.2.0/24", "spec/podCIDRs": []any{"10.97.2.0/24"}},
			[]string{"spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"}, 0},
		{"node cordoned", node(), basicNode, fields{"spec/unschedulable": true}, nil, 0},
		{"node gets a provider", node(), basicNode, fields{"spec/providerID": "p"}, nil, 0},
		{"node tainted twice alike", node(), basicNode,
			fields{"spec/taints": []any{fields{"key": "k", "effect": "NoSchedule"}, fields{"key": "k", "effect": "NoSchedule", "value": "v"}}},
			[]string{`metadata.taints[1]: Duplicate value: {"Key":"k","Value":"v","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair`}, 0},
		{"ingress with another backend", ingress(), basicIngress, fields{"spec/defaultBackend/service/name": "t"}, nil, 2},
		{"ingress labelled", ingress(), basicIngress, fields{"metadata/labels": fields{"a": "b"}}, nil, 1},
		{"storage class with another provisioner", storageClass(), basicClass, fields{"provisioner": "example.com/q"},
			[]string{`provisioner: Invalid value: null: field is immutable`}, 0},
		{"storage class allows growth", storageClass(), basicClass, fields{"allowVolumeExpansion": true}, nil, 0},
		{"priority class with another value", priorityClass(), basicPriority, fields{"value": 11},
			[]string{`value: Forbidden: may not be changed in an update.`}, 1},
		{"priority class with another description", priorityClass(), basicPriority, fields{"description": "d"}, nil, 1},
		{"binding of another role", roleBinding(), basicBinding, fields{"roleRef/name": "q"},
			[]string{`roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"q"}: field is immutable`}, 0},
		{"binding of others", roleBinding(), basicBinding, fields{"subjects/0/name": "w"}, nil, 0},
		{"budget", podDisruptionBudget(), basicBudget, fields{"spec/minAvailable": 2}, nil, 2},
		{"budget selects others", podDisruptionBudget(), basicBudget, fields{"spec/selector/matchLabels/a": "c"}, nil, 2},
		{"scaler", horizontalPodAutoscaler(), basicScaler, fields{"spec/maxReplicas": 6}, nil, 2},
		{"scaler with too much", horizontalPodAutoscaler(), basicScaler, fields{"spec/minReplicas": 6},
			[]string{"spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"}, 2},
		{"policy", networkPolicy(), basicPolicy, fields{"spec/podSelector/matchLabels": fields{"a": "b"}}, nil, 2},
		{"slice of another family", endpointSlice(), basicSlice, fields{"addressType": "IPv6", "endpoints/0/addresses": []any{"::1:2"}},
			[]string{`addressType: Invalid value: null: field is immutable`}, 2},
		{"slice", endpointSlice(), basicSlice, fields{"endpoints/0/addresses": []any{"10.0.0.2"}}, nil, 2},
		{"runtime class", runtimeClass(), basicHandler, fields{"handler": "other"}, []string{`handler: Invalid value: null: field is immutable`}, 0},
		{"lease", lease(), basicLease, fields{"spec/leaseTransitions": 1}, nil, 0},
		{"lease for no time", lease(), basicLease, fields{"spec/leaseDurationSeconds": 0},
			[]string{"spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"}, 0},
		{"quota", resourceQuota(), basicQuota, fields{"spec/hard/pods": "2"}, nil, 0},
		{"quota with other scopes", resourceQuota(), basicQuota, fields{"spec/scopes": []any{"BestEffort"}},
			[]string{`spec.scopes: Invalid value: ["BestEffort"]: field is immutable`}, 0},
		{"claim of another class", persistentVolumeClaim(), basicClaim, fields{"spec/volumeMode": "Block"}, []string{
			`spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims`,
			`volumeMode: Invalid value: "Block": field is immutable`,
		}, 0},
		{"volume of another kind", persistentVolume(), basicVolume, fields{"spec/hostPath/path": "/other"},
			[]string{"spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"}, 0},
		{"volume claimed", persistentVolume(), basicVolume, fields{"spec/claimRef": fields{"namespace": "n", "name": "c"}}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := fromJSON(t, c.row, c.body)
			now := changed(t, c.row, old, c.change)
			if c.row.PrepareForUpdate != nil {
				c.row.PrepareForUpdate(now, old)
			}
			sameMessages(t, c.row.ValidateUpdate(now, old), c.want...)
			if now.GetGeneration() != c.generation {
				t.Errorf("generation %d, want %d", now.GetGeneration(), c.generation)
			}
		})
	}
}

// Only the status changes through the status subresource, and nothing of it otherwise.
func TestClusterStatus(t *testing.T) {
	for _, c := range []struct {
		name   string
		row    *Kind
		body   string
		spec   string // a field that the status subresource leaves alone
		value  any
		change string
		status any
	}{
		{"service", service(), `{"metadata":{"name":"s"},"spec":{"type":"LoadBalancer","ports":[{"port":80}]}}`,
			"spec/sessionAffinity", "ClientIP", "status/loadBalancer", map[string]any{"ingress": []any{map[string]any{"ip": "1.2.3.4", "ipMode": "VIP"}}}},
		{"node", node(), basicNode, "spec/unschedulable", true, "status/capacity", map[string]any{"cpu": "1"}},
		{"ingress", ingress(), basicIngress, "spec/ingressClassName", "c", "status/loadBalancer", map[string]any{"ingress": []any{map[string]any{"ip": "1.2.3.4"}}}},
		{"claim", persistentVolumeClaim(), basicClaim, "spec/volumeName", "v", "status/phase", "Bound"},
		{"volume", persistentVolume(), basicVolume, "spec/storageClassName", "c", "status/message", "m"},
		{"budget", podDisruptionBudget(), basicBudget, "spec/minAvailable", 5.0, "status/disruptionsAllowed", 3.0},
		{"scaler", horizontalPodAutoscaler(), basicScaler, "spec/maxReplicas", 7.0, "status/desiredReplicas", 3.0},
		{"quota", resourceQuota(), basicQuota, "spec/hard", map[string]any{"pods": "3"}, "status/used", map[string]any{"pods": "3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := fromJSON(t, c.row, c.body)
			old.SetResourceVersion("1")
			both := map[string]any{c.spec: c.value, c.change: c.status}

			now := changed(t, c.row, old, both)
			c.row.Status.Prepare(now, old)
			want := toMap(t, changed(t, c.row, old, map[string]any{c.change: c.status}))
			if diff := cmp.Diff(want, toMap(t, now)); diff != "" {
				t.Errorf("through status (-want +got): %s", diff)
			}
			if c.row.Status.Validate != nil {
				sameMessages(t, c.row.Status.Validate(now, old))
			}

			now = changed(t, c.row, old, both)
			c.row.PrepareForUpdate(now, old)
			want = toMap(t, changed(t, c.row, old, map[string]any{c.spec: c.value}))
			got := toMap(t, now)
			delete(want["metadata"].(map[string]any), "generation")
			delete(got["metadata"].(map[string]any), "generation")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("through the object (-want +got): %s", diff)
			}
		})
	}
}
