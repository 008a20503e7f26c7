"""A small Hub: serves a folder to the unmodified `huggingface_hub` client. Standard library only.

    server      the HTTP server: connections, requests, the log           faults   injected failures, for tests
    reading, writing, uploads   the routes: what each request means        routes   their table, and who may do what
    xet         the chunked upload protocol that newer clients use
    store       repositories: commits, branches, tags                      folders  plain folders as first commits
    blobs       contents, named by their sha256                            files    writes that survive a crash
    accounts    tokens, roles, namespaces                                  names    which names are safe
    answers     what the server says, and how it refuses

Everything it keeps lies in `FOLDER/.hub`. A commit is there when, and only when, its repository's `record.json` names
it; that file is replaced as a whole, so a server killed at any moment leaves the state before or after, never between.

Limits: one process a folder; no pull-request page and no merging; contents that no commit names any more are kept;
plain HTTP, so put a TLS proxy in front of it before it leaves the machine.
"""

from .accounts import Accounts, User
from .faults import Fault, Faults
from .server import Server

__all__ = ["Accounts", "Fault", "Faults", "Server", "User"]
