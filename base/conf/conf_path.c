// SPDX-License-Identifier: Apache-2.0
/* Checks the files that a configuration names. A missing file is a warning, not an error, since it may be created
 * later: password files are re-read each second, and target files are watched. */
#include "base/conf/conf.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static void PRINTF(4, 5) warn_path(struct conf_context *c, const struct yaml *node, const char *name,
                                   const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    if (node)
        buf_printf(&text, "%s:%u: ", node->file, node->line);
    buf_printf(&text, "%s: ", name);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    c->warn(c->warn_arg, buf_z(&text));
    buf_free(&text);
}

char *conf_absolute_path(struct str path)
{
    struct buf out = {0};
    char *cwd = path.p[0] == '/' ? NULL : getcwd(NULL, 0);
    if (cwd)
        buf_printf(&out, "%s%s", cwd, strcmp(cwd, "/") == 0 ? "" : "/");
    free(cwd);
    buf_add_str(&out, path);
    char *z = str_dup(buf_str(&out));
    buf_free(&out);
    return z;
}

void conf_check_readable(struct conf_context *c, const struct yaml *node, const char *name, struct str path)
{
    if (c->warn == NULL || path.n == 0 || access(path.p, R_OK) == 0)
        return;
    int why = errno;
    char *z = conf_absolute_path(path);
    warn_path(c, node, name, "cannot read %s: %s; requests that need it fail until it exists", z, strerror(why));
    mem_free(z);
}

void conf_check_pattern(struct conf_context *c, const struct yaml *node, const char *name, struct str pattern)
{
    glob_t found = {0};
    if (c->warn == NULL || pattern.n == 0)
        return;
    if (glob(pattern.p, GLOB_NOSORT, NULL, &found) != 0) {
        char *z = conf_absolute_path(pattern);
        warn_path(c, node, name, "no file matches %s", z);
        mem_free(z);
    }
    globfree(&found);
}
