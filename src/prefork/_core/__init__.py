"""The part that decides. Events come in, actions go out, time is an argument; nothing here touches the kernel."""
