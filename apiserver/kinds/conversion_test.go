package kinds

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

const fullScaler = `{"metadata":{"name":"h","annotations":{"mine":"kept"}},"spec":{
	"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"minReplicas":2,"maxReplicas":5,
	"metrics":[
		{"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"1Gi"}}},
		{"type":"Pods","pods":{"metric":{"name":"hits","selector":{"matchLabels":{"a":"b"}}},"target":{"type":"AverageValue","averageValue":"10"}}},
		{"type":"Object","object":{"describedObject":{"kind":"Service","name":"s"},"metric":{"name":"m"},"target":{"type":"Value","value":"3"}}},
		{"type":"External","external":{"metric":{"name":"e"},"target":{"type":"Value","value":"4"}}},
		{"type":"ContainerResource","containerResource":{"name":"cpu","container":"c","target":{"type":"Utilization","averageUtilization":60}}},
		{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":70}}}],
	"behavior":{"scaleDown":{"stabilizationWindowSeconds":60,"policies":[{"type":"Pods","value":1,"periodSeconds":15}]}}}}`

// An autoscaler that is written in v2 and goes through v1 and back has lost nothing.
func TestAutoscalerKeepsAllInV1(t *testing.T) {
	v2 := decode(t, horizontalPodAutoscaler(), jsonMap(t, fullScaler)).(*autoscalingv2.HorizontalPodAutoscaler)
	v2.Status = autoscalingv2.HorizontalPodAutoscalerStatus{
		CurrentReplicas: 2, DesiredReplicas: 3,
		CurrentMetrics: []autoscalingv2.MetricStatus{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{
			Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: ptr.To[int32](50), AverageValue: ptr.To(resource.MustParse("100m"))}}}},
		Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "r"}},
	}
	row := horizontalPodAutoscalerV1()
	shown, err := row.FromStorage(v2)
	if err != nil {
		t.Fatal(err)
	}
	v1 := shown.(*autoscalingv1.HorizontalPodAutoscaler)
	if v1.Spec.TargetCPUUtilizationPercentage == nil || *v1.Spec.TargetCPUUtilizationPercentage != 70 {
		t.Errorf("the CPU target is %v", v1.Spec.TargetCPUUtilizationPercentage)
	}
	if got := v1.Status.CurrentCPUUtilizationPercentage; got == nil || *got != 50 {
		t.Errorf("the CPU is at %v", got)
	}
	if len(v1.Annotations) != 5 || v1.Annotations["mine"] != "kept" {
		t.Errorf("annotations are %v", v1.Annotations)
	}
	back, err := row.ToStorage(v1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(toMap(t, v2), toMap(t, back)); diff != "" {
		t.Errorf("(-before +after): %s", diff)
	}
	if len(v2.Annotations) != 1 {
		t.Errorf("the stored object was changed: %v", v2.Annotations)
	}
}

func TestAutoscalerFromV1(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		want *int32
	}{
		"CPU":         {`{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"maxReplicas":5,"targetCPUUtilizationPercentage":50}`, ptr.To[int32](50)},
		"by default":  {`{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"maxReplicas":5}`, ptr.To[int32](80)},
		"nothing yet": {`{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"minReplicas":3,"maxReplicas":5}`, ptr.To[int32](80)},
	} {
		t.Run(name, func(t *testing.T) {
			row := horizontalPodAutoscalerV1()
			stored, err := row.ToStorage(decode(t, row, jsonMap(t, `{"metadata":{"name":"h"},"spec":`+c.spec+`}`)))
			if err != nil {
				t.Fatal(err)
			}
			v2 := stored.(*autoscalingv2.HorizontalPodAutoscaler)
			if len(v2.Spec.Metrics) != 1 || v2.Spec.Metrics[0].Resource == nil {
				t.Fatalf("metrics are %v", v2.Spec.Metrics)
			}
			if diff := cmp.Diff(c.want, v2.Spec.Metrics[0].Resource.Target.AverageUtilization); diff != "" {
				t.Error(diff)
			}
			sameMessages(t, horizontalPodAutoscaler().Validate(v2))
		})
	}
	// What users write into the annotations by hand and is no JSON is not there.
	row := horizontalPodAutoscalerV1()
	broken := `{"metadata":{"name":"h","annotations":{"autoscaling.alpha.kubernetes.io/metrics":"{"}},"spec":{"scaleTargetRef":{"kind":"D","name":"d"},"maxReplicas":5}}`
	stored, err := row.ToStorage(decode(t, row, jsonMap(t, broken)))
	if err != nil {
		t.Fatal(err)
	}
	if got := stored.(*autoscalingv2.HorizontalPodAutoscaler); len(got.Annotations) != 0 || len(got.Spec.Metrics) != 1 {
		t.Errorf("got %v", got)
	}
}

const fullEvent = `{"metadata":{"name":"e","namespace":"default"},"eventTime":"2026-01-02T03:04:05.678901Z","reportingController":"example.com/c",
	"reportingInstance":"c-1","action":"Do","reason":"Done","regarding":{"kind":"Pod","namespace":"default","name":"p"},
	"related":{"kind":"Node","name":"n"},"note":"it is done","type":"Normal","series":{"count":2,"lastObservedTime":"2026-01-02T03:04:06.000001Z"}}`

func TestEventVersions(t *testing.T) {
	row := eventV1()
	e := decode(t, row, jsonMap(t, fullEvent))
	sameMessages(t, row.Validate(e))
	stored, err := row.ToStorage(e)
	if err != nil {
		t.Fatal(err)
	}
	sameMessages(t, event().Validate(stored))
	core := stored.(*corev1.Event)
	if core.Message != "it is done" || core.InvolvedObject.Name != "p" || core.Series.Count != 2 {
		t.Errorf("stored as %+v", core)
	}
	back, err := row.FromStorage(stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(toMap(t, e), toMap(t, back)); diff != "" {
		t.Errorf("(-before +after): %s", diff)
	}
	if got := row.Fields(e)["regarding.name"]; got != "p" {
		t.Errorf("regarding is %q", got)
	}
	// The old API's fields are not for writing here, and a record does not change.
	old := changed(t, row, e, map[string]any{"deprecatedCount": 3, "type": "Other", "eventTime": nil, "series": nil})
	sameMessages(t, row.Validate(old), `eventTime: Required value`, `type: Invalid value: "": has invalid value: Other`,
		`count: Invalid value: "": needs to be unset`)
	sameMessages(t, row.ValidateUpdate(changed(t, row, e, map[string]any{"series/count": 3}), e))
	sameMessages(t, row.ValidateUpdate(changed(t, row, e, map[string]any{"note": "other"}), e),
		`message: Invalid value: "other": field is immutable`)
}

// Endpoints stay as they are written, even when the same address is there twice.
func TestEndpointsStayAsWritten(t *testing.T) {
	const subsets = `[{"addresses":[{"ip":"10.0.0.10"},{"ip":"10.0.0.9"},{"ip":"10.0.0.9"}],"ports":[{"port":80,"protocol":"TCP"}]},
		{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"port":80,"protocol":"TCP"}]}]`
	got := toMap(t, fromJSON(t, endpoints(), `{"metadata":{"name":"e"},"subsets":`+subsets+`}`))
	if diff := cmp.Diff(jsonMap(t, `{"s":`+subsets+`}`)["s"], got["subsets"]); diff != "" {
		t.Errorf("(-want +got): %s", diff)
	}
}
