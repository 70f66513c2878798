"""Other people's servers on our sockets: each thin, each optional."""
