package cluster

import (
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/client"
)

// component is the identity of a part of the control plane, for example kube-scheduler.
func component(name string) user.Info {
	return &user.DefaultInfo{Name: "system:" + name, Groups: []string{user.AllAuthenticated}}
}

// controller is the identity of a controller: a service account of kube-system.
func controller(name string) user.Info {
	return serviceaccount.UserInfo("kube-system", name, "")
}

// node is the identity of a kubelet.
func node(name string) user.Info {
	return &user.DefaultInfo{Name: "system:node:" + name, Groups: []string{user.NodesGroup, user.AllAuthenticated}}
}

// as returns a client that acts in somebody's name.
func (c *Cluster) as(who user.Info) client.Interface { return client.InProcess(c.server, who) }
