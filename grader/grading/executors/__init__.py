"""Where examiners run: one file for each kind of place."""
