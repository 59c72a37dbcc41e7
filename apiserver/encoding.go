package apiserver

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/apiserver/kinds"
)

// encodings keeps objects as they are sent, so that each is encoded once for every media type, whatever the number of
// watchers and readers: in Kubernetes the cachingObject of the watch cache. An object that is handed out never changes, so
// the object itself is the key, and a later revision is another object.
//
// What is kept is bounded in bytes: there are a young and an old generation, and when the young one is full, it becomes the
// old one, and what nobody asked for since the last time is forgotten. The server's upkeep does the same every minute, so
// that an idle server holds nothing.
type encodings struct {
	mu         sync.Mutex
	young, old map[encodingKey]*encoding
	size       int // of the young ones, in bytes
}

// generation is how many bytes one generation may have.
const generation = 8 << 20

// encodingKey is an object and the form that it is wanted in.
type encodingKey struct {
	object runtime.Object // by identity
	media  string
	event  watch.EventType // of a frame in a watch; "" for the object alone
}

type encoding struct {
	once sync.Once
	data []byte
	err  error
}

// get returns the encoded form of a shared object, and makes it if nobody has yet. Those who ask at once for the same wait
// for the one who makes it. The bytes are shared: never change them.
func (e *encodings) get(key encodingKey, encode func(runtime.Object) ([]byte, error)) ([]byte, error) {
	found := e.place(key)
	found.once.Do(func() {
		found.err = errors.New("encoding failed") // if it panics
		found.data, found.err = encode(key.object)
		e.grow(len(found.data))
	})
	return found.data, found.err
}

// place finds where an encoding is, or is to be.
func (e *encodings) place(key encodingKey) *encoding {
	e.mu.Lock()
	defer e.mu.Unlock()
	if found := e.young[key]; found != nil {
		return found
	}
	found := e.old[key]
	if found == nil {
		found = &encoding{}
	}
	if e.young == nil {
		e.young = map[encodingKey]*encoding{}
	}
	e.young[key] = found
	e.size += entrySize + len(found.data)
	return found
}

// entrySize is about what an entry needs beside its bytes.
const entrySize = 128

func (e *encodings) grow(bytes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.size += bytes; e.size > generation {
		e.age()
	}
}

// age makes the young generation the old one. The caller holds the lock.
func (e *encodings) age() { e.young, e.old, e.size = nil, e.young, 0 }

// rest forgets what nobody asked for lately.
func (e *encodings) rest() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.age()
}

// object returns an object as the body of an answer: JSON, or protobuf in its envelope.
func (e *encodings) object(object runtime.Object, media string) ([]byte, error) {
	return e.get(encodingKey{object: object, media: media}, func(object runtime.Object) ([]byte, error) {
		shown, err := named(object)
		if err != nil {
			return nil, err
		}
		if err := encodable(shown, media); err != nil {
			return nil, err
		}
		var encoded bytes.Buffer
		if err := encodeAs(shown, media, false, &encoded); err != nil {
			return nil, err
		}
		return bytes.Clone(encoded.Bytes()), nil
	})
}

// frame returns an event of a watch as it is sent.
func (e *encodings) frame(t watch.EventType, object runtime.Object, media string) ([]byte, error) {
	return e.get(encodingKey{object: object, media: media, event: t}, func(object runtime.Object) ([]byte, error) {
		encoded, err := e.object(object, media)
		if err != nil {
			return nil, err
		}
		return frameOf(t, encoded, media)
	})
}

// frameOf makes a frame around an encoded object: a JSON frame is a line, a protobuf frame has its length before it, in
// four bytes.
func frameOf(t watch.EventType, encoded []byte, media string) ([]byte, error) {
	if media == mediaProtobuf {
		event := metav1.WatchEvent{Type: string(t), Object: runtime.RawExtension{Raw: encoded}}
		data := make([]byte, 4+event.Size())
		if _, err := event.MarshalTo(data[4:]); err != nil {
			return nil, fmt.Errorf("encode a watch event: %w", err)
		}
		binary.BigEndian.PutUint32(data, uint32(len(data)-4))
		return data, nil
	}
	kind, err := json.Marshal(string(t))
	if err != nil {
		return nil, fmt.Errorf("encode a watch event: %w", err)
	}
	line := make([]byte, 0, len(encoded)+40)
	line = append(append(append(line, `{"type":`...), kind...), `,"object":`...)
	line = append(line, bytes.TrimSuffix(encoded, []byte("\n"))...)
	return append(line, "}\n"...), nil
}

// list returns a page as the body of an answer, put together from its objects' encodings. It returns nil for what has to be
// encoded as a whole: custom resources, and kinds that show another one's objects.
func (e *encodings) list(res *resource, page *List, media string) ([]byte, error) {
	if res.FromStorage != nil || res.Compute != nil || media != mediaJSON && media != mediaProtobuf {
		return nil, nil
	}
	if _, typed := res.blank.(protobufObject); !typed {
		return nil, nil
	}
	empty := *page
	empty.Items = nil
	frame, err := res.listObject(&empty)
	if err != nil {
		return nil, err
	}
	if media == mediaProtobuf {
		return e.protobufList(res, frame, page.Items)
	}
	return e.jsonList(res, frame, page.Items)
}

// jsonList puts objects between the brackets of an empty list. Objects in a list do not name their kind.
func (e *encodings) jsonList(res *resource, empty runtime.Object, items []kinds.Object) ([]byte, error) {
	const end = `"items":[]}` + "\n"
	var body bytes.Buffer
	if err := encodeAs(empty, mediaJSON, false, &body); err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(body.Bytes(), []byte(end)) {
		return nil, nil
	}
	body.Truncate(body.Len() - len("]}\n"))
	head := fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,`, res.Kind.Kind, res.GroupVersionKind().GroupVersion())
	for i, item := range items {
		encoded, err := e.object(item, mediaJSON)
		if err != nil {
			return nil, err
		}
		rest, ok := bytes.CutPrefix(encoded, head)
		if !ok {
			return nil, nil
		}
		if i == 0 {
			body.Grow((len(encoded) + 32) * len(items)) // they are often alike
		} else {
			body.WriteByte(',')
		}
		body.WriteByte('{')
		body.Write(bytes.TrimSuffix(rest, []byte("\n")))
	}
	body.WriteString("]}\n")
	return body.Bytes(), nil
}

// Parts of protobuf messages: the envelope's mark, and the tags of its raw content and of a list's items, which are field 2
// of either.
var (
	envelopeMark = []byte("k8s\x00")
	field2       = byte(2<<3 | 2)
)

// protobufList appends the objects to the message of an empty list, and puts that into an envelope.
func (e *encodings) protobufList(res *resource, empty runtime.Object, items []kinds.Object) ([]byte, error) {
	typed, ok := empty.(protobufObject)
	if !ok {
		return nil, nil
	}
	raw, err := typed.Marshal()
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		message, err := e.message(item)
		if err != nil {
			return nil, err
		}
		raw = binary.AppendUvarint(append(raw, field2), uint64(len(message)))
		raw = append(raw, message...)
	}
	kind := res.listKind()
	envelope := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind}, Raw: raw}
	body := make([]byte, len(envelopeMark)+envelope.Size())
	_, err = envelope.MarshalTo(body[copy(body, envelopeMark):])
	return body, err
}

// messageMedia is the form of objects inside a protobuf list: without the envelope.
const messageMedia = mediaProtobuf + ";message"

func (e *encodings) message(object runtime.Object) ([]byte, error) {
	return e.get(encodingKey{object: object, media: messageMedia}, func(object runtime.Object) ([]byte, error) {
		return object.(protobufObject).Marshal()
	})
}
