package ttlafterfinished_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/ttlafterfinished"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{ttlafterfinished.New(base)}
	})
}

// finished makes a Job that ends now.
func finished(c *controllertest.Cluster, ttl *int32) {
	c.T.Helper()
	template := controllertest.Template("sum", "busybox")
	template.Labels = nil
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	controllertest.Create(c, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "sum", Namespace: "default"},
		Spec: batchv1.JobSpec{Template: template, TTLSecondsAfterFinished: ttl}})
	controllertest.ChangeStatus(c, "default", "sum", func(job *batchv1.Job) {
		now := metav1.Now()
		job.Status.StartTime, job.Status.CompletionTime, job.Status.Succeeded = &now, &now, 1
		for _, condition := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
			job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
		}
	})
}

// deleted says whether the Job is gone or, as its pods go first, on its way.
func deleted(c *controllertest.Cluster) bool {
	c.T.Helper()
	job, err := client.Of[*batchv1.Job](c.Client).Get(context.Background(), "default", "sum")
	if err != nil && !apierrors.IsNotFound(err) {
		c.T.Fatal(err)
	}
	return err != nil || job.DeletionTimestamp != nil
}

func TestAJobGoesWhenItsTimeIsOver(t *testing.T) {
	for name, test := range map[string]struct {
		ttl    *int32
		change func(c *controllertest.Cluster) // 30 s after the end
		at     time.Duration                   // after the end; 0 for never
	}{
		"no time given":         {},
		"at once":               {ttl: ptr.To[int32](0), at: time.Nanosecond},
		"after 100 s":           {ttl: ptr.To[int32](100), at: 100 * time.Second},
		"prolonged meanwhile":   {ttl: ptr.To[int32](100), change: setTTL(ptr.To[int32](200)), at: 200 * time.Second},
		"shortened meanwhile":   {ttl: ptr.To[int32](100), change: setTTL(ptr.To[int32](10)), at: 30 * time.Second},
		"taken away meanwhile":  {ttl: ptr.To[int32](100), change: setTTL(nil)},
		"given only afterwards": {change: setTTL(ptr.To[int32](60)), at: 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				finished(c, test.ttl)
				passed := time.Duration(0)
				until := func(d time.Duration) { c.Pass(d - passed); passed = d }
				if test.change != nil {
					until(30 * time.Second)
					test.change(c)
				}
				if test.at == 0 {
					until(24 * time.Hour)
					if deleted(c) {
						t.Fatal("deleted")
					}
					return
				}
				if test.at-time.Second > passed {
					until(test.at - time.Second)
					if deleted(c) {
						t.Fatalf("deleted before %s were over", test.at)
					}
				}
				until(max(test.at, passed))
				if !deleted(c) {
					t.Errorf("not deleted after %s", test.at)
				}
			})
		})
	}
}

func setTTL(ttl *int32) func(c *controllertest.Cluster) {
	return func(c *controllertest.Cluster) {
		controllertest.Change(c, "default", "sum", func(job *batchv1.Job) { job.Spec.TTLSecondsAfterFinished = ttl })
	}
}

func TestADeletionThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		tried := 0
		c.Faults.Set(func(verb, _, _ string) error {
			if verb != "delete" {
				return nil
			}
			if tried++; tried < 4 {
				return errors.New("lost")
			}
			return nil
		})
		finished(c, ptr.To[int32](10))
		c.Pass(11 * time.Second)
		if !deleted(c) || tried != 4 {
			t.Errorf("deleted: %v, after %d attempts", deleted(c), tried)
		}
	})
}
