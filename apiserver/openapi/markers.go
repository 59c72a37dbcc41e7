package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

//go:embed markers.json
var markersJSON []byte

// typeMarkers are what the comments of a type say; see generate/main.go.
type typeMarkers struct {
	Doc    string                  `json:"doc"`
	Enum   []enumValue             `json:"enum"`
	Map    string                  `json:"map"`
	Fields map[string]fieldMarkers `json:"fields"`
}

type enumValue struct {
	Value   string `json:"value"`
	Comment string `json:"comment"`
}

type fieldMarkers struct {
	List     string   `json:"list"`
	Keys     []string `json:"keys"`
	Map      string   `json:"map"`
	Default  any      `json:"default"`
	Optional bool     `json:"optional"`
}

// markers are read once, when a description is first asked for.
var markers = sync.OnceValues(func() (map[string]typeMarkers, error) {
	var all map[string]typeMarkers
	if err := json.Unmarshal(markersJSON, &all); err != nil {
		return nil, fmt.Errorf("read the markers of the API's types: %w", err)
	}
	return all, nil
})

// possibleValues is what an enumeration adds to a description.
func possibleValues(values []enumValue) string {
	var b strings.Builder
	b.WriteString("Possible enum values:")
	for _, v := range values {
		fmt.Fprintf(&b, "\n - `%q` %s", v.Value, v.Comment)
	}
	return b.String()
}
