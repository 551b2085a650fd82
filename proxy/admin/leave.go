package admin

import "time"

// patienceToLeave is how long Leave waits for what is under way.
const patienceToLeave = time.Second

// Leave has another process, which serves the same socket, answer all that comes from now
// on, and returns when what has come already is answered: streams, which may be endless,
// get a second. It is called while Serve runs; the server is to be closed after that.
func (s *Server) Leave() {
	s.http.SetKeepAlivesEnabled(false)
	_ = s.listener.Close()
	<-s.served // what it has taken counts as open from then on
	// net/http does not answer what it reads once it is shut down.
	for until := time.Now().Add(patienceToLeave); len(s.open) > 0 && time.Now().Before(until); {
		time.Sleep(5 * time.Millisecond)
	}
}
