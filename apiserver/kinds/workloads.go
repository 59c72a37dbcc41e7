package kinds

// workloads are the kinds that run programs: pods and all that makes them.
func workloads() []*Kind {
	return []*Kind{
		pod(), podTemplate(), replicationController(),
		replicaSet(), deployment(), statefulSet(), daemonSet(), controllerRevision(),
		job(), cronJob(),
	}
}
