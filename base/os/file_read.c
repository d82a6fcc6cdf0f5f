// SPDX-License-Identifier: Apache-2.0
#include "base/os/file_read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    char piece[16384];
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return err_set(err, ERR_BAD_DATA, "%s: %s", path, strerror(errno));
    out->max = max;
    for (size_t n; !out->over && (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_add(out, piece, n);
    bool ok = !ferror(f);
    if (!ok)
        err_set(err, ERR_BAD_DATA, "%s: %s", path, strerror(errno));
    else if (out->over)
        ok = err_set(err, ERR_BAD_DATA, "%s: the file exceeds the limit of %zu MiB", path, max >> 20);
    fclose(f);
    return ok;
}
