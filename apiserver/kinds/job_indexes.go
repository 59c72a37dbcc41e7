package kinds

import (
	"fmt"
	"strconv"
	"strings"
)

// indexRange is a piece of a list of indexes: 3-5, or 7 alone.
type indexRange struct{ first, last int32 }

// parseIndexes reads a list such as 1,3-5,7, which must rise and stay below the number of completions.
func parseIndexes(list string, completions int32) (ranges []indexRange, err error) {
	if list == "" {
		return nil, nil
	}
	for piece := range strings.SplitSeq(list, ",") {
		r, err := parseIndexRange(piece, completions)
		if err != nil {
			return nil, err
		}
		if n := len(ranges); n > 0 && ranges[n-1].last >= r.first {
			return nil, fmt.Errorf("non-increasing order, previous: %d, current: %d", ranges[n-1].last, r.first)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func parseIndexRange(piece string, completions int32) (r indexRange, err error) {
	parts := strings.Split(piece, "-")
	if len(parts) > 2 {
		return r, fmt.Errorf("the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", piece)
	}
	var numbers [2]int32
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil {
			return r, fmt.Errorf("cannot convert string to integer for index: %q", part)
		}
		if n >= int(completions) {
			return r, fmt.Errorf("too large index: %q", part)
		}
		numbers[i] = int32(n)
	}
	r = indexRange{numbers[0], numbers[0]}
	if len(parts) == 2 {
		if r.last = numbers[1]; r.first >= r.last {
			return r, fmt.Errorf("non-increasing order, previous: %d, current: %d", r.first, r.last)
		}
	}
	return r, nil
}

// countIndexes says how many indexes a list names.
func countIndexes(list string, completions int32) (total int32, err error) {
	ranges, err := parseIndexes(list, completions)
	for _, r := range ranges {
		total += r.last - r.first + 1
	}
	return total, err
}

// overlap finds an index that both lists name.
func overlap(a, b []indexRange) (index int32, found bool) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if a[i].first <= b[j].last && b[j].first <= a[i].last {
			return max(a[i].first, b[j].first), true
		}
		if a[i].first <= b[j].first {
			i++
		} else {
			j++
		}
	}
	return 0, false
}
