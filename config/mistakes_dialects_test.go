package config

import "testing"

// ownDialect is a dialect without mistakes, to which a test adds one.
const ownDialect = `dialects:
  - name: own
    subscribe:
      - match: { type: subscribe }
        topic: topic
`

func mistakesInDialects(*testing.T) (all []mistake) {
	for _, row := range []mistake{
		// names
		{"dialects: [{name: \"\", heartbeat: [{text: ping}]}]", `w.yaml:2:13: dialects[0].name: is missing; write the name by which policies refer to the dialect`},
		{"dialects:\n  - heartbeat: [{text: ping}]", `w.yaml:3:5: dialects[0].name: is missing; write the name by which policies refer to the dialect`},
		{ownDialect + "  - name: rac\n  - name: own", `w.yaml:8:5: dialects[2].name: own is the name of dialects[0] already; use another`},
		{ownDialect + "policies:\n  - name: a\n    dialect: ovn", `w.yaml:9:5: policies[0].dialect: ovn is not a known dialect; did you mean own?`},
		{"policies: [{dialect: Rac}]", `w.yaml:2:13: policies[0].dialect: Rac is not a known dialect; did you mean rac?`},
		{"dialects: [{name: 5}]\npolicies: [{dialect: own}]", `w.yaml:2:13: dialects[0].name: 5 is not text; put it into quotes`},
		{"dialects: own\npolicies: [{dialect: own}]", `w.yaml:2:1: dialects: must be a list, not own; write each item in a line of its own, after "- "`},
		{"dialects: [own]", `w.yaml:2:12: dialects[0]: must be a section, not own; write keys below it, such as name:`},

		// limits that the dialect cannot hold
		{"dialects: [{name: own, heartbeat: [{text: ping}]}]\npolicies:\n  - dialect: own\n    subscriptions:\n      max: 5\n      deny: [a]",
			"w.yaml:6:7: policies[0].subscriptions.max: has no effect: dialect own has no rule for subscribe; add one, or remove it\n" +
				"w.yaml:7:7: policies[0].subscriptions.deny: has no effect: dialect own has no rule for subscribe; add one, or remove it"},
		{ownDialect + "policies:\n  - dialect: own\n    subscriptions:\n      max: 5\n      on_excess: evict_oldest",
			`w.yaml:11:7: policies[0].subscriptions.on_excess: evict_oldest cannot be done: dialect own has no rule for subscribe with an unsubscribe; add one, or use reject or close`},
		{"dialects: [{name: rac, heartbeat: [{text: ping}]}] # wins over the built-in one\npolicies: [{dialect: rac, subscriptions: {max: 5}}]",
			`w.yaml:3:43: policies[0].subscriptions.max: has no effect: dialect rac has no rule for subscribe; add one, or remove it`},

		// keys and words
		{ownDialect + "    from: json", `w.yaml:7:5: dialects[0].from: is not a known key; did you mean form?`},
		{ownDialect + "        topik: x", `w.yaml:7:9: dialects[0].subscribe[0].topik: is not a known key; did you mean topic?`},
		{ownDialect + "    released:\n      - match: { type: gone }\n        topic: topic\n        unsubscribe: x",
			`w.yaml:10:9: dialects[0].released[0].unsubscribe: is not a known key; known here: match, has, lacks, topic, within, id, request`},
		{ownDialect + "    form: jason", `w.yaml:7:5: dialects[0].form: jason is not known; use one of json, socket.io, stomp`},
		{ownDialect + "    records: line", `w.yaml:7:5: dialects[0].records: line is not known; use one of one, lines, rs, nul, batch`},
		{ownDialect + "    binary: drop", `w.yaml:7:5: dialects[0].binary: drop is not known; use one of read, forward, refuse`},
		{ownDialect + "    keys: any", `w.yaml:7:5: dialects[0].keys: any is not known; use one of exact, folded, strict`},
		{ownDialect + "    invalid: drop", `w.yaml:7:5: dialects[0].invalid: drop is not known; use one of forward, refuse`},

		// paths and values
		{ownDialect + "    heartbeat: [{ match: type }]", `w.yaml:7:19: dialects[0].heartbeat[0].match: must be a section, not type; write paths below it, each with a value, such as type: subscribe`},
		{ownDialect + "    heartbeat: [{ match: }]", `w.yaml:7:19: dialects[0].heartbeat[0].match: has no value; write one or remove it`},
		{ownDialect + "    heartbeat:\n      - match:\n          type: a\n          b: 1\n          type: c", `w.yaml:11:11: dialects[0].heartbeat[0].match.type: is written twice, first in line 9; remove one`},
		{ownDialect + "    heartbeat: [{ match: { type: [a] } }]", `w.yaml:7:28: dialects[0].heartbeat[0].match.type: must be one value, not a list; if it is text, put it into quotes`},
		{ownDialect + "    heartbeat: [{ match: { [2]: a } }]", `w.yaml:7:19: dialects[0].heartbeat[0].match: has a list for a path; put it into quotes`},
		{ownDialect + "    heartbeat: [{ match: { a: .nan } }]", `w.yaml:7:28: dialects[0].heartbeat[0].match.a: .nan is not text, a number, true, false or null; if it is text, put it into quotes`},
		{ownDialect + "    heartbeat: [{ match: { a: 2001-01-01 } }]", `w.yaml:7:28: dialects[0].heartbeat[0].match.a: 2001-01-01 is not text, a number, true, false or null; if it is text, put it into quotes`},
		{ownDialect + "    heartbeat: [{ has: [2] }]", `w.yaml:7:25: dialects[0].heartbeat[0].has[0]: 2 is not text; put it into quotes`},
		{ownDialect + "        id: [2]", `w.yaml:7:9: dialects[0].subscribe[0].id: must be one value, not a list; if it is text, put it into quotes`},

		// what only all of a dialect can tell
		{"dialects:\n  - name: own\n    subscribe:\n      - match: { type: subscribe }", `w.yaml:5:9: dialects[0].subscribe[0].topic: is missing; write the path of what is subscribed to, or = and a text that stands for it`},
		{ownDialect + "        request: a..b", `w.yaml:7:9: dialects[0].subscribe[0].request: "a..b" lacks a key; write one between the dots, or ["key"]`},
		{ownDialect + "        capture:\n          room: a[b]", `w.yaml:8:11: dialects[0].subscribe[0].capture.room: "a[b]" has a [ without an index; write as in [0] or ["key"]`},
		{ownDialect + "    ack:\n      - match:\n          type: ok\n          \"a b\": 1\n        topic: topic", `w.yaml:10:11: dialects[0].ack[0].match."a b": "a b" has ' ' in a key; write the key as ["key"]`},
		{ownDialect + "    heartbeat:\n      - has: [a]\n        lacks:\n          - b\n          - \"[\"", `w.yaml:11:13: dialects[0].heartbeat[0].lacks[1]: "[" has a [ without an index; write as in [0] or ["key"]`},
		{ownDialect + "        unsubscribe: '{\"to\":{{topic}},\"in\":{{room}}}'", `w.yaml:7:9: dialects[0].subscribe[0].unsubscribe: names room, which is never captured; known here: topic`},
		{ownDialect + "        unsubscribe: '{\"why\":{{reason}}}'", `w.yaml:7:9: dialects[0].subscribe[0].unsubscribe: names reason, which is never captured; known here: topic`},
		{ownDialect + "        refusal: '{\"id\":{{id}}}'", `w.yaml:7:9: dialects[0].subscribe[0].refusal: names id, which is never captured; known here: topic, reason`},
		{ownDialect + "        refusal: |-\n          {\n          {{topic}}", `w.yaml:7:9: dialects[0].subscribe[0].refusal: is not JSON once it is filled in: {\n"x"; what is put in has its own quotes`},
		{ownDialect + "    ack: [{ match: { type: ok } }]", `w.yaml:7:11: dialects[0].ack[0]: does not say which subscription it is about; add topic, id or request`},
		{ownDialect + "    form: stomp\n    records: lines", `w.yaml:5:18: dialects[0].subscribe[0].match.type: "type" is not in a frame; write command, body, or headers. and a name
w.yaml:6:9: dialects[0].subscribe[0].topic: "topic" is not in a frame; write command, body, or headers. and a name
w.yaml:8:5: dialects[0].records: is "lines", but form "stomp" has its own way of splitting; leave records out`},

		// all at once, but nothing that follows from a rule that could not be read
		{`dialects:
  - name: own
    subscribe:
      - match: { type: a }
        topic: 5
        unsubscribe: "{{room}}"
      - match: { type: b }
        topic: b
        unsubscribe: "{{room}}"
    heartbeat: [{ text: 1 }]
policies:
  - match: { path: /own }
    dialect: own
    subscriptions: { max: 20 }
  - dialect: onw
    subscriptions: { max: -20 }
`, `w.yaml:6:9: dialects[0].subscribe[0].topic: 5 is not text; put it into quotes
w.yaml:10:9: dialects[0].subscribe[1].unsubscribe: names room, which is never captured; known here: topic
w.yaml:11:19: dialects[0].heartbeat[0].text: 1 is not text; put it into quotes
w.yaml:16:5: policies[1].dialect: onw is not a known dialect; did you mean own?
w.yaml:17:22: policies[1].subscriptions.max: -20 is below zero; write 0 or more`},
	} {
		all = append(all, mistake{upstreamLine + row.file, row.want})
	}
	return all
}
