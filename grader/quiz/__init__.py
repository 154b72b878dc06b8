"""Quizzes: banks of questions, how they are read, asked, and marked."""
