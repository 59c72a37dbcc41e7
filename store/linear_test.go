package store_test

import (
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"kubette/store"
)

// call is one operation of a client on one key: a read, or a write with the revision that it expects.
type call struct {
	key      string
	write    bool
	remove   bool
	expected int64
	value    string
}

// answer is what came back; revision 0 means that there was nothing, or that nothing was written.
type answer struct {
	revision int64
	value    string
	refused  bool
}

// oneKey is what a key does when only one client uses the store: what many clients see must be explained by it.
var oneKey = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(call).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return answer{} },
	Step: func(state, input, output any) (bool, any) {
		now, asked, got := state.(answer), input.(call), output.(answer)
		switch {
		case !asked.write:
			return got == now, now
		case got.refused: // as it must be when the key is elsewhere, or there is nothing to remove
			return asked.expected != now.revision || asked.remove && now.revision == 0, now
		case asked.expected != now.revision || got.revision <= now.revision:
			return false, now
		case asked.remove:
			return true, answer{}
		}
		return true, answer{revision: got.revision, value: asked.value}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// Many clients read and write few keys at once. There must be an order of all operations, each between its call and its
// answer, in which a store with one client would have answered the same.
func TestLinearizable(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		const clients, calls = 8, 150
		s := b.make(t)
		begun := time.Now()
		histories := make([][]porcupine.Operation, clients)
		var group sync.WaitGroup
		for client := range clients {
			group.Go(func() {
				seen := map[string]int64{}
				for i := range calls {
					asked := call{key: fmt.Sprintf("/key/%d", rand.Intn(3)), value: fmt.Sprintf("%d by %d", i, client)}
					asked.write, asked.remove = rand.Intn(3) > 0, rand.Intn(6) == 0
					asked.expected = seen[asked.key]
					from := time.Since(begun)
					got := carryOut(t, s, asked)
					histories[client] = append(histories[client], porcupine.Operation{
						ClientId: client, Input: asked, Output: got, Call: from.Nanoseconds(), Return: time.Since(begun).Nanoseconds(),
					})
					seen[asked.key] = got.revision // a refused writer takes the key for new, or reads it later
				}
			})
		}
		group.Wait()
		var history []porcupine.Operation
		for _, part := range histories {
			history = append(history, part...)
		}
		if result := porcupine.CheckOperationsTimeout(oneKey, history, 20*time.Second); result != porcupine.Ok {
			t.Errorf("%d operations: %s", len(history), result)
		}
	})
}

func carryOut(t *testing.T, s store.Store, asked call) answer {
	if !asked.write {
		entry, err := s.Get(t.Context(), asked.key, 0)
		if errors.Is(err, store.ErrNotFound) {
			return answer{}
		}
		if err != nil {
			t.Error(err)
			return answer{}
		}
		return answer{revision: entry.Revision, value: string(entry.Value())}
	}
	entry, err := s.Write(t.Context(), store.Write{
		Key: asked.key, Value: []byte(asked.value), Delete: asked.remove, Expected: asked.expected,
	})
	if err != nil {
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		return answer{refused: true}
	}
	return answer{revision: entry.Revision}
}
