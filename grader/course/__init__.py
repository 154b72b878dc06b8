"""What a course is: its assignments, their references and stubs, misconceptions, mutants and identity."""
