// Package clusterroleaggregation fills in the rules of aggregated cluster roles. The roles admin, edit and view are such:
// they hold what all cluster roles with a certain label hold, so that whoever adds a kind to the cluster (a custom
// resource, say) also adds to what these users may do, by one more labelled role.
//
// It watches cluster roles. A change of any of them may concern every aggregated one, so those are all looked at again;
// they are few.
package clusterroleaggregation
