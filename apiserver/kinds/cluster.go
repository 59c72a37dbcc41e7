package kinds

// cluster are the kinds that programs use and that shape the cluster: configuration, network, storage, access, policy.
func cluster() []*Kind {
	return []*Kind{}
}
