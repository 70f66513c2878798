"""The part that acts. One kernel object a module, no policy."""
