"""The watcher of an application's code: what the folders hold, and when something in them changes."""
