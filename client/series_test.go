package client_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/client"
	"kubette/store"
)

// withSeries runs a test with a recorder, and with a function that returns the events in the API as they are read by the old API.
func withSeries(t *testing.T, test func(r *client.SeriesRecorder, events func() []corev1.Event, api client.Interface)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, services, _ := net.ParseCIDR("10.96.0.0/16")
		server, err := apiserver.New(apiserver.Config{Store: store.NewMemory(), ServiceCIDR: services})
		if err != nil {
			t.Fatal(err)
		}
		api := client.InProcess(server, &user.DefaultInfo{Name: "system:kube-scheduler"})
		done := make(chan struct{})
		go func() { server.Run(ctx); close(done) }()
		if _, err := client.Of[*corev1.Namespace](api).Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}); err != nil {
			t.Fatal(err)
		}
		r := client.NewSeriesRecorder(api, "default-scheduler", "host")
		stopped := make(chan struct{})
		go func() { r.Run(ctx); close(stopped) }()
		test(r, func() []corev1.Event {
			t.Helper()
			synctest.Wait()
			list, err := client.Of[*corev1.Event](api).List(ctx, "default", metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var events []corev1.Event
			for _, event := range list {
				events = append(events, *event)
			}
			return events
		}, api)
		cancel()
		<-stopped
		<-done
	})
}

func podOf(version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u1", ResourceVersion: version}}
}

// counts are how often each event has happened, as far as the API knows.
func counts(events []corev1.Event) []int32 {
	var all []int32
	for _, event := range events {
		count := int32(1)
		if event.Series != nil {
			count = event.Series.Count
		}
		all = append(all, count)
	}
	return all
}

func TestAnEventOfTheNewerKind(t *testing.T) {
	withSeries(t, func(r *client.SeriesRecorder, events func() []corev1.Event, _ client.Interface) {
		low := podOf("7")
		high := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "high", UID: "u2"}}
		now := metav1.NowMicro()
		r.Event(low, high, "Normal", "Preempted", "Preempting", "Preempted by pod %s on node %s", high.UID, "worker-1")
		want := []corev1.Event{{
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "web", UID: "u1", ResourceVersion: "7"},
			Related:        &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "high", UID: "u2"},
			Type:           "Normal", Reason: "Preempted", Action: "Preempting", Message: "Preempted by pod u2 on node worker-1",
			EventTime: now, ReportingController: "default-scheduler", ReportingInstance: "default-scheduler-host",
		}}
		got := events()
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(corev1.Event{}, "ObjectMeta"), cmpopts.IgnoreFields(corev1.Event{}, "TypeMeta")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if owners := got[0].ManagedFields; len(owners) != 1 || owners[0].APIVersion != "events.k8s.io/v1" {
			t.Errorf("written as %+v, wanted as events.k8s.io/v1", owners)
		}
	})
}

func TestARepeatedEventIsASeries(t *testing.T) {
	withSeries(t, func(r *client.SeriesRecorder, events func() []corev1.Event, api client.Interface) {
		fail := func(version, why string) {
			r.Event(podOf(version), nil, "Warning", "FailedScheduling", "Scheduling", "%s", why)
		}
		want := func(when string, counted ...int32) {
			t.Helper()
			if diff := cmp.Diff(counted, counts(events())); diff != "" {
				t.Errorf("%s: (-want +got):\n%s", when, diff)
			}
		}
		fail("1", "no node")
		want("once", 1)
		time.Sleep(time.Minute)
		fail("1", "no node at all")
		want("again", 2)
		time.Sleep(time.Minute)
		for range 3 {
			fail("1", "no node")
		}
		want("further ones are only counted", 2)
		if got := events()[0].Message; got != "no node" {
			t.Errorf("the series says %q, wanted what its first event said", got)
		}
		fail("2", "no node")
		want("the pod's status has changed", 2, 1)
		time.Sleep(15 * time.Minute)
		want("nothing for long", 5, 1)
		fail("1", "no node")
		want("a new one", 5, 1, 1)
	})
}

func TestALongSeriesOutlivesItsEvent(t *testing.T) {
	withSeries(t, func(r *client.SeriesRecorder, events func() []corev1.Event, api client.Interface) {
		time.Sleep(30 * time.Second) // so that nothing below happens as the series are written
		start := metav1.NowMicro()
		fail := func() { r.Event(podOf("1"), nil, "Warning", "FailedScheduling", "Scheduling", "no node") }
		for range 2 {
			fail()
		}
		before := events()
		if diff := cmp.Diff([]int32{2}, counts(before)); diff != "" {
			t.Fatal(diff)
		}
		if err := client.Of[*eventsv1.Event](api).Delete(t.Context(), "default", before[0].Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for range 31 {
			time.Sleep(time.Minute)
			fail()
		}
		after := events()
		if diff := cmp.Diff([]int32{31}, counts(after)); diff != "" {
			t.Fatal(diff)
		}
		if after[0].Name != before[0].Name || !after[0].EventTime.Equal(&start) {
			t.Errorf("%s of %v became %s of %v", before[0].Name, start, after[0].Name, after[0].EventTime)
		}
	})
}
