// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/files/file_parts.h"

#include "base/text/duration.h"
#include "model/discovery/groups/sd_parts.h"
#include "model/discovery/source/sd_poll.h"

struct parted_file {
    char *path;
    struct sd_parts parts;
    struct list changed;
    bool listed, gone;           /* by the files that are being set; and those that were set last did not list it */
};

void file_parts_init(struct file_parts *p)
{
    *p = (struct file_parts){0};
    list_init(&p->changed);
}

static void parted_file_free(struct file_parts *p, struct parted_file *f)
{
    map_remove(&p->files, str_of(f->path));
    if (list_linked(&f->changed))
        list_remove(&f->changed);
    sd_parts_free(&f->parts);
    mem_free(f->path);
    mem_free(f);
}

void file_parts_free(struct file_parts *p)
{
    for (struct map_entry *e = map_next(&p->files, NULL); e; e = map_next(&p->files, NULL))
        parted_file_free(p, e->value.p);
    map_free(&p->files);
}

static struct parted_file *parted_file_get(struct file_parts *p, const char *path)
{
    struct parted_file *f = map_get(&p->files, str_of(path));
    if (f)
        return f;
    f = mem_zalloc(sizeof *f);
    f->path = mem_strdup(path);
    sd_parts_init(&f->parts);
    map_set(&p->files, str_of(f->path), f);
    return f;
}

static void parted_file_set(struct file_parts *p, struct parted_file *f, struct sd_groups *groups)
{
    sd_parts_set(&f->parts, groups);
    if (sd_parts_changed(&f->parts) && !list_linked(&f->changed))
        list_push_back(&p->changed, &f->changed);
}

void file_parts_set(struct file_parts *p, const struct sd_files *files)
{
    for (struct map_entry *e = map_next(&p->files, NULL); e; e = map_next(&p->files, e))
        ((struct parted_file *)e->value.p)->listed = false;
    for (size_t i = 0; i < files->n; i++) {
        struct parted_file *f = parted_file_get(p, files->items[i].path);
        f->listed = true;
        f->gone = false;
        if (files->items[i].groups && files->items[i].groups != f->parts.groups)
            parted_file_set(p, f, sd_groups_ref(files->items[i].groups));
    }
    for (struct map_entry *e = map_next(&p->files, NULL); e; e = map_next(&p->files, e)) {
        struct parted_file *f = e->value.p;
        if (f->listed || f->gone)
            continue;
        f->gone = true;
        if (f->parts.groups)
            sd_parts_set(&f->parts, sd_groups_new());
        if (!list_linked(&f->changed))
            list_push_back(&p->changed, &f->changed);
    }
}

static void parted_file_visit(struct parted_file *f, sd_visit_fn *visit, void *arg, int64_t until)
{
    struct sd_found found = {"file", STR("__meta_filepath"), str_of(f->path), NULL, NULL};
    struct sd_found_visit each = {&found, visit, arg};
    if (until == 0)
        sd_parts_visit(&f->parts, sd_found_visit_part, &each);
    else
        sd_parts_visit_changed(&f->parts, until, sd_found_visit_part, &each);
}

/* Takes a file whose changes have been visited from the list. */
static void parted_file_settled(struct file_parts *p, struct parted_file *f)
{
    if (list_linked(&f->changed))
        list_remove(&f->changed);
    if (f->gone)
        parted_file_free(p, f);
}

void file_parts_settle(struct file_parts *p)
{
    while (!list_empty(&p->changed)) {
        struct parted_file *f = CONTAINER(p->changed.next, struct parted_file, changed);
        sd_parts_settle(&f->parts);
        parted_file_settled(p, f);
    }
}

void file_parts_visit(struct file_parts *p, const struct sd_files *files, struct map *seen, sd_visit_fn *visit,
                      void *arg)
{
    file_parts_settle(p);
    for (size_t i = 0; i < files->n; i++) {
        bool added = true;
        struct parted_file *f = map_get(&p->files, str_of(files->items[i].path));
        map_add(seen, str_of(files->items[i].path), &added);
        if (added)
            parted_file_visit(f, visit, arg, 0);
    }
}

void file_parts_visit_changed(struct file_parts *p, int64_t until, sd_visit_fn *visit, void *arg)
{
    while (!list_empty(&p->changed)) {
        struct parted_file *f = CONTAINER(p->changed.next, struct parted_file, changed);
        parted_file_visit(f, visit, arg, until);
        if (sd_parts_changed(&f->parts))
            return;
        parted_file_settled(p, f);
        if (clock_mono_ns() >= until)
            return;
    }
}
