package dialects

import "bytes"

// utf8Mark is the byte-order mark, which some decoders take off a text, so that
// what is no JSON here is JSON there.
var utf8Mark = []byte("\xef\xbb\xbf")

// split takes the next record off r.rest. There is none if it returns nil.
func (r *Reader) split() []byte {
	switch r.dialect.records {
	case Lines:
		// Empty lines are nothing.
		for len(r.rest) > 0 {
			line, rest, _ := bytes.Cut(r.rest, lineEnd)
			r.rest = rest
			if len(line) > 0 {
				return line
			}
		}
		return nil
	case RS:
		return r.terminated(0x1e)
	case NUL:
		return r.terminated(0)
	case Batch:
		if r.batch {
			return r.element()
		}
	}
	return r.all()
}

var lineEnd = []byte("\n")

// terminated takes off a record with an end that it must have.
func (r *Reader) terminated(end byte) []byte {
	length := bytes.IndexByte(r.rest, end)
	if length < 0 {
		// Servers put such a half together with the next message.
		r.refuse(errNoEnd)
		return nil
	}
	record := r.rest[:length:length]
	r.rest = r.rest[length+1:]
	return record
}

// beginBatch reports whether the message is a batch, which is an array that is JSON
// as a whole, and leaves its elements in r.rest.
func (r *Reader) beginBatch() bool {
	at := skipSpace(r.rest, 0)
	if at == len(r.rest) || r.rest[at] != '[' {
		return false
	}
	end, ok := r.scan.skipValue(r.rest, at)
	if !ok || skipSpace(r.rest, end) != len(r.rest) {
		return false
	}
	first := skipSpace(r.rest, at+1)
	if r.rest[first] == ']' {
		return false // an array without elements is not much of a batch
	}
	r.rest = r.rest[first:end]
	return true
}

// element takes an element off a batch that is known to be JSON.
func (r *Reader) element() []byte {
	at := skipSpace(r.rest, 0)
	if at == len(r.rest) {
		return nil
	}
	end, ok := r.scan.skipValue(r.rest, at)
	if !ok {
		r.rest = nil
		return nil
	}
	record := r.rest[at:end:end]
	if end, _, ok = skipComma(r.rest, end, ']'); !ok {
		end = len(r.rest)
	}
	r.rest = r.rest[end:]
	return record
}

// AppendMessage appends a message of these records, which are of one message and
// in their order, in the dialect's way of joining them. Of no records, it is empty.
func (d *Dialect) AppendMessage(dst []byte, records [][]byte) []byte {
	if d.records == Batch && (len(records) > 1 || len(records) == 1 && isBatch(records[0])) {
		dst = append(dst, '[')
		for i, record := range records {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, record...)
		}
		return append(dst, ']')
	}
	for i, record := range records {
		if i > 0 && d.records == Lines {
			dst = append(dst, '\n')
		}
		dst = append(dst, record...)
		if d.form != STOMP || len(skipLineEnds(record)) > 0 {
			dst = d.appendEnd(dst)
		}
	}
	return dst
}

// isBatch reports whether a record would be taken for a batch if it stood alone.
func isBatch(record []byte) bool {
	r := Reader{rest: record}
	return r.beginBatch()
}

// appendEnd appends what a record must end in.
func (d *Dialect) appendEnd(dst []byte) []byte {
	switch {
	case d.form == STOMP || d.records == NUL:
		return append(dst, 0)
	case d.records == RS:
		return append(dst, 0x1e)
	default:
		return dst
	}
}
