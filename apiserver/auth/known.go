package auth

import (
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver/kinds"
)

// knownRules keeps which rules a user has in a namespace, until a role or a binding changes: every request asks, and the
// answer takes going through all bindings. The zero value is empty.
type knownRules struct {
	mu      sync.Mutex
	version int64
	given   map[string]*givenRules
}

// givenRules are what bindings give to a user, and which of them name roles that do not exist.
type givenRules struct {
	rules []*rbacv1.PolicyRule
	err   error
}

// mostKnown bounds for how many users and namespaces rules are kept.
const mostKnown = 2000

// of returns a user's rules in a namespace, "" for the cluster's own.
func (k *knownRules) of(cluster kinds.Cluster, u user.Info, namespace string) *givenRules {
	// The version is read first: rules that are newer than it are only forgotten too early.
	version, known := rulesVersion(cluster)
	if !known {
		return findRules(cluster, u, namespace)
	}
	key := namespace + "\x00" + u.GetName() + "\x00" + strings.Join(u.GetGroups(), "\x00")
	k.mu.Lock()
	if k.version != version || len(k.given) >= mostKnown {
		k.version, k.given = version, map[string]*givenRules{}
	}
	given := k.given[key]
	k.mu.Unlock()
	if given != nil {
		return given
	}
	given = findRules(cluster, u, namespace)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.version == version {
		k.given[key] = given
	}
	return given
}

func findRules(cluster kinds.Cluster, u user.Info, namespace string) *givenRules {
	given := &givenRules{}
	given.err = visitRules(cluster, u, namespace, func(rule *rbacv1.PolicyRule) bool {
		given.rules = append(given.rules, rule)
		return true
	})
	return given
}

// rulesVersion is a number that grows with every change of a role or a binding. It returns false for a cluster that does
// not tell when its objects change.
func rulesVersion(cluster kinds.Cluster) (int64, bool) {
	teller, ok := cluster.(interface {
		ChangedAt(group, plural string) (int64, bool)
	})
	if !ok {
		return 0, false
	}
	var sum int64
	for _, plural := range []string{"clusterroles", "clusterrolebindings", "roles", "rolebindings"} {
		changed, known := teller.ChangedAt(rbacv1.GroupName, plural)
		if !known {
			return 0, false
		}
		sum += changed // each only grows, so the sum stays the same only when all do
	}
	return sum, true
}
