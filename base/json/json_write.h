// SPDX-License-Identifier: Apache-2.0
/* A JSON writer that appends to a buffer. The caller is responsible for the structure; the writer inserts the commas.
 * One thread at a time. (libjansson uses the names json_object, json_array and json_null.)
 *
 *   struct json_writer w = {.out = &buf};
 *   json_begin_object(&w); json_field_z(&w, "status", "success"); json_end_object(&w);
 */
#ifndef BASE_JSON_JSON_WRITE_H
#define BASE_JSON_JSON_WRITE_H

#include "base/buf.h"

struct json_writer {
    struct buf *out;
    bool comma; /* the next value needs a comma before it */
};

void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);      /* a plain ASCII key */
void json_key_str(struct json_writer *w, struct str key);   /* any key, escaped */
void json_str(struct json_writer *w, struct str s);         /* invalid UTF-8 becomes U+FFFD */
void json_z(struct json_writer *w, const char *z);
void json_html_str(struct json_writer *w, struct str s);    /* also < > & as \u003c \u003e \u0026, as Go does */
void json_bool(struct json_writer *w, bool v);
void json_i64(struct json_writer *w, int64_t v);
/* a JSON number, shortest; NaN and Inf are written as null */
void json_double(struct json_writer *w, double v);
void json_ms(struct json_writer *w, int64_t ms);            /* a number in seconds, see num_format_ms */
void json_num_str(struct json_writer *w, double v);         /* "1.5": a sample value in quotes */
void json_put_null(struct json_writer *w);
void json_raw(struct json_writer *w, struct str text);      /* text that is valid JSON */

/* A key and its value. */
void json_field_str(struct json_writer *w, const char *key, struct str s);
void json_field_z(struct json_writer *w, const char *key, const char *z);
void json_field_bool(struct json_writer *w, const char *key, bool v);
void json_field_i64(struct json_writer *w, const char *key, int64_t v);
void json_field_u64(struct json_writer *w, const char *key, uint64_t v);

/* The escaped contents of a string, without quotes. */
void json_escape(struct buf *out, struct str s);

#endif
