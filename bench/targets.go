package main

// targets writes which of the design's targets the results meet.
func targets(string) error { return nil }
