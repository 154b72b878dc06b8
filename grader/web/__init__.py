"""Quizzes in the browser: a server that marks by itself, and a practice page that needs none."""
