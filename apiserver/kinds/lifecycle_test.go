package kinds

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A namespace is there until what is in it is gone, and says so.
func TestNamespaceWaits(t *testing.T) {
	row := namespace()
	n := fromJSON(t, row, `{"metadata":{"name":"n"},"spec":{"finalizers":["example.com/mine"]},"status":{"phase":"Terminating"}}`).(*corev1.Namespace)
	if n.Status.Phase != corev1.NamespaceActive || n.Labels["kubernetes.io/metadata.name"] != "n" {
		t.Errorf("a new namespace is %v", n)
	}
	if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) || len(n.Spec.Finalizers) != 2 {
		t.Errorf("finalizers are %v", n.Spec.Finalizers)
	}
	if !row.HoldsDeletion(n) {
		t.Error("a full namespace can go")
	}
	sameMessages(t, row.Status.Validate(changed(t, row, n, map[string]any{"status/phase": "Terminating"}), n),
		"status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty")
	row.PrepareForDelete(n)
	n.DeletionTimestamp = &metav1.Time{}
	if n.Status.Phase != corev1.NamespaceTerminating {
		t.Errorf("the phase is %s", n.Status.Phase)
	}
	// Its finalizers are for the finalize subresource alone.
	now := changed(t, row, n, map[string]any{"spec/finalizers": []any{}}).(*corev1.Namespace)
	row.PrepareForUpdate(now, n)
	if !row.HoldsDeletion(now) {
		t.Error("an update frees a namespace")
	}
	now.Spec.Finalizers = nil
	if row.HoldsDeletion(now) {
		t.Error("an empty namespace stays")
	}
}

// A name that was generated is known only when the cluster hands out what it has to hand out.
func TestNamespaceOfAnyName(t *testing.T) {
	row := namespace()
	n := decode(t, row, jsonMap(t, `{"metadata":{"generateName":"n-"}}`)).(*corev1.Namespace)
	if len(n.Labels) != 0 {
		t.Errorf("labels are %v", n.Labels)
	}
	n.Name = "n-abcde"
	if _, err := row.Allocate(t.Context(), newBooks(), n, nil); err != nil {
		t.Fatal(err)
	}
	if n.Labels["kubernetes.io/metadata.name"] != "n-abcde" {
		t.Errorf("labels are %v", n.Labels)
	}
}

const widgetDefinition = `{"metadata":{"name":"widgets.example.com"},"spec":{"group":"example.com","scope":"Namespaced",
	"names":{"plural":"widgets","kind":"Widget"},
	"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{
		"spec":{"type":"object","properties":{"size":{"type":"integer"},"at":{"type":"string","format":"whenever"}}}}}}}]}}`

func TestDefinition(t *testing.T) {
	row := customResourceDefinition()
	d := fromJSON(t, row, widgetDefinition).(*apiextensionsv1.CustomResourceDefinition)
	sameMessages(t, row.Validate(d))
	if d.Spec.Names.Singular != "widget" || d.Spec.Names.ListKind != "WidgetList" || d.Spec.Conversion.Strategy != "None" {
		t.Errorf("defaults are %+v", d.Spec)
	}
	if !slices.Equal(d.Status.StoredVersions, []string{"v1"}) || d.Generation != 1 {
		t.Errorf("status is %+v, generation %d", d.Status, d.Generation)
	}
	if got := row.Warnings(d, nil); len(got) != 1 || got[0] != `unrecognized format "whenever"` {
		t.Errorf("warnings are %v", got)
	}
	if got := row.Warnings(d, d); len(got) != 0 {
		t.Errorf("warned again: %v", got)
	}
	if got := row.Cells(d); got[1] != "Namespaced" || got[2] != "v1(storage)" || got[5] != "Widget" {
		t.Errorf("cells are %v", got)
	}

	d.ResourceVersion = "1"
	now := changed(t, row, d, map[string]any{"spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/type": "string"})
	row.PrepareForUpdate(now, d)
	sameMessages(t, row.ValidateUpdate(now, d))
	if now.GetGeneration() != 2 {
		t.Errorf("generation is %d", now.GetGeneration())
	}
	// Once it is established, its scope and kind stay.
	d.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue}}
	now = changed(t, row, d, map[string]any{"spec/scope": "Cluster", "spec/names/kind": "Gadget"})
	row.PrepareForUpdate(now, d)
	sameMessages(t, row.ValidateUpdate(now, d), `spec.scope: Invalid value: "Cluster": field is immutable`, `spec.names.kind: Invalid value: "Gadget": field is immutable`)

	if !row.HoldsDeletion(d) {
		t.Error("a definition goes before what it defines")
	}
	row.PrepareForDelete(d)
	d.DeletionTimestamp = &metav1.Time{}
	if len(d.Finalizers) != 1 || d.Status.Conditions[1].Type != apiextensionsv1.Terminating || row.HoldsDeletion(d) {
		t.Errorf("being deleted it is %v, %v", d.Finalizers, d.Status)
	}
}

func TestDefinitionIsRefused(t *testing.T) {
	row := customResourceDefinition()
	for name, c := range map[string]struct {
		change map[string]any
		want   []string
	}{
		"name": {map[string]any{"metadata/name": "gadgets.example.com"},
			[]string{`metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group`}},
		"none that stores": {map[string]any{"spec/versions/0/storage": false}, []string{
			`spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":null,` +
				`"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version`,
			`status.storedVersions: Invalid value: null: must have at least one stored version`,
		}},
		"no schema":     {map[string]any{"spec/versions/0/schema": nil}, []string{`spec.versions[0].schema.openAPIV3Schema: Required value`}},
		"no type":       {map[string]any{"spec/versions/0/schema/openAPIV3Schema/type": nil}, []string{`spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root`}},
		"group":         {map[string]any{"spec/group": "example", "metadata/name": "widgets.example"}, []string{`spec.group: Invalid value: "example": should be a domain with at least one dot`}},
		"its own group": {map[string]any{"spec/group": "a.k8s.io", "metadata/name": "widgets.a.k8s.io"}, []string{`metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111`}},
	} {
		t.Run(name, func(t *testing.T) {
			d := changed(t, row, decode(t, row, jsonMap(t, widgetDefinition)), c.change)
			row.PrepareForCreate(d)
			sameMessages(t, row.Validate(d), c.want...)
		})
	}
}

// request makes a certificate request for a key, as a client would.
func request(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "me"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func TestSigningRequest(t *testing.T) {
	row := certificateSigningRequest()
	valid := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "c"},
		Spec: certificatesv1.CertificateSigningRequestSpec{Request: []byte(request(t)), SignerName: "kubernetes.io/kube-apiserver-client",
			Username: "me", Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth}},
	}
	sameMessages(t, row.Validate(valid))
	broken := valid.DeepCopy()
	broken.Spec.SignerName, broken.Spec.Usages, broken.Spec.ExpirationSeconds = "mine", nil, new(int32)
	sameMessages(t, row.Validate(broken), "spec.usages: Required value: usages must be provided",
		`spec.signerName: Invalid value: "mine": must be a fully qualified domain and path of the form 'example.com/signer-name'`,
		"spec.expirationSeconds: Invalid value: 0: may not specify a duration less than 600 seconds (10 minutes)")

	// Who may write the status may not approve, nor take an approval back.
	approved := valid.DeepCopy()
	approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
	byStatus := approved.DeepCopy()
	row.Status.Prepare(byStatus, valid)
	if len(byStatus.Status.Conditions) != 0 {
		t.Errorf("approved through the status: %v", byStatus.Status.Conditions)
	}
	revoked := valid.DeepCopy()
	row.Status.Prepare(revoked, approved)
	if len(revoked.Status.Conditions) != 1 {
		t.Error("the approval is gone")
	}
	sameMessages(t, row.Status.Validate(valid, approved), `status.conditions: Forbidden: updates may not remove a condition of type "Approved"`)
	if got := row.Cells(approved); got[3] != "me" || got[5] != "Approved" {
		t.Errorf("cells are %v", got)
	}
}
