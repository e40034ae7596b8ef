# Sourced by tests/run and infra/package, which define fail.
# shellcheck shell=bash

# Seconds for a mirror that hangs, with room for the 150 MB that Chromium and its libraries are.
readonly APT_PATIENCE=600

# Installs Debian packages: as root, or with sudo where it asks nothing or somebody is there to answer.
#   apt_install ADVICE PACKAGE...
apt_install() {
    local advice=$1 become=()
    shift
    command -v apt-get >/dev/null || fail "$advice"
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null || fail "$advice"
        [[ -t 0 ]] || sudo -n true 2>/dev/null || fail "$advice"
        become=(sudo)
    fi
    become+=(env DEBIAN_FRONTEND=noninteractive timeout --foreground "$APT_PATIENCE")
    "${become[@]}" apt-get update -qq || fail "$advice"
    "${become[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null || fail "$advice"
}
