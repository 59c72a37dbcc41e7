package apiserver

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/apiserver/kinds"
)

// A list that is put together from its objects is, byte for byte, the list that is encoded as a whole, for every kind.
func TestListsFromEncodedObjects(t *testing.T) {
	rows, err := newRegistry(kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	var cache encodings
	put := 0
	for _, res := range rows.ordered {
		if res.Virtual || res.Compute != nil {
			continue
		}
		for _, media := range []string{mediaJSON, mediaProtobuf} {
			for n := range 3 {
				page := &List{ResourceVersion: "7", Continue: strings.Repeat("more", n)}
				for i := range n {
					object := res.New()
					object.SetName(fmt.Sprintf("<%d>", i))
					object.SetLabels(map[string]string{"a": "b"})
					page.Items = append(page.Items, object)
				}
				got, err := cache.list(res, page, media)
				if err != nil {
					t.Fatalf("%s: %v", res.Resource(), err)
				}
				if got == nil {
					continue
				}
				whole, err := res.listObject(page)
				if err != nil {
					t.Fatal(err)
				}
				var want bytes.Buffer
				if err := encodeAs(whole, media, false, &want); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want.Bytes()) {
					t.Errorf("%s as %s, %d items:\n%q\nwant\n%q", res.Resource(), media, n, got, want.Bytes())
				}
				put++
			}
		}
	}
	if put < 100 {
		t.Errorf("only %d lists were put together", put)
	}
}

// Whoever asks, and however many, an object is encoded once.
func TestEncodedOnce(t *testing.T) {
	var cache encodings
	object, times := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, 0
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			_, err := cache.get(encodingKey{object: object, media: mediaJSON, event: watch.Added}, func(runtime.Object) ([]byte, error) {
				times++
				return []byte("x"), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if times != 1 {
		t.Errorf("encoded %d times", times)
	}
}

// However many objects pass, what is kept is bounded; and after two rests nothing is.
func TestEncodingsAreBounded(t *testing.T) {
	var cache encodings
	data := strings.Repeat("x", 100_000)
	for range 1000 {
		if _, err := cache.frame(watch.Added, &corev1.ConfigMap{Data: map[string]string{"a": data}}, mediaJSON); err != nil {
			t.Fatal(err)
		}
		kept := 0
		for _, part := range []map[encodingKey]*encoding{cache.young, cache.old} {
			for _, e := range part {
				kept += len(e.data)
			}
		}
		if most := 2*generation + 2*len(data); kept > most {
			t.Fatalf("%d bytes are kept, at most %d may be", kept, most)
		}
	}
	cache.rest()
	cache.rest()
	if len(cache.young)+len(cache.old) != 0 {
		t.Error("an idle server holds something")
	}
}
