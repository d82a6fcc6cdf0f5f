// SPDX-License-Identifier: Apache-2.0
/* Decodes responses that may be long lists as a stream: names and values of labels, and label sets of series.
 *   {"status":"success","data":["a","b"] or [{"__name__":"up","job":"x"}],"warnings":[..],"infos":[..]}
 * `place` is the value that the decoder is in. Unknown keys are skipped.
 */
#include "gateway/upstream/decode/response.h"

#include "base/json/json_read.h"
#include "model/json_labels.h"

enum name_place {
    NAMES_TOP, NAMES_STATUS, NAMES_ERROR, NAMES_WARNINGS, NAMES_INFOS, NAMES_DATA, NAMES_SET, NAMES_SKIP
};
struct names_response {
    struct decoder decoder;
    struct label_list *list;
    bool sets;                   /* label sets, not strings */
    struct json_reader r;
    enum name_place place;
    bool begun;                  /* after the first { of the document */
    bool inside;                 /* after the [ of a list, or the { of a label set */
    bool at_partial, partial;    /* at the value of "isPartial"; it is true */
    bool succeeded;
    char error[256];
    struct json_labels names;
};

static bool names_odd(const struct names_response *t, struct err *err)
{
    return err_set(err, ERR_BAD_GATEWAY, "cannot parse the response: unexpected JSON at byte %llu",
                   (unsigned long long)t->r.offset);
}

static bool names_at_top(struct names_response *t, enum json_token token)
{
    static const struct { const char *key; enum name_place place; } keys[] = {
        {"status", NAMES_STATUS}, {"error", NAMES_ERROR}, {"warnings", NAMES_WARNINGS}, {"infos", NAMES_INFOS},
        {"data", NAMES_DATA}};
    bool start = token == JSON_OBJECT && !t->begun, end = token == JSON_END_OBJECT;
    t->begun = true;
    if (token != JSON_KEY)
        return start || end;
    t->at_partial = str_is(t->r.text, "isPartial");
    t->place = NAMES_SKIP;
    for (size_t i = 0; i < LEN(keys); i++)
        if (str_is(t->r.text, keys[i].key))
            t->place = keys[i].place;
    return true;
}

static bool names_text(struct names_response *t, enum json_token token)
{
    if (token != JSON_STRING)
        return false;
    if (t->place == NAMES_STATUS) {
        t->succeeded = str_is(t->r.text, "success");
    } else {
        struct str text = str_first(t->r.text, sizeof t->error - 1);
        memcpy(t->error, text.p, text.n);
        t->error[text.n] = 0;
    }
    t->place = NAMES_TOP;
    return true;
}

/* Brackets of a list; false for its items. */
static bool names_list(struct names_response *t, enum json_token token)
{
    bool end = t->inside ? token == JSON_END_ARRAY : token == JSON_NULL;
    if (end)
        t->place = NAMES_TOP;
    else if (t->inside || token != JSON_ARRAY)
        return false;
    t->inside = !end;
    return true;
}

static bool names_note(struct names_response *t, enum json_token token)
{
    const struct label_list *l = t->list;
    if (names_list(t, token))
        return true;
    if (!t->inside || token != JSON_STRING)
        return false;
    if (t->place == NAMES_WARNINGS)
        label_list_warn(l, t->r.text);
    else
        response_info(l->notes, l->secrets, t->r.text);
    return true;
}

static bool names_item(struct names_response *t, enum json_token token)
{
    struct label_list *l = t->list;
    if (names_list(t, token))
        return true;
    if (!t->inside || token != (t->sets ? JSON_OBJECT : JSON_STRING))
        return false;
    if (t->sets) {
        json_labels_start(&t->names);
        t->place = NAMES_SET;
        return true;
    }
    arena_grow(l->arena, &l->strings, &l->cap_strings, l->n_strings + 1, sizeof *l->strings);
    l->strings[l->n_strings++] = arena_str(l->arena, t->r.text);
    return true;
}

static bool names_label(struct names_response *t, enum json_token token, struct err *err)
{
    struct label_list *l = t->list;
    struct labels labels;
    if (token == JSON_KEY) {
        json_labels_name(&t->names, t->r.text);
        return true;
    }
    if (token == JSON_STRING) {
        json_labels_value(&t->names, t->r.text);
        return true;
    }
    if (token != JSON_END_OBJECT)
        return names_odd(t, err);
    t->place = NAMES_DATA;
    if (!json_labels_end(&t->names, &labels, err))
        return false;
    arena_grow(l->arena, &l->labels, &l->cap_labels, l->n_labels + 1, sizeof *l->labels);
    l->labels[l->n_labels++] = view_show(l->view, l->arena, labels);
    return true;
}

static bool names_token(struct names_response *t, enum json_token token, struct err *err)
{
    switch (t->place) {
    case NAMES_TOP: return names_at_top(t, token) || names_odd(t, err);
    case NAMES_STATUS:
    case NAMES_ERROR: return names_text(t, token) || names_odd(t, err);
    case NAMES_WARNINGS:
    case NAMES_INFOS: return names_note(t, token) || names_odd(t, err);
    case NAMES_DATA: return names_item(t, token) || names_odd(t, err);
    case NAMES_SET: return names_label(t, token, err);
    case NAMES_SKIP: /* json_skip has read the value */
        t->place = NAMES_TOP;
        t->partial = t->partial || (t->at_partial && token == JSON_TRUE);
    }
    return true;
}

static bool names_read(struct names_response *t, struct err *err)
{
    for (;;) {
        enum json_token token = t->place == NAMES_SKIP ? json_skip(&t->r) : json_next(&t->r);
        if (token == JSON_MORE && json_mostly_skipped(&t->r))
            return response_waste(err);
        if (token == JSON_MORE || token == JSON_END)
            return true;
        if (token == JSON_ERROR)
            return err_set(err, ERR_BAD_GATEWAY, "the response is not JSON: %s", t->r.err.text);
        if (!names_token(t, token, err))
            return false;
    }
}

static bool names_feed(struct decoder *d, struct str piece, struct err *err)
{
    struct names_response *t = CONTAINER(d, struct names_response, decoder);
    json_feed(&t->r, piece.p, piece.n);
    return names_read(t, err);
}

static bool names_finish(struct decoder *d, struct err *err)
{
    struct names_response *t = CONTAINER(d, struct names_response, decoder);
    json_finish(&t->r);
    const struct label_list *l = t->list;
    return names_read(t, err) &&
           (t->succeeded || err_set(err, ERR_BAD_GATEWAY, "the server returned an error: %s", t->error)) &&
           (!t->partial || response_partial(l->q, l->notes, l->secrets, err));
}

static void names_free(struct decoder *d)
{
    struct names_response *t = CONTAINER(d, struct names_response, decoder);
    json_reader_free(&t->r);
    json_labels_free(&t->names);
    mem_free(t);
}

static struct decoder *names_decoder(struct label_list *a, bool sets)
{
    struct names_response *t = mem_zalloc(sizeof *t);
    t->decoder = (struct decoder){names_feed, names_finish, names_free, NULL};
    t->list = a;
    t->sets = sets;
    json_reader_init(&t->r);
    return &t->decoder;
}

struct decoder *strings_decoder_new(struct label_list *a) { return names_decoder(a, false); }
struct decoder *series_decoder_new(struct label_list *a) { return names_decoder(a, true); }
