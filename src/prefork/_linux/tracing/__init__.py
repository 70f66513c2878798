"""What others may see of where this process is: by its memory, and by the tasks that it lists."""
