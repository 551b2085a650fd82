package proxy

import (
	"compress/flate"
	"errors"
	"io"
)

var (
	// errInflatedTooBig: the message is longer than it may be. Nothing is known of
	// the rest of it.
	errInflatedTooBig = errors.New("inflated message is too big")
	// errDeflate: two inflaters could read the message in two ways, or none can.
	errDeflate = errors.New("message is not compressed as RFC 7692 asks")
)

// inflater inflates messages. It keeps its memory,
// some 40 KiB, from one to the next, but for the codes of more than nine bits that
// a long message may have. The zero inflater is ready; it belongs to one goroutine.
//
// It is not klauspost/compress that inflates: version 1.20.3 reads a block without
// codes with those of a block before it, even of another message, where zlib fails.
type inflater struct {
	flate  io.ReadCloser // also a flate.Resetter
	source deflateSource
	over   [1]byte

	// ended reports whether the last message has ended the stream, which RFC 7692
	// §7.2.3.4 allows. An inflater that goes on where it was, as upstream's does if
	// it keeps its window from message to message, may find nothing in those that
	// follow, or something else.
	ended bool
}

// behind appends the content of one message to dst, and at most limit bytes.
// compressed is the payload of all its fragments, window the end of what the messages
// before it contained, unless it was compressed alone. It returns errDeflate or
// errInflatedTooBig, and then dst with something behind it that is of no use.
func (f *inflater) behind(window, dst, compressed []byte, limit int) ([]byte, error) {
	f.ended = false
	if len(compressed) == 0 {
		// It should have one byte at least, RFC 7692 §7.2.3.6. zlib finds nothing
		// in it, and waits for more; others fail.
		f.ended = true
		return dst, nil
	}
	f.source = deflateSource{payload: compressed}
	if f.flate == nil {
		f.flate = flate.NewReaderDict(&f.source, window)
	} else if err := f.flate.(flate.Resetter).Reset(&f.source, window); err != nil {
		return dst, err
	}
	dst, err := f.inflate(dst, len(dst)+limit)
	f.source.payload = nil // it is the caller's
	return dst, err
}

// inflate appends what the source has, until dst has limit bytes.
func (f *inflater) inflate(dst []byte, limit int) ([]byte, error) {
	for {
		full := len(dst) == limit
		if !full && len(dst) == cap(dst) {
			dst = append(make([]byte, 0, min(2*len(dst)+512, limit)), dst...)
		}
		room := dst[len(dst):min(cap(dst), limit)]
		if full {
			room = f.over[:]
		}
		n, err := f.flate.Read(room)
		if full && n > 0 {
			return dst, errInflatedTooBig
		}
		dst = dst[:len(dst)+n]
		if err != nil {
			return dst, f.end(err)
		}
	}
}

// end judges by how the stream has ended whether all of the message was read.
func (f *inflater) end(err error) error {
	s := &f.source
	switch {
	case err != io.EOF:
		return errDeflate
	case s.closed:
		return nil
	case s.at == 0 && (len(s.payload) == 0 || len(s.payload) == 1 && s.payload[0] == 0):
		// The message has ended the stream, RFC 7692 §7.2.3.4. The zero byte makes
		// an empty block of the tail. Whether anything else is read is up to the
		// inflater.
		f.ended = true
		return nil
	}
	return errDeflate
}

// deflateSource is a message's payload with the tail that RFC 7692 §7.2.2 adds,
// which is the rest of an empty block, and another empty block that ends the
// stream.
//
// A block can be made to go on beyond the tail, and to take the end of the stream
// for its own: then an inflater that does not begin anew with each message reads
// the next one as the rest of that block. So the last block must be seen to begin
// right behind the tail. It is, if flate fetches its first byte alone, for a
// header of three bits, then the other four at once, for a stored block's length,
// and finds that this block is the last one: of the bits of a last block's header
// the first is set and, for a stored block, the next two are not; of that byte's
// bits only the first is set, and those ahead of it, in the tail, are ones.
type deflateSource struct {
	payload []byte // not read yet
	at      int    // what has been read of deflateEnd
	begun   bool   // the last block's first byte was read by itself
	closed  bool   // and the rest of it as its length
}

const (
	deflateTail = "\x00\x00\xff\xff"
	deflateLast = "\x01\x00\x00\xff\xff"
	deflateEnd  = deflateTail + deflateLast
)

// ReadByte is called for the bits of headers and codes.
func (s *deflateSource) ReadByte() (byte, error) {
	switch {
	case len(s.payload) > 0:
		c := s.payload[0]
		s.payload = s.payload[1:]
		return c, nil
	case s.at == len(deflateEnd):
		return 0, io.EOF
	}
	s.begun = s.at == len(deflateTail)
	s.at++
	return deflateEnd[s.at-1], nil
}

// Read is called for a stored block's length and for its content.
func (s *deflateSource) Read(p []byte) (int, error) {
	if len(s.payload) > 0 {
		n := copy(p, s.payload)
		s.payload = s.payload[n:]
		return n, nil
	}
	if s.at == len(deflateEnd) {
		return 0, io.EOF
	}
	n := copy(p, deflateEnd[s.at:])
	s.closed = s.begun && s.at == len(deflateTail)+1 && len(p) == n
	s.at += n
	return n, nil
}
