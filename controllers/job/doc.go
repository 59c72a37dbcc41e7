// Package job runs pods until enough of them have succeeded.
//
// It watches Jobs and pods. Each pod bears the finalizer batch.kubernetes.io/job-tracking until its end has been counted,
// so that no success or failure is lost, whoever deletes the pod. Counting takes three writes: the pod's UID goes into
// status.uncountedTerminatedPods, the finalizer is taken off, the UID turns into a number. If the controller dies in
// between, it goes on where it was.
//
// Failed pods are replaced after 10 s, 20 s, 40 s, … up to 10 min. What ends a Job: enough successes (also by
// successPolicy), too many failures (backoffLimit, per index too, or by podFailurePolicy), or activeDeadlineSeconds. An
// ending is first announced (SuccessCriteriaMet, FailureTarget), then the pods that still run are deleted, and when they
// have ended the Job is Complete or Failed.
//
// Read job.go (the loop), verdict.go (is it over), pods.go (create and delete), indexes.go and perindex.go (indexed jobs),
// policy.go (podFailurePolicy, successPolicy), tracking.go (counting), backoff.go, conditions.go, watch.go.
package job
