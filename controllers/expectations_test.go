package controllers_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kubette/controllers"
)

func TestExpectations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e controllers.Expectations
		satisfied := func(want bool, when string) {
			t.Helper()
			if got, _ := e.Satisfied("web"); got != want {
				t.Errorf("%s: satisfied is %v", when, got)
			}
		}
		satisfied(true, "nothing expected")
		e.ExpectCreations("web", 2)
		e.ExpectDeletions("web", "a", "b")
		satisfied(false, "nothing seen")
		e.Created("web", 2)
		e.Deleted("web", "a")
		e.Deleted("web", "a") // seen twice, counts once
		satisfied(false, "one deletion not seen")
		if !e.Deleted("web", "b") {
			t.Error("the last sight was not told")
		}
		satisfied(true, "all seen")

		e.ExpectCreations("web", 1)
		time.Sleep(5*time.Minute - time.Second)
		satisfied(false, "just before the time-out")
		time.Sleep(2 * time.Second)
		satisfied(true, "after the time-out")
	})
}

func TestSlowStart(t *testing.T) {
	for _, test := range []struct {
		count, failFrom, calls, succeeded int
	}{{10, 100, 10, 10}, {10, 0, 1, 0}, {10, 1, 3, 1}, {100, 7, 15, 7}} {
		seen := make(chan int, 200)
		succeeded, err := controllers.SlowStart(test.count, func(i int) error {
			seen <- i
			if i >= test.failFrom {
				return errors.New("refused")
			}
			return nil
		})
		if len(seen) != test.calls || succeeded != test.succeeded || (err != nil) != (test.failFrom < test.count) {
			t.Errorf("%+v: %d calls, %d succeeded, error %v", test, len(seen), succeeded, err)
		}
	}
}
