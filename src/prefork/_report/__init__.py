"""What people and programs read of a daemon: records, sentences, the look of the log. Pure."""
