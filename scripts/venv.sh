# Finds a Python and keeps a virtual environment with nbchat in it. Sourced by scripts/quickstart and
# scripts/test; written for bash 3.2, which is what a Mac has.

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# find_python NAME…: prints the first of these commands that is a usable Python.
find_python() {
  local name
  for name in "$@"; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  die "No Python 3.11 or newer with its venv module among: $* - install one (Debian, Ubuntu: apt install python3 python3-venv; Mac: brew install python), or name it: PYTHON=/path/to/python $0"
}

# make_venv FOLDER PYTHON…: makes the environment, anew if it is broken or was made in another place or for another PYTHON.
make_venv() {
  local folder=$1 python
  shift
  if [ "$(cat "$folder/made-for" 2>/dev/null)" = "$PWD ${PYTHON:-}" ] && "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    return
  fi
  [ -z "${PYTHON:-}" ] || set -- "$PYTHON"
  python=$(find_python "$@") || exit 1
  say "Making $folder with $("$python" --version)"
  "$python" -m venv --clear "$folder" || die "Could not make $folder."
  printf '%s' "$PWD ${PYTHON:-}" >"$folder/made-for"
}

# install FOLDER PIP-ARGUMENT…: installs into the environment, unless it did so before with the same files.
install() {
  local folder=$1 stamp wanted
  shift
  wanted=$(echo "$@" && cksum pyproject.toml scripts/oldest.txt)
  stamp=$folder/installed-$(echo "$@" | cksum | cut -d ' ' -f 1)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  say "Installing into $folder (once; a minute or two)"
  "$folder/bin/python" -m pip install --quiet "$@" || die "pip could not install: $*"
  printf '%s' "$wanted" >"$stamp"
}
