package explain

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drawn is a tree as text: an indented line for each row, marked when it differs from what is wanted.
func drawn(rows []*Row, indent string) string {
	var b strings.Builder
	for _, row := range rows {
		mark := " "
		if row.Differs {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %s%s/%s %d/%d/%d %s %s\n", mark, indent, row.Object.Kind, row.Object.Name, row.Wanted, row.Present, row.Ready, row.State, row.Reason)
		b.WriteString(drawn(row.Parts, indent+"  "))
	}
	return b.String()
}

func TestTree(t *testing.T) {
	owner := func(pod string) string {
		return strings.Replace(pod, "name: p,", "name: p, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: rs, controller: true}],", 1)
	}
	for _, c := range []struct{ name, objects, want string }{
		{"as wanted", strings.Replace(deployment("", "{replicas: 1, updatedReplicas: 1, availableReplicas: 1}"), "replicas: 2", "replicas: 1", 1) +
			strings.Replace(replicaSet("{}"), "replicas: 2", "replicas: 1", 1) + owner(podWith("", isUp)) + service("{selector: {app: web}, ports: [{port: 80}]}") + fmt.Sprintf(slice, true), `
  Deployment/web 1/1/1 ready row.asWanted
    ReplicaSet/web-1 1/1/1 ready row.asWanted
      Pod/p 1/1/1 ready row.asWanted
        container/c 1/1/1 ready row.running
  Service/web 1/1/1 ready row.endpoints
    endpoint/10.97.1.2:80 1/1/1 ready row.running
`},
		{"one of two, and it crashes", deployment("", "{replicas: 1, updatedReplicas: 1}") + replicaSet("{}") + owner(podWith("", waitingFor("CrashLoopBackOff", "", lastEnded(1, "Error", "")))), `
! Deployment/web 2/1/0 failed CrashLoop
!   ReplicaSet/web-1 2/1/0 failed CrashLoop
!     Pod/p 1/1/0 failed CrashLoop
!       container/c 1/0/0 pending row.waiting
`},
		{"too many", strings.Replace(replicaSet("{}"), "replicas: 2", "replicas: 0", 1) + owner(podWith("", isUp)), `
! ReplicaSet/web-1 0/1/1 running row.surplus
    Pod/p 1/1/1 ready row.asWanted
      container/c 1/1/1 ready row.running
`},
		{"an ingress to nowhere", ingress("i", rule("a.example.org", "web", 80)), `
! Ingress/i 1/0/0 failed IngressServiceMissing
!   Service/web 1/0/0 failed row.missing
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows := Tree(context.Background(), NewSnapshot(now, parse(t, strings.Replace(c.objects, "kind: Deployment, name: web, uid: dep, controller: true", ownerKind(c.objects), 1))...), Facts{}, "default")
			if difference := cmp.Diff(strings.TrimPrefix(c.want, "\n"), drawn(rows, "")); difference != "" {
				t.Errorf("(-want +got):\n%s", difference)
			}
			for _, language := range Languages {
				RenderRows(rows, language)
				for _, row := range rows {
					if strings.Contains(row.Text, "{") || strings.HasPrefix(row.Text, "row.") {
						t.Errorf("%s in %s is not in words: %q", row.Reason, language, row.Text)
					}
				}
			}
		})
	}
}

// ownerKind keeps a ReplicaSet's owner where the cluster has it, and lets the ReplicaSet stand alone where it has not.
func ownerKind(objects string) string {
	if strings.Contains(objects, "kind: Deployment, metadata") {
		return "kind: Deployment, name: web, uid: dep, controller: true"
	}
	return "kind: Deployment, name: web, uid: dep"
}
