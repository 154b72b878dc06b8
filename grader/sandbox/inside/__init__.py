"""What is mounted into the sandbox: the code beside the student's. It holds no secret and no test."""
