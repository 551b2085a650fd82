// Package faults has tests alone: what becomes of sessions when networks, servers,
// disks and clocks fail.
//
// A scene is wswarden between clients and an upstream that the test plays, with a link
// on either side that can be made to fail: latency, resets, silence and the like by
// toxiproxy (links_test.go), cables that are cut by network namespaces (cuts_test.go). Around
// it, upstream is killed or stopped, the log's disk is full, names are not resolved, and
// the clock is set. In every scene each peer knows what the other one says, and each
// byte that arrives is compared; when it is over, nothing may be left, and the metrics
// have to tell what has happened.
//
// A new fault of a link is a row in the table of TestLinksThatAreBad, which sessions
// survive, of TestLinksThatBreak or of TestLinksInHandshakes. All of it needs Linux.
package faults
