"""What the kernel says of a worker: its threads, where they wait, what they use, and kills for lack of memory."""
