"""The types of questions, one file each; `grader.quiz.kinds` says what such a file holds."""
