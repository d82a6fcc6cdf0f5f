#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Who may include whom, and which names may exist: run by `make test`; prints each offence as file: reason.
# layers.sh [DIRECTORY]   checks the tree in DIRECTORY instead of this one (the test of this script plants offences there)
cd "${1:-$(dirname "$0")/..}" || exit 1
bad=0
out=${OUT:-build/release}
layers="base model promql writer scraper gateway"
say() { echo "$1"; bad=1; }

sees() {   # sees LAYER OTHER...   a layer sees itself and the ones named here
    layer=$1; shift
    found=$(grep -r --include='*.[ch]' --include='*.cc' '^#include "' "$layer" | sed -n 's/:#include "\([^"]*\)".*/ \1/p' | sort)
    while read -r f h; do
        d=${h%%/*}
        case $h in '') continue ;; *.pb-c.h) [ -e "${h%.pb-c.h}.proto" ] || say "$f: $h has no .proto"; continue ;; */*) ;; *) say "$f: say the layer in #include \"$h\"" ;; esac
        [ -e "$h" ] || say "$f: $h does not exist"
        case " $layer $* " in *" $d "*) ;; *) say "$f: must not include $h" ;; esac
        case $d in    # the engines show one header each to the outside; promql one more to planners
        promql|writer|scraper)
            [ "$d" = "$layer" ] || [ "$h" = "$d/$d.h" ] || [ "$h" = promql/plan.h ] ||
                say "$f: include $d/$d.h, not $h" ;;
        esac
    done <<EOF
$found
EOF
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
only microhttpd.h   gateway/http/http.c gateway/http/http_headers.c gateway/http/http_response.c
only gnutls/gnutls.h base/aws/sigv4.c base/jwt/jwt.c base/jwt/jwt_certificate.c gateway/http/http_tls.c
only gnutls/x509.h  base/jwt/jwt_certificate.c gateway/http/http_tls.c
only gnutls/pkcs12.h base/jwt/jwt_certificate.c
only gnutls/abstract.h base/jwt/jwt_internal.h gateway/http/http_tls.c
only gnutls/crypto.h base/aws/sigv4.c base/jwt/jwt.c gateway/http/http_auth.c
only crypt.h        gateway/http/http_auth.c
only curl/curl.h    base/http/client.c base/http/client_call.c base/http/client_error.c base/http/client_lines.c base/http/client_names.c base/http/client_profile.c base/http/client_multi.c base/http/curl_library.c base/http/tls_versions.c
only dlfcn.h        base/http/curl_library.c gateway/http/http_response.c
only yaml.h         base/conf/yaml.c
only snappy-c.h     base/compress.c
only zstd.h         base/compress.c base/decompressor.c
only zlib.h         base/compress.c
only libdeflate.h   base/compress.c
only expat.h        base/xml/xml_value.c
only xxhash.h         base/hash.c
only re2/re2.h      base/regex/re2.cc
only jansson.h      base/json/json_tree.c
only ares.h         base/http/dns.c base/http/dns_records.c
only pthread.h      base/http/curl_library.c base/os/loop.c base/telemetry/log.c base/telemetry/log_writer.c base/http/token_source.c base/http/resolver.c base/telemetry/stats.c base/os/file_work.c base/os/thread.c base/os/watched_file.c

# acyclic LAYER [PUBLIC HEADER]   the directories of a layer include each other in one direction. The header that an
# engine shows to the outside may be included by all its directories.
acyclic() {
    cycle=$(grep -r --include='*.[ch]' "^#include \"$1/" "$1" | tr '"' ' ' | while read -r file header _; do
        file=${file%%:*}
        [ "$header" = "$2" ] || [ "${file%/*}" = "${header%/*}" ] || echo "${file%/*} ${header%/*}"
    done | sort -u | tsort 2>&1 >/dev/null | sed -n "s|^tsort: \\($1.*\\)|\\1|p" | tr '\n' ' ')
    [ -z "$cycle" ] || say "$1: directories include each other in a cycle: $cycle"
}
# objects LAYER   the object files that are as new as their sources: older ones hold calls that may be gone.
objects() {
    find "$1" -name '*.c' | while read -r file; do
        object=$out/${file%c}o
        [ ! -e "$object" ] || [ "$object" -ot "$file" ] || echo "$object"
    done
}
# acyclic_objects LAYER   the same of what their object files call, if they are built.
acyclic_objects() {
    cycle=$(objects "$1" | xargs -r nm -gA 2>/dev/null | awk -v skip="$out/" '
        { file = $1; sub(/:.*/, "", file); dir = substr(file, length(skip) + 1); sub(/\/[^\/]*$/, "", dir) }
        $(NF - 1) == "U" { uses[dir " " $NF]; next }
        { home[$NF] = dir }
        END { for (use in uses) { split(use, u); if (u[2] in home && home[u[2]] != u[1]) print u[1], home[u[2]] } }' |
        sort -u | tsort 2>&1 >/dev/null | sed -n "s|^tsort: \($1.*\)|\1|p" | tr '\n' ' ')
    [ -z "$cycle" ] || say "$1: objects of directories call each other in a cycle: $cycle"
}
acyclic base
acyclic promql promql/promql.h
acyclic scraper scraper/scraper.h
acyclic writer writer/writer.h
acyclic gateway
for layer in $layers; do acyclic_objects $layer; done

# A directory has at most 25 sources, except siblings behind one table; a source has at most 600 lines, except tables.
for d in $(find $layers -type d | sort); do
    n=$(find "$d" -maxdepth 1 \( -name '*.c' -o -name '*.cc' \) | wc -l)
    case $d in promql/functions) continue ;; esac
    [ "$n" -le 25 ] || say "$d: $n sources; split it by subject (at most 25)"
done
long=$(find $layers -name '*.[ch]' ! -name '*_tables.*' -exec wc -l {} + | awk '$1 > 600 && $2 != "total" { print $2 ": " $1 " lines" }')
[ -z "$long" ] || say "$long; split it by subject (at most 600)"

# A backtrace reads as a story: a static function is defined once in the tree and has the name of no other function;
# a struct, enum or union tag is defined once too.
awk '/^[a-z].* .*[a-z_0-9]\(/ && !/^static .*;$/ && !/^typedef / && !/^[^(]*=/ {
         name = $0; gsub(/[A-Z_]+\([^)]*\) /, "", name)
         sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
         if (!/^static /) {
             global[name] = FILENAME
             next
         }
         if (name in at && at[name] != FILENAME)
             print FILENAME ": static " name "() is also in " at[name] "; give it the name of its subject"
         at[name] = FILENAME
     }
     match($0, /^(typedef )?(static )?(const )?(struct|enum|union) [a-z_0-9]+ \{/) {
         tag = $0; sub(/^(typedef )?(static )?(const )?/, "", tag); sub(/ \{.*/, "", tag); sub(/^[a-z]+ /, "", tag)
         if (tag in defined && defined[tag] != FILENAME)
             print FILENAME ": the tag " tag " is also defined in " defined[tag]
         defined[tag] = FILENAME
     }
     END {
         for (name in at)
             if (name in global && global[name] != at[name])
                 print at[name] ": static " name "() has the name of a function of " global[name]
     }' $(find $layers -name '*.[ch]' | sort) >"${TMPDIR:-/tmp}/names.$$"
while read -r line; do say "$line"; done <"${TMPDIR:-/tmp}/names.$$"
rm -f "${TMPDIR:-/tmp}/names.$$"

# A key or flag that is stored is read: each field of a struct that configuration rows fill (one with a conf_section, and
# those named below) occurs as .field or ->field elsewhere than in offsetof, in a definition of a row or left of an assignment.
# A key without effect has a row of type CONF_IGNORED or CONF_ACCEPTED and no field.
awk 'BEGIN { filled["flags"] = filled["http_conf"] = filled["scrape_globals"] = 1 }
     FNR == 1 { comment = 0 }
     {
         if (pass == 1) {
             if (/conf_section [a-z_]+ = /)
                 section = 3
             if (section-- > 0 && match($0, /sizeof\(struct [a-z_0-9]+\)/))
                 filled[substr($0, RSTART + 14, RLENGTH - 15)] = 1
             next
         }
         gsub(/"([^"\\]|\\.)*"/, "\"\"")
         gsub(/\/\*[^*]*\*+([^\/*][^*]*\*+)*\//, "")
         if (comment) { if (!sub(/.*\*\//, "")) next; comment = 0 }
         if (sub(/\/\*.*/, "")) comment = 1
     }
     pass == 2 {
         text = $0
         if (depth == 0) {
             if (!match($0, /^(typedef )?struct [a-z_0-9]+ \{/)) next
             tag = $0; sub(/^(typedef )?struct /, "", tag); sub(/ .*/, "", tag)
             if (!(tag in filled)) next
             text = substr($0, RLENGTH + 1); depth = 1; body = ""
         }
         body = body text " "
         depth += gsub(/\{/, "{", text) - gsub(/\}/, "}", text)
         if (depth == 0) {
             gsub(/(struct|enum|union) [a-z_0-9]* *\{/, ";", body); gsub(/[{}]/, ";", body)
             n = split(body, declarators, /[;,]/)
             for (i = 1; i < n; i++) {
                 field = declarators[i]; gsub(/\[.*\]/, "", field); gsub(/[ \t]+$/, "", field); sub(/.*[ *(]/, "", field)
                 if (field ~ /^[a-z_0-9]+$/)
                     home[field] = home[field] ? home[field] : FILENAME ": " tag "." field
             }
         }
     }
     pass == 3 {
         gsub(/offsetof\([^()]*\)/, "")
         text = $0
         while (match(text, /(\.|->)[a-z_0-9]+/)) {
             field = substr(text, RSTART, RLENGTH); sub(/^(\.|->)/, "", field)
             text = substr(text, RSTART + RLENGTH)
             if (text !~ /^ *=[^=]/)
                 used[field] = 1
         }
     }
     END { for (field in home) if (!(field in used)) print home[field] " is set and never read; use it, or let its row be CONF_IGNORED" }' \
    $(for pass in 1 2 3; do echo "pass=$pass"; find $layers -name '*.[ch]' | sort; done) >"${TMPDIR:-/tmp}/unread.$$"
while read -r line; do say "$line"; done <"${TMPDIR:-/tmp}/unread.$$"
rm -f "${TMPDIR:-/tmp}/unread.$$"

# Every source file belongs to an archive: the Makefile builds all that lies below the layers' directories, at any depth.
for f in $(find . -name .git -prune -o -path "./${BUILD:-build}" -prune -o -path ./tests -prune -o \
           \( -name '*.c' -o -name '*.cc' \) -print | sed 's|^\./||' | sort); do
    case $f in base/*|model/*|promql/*|writer/*|scraper/*|gateway/*) ;; *) say "$f: no archive builds it" ;; esac
done
exit $bad
