"""What keeps a daemon from running twice: its claim of the program's name, and the lock of its runtime directory."""
