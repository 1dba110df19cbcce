"""Built-in store: queues, tables and blobs in SQLite, in a file or in memory."""

from emulator.storage.builtin.account import BuiltinAccount, open_builtin

__all__ = ["BuiltinAccount", "open_builtin"]
