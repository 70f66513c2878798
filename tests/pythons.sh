#!/usr/bin/env bash
# Run the tests on interpreters that this machine does not have: tests/pythons.sh [PATH...], or `make test-pythons`.
# A program instead: tests/pythons.sh --run FILE [ARGUMENT...], such as bench/pythons.py or tests/proof/cpython_suite.py.
#
# Once (five minutes, 2 GB) it makes a Debian of the unstable distribution in FOLDER, with the interpreters of PYTHONS and
# an environment for each. It enters that by a mount namespace: nothing else of the machine changes. Remove the folder to
# have it made again, of newer interpreters. Where root, debootstrap or Debian's packages cannot be had, it exits 2.
set -euo pipefail

PYTHONS=${PYTHONS:-3.14 3.15}
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | awk '!/security/ && !n++')} # As apt has it here.
AT_ONCE=${AT_ONCE:-6}
FOLDER=${FOLDER:-/var/cache/prefork-pythons}
DEBIAN=$FOLDER/debian
PROJECT=$(cd "$(dirname "$0")/.." && pwd)
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
TOOLS="ca-certificates curl g++ gcc git iproute2 make procps python3 util-linux"

refuse() {
    echo "tests/pythons.sh: $1" >&2
    exit 2
}

# Run a shell command inside, in the project, which is /project there. Not by chroot: tests make mount namespaces of their
# own, and who enters one is in the root directory of the namespace, not of the process.
inside() {
    unshare --mount --propagation private bash -euc '
        root=$1 project=$2
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        for each in dev sys; do mount --rbind "/$each" "$root/$each"; done
        mkdir -p "$root/project" "$root/before"
        mount --bind "$project" "$root/project"
        cd "$root"
        pivot_root . before
        umount -l /before
        cd /project
        exec bash -euc "$3"
    ' enter "$DEBIAN" "$PROJECT" "$1"
}

make_debian() {
    command -v debootstrap >/dev/null || refuse "debootstrap is missing: apt-get install debootstrap"
    debootstrap --variant=minbase --keyring="$KEYS" sid "$DEBIAN.part" "$MIRROR"
    mv "$DEBIAN.part" "$DEBIAN"
}

# What this machine needs to reach its mirrors: resolver, certificates, and the settings of apt and pip.
copy_settings() {
    mkdir -p "$DEBIAN/etc/ssl/certs"
    cp -L /etc/resolv.conf "$DEBIAN/etc/resolv.conf"
    cp -L /etc/ssl/certs/ca-certificates.crt "$DEBIAN/etc/ssl/certs/"
    apt-config dump | grep -E '^Acquire::' >"$DEBIAN/etc/apt/apt.conf.d/99outside" || true
    if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$DEBIAN/etc/"; fi
}

install() { # VERSION
    local environment=/environments/$1
    if [ "$DEBIAN$environment/complete" -nt pyproject.toml ]; then return; fi
    inside "export DEBIAN_FRONTEND=noninteractive
        apt-get update -q
        apt-get install -y -q --no-install-recommends $TOOLS python$1 python$1-dev python$1-venv libpython$1-testsuite
        python$1 -m venv $environment"
    copy_settings # Again: the package of certificates has written its own.
    inside "$environment/bin/python -m pip install -q --disable-pip-version-check --editable '.[samples,dev]'
        touch $environment/complete"
}

test_on() { # VERSION PATH...
    local python=/environments/$1/bin/python status=0 pytest
    shift
    inside "$python -VV"
    if [ "${1-}" = --run ]; then
        shift
        inside "PYTHONPATH=src:tests $python $*"
        return
    fi
    pytest="$python -m pytest -q -p no:cacheprovider"
    # 5: none of the tests is one of these.
    inside "$pytest -n $AT_ONCE --dist loadfile --no-loadscope-reorder -m 'not alone' $*" || [ $? -eq 5 ] || status=1
    inside "$pytest -m alone $*" || [ $? -eq 5 ] || status=1
    return $status
}

[ "$(id -u)" -eq 0 ] || refuse "root is needed, for a Debian of its own and for mounts that only this script sees"
mkdir -p "$FOLDER"
cd "$PROJECT"
[ -e "$DEBIAN" ] || make_debian
copy_settings
failed=
for version in $PYTHONS; do
    install "$version"
    test_on "$version" "$@" || failed="$failed $version"
done
[ -z "$failed" ] || { echo "tests/pythons.sh: tests failed on$failed" >&2; exit 1; }
