// Package region is one named set of entries in this process: what is known of it (the
// clear token, the record of its strategy, what it owes Redis), how it is read, changed and
// filled, and its life and end.
//
// It builds the others: flights and places ([internal/load]), the queue of what Redis did
// not take ([internal/pending]). It knows no T, no codec and no hook.
package region
