"""Settings of other servers and supervisors, and what takes their place here: a module a tool."""
