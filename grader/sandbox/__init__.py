"""Where student code runs: limits, the wire, and one file for each kind of sandbox."""
