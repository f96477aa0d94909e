// Package load takes keys from missing to a result: who shares a load in this process
// ([Group], [Flight]), who may load in the fleet (a [Batch] and the leases that it asks
// its [Backend] for), and how many loads run at once ([Places]).
//
// It knows no Redis, no bytes and no type of value. One key is a batch of one.
package load
