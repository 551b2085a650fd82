package admin

import (
	"net/http"
	"net/url"

	"wswarden/proxy/admin/api"
)

// detail answers to GET /v1/sessions/{id}.
func (s *Server) detail(w http.ResponseWriter, r *http.Request, _ url.Values) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	leave, err := s.find(r.Context(), w)
	if err != nil {
		return err
	}
	defer leave()
	detail, found := s.source.Session(r.Context(), id)
	if !found {
		return noSession(w, r, id)
	}
	if detail.SubscribedTo == nil {
		detail.SubscribedTo = []api.Subscription{}
	}
	if detail.Next == nil {
		detail.Next = []api.Forecast{}
	}
	if detail.WouldHave == nil {
		detail.WouldHave = []string{}
	}
	return answer(w, http.StatusOK, detail)
}

// policies answers to GET /v1/policies.
func (s *Server) policies(w http.ResponseWriter, _ *http.Request, _ url.Values) error {
	return answer(w, http.StatusOK, api.Policies{Policies: append([]api.Policy{}, s.source.Policies()...)})
}
