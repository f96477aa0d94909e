package model

// clearVariants are InvalidateAll and the read lease of the clear token.
func clearVariants() []Variant {
	return []Variant{
		{
			Number:   "70",
			Sentence: "mint, wait as long as a read lease lasts, read again; two writers",
			cleared:  &cleared{},
		},
		{
			Number: "70'", Writers: 1,
			Sentence: "the same, one writer, the clear token is evicted",
			cleared:  &cleared{evictions: 1},
		},
		{
			Number: "70a", Breaks: "I",
			Sentence: "InvalidateAll does not wait",
			cleared:  &cleared{noWait: true},
		},
		{
			Number: "70b", Breaks: "I",
			Sentence: "the lease counts from the answer instead of from before the read was sent",
			cleared:  &cleared{fromReply: true},
		},
		{
			Number: "70c", Breaks: "I",
			Sentence: "the wait counts from before the token was minted",
			cleared:  &cleared{waitEarly: true},
		},
		{
			Number: "71", Writers: 1,
			Sentence: "a failover during the wait: the old token is noticed, minted and waited for again",
			cleared:  &cleared{failovers: 1},
		},
		{
			Number: "71a", Breaks: "I", Writers: 1,
			Sentence: "the same, the token is not read again",
			cleared:  &cleared{failovers: 1, noReread: true},
		},
		{
			Number: "71b", Breaks: "I", Writers: 1,
			Sentence: "the same, the second token is not waited for",
			cleared:  &cleared{failovers: 1, secondNoWait: true},
		},
		{
			Number: "72", Breaks: "M",
			Sentence: "mints again whenever the token is not its own: two callers chase each other",
			cleared:  &cleared{mintIfChanged: true},
		},
	}
}

// localVariants are the coherence of the in-process tier.
func localVariants() []Variant {
	return []Variant{
		{
			Number:   "90",
			Sentence: "epoch noted before the read, dropped on loss and on subscribing again",
			local:    &local{},
		},
		{
			Number: "90a", Breaks: "I",
			Sentence: "a fill does not look at the epoch",
			local:    &local{blindFill: true},
		},
		{
			Number: "90b", Breaks: "I",
			Sentence: "the message is published before the record is deleted",
			local:    &local{publishFirst: true},
		},
		{
			Number: "90c", Breaks: "I",
			Sentence: "nothing is dropped when the subscription is lost",
			local:    &local{noFlush: true},
		},
	}
}
