// SPDX-License-Identifier: Apache-2.0
/* Checks the files that a configuration names. A missing file is a warning, not an error, since it may be created
 * later: password files are re-read each second, and target files are watched.
 *
 * A load must not hang because a file system does: checks are made by a thread for files, and after one that did not
 * end in time no others are made until it has ended.
 */
#include "base/conf/conf.h"

#include "base/os/file_call.h"
#include "base/text/url.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdatomic.h>
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

/* ---- the check ---- */

enum { PATH_CHECK_MS = 500, PATH_HANGS = -1, PATH_NOT_CHECKED = -2 };
static atomic_uint hung_path_checks;

struct path_check {
    char *path;
    bool pattern;
    int result; /* 0 or errno */
};

static int match_pattern(const char *pattern)
{
    glob_t found = {0};
    int result = glob(pattern, GLOB_NOSORT, NULL, &found) == 0 ? 0 : ENOENT;
    globfree(&found);
    return result;
}

static void run_path_check(void *arg)
{
    struct path_check *c = arg;
    c->result = c->pattern ? match_pattern(c->path) : access(c->path, R_OK) == 0 ? 0 : errno;
}

static void path_check_free(struct path_check *c)
{
    mem_free(c->path);
    mem_free(c);
}

static void release_path_check(void *arg)
{
    path_check_free(arg);
    atomic_fetch_sub(&hung_path_checks, 1);
}

static int check_path(struct str path, bool pattern)
{
    if (atomic_load(&hung_path_checks) > 0)
        return PATH_NOT_CHECKED;
    struct path_check *c = mem_dup(&(struct path_check){str_dup(path), pattern, 0}, sizeof *c);
    atomic_fetch_add(&hung_path_checks, 1);
    if (!file_call(&(struct file_call){run_path_check, release_path_check, c}, PATH_CHECK_MS))
        return PATH_HANGS;
    atomic_fetch_sub(&hung_path_checks, 1);
    int result = c->result;
    path_check_free(c);
    return result;
}

static void warn_hanging(struct conf_context *c, const struct yaml *node, const char *name, struct str path)
{
    char *z = conf_absolute_path(path);
    warn_path(c, node, name, "the file system of %s does not respond; this file and others are not checked", z);
    mem_free(z);
}

void conf_check_readable(struct conf_context *c, const struct yaml *node, const char *name, struct str path)
{
    int why = c->warn && path.n > 0 && !url_is_http(path) ? check_path(path, false) : 0;
    if (why == PATH_HANGS)
        warn_hanging(c, node, name, path);
    if (why <= 0)
        return;
    char *z = conf_absolute_path(path);
    warn_path(c, node, name, "cannot read %s: %s; requests that need it fail until it exists", z, strerror(why));
    mem_free(z);
}

void conf_check_pattern(struct conf_context *c, const struct yaml *node, const char *name, struct str pattern)
{
    int why = c->warn && pattern.n > 0 && !url_is_http(pattern) ? check_path(pattern, true) : 0;
    if (why == PATH_HANGS)
        warn_hanging(c, node, name, pattern);
    if (why <= 0)
        return;
    char *z = conf_absolute_path(pattern);
    warn_path(c, node, name, "no file matches %s", z);
    mem_free(z);
}

bool conf_read_output_file(struct conf_context *c, const struct yaml *node, void *field, struct err *err)
{
    static const struct conf_row file = {.type = CONF_FILE, .name = "file"};
    struct err why;
    if (node->kind != YAML_SCALAR)
        return conf_err(node, err, "expected a file name");
    return conf_scalar(c, &file, node->text, field, &why) || conf_err(node, err, "%s", why.text);
}

void conf_print_output_file(struct buf *out, const void *field, unsigned indent UNUSED)
{
    buf_add_char(out, ' ');
    yaml_write_scalar(out, *(const struct str *)field);
    buf_add_char(out, '\n');
}
