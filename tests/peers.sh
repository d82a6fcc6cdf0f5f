#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The programs sluice is compared with, unpacked but not installed.
#
# Takes the newest prometheus, victoria-metrics (vmagent comes along), prometheus-node-exporter and etcd-server that
# Debian carries, trying the suites newest first and the next one when a binary does not start here, and Debian 12's
# own prometheus and vmagent as a second, strict receiver (2022: no zstd, no remote write 2.0). They lie in
# build/peers/NAME-VERSION, with links in build/peers/bin. Prints a line per peer. A peer that cannot be had is a
# line too, and the exit code stays 0: the tests that need it are skipped.
#
# apt works in a root of its own per suite (build/peers/apt), over this machine's mirror and its keyring.
cd "$(dirname "$0")/.." || exit 1
peers=$PWD/build/peers
suites=${PEER_SUITES:-sid testing trixie bookworm}
mkdir -p "$peers/bin" || exit 1
exec 9>"$peers/lock"
flock 9

mirror=$(sed -n 's/^URIs: *\([^ ]*\/debian\/*\)\( .*\)*$/\1/p; s/^deb \(\[.*\] \)*\([a-z]*:[^ ]*\/debian\/*\) .*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1)
mirror=${mirror:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

apt() {   # apt SUITE PROGRAM ARGUMENT...   an apt program that sees this suite only
    root=$peers/apt/$1 program=$2
    shift 2
    "$program" -q -o Dir::Etc::SourceList="$root/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$root/state" -o Dir::State::status=/dev/null -o Dir::Cache="$root/cache" \
        -o Acquire::http::Timeout=15 -o APT::Update::Error-Mode=any -o APT::Sandbox::User="$(id -un)" "$@"
}

update() {   # update SUITE   fetches its package list, once a run
    root=$peers/apt/$1
    [ ! -e "$root/failed" ] || return 1
    [ ! -e "$root/fresh" ] || return 0
    mkdir -p "$root/state/lists/partial" "$root/cache/archives/partial"
    echo "deb [signed-by=$keyring] $mirror $1 main" >"$root/sources.list"
    if apt "$1" apt-get update >"$root/log" 2>&1; then touch "$root/fresh"; else touch "$root/failed"; return 1; fi
}

unpack() {   # unpack PACKAGE SUITE   prints the folder
    update "$2" || { echo "$2: no package list" >&2; return 1; }
    version=$(apt "$2" apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p')
    [ "$version" ] || { echo "$2: has no $1" >&2; return 1; }
    to=$peers/$1-$version
    if [ ! -d "$to" ]; then
        rm -rf "$to.part" && mkdir "$to.part" || return 1
        (cd "$to.part" && apt "$2" apt-get download "$1" >>"$peers/apt/$2/log" 2>&1 && dpkg -x ./*.deb . && rm ./*.deb) \
            || { echo "$2: $1 $version does not download" >&2; return 1; }
        mv "$to.part" "$to" || return 1
    fi
    echo "$to"
}

starts() { timeout 20 "$1" --version >/dev/null 2>&1; }

peer() {   # peer PACKAGE SUITES LINK=BINARY...   the first suite whose binaries all start
    package=$1 from=$2
    shift 2
    : >"$peers/why"
    for suite in $from; do
        folder=$(unpack "$package" "$suite" 2>>"$peers/why") || continue
        whole=yes
        for link in "$@"; do
            starts "$folder/usr/bin/${link#*=}" || { echo "$suite: ${link#*=} does not start" >>"$peers/why"; whole=; }
        done
        [ "$whole" ] || continue
        for link in "$@"; do
            ln -sfn "../${folder##*/}/usr/bin/${link#*=}" "$peers/bin/${link%%=*}"
            printf '%-21s %s (%s)\n' "${link%%=*}" "${folder##*/"$package"-}" "$suite"
        done
        return 0
    done
    printf '%-21s missing: %s\n' "${1%%=*}" "$(paste -sd';' "$peers/why")"
    return 1
}

done_already() {   # the last run got everything, with this very script, and it still stands
    [ -e "$peers/stamp" ] && [ ! tests/peers.sh -nt "$peers/stamp" ] || return 1
    for name in $(cut -d' ' -f1 "$peers/stamp"); do [ -x "$peers/bin/$name" ] || return 1; done
}

all() {
    peer prometheus               "$suites"  prometheus=prometheus || missing=yes
    peer victoria-metrics         "$suites"  victoria-metrics=victoria-metrics vmagent=vmagent || missing=yes
    peer prometheus-node-exporter "$suites"  node_exporter=prometheus-node-exporter || missing=yes
    peer etcd-server              "$suites"  etcd=etcd || missing=yes
    peer prometheus               bookworm   prometheus-old=prometheus || missing=yes
    peer victoria-metrics         bookworm   victoria-metrics-old=victoria-metrics vmagent-old=vmagent || missing=yes
}

if ! done_already; then
    rm -f "$peers/stamp" "$peers"/apt/*/fresh "$peers"/apt/*/failed
    missing=
    all >"$peers/found"
    if [ "$missing" ]; then cat "$peers/found"; exit 0; fi
    rm -rf "$peers/apt" "$peers/why"
    mv "$peers/found" "$peers/stamp"
fi
cat "$peers/stamp"
