"""The hooks interface of haskell-prefork: its own master and its workers."""
