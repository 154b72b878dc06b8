"""Learners' expressions: read by our own parser over declared symbols, compared by computing, never run as code."""
