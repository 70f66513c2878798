"""Which files and directories a master may rely on: those that no other user can change or replace."""
