// SPDX-License-Identifier: Apache-2.0
/* A persistent queue of vmagent, below -remoteWrite.tmpDataPath:
 *
 *   persistent-queue/N_HASH/       N: position of the URL among the flags; HASH: XXH64 of the URL without query and
 *                                  fragment
 *       metainfo.json              {"Name", "ReaderOffset", "WriterOffset"}, bytes since the queue began
 *       %016X                      chunk files (vmagent_chunk.h), named by the offset of their first byte
 *       flock.lock                 locked by the running vmagent (newer versions)
 *
 * Taking it over copies nothing:
 * 1. The reader's offset becomes the position of the shard.
 * 2. The chunk files are renamed into the shard's directory, oldest first.
 * 3. metainfo.json and the lock file are deleted, then the directory.
 *
 * After a crash in between, the rest is found at the next start, and follows what was taken over. Bytes after
 * WriterOffset, which vmagent would truncate, are read if they are complete blocks. Without a readable metainfo.json,
 * which vmagent answers by deleting everything, all blocks are sent.
 */
#include "writer/queue/vmagent_queue.h"

#include "base/hash.h"
#include "base/json/json_tree.h"
#include "base/os/dir.h"
#include "base/telemetry/log.h"
#include "writer/queue/position.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, METAINFO_BYTES = 64 << 10 };

uint64_t vmagent_queue_hash(struct str url)
{
    size_t n = 0;
    while (n < url.n && url.p[n] != '?' && url.p[n] != '#')
        n++;
    return hash_xxh64(url.p, n);
}

bool vmagent_queue_name(const char *name, uint64_t *hash)
{
    unsigned number;
    unsigned long long found;
    char exact[48];
    if (sscanf(name, "%u_%16llX", &number, &found) != 2)
        return false;
    snprintf(exact, sizeof exact, "%u_%016llX", number, found);
    *hash = found;
    return strcmp(name, exact) == 0;
}

char *vmagent_queue_find(const struct vmagent_queues *q)
{
    char path[PATH_BYTES];
    uint64_t hash;
    bool found = false;
    DIR *d = q->dir ? dir_open(q->dir) : NULL;
    for (struct dirent *e; d && !found && (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", q->dir, e->d_name);
        found = vmagent_queue_name(e->d_name, &hash) && hash == q->hash;
    }
    if (d)
        closedir(d);
    return found ? mem_strdup(path) : NULL;
}

/* The descriptor of the locked lock file, or -1 with err: a vmagent is running. A file that did not exist is created. */
static int vmagent_lock(const char *from, struct err *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/flock.lock", from);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0 && errno == EWOULDBLOCK)
        err_set(err, ERR_UNAVAILABLE, "%s is in use by vmagent; stop it and restart this program", from);
    else
        err_set(err, ERR_INTERNAL, "cannot lock %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

bool vmagent_reader_offset(const char *from, uint64_t *offset, struct err *err)
{
    char path[PATH_BYTES], text[METAINFO_BYTES];
    double at = -1;
    *offset = 0;
    snprintf(path, sizeof path, "%s/metainfo.json", from);
    FILE *f = fopen(path, "rbe");
    if (f == NULL)
        return err_set(err, ERR_INTERNAL, "cannot open %s: %s", path, strerror(errno));
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    struct json_tree *t = json_tree_parse(str_n(text, n), err);
    bool ok = t && json_tree_number(json_tree_get(t, "ReaderOffset"), &at) && at >= 0 && at <= (double)(1ull << 53);
    json_tree_free(t);
    *offset = ok ? (uint64_t)at : 0;
    return ok || err_set(err, ERR_BAD_DATA, "%s has no valid ReaderOffset", path);
}

static bool write_first_position(const char *shard_dir, uint64_t offset, struct err *err)
{
    struct position p;
    uint64_t before;
    if (!position_open(&p, shard_dir, &before, err))
        return false;
    bool ok = position_write(&p, offset) || err_set(err, ERR_INTERNAL, "cannot write the position in %s: %s", shard_dir,
                                                    strerror(errno));
    position_close(&p);
    return ok;
}

/* Names of chunk files, ascending. */
struct chunk_names { uint64_t *at; size_t n, _cap; };

static int chunk_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool vmagent_chunk_name(const char *name, uint64_t *start)
{
    char exact[32];
    *start = strtoull(name, NULL, 16);
    snprintf(exact, sizeof exact, "%016llX", (unsigned long long)*start);
    return strcmp(name, exact) == 0;
}

static bool list_chunks(const char *from, struct chunk_names *names, struct err *err)
{
    DIR *d = dir_open(from);
    if (d == NULL)
        return err_set(err, ERR_INTERNAL, "cannot read %s: %s", from, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        uint64_t name;
        if (!vmagent_chunk_name(e->d_name, &name))
            continue;
        mem_grow(&names->at, &names->_cap, names->n + 1, sizeof *names->at);
        names->at[names->n++] = name;
    }
    closedir(d);
    if (names->n > 1)
        qsort(names->at, names->n, sizeof *names->at, chunk_compare);
    return true;
}

static bool move_chunks(const char *from, const char *shard_dir, const struct chunk_names *names, struct err *err)
{
    for (size_t i = 0; i < names->n; i++) {
        char old[PATH_BYTES], new[PATH_BYTES];
        snprintf(old, sizeof old, "%s/%016llX", from, (unsigned long long)names->at[i]);
        snprintf(new, sizeof new, "%s/%016llx.vmq", shard_dir, (unsigned long long)names->at[i]);
        if (rename(old, new) != 0)
            return err_set(err, ERR_INTERNAL, "cannot rename %s to %s: %s", old, new, strerror(errno));
    }
    return true;
}

/* What is not vmagent's stays. */
static void remove_vmagent_dir(const char *from)
{
    static const char *const files[] = {"metainfo.json", "flock.lock"};
    char path[PATH_BYTES];
    for (size_t i = 0; i < LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", from, files[i]);
        unlink(path);
    }
    rmdir(from);
    snprintf(path, sizeof path, "%s", from);
    *strrchr(path, '/') = 0;
    rmdir(path); /* empty after the last one */
}

bool vmagent_queue_adopt(const char *from, const char *shard_dir, struct err *err)
{
    struct err unread;
    struct chunk_names names = {0};
    uint64_t offset = 0;
    int lock = vmagent_lock(from, err);
    if (lock < 0)
        return false;
    bool known = vmagent_reader_offset(from, &offset, &unread);
    bool ok = list_chunks(from, &names, err) && write_first_position(shard_dir, offset, err) &&
              move_chunks(from, shard_dir, &names, err);
    if (ok)
        remove_vmagent_dir(from);
    if (ok && known)
        log_info("queue", "took over a persistent queue of vmagent; sending it first", "from", from, "to", shard_dir,
                 LOG_U64("chunk_files", names.n));
    else if (ok)
        log_warn("queue", "took over a persistent queue of vmagent whose position is unknown; sending all of it, and what "
                 "vmagent had delivered again", "from", from, "to", shard_dir, "err", unread.text);
    mem_free(names.at);
    close(lock);
    return ok;
}
