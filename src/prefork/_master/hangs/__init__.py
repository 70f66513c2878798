"""How the master finds and explains a worker that hangs or crashes."""
