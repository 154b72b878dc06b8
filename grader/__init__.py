"""A course on recurrent networks: assignments, hidden suites, quizzes and the tools that grade them."""

__version__ = "0.1.0"
