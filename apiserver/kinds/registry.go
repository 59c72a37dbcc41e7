package kinds

// All returns the rows of every kind that the API serves, in the order in which discovery lists them within a group.
func All() []*Kind {
	var all []*Kind
	all = append(all, workloads()...)
	all = append(all, cluster()...)
	return all
}
