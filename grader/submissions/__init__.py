"""How work comes in: a folder, a file, a notebook or an archive becomes a Submission."""
