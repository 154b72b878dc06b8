"""Formats and programs of other systems: what goes out to them, and what comes back."""
