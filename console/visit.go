package console

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Visit is a request that a user sends to an application in the cluster: to the ingress, by host name.
type Visit struct {
	Method string `json:"method"`
	Host   string `json:"host"`
	Path   string `json:"path"`
}

// visited is what came back.
type visited struct {
	Code    int     `json:"code"`
	Took    float64 `json:"took"` // milliseconds, to the last byte
	Type    string  `json:"type,omitempty"`
	Body    string  `json:"body"`
	Cut     bool    `json:"cut,omitempty"` // there was more
	Problem string  `json:"problem,omitempty"`
}

// maxShown bounds how much of an answer is shown, in bytes.
const maxShown = 4 << 10

// serveVisit sends a request for the browser, which cannot: the application is another origin. Its answer is data here, and
// never a page.
func (s *Server) serveVisit(w http.ResponseWriter, r *http.Request) {
	var visit Visit
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&visit); err != nil {
		http.Error(w, "a visit is JSON with method, host, path: "+err.Error(), http.StatusBadRequest)
		return
	}
	switch {
	case s.config.Visit == nil:
		http.Error(w, "this cluster has no ingress", http.StatusNotImplemented)
		return
	case visit.Method != http.MethodGet && visit.Method != http.MethodPost:
		http.Error(w, "the method must be GET or POST", http.StatusBadRequest)
		return
	case !strings.HasPrefix(visit.Path, "/") || visit.Host == "":
		http.Error(w, "a visit needs a host, and a path that begins with /", http.StatusBadRequest)
		return
	}
	began := time.Now()
	var result visited
	response, err := s.config.Visit(r.Context(), visit)
	if err != nil {
		result.Problem = err.Error()
	} else {
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxShown+1))
		result.Code, result.Type = response.StatusCode, response.Header.Get("Content-Type")
		if result.Cut = len(body) > maxShown; result.Cut {
			body = body[:maxShown]
		}
		if utf8.Valid(body) || result.Cut {
			result.Body = strings.ToValidUTF8(string(body), "�")
		}
	}
	result.Took = float64(time.Since(began).Microseconds()) / 1000
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result)
}
