"""Decides: events come in, actions go out, time is an argument. Nothing here touches the kernel."""
