# Sourced by tools/zoo and tools/test: makes `.venv` beside the checkout's files on first use and mends a broken one.
# Needs python >= 3.11 with venv, and a package index. Pinned versions: tools/constraints.txt (ZOO_PINNED=1).

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)
venv="$root/.venv"

find_python() {
  local candidate
  for candidate in "${ZOO_PYTHON:-}" python3.12 python3.11 python3.13 python3 python; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: python 3.11 or newer with venv was not found. Install it, or name it: ZOO_PYTHON=/path/to/python" >&2
  return 1
}

# What the set-up depends on; when it changes, `.venv` is brought up to date.
wanted() {
  (cd "$root" && cat tools/environment.sh tools/constraints.txt pyproject.toml plugins/*/pyproject.toml | cksum && echo "$root $1")
}

# Installed from this checkout, which no longer has them.
gone='
import json, pathlib, sys
from importlib.metadata import distributions
for found in distributions():
    url = json.loads(found.read_text("direct_url.json") or "{}").get("url", "").removeprefix("file://")
    if url.startswith(sys.argv[1] + "/plugins/") and not pathlib.Path(url, "pyproject.toml").is_file():
        print(found.name)
'

set_up() {
  local python plugin packages=(-e "$root[test]")
  python=$(find_python) || return 1
  for plugin in "$root"/plugins/*/; do packages+=(-e "$plugin"); done
  echo "Setting up $venv (once; a few minutes, about 6 GB) ..." >&2
  rm -f "$venv/.ready"
  "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { rm -rf "$venv" && "$python" -m venv "$venv"; } || return 1
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || { rm -rf "$venv" && "$python" -m venv "$venv"; } || return 1
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    ${ZOO_PINNED:+--constraint "$root/tools/constraints.txt"} "${packages[@]}" >&2 || {
    echo "error: the installation failed; the next call tries again" >&2
    return 1
  }
  "$venv/bin/python" -c "$gone" "$root" | xargs -r "$venv/bin/python" -m pip uninstall --quiet --yes >&2 || return 1
  "$venv/bin/python" -c 'import torch, torchvision, timm, accelerate, datasets, zoo' >&2 || {
    rm -rf "$venv"
    echo "error: the installed packages do not import; they were removed, the next call installs them anew" >&2
    return 1
  }
  wanted "${ZOO_PINNED:-}" > "$venv/.ready"
}

ready() { [ -x "$venv/bin/zoo" ] && [ "$(cat "$venv/.ready" 2>/dev/null)" = "$(wanted "${ZOO_PINNED:-}")" ]; }

if ! ready; then
  if command -v flock >/dev/null; then
    exec 9> "$root/.venv.lock" && flock 9
  fi
  ready || set_up || exit 1
  exec 9>&- || true
fi
