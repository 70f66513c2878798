"""What a process uses, as /proc has it."""
