// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/files.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

void replace_file(const char *path, const char *text)
{
    char other[300];
    snprintf(other, sizeof other, "%s.new", path);
    write_file(other, text);
    assert_int_equal(rename(other, path), 0);
}
