"""How results are told: in the terminal, as JSON lines, as CSV, and as Markdown feedback for each student."""
