#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lint.sh LAYER...   the ten longest functions and files of the layers; cppcheck for them and the unit tests, whose
# findings fail it.
cd "$(dirname "$0")/.." || exit 1
files=$(find "$@" -name '*.c' | sort)

echo "longest functions:"
awk 'FNR == 1 { start = 0 }
     /^[a-z].*\)$/ || /^[a-z].*,$/ { name = $0 }
     /^{$/ { start = FNR }
     /^}$/ && start { printf "%5d  %s:%d  %s\n", FNR - start - 1, FILENAME, start, name; start = 0 }' $files |
    sort -rn | head -n 10
echo "longest files:"
wc -l $files | grep -v ' total$' | sort -rn | head -n 10

cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance --inline-suppr \
    --suppress=missingIncludeSystem -I. $files $(find tests/unit -name '*.c' | sort)
