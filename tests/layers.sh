#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Who may include whom. Run by `make test`; prints each offence as file: reason.
cd "$(dirname "$0")/.." || exit 1
bad=0
say() { echo "$1"; bad=1; }

files() { find "$1" -name '*.[ch]' -o -name '*.cc' | sort; }
includes() { sed -n 's/^#include "\([^"]*\)".*/\1/p' "$1"; }

sees() {   # sees LAYER OTHER...   a layer sees itself and the ones named here
    layer=$1; shift
    for f in $(files "$layer"); do
        for h in $(includes "$f"); do
            d=${h%%/*}
            case $h in *.pb-c.h) [ -e "${h%.pb-c.h}.proto" ] || say "$f: $h has no .proto"; continue ;; */*) ;; *) say "$f: say the layer in #include \"$h\"" ;; esac
            [ -e "$h" ] || say "$f: $h does not exist"
            case " $layer $* " in *" $d "*) ;; *) say "$f: must not include $h" ;; esac
            case $d in    # the engines show one header each to the outside
            promql|writer|scraper) [ "$d" = "$layer" ] || [ "$h" = "$d/$d.h" ] || say "$f: include $d/$d.h, not $h" ;;
            esac
        done
    done
}
only() {   # only HEADER FILE...   a library is spoken to in one place
    header=$1; shift
    for f in $(grep -rlE "#include <$header>" base model promql writer scraper gateway 2>/dev/null); do
        case " $* " in *" $f "*) ;; *) say "$f: <$header> belongs to $*" ;; esac
    done
}

sees base
sees model   base
sees promql  base model
sees writer  base model
sees scraper base model
sees gateway base model promql writer scraper
only microhttpd.h   gateway/http/http.c
only curl/curl.h    base/http/client.c base/http/client_call.c base/http/client_error.c base/http/client_names.c base/http/client_profile.c base/http/client_multi.c
only yaml.h         base/conf/yaml.c
only snappy-c.h     base/compress.c
only zstd.h         base/compress.c
only zlib.h         base/compress.c
only xxhash.h       base/compress.c
only re2/re2.h      base/regex/re2.cc
only jansson.h      base/json/json_tree.c
only ares.h         base/http/dns.c
only pthread.h      base/os/loop.c base/telemetry/log.c base/http/resolver.c base/telemetry/stats.c base/os/thread.c

# Every source file belongs to an archive: the Makefile builds all that lies below the layers' directories, at any depth.
for f in $(find . -name .git -prune -o -path "./${BUILD:-build}" -prune -o -path ./tests -prune -o \
           \( -name '*.c' -o -name '*.cc' \) -print | sed 's|^\./||' | sort); do
    case $f in base/*|model/*|promql/*|writer/*|scraper/*|gateway/*) ;; *) say "$f: no archive builds it" ;; esac
done
exit $bad
