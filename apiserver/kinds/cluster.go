package kinds

import "slices"

// cluster are the kinds that programs use and that shape the cluster: configuration, network, storage, access, policy.
func cluster() []*Kind {
	return slices.Concat(configuration(), network(), storage(), policy(), access())
}

func configuration() []*Kind {
	return []*Kind{binding(), namespace(), node(), configMap(), secret(), serviceAccount(), event(), eventV1(), lease(), runtimeClass()}
}

func network() []*Kind {
	return []*Kind{service(), endpoints(), endpointSlice(), ingress(), ingressClass(), networkPolicy()}
}

func storage() []*Kind {
	return []*Kind{persistentVolume(), persistentVolumeClaim(), storageClass()}
}

// policy are the kinds that say how much of what there may be, and what matters more.
func policy() []*Kind {
	return []*Kind{
		limitRange(), resourceQuota(), priorityClass(), podDisruptionBudget(), horizontalPodAutoscaler(), horizontalPodAutoscalerV1(),
	}
}

// access are the kinds that say who is who, who may do what, and what kinds there are.
func access() []*Kind {
	return slices.Concat(
		[]*Kind{role(), roleBinding(), clusterRole(), clusterRoleBinding(), certificateSigningRequest(), customResourceDefinition()},
		reviews(),
	)
}
