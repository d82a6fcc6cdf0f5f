// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a remote_read request: it is decoded or refused, within the arena's memory, and its regexes are freed. The
 * first byte is the limit of the arena in units of 4 KiB, 0: none. */
#include "base/compress.h"
#include "gateway/read/read_query.h"

#include <setjmp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static jmp_buf full;

static void on_full(struct arena *a UNUSED, size_t wanted UNUSED, void *arg UNUSED) { longjmp(full, 1); }

static void check_call(const struct read_call *call)
{
    struct buf printed = {0};
    if (call->n > READ_QUERIES_MAX || call->form > READ_CHUNKS)
        abort();
    for (size_t i = 0; i < call->n; i++) {
        const struct read_query *q = &call->queries[i];
        for (size_t k = 0; k < q->n_matchers; k++) {
            bool regex = q->matchers[k].type == MATCH_RE || q->matchers[k].type == MATCH_NRE;
            if (regex != (q->matchers[k].re != NULL))
                abort();
        }
        matchers_print(&printed, q->matchers, q->n_matchers);
    }
    buf_free(&printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct arena a;
    static struct buf body;
    static struct read_call call;
    static struct err err;
    if (n == 0)
        return 0;
    arena_init(&a, (size_t)data[0] << 12);
    a.on_full = on_full;
    err = (struct err){0};
    compress_snappy(&body, str_n(data + 1, n - 1));
    if (setjmp(full) == 0) {
        if (read_call_decode(&a, buf_str(&body), &call, &err))
            check_call(&call);
        else if (err.kind == ERR_NONE)
            abort();
    }
    arena_free(&a);
    buf_free(&body);
    return 0;
}
