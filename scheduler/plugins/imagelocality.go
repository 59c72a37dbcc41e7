package plugins

import (
	"strings"

	"kubette/scheduler/framework"
)

// The sizes of images between which it matters that a node has them: less is downloaded in no time, and more than a
// gigabyte per container counts as a gigabyte.
const (
	smallImages     = 23 << 20
	bigImagePerUnit = 1000 << 20
)

// ImageLocality likes nodes that have the pod's images already. An image that few nodes have counts less, so that those
// few do not get every pod.
type ImageLocality struct{}

// Name implements framework.Plugin.
func (ImageLocality) Name() string { return "ImageLocality" }

// PreScore implements framework.Scorer.
func (ImageLocality) PreScore(c *framework.Cycle, _ []*framework.Node) framework.Score {
	score := &imageScore{}
	nodes := float64(len(c.Cluster.Nodes()))
	add := func(name string) {
		score.units++
		name = tagged(name)
		if having := c.Cluster.NodesWithImage(name); having > 0 {
			score.images = append(score.images, wantedImage{name: name, spread: float64(having) / nodes})
		}
	}
	for i := range c.Pod.Spec.InitContainers {
		add(c.Pod.Spec.InitContainers[i].Image)
	}
	for i := range c.Pod.Spec.Containers {
		add(c.Pod.Spec.Containers[i].Image)
	}
	for i := range c.Pod.Spec.Volumes {
		if image := c.Pod.Spec.Volumes[i].Image; image != nil {
			add(image.Reference)
		}
	}
	return score
}

// tagged is an image's name with the tag that it has if none is given.
func tagged(name string) string {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
		return name + ":latest"
	}
	return name
}

type wantedImage struct {
	name   string
	spread float64 // the part of all nodes that have it
}

type imageScore struct {
	images []wantedImage // those that any node has
	units  int64
}

// Score grows with the bytes that need not be downloaded.
func (s *imageScore) Score(node *framework.Node) int64 {
	var sum int64
	for _, image := range s.images {
		sum += int64(float64(node.Images[image.name]) * image.spread)
	}
	most := s.units * bigImagePerUnit
	sum = min(max(sum, smallImages), most)
	return framework.MaxScore * (sum - smallImages) / (most - smallImages)
}

// Normalize has nothing to do: the scores go from 0 to 100 already.
func (*imageScore) Normalize([]int64) {}
