// SPDX-License-Identifier: Apache-2.0
#include "base/xml/xml_value.h"

#include <expat.h>

enum { XML_PIECE = 16 << 10, XML_TOKEN_MAX = 64 << 10 };

static void xml_refuse(struct xml_value_reader *x, const char *why)
{
    x->why = why;
    XML_StopParser(x->parser, XML_FALSE);
}

static void xml_on_start(void *arg, const XML_Char *name, const XML_Char **attributes UNUSED)
{
    struct xml_value_reader *x = arg;
    x->pending = 0;
    if (x->depth == XML_DEPTH) {
        xml_refuse(x, "elements are nested too deeply");
        return;
    }
    struct json_value *v = ARENA_NEW(x->arena, struct json_value), *parent = x->open[x->depth - 1];
    struct json_value **end = x->last[x->depth - 1] ? &x->last[x->depth - 1]->next : &parent->first;
    *v = (struct json_value){.kind = JSON_STRING, .key = arena_str(x->arena, str_of(name))};
    parent->kind = JSON_OBJECT;
    parent->n++;
    *end = x->last[x->depth - 1] = v;
    x->open[x->depth] = v;
    x->last[x->depth++] = NULL;
    buf_clear(&x->text);
}

static void xml_on_end(void *arg, const XML_Char *name UNUSED)
{
    struct xml_value_reader *x = arg;
    struct json_value *v = x->open[--x->depth];
    x->pending = 0;
    if (v->kind == JSON_STRING)
        v->text = arena_str(x->arena, buf_str(&x->text));
    buf_clear(&x->text);
}

/* Text beside elements is forgotten with the next one. */
static void xml_on_text(void *arg, const XML_Char *text, int n)
{
    struct xml_value_reader *x = arg;
    x->pending = 0;
    buf_add(&x->text, text, (size_t)n);
}

/* Comments, declarations and the like. */
static void xml_on_other(void *arg, const XML_Char *text UNUSED, int n UNUSED) { ((struct xml_value_reader *)arg)->pending = 0; }

static void xml_on_doctype(void *arg, const XML_Char *name UNUSED, const XML_Char *system UNUSED, const XML_Char *public UNUSED,
                           int internal UNUSED)
{
    xml_refuse(arg, "it has a document type declaration");
}

void xml_value_reader_init(struct xml_value_reader *x, struct arena *a)
{
    static const XML_Memory_Handling_Suite memory = {mem_alloc, mem_realloc, mem_free};
    *x = (struct xml_value_reader){.parser = XML_ParserCreate_MM(NULL, &memory, NULL), .arena = a, .depth = 1};
    x->root = x->open[0] = ARENA_NEW(a, struct json_value);
    x->root->kind = JSON_OBJECT;
    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, xml_on_start, xml_on_end);
    XML_SetCharacterDataHandler(x->parser, xml_on_text);
    XML_SetDefaultHandler(x->parser, xml_on_other);
    XML_SetStartDoctypeDeclHandler(x->parser, xml_on_doctype);
}

static bool xml_parse(struct xml_value_reader *x, struct str piece, bool last, struct err *err)
{
    if (XML_Parse(x->parser, piece.p ? piece.p : "", (int)piece.n, last) == XML_STATUS_OK)
        return true;
    return err_set(err, ERR_BAD_GATEWAY, "invalid XML at line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(x->parser),
                   x->why ? x->why : XML_ErrorString(XML_GetErrorCode(x->parser)));
}

/* Expat scans an incomplete token from its first byte with each piece; text is no token, but passed on as it arrives. */
bool xml_value_reader_feed(struct xml_value_reader *x, struct str piece, struct err *err)
{
    for (; piece.n > 0; piece = str_skip(piece, XML_PIECE)) {
        struct str part = str_first(piece, XML_PIECE);
        x->pending += part.n;
        if (!xml_parse(x, part, false, err))
            return false;
        if (x->pending > XML_TOKEN_MAX)
            return err_set(err, ERR_TOO_LARGE, "invalid XML at line %lu: a tag or comment is longer than %d KiB",
                           (unsigned long)XML_GetCurrentLineNumber(x->parser), XML_TOKEN_MAX >> 10);
    }
    return true;
}

const struct json_value *xml_value_reader_finish(struct xml_value_reader *x, struct err *err)
{
    return xml_parse(x, STR_NONE, true, err) ? x->root : NULL;
}

void xml_value_reader_free(struct xml_value_reader *x)
{
    XML_ParserFree(x->parser);
    buf_free(&x->text);
}
