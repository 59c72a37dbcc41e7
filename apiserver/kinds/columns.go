package kinds

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/duration"
)

// nameColumn and ageColumn are the two that nearly every kind prints.
func nameColumn() metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}
}

func ageColumn() metav1.TableColumnDefinition {
	return column("Age", "string", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])
}

// column is printed by a plain `kubectl get`.
func column(name, typ, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: typ, Description: description}
}

// wideColumn is printed only with `-o wide`.
func wideColumn(name, typ, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: typ, Description: description, Priority: 1}
}

// containerColumns are the wide columns of everything that has a pod template; containerCells fills them.
func containerColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		wideColumn("Containers", "string", "Names of each container in the template."),
		wideColumn("Images", "string", "Images referenced by each container in the template."),
	}
}

func containerCells(containers []corev1.Container) (names, images string) {
	var n, i []string
	for _, c := range containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// age is how long ago something happened, as kubectl writes it: 5m, 3d4h.
func age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

// orNone is how an empty cell reads.
func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

// selectorCell writes a label selector; none at all is <none>.
func selectorCell(selector *metav1.LabelSelector) string {
	return metav1.FormatLabelSelector(selector)
}

// labelsCell writes labels as a=b,c=d.
func labelsCell(set map[string]string) string {
	return orNone(labels.FormatLabels(set))
}

// podSpecDoc is what the API's documentation says of a field of a pod's spec.
func podSpecDoc(field string) string { return corev1.PodSpec{}.SwaggerDoc()[field] }

// controllerCell names what an object is controlled by: deployment.apps/web.
func controllerCell(object metav1.Object) string {
	owner := metav1.GetControllerOf(object)
	if owner == nil {
		return "<none>"
	}
	kind := strings.ToLower(owner.Kind)
	if group, _, grouped := strings.Cut(owner.APIVersion, "/"); grouped {
		kind += "." + group
	}
	return kind + "/" + owner.Name
}
