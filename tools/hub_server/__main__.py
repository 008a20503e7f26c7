"""tools/hub FOLDER: a private Hub for trying things out, or for a laboratory without the internet.

The folder may hold plain repositories, which are served where they lie:

    FOLDER/models/timm/densenet121.tv_in1k/config.json, model.safetensors
    FOLDER/datasets/uoft-cs/cifar10/plain_text/train-00000-of-00001.parquet

What is pushed is kept in FOLDER/.hub. Each --token NAME:ROLE is a user (role read or write) whose token lies in a file
of its own; HF_TOKEN_PATH takes the file's name. Reading what is public takes no token.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from . import Server, User
from .accounts import ROLES, token_file
from .answers import Refusal
from .names import is_name

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("hub", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free one (default: 8765)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--token", action="append", type=_token, metavar="NAME:ROLE", help="default: me:write")
    parser.add_argument("--organization", action="append", type=_organization, default=[], metavar="NAME:USER,USER")
    parser.add_argument("--quiet", action="store_true", help="do not show the requests")
    return parser.parse_args(arguments)


def _token(text: str) -> tuple[str, str]:
    name, _, role = text.partition(":")
    if not is_name(name) or role not in ROLES:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:ROLE, with a role of {' or '.join(ROLES)}")
    return name, role


def _organization(text: str) -> tuple[str, list[str]]:
    name, _, users = text.partition(":")
    if not is_name(name) or not users:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:USER,USER")
    return name, users.split(",")


def main(arguments: list[str] | None = None) -> int:
    given = parsed(arguments)
    if not given.folder.is_dir():
        print(f"error: {given.folder}: no such folder", file=sys.stderr)
        return 2
    try:
        users = {
            name: User(*name, _namespaces(name[0], given.organization)) for name in given.token or [("me", "write")]
        }
        files = {name: token_file(given.folder.resolve() / ".hub" / "tokens", ".".join(name)) for name in users}
        tokens = {files[name].read_text(): user for name, user in users.items()}
        server = Server(given.folder, tokens, host=given.host, port=given.port)
    except (OSError, Refusal) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    server.shows_log = not given.quiet
    print(f"{given.folder} at {server.url}: reading the folder ...", file=sys.stderr, flush=True)
    counts = Counter(repo.kind for repo in server.store.repositories() if server.store.record(repo))
    found = ", ".join(f"{count} {kind if count > 1 else kind[:-1]}" for kind, count in counts.items())
    print(f"Serving {found or 'an empty folder'}. To use it:")
    print(f"export HF_ENDPOINT={server.url}")
    for (name, role), file in files.items():
        print(f"export HF_TOKEN_PATH={file}  # {name} ({role})")
    sys.stdout.flush()
    if given.host not in LOOPBACK:
        print("warning: tokens and files travel unencrypted; put a TLS proxy in front of this", file=sys.stderr)
    try:
        server.run()
    except KeyboardInterrupt:
        return 130
    return 0


def _namespaces(user: str, organizations: list[tuple[str, list[str]]]) -> tuple[str, ...]:
    return tuple(name for name, members in organizations if user in members)


if __name__ == "__main__":
    sys.exit(main())
