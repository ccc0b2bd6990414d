package wire

// RaceEnabled reports whether the test runs under the race detector.
const RaceEnabled = raceEnabled

// Recheck is how often the files of TLS are looked at.
const Recheck = recheck
