package network_test

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

// caller is a pod that asks the API who it is and for the pods, as a program in it would: by the name of the service, with
// the token and the certificate authority that are mounted.
const caller = `
apiVersion: v1
kind: Pod
metadata: {name: caller}
spec:
  restartPolicy: Never
  containers:
  - name: caller
    image: busybox
    command: [sh, -c]
    args:
    - |
      cd /var/run/secrets/kubernetes.io/serviceaccount
      ask() { curl -s --cacert ca.crt -H "Authorization: Bearer $(cat token)" -w '\n%{http_code}\n' "https://kubernetes.default.svc$1"; }
      ask /api/v1/namespaces/$(cat namespace)/pods/caller
      ask /api/v1/namespaces/$(cat namespace)/secrets
      echo the end
`

const mayView = `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: view}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
`

func TestProgramsInPodsReachTheAPI(t *testing.T) {
	onEveryRuntime(t, func(t *testing.T, c *running) {
		if err := create(c, mayView, &rbacv1.RoleBinding{}); err != nil {
			t.Fatal(err)
		}
		c.apply(caller)
		var said string
		c.eventually(func() (err error) {
			if said, err = c.log("caller", ""); err == nil && !strings.HasSuffix(said, "the end") {
				err = fmt.Errorf("the pod has not said all yet: %q", said)
			}
			return err
		})
		for _, want := range []string{
			"\n200\n", `"name": "caller"`, "\n403\n",
			`secrets is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"`,
		} {
			if !strings.Contains(said, want) {
				t.Errorf("no %s in:\n%s", want, said)
			}
		}
	})
}
