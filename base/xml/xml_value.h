// SPDX-License-Identifier: Apache-2.0
/* An XML document as a tree of base/json/json_value.h in an arena, built from pieces as they arrive:
 *
 *   <list><item><id>7</id></item><item/></list>    {"list": {"item": {"id": "7"}, "item": ""}}
 *
 * An element is a member of its parent, with its name as key; elements of the same name are several members. An element with
 * elements is an object, any other one the string of its text. Attributes, name space declarations, comments and text beside
 * elements are skipped; a document type declaration is an error, so that there are no entities but those of XML itself. So is
 * a tag or comment of more than 64 KiB.
 *
 * As with a json_value_reader, the caller checks the arena's budget after each piece. One thread.
 */
#ifndef BASE_XML_XML_VALUE_H
#define BASE_XML_XML_VALUE_H

#include "base/buf.h"
#include "base/json/json_value.h"

enum { XML_DEPTH = 64 };
struct xml_value_reader {
    void *parser;              /* of expat */
    struct arena *arena;
    struct json_value *root;
    struct json_value *open[XML_DEPTH], *last[XML_DEPTH]; /* enclosing elements, the root first; the last child of each */
    unsigned depth;
    struct buf text;           /* of the innermost element so far */
    size_t pending;            /* bytes since the last token */
    const char *why;           /* the document is refused */
};
void xml_value_reader_init(struct xml_value_reader *x, struct arena *a);
bool xml_value_reader_feed(struct xml_value_reader *x, struct str piece, struct err *err) MUST_USE;
/* After the last piece: an object with the root element as its member; NULL with an error if the document is incomplete. */
const struct json_value *xml_value_reader_finish(struct xml_value_reader *x, struct err *err);
void xml_value_reader_free(struct xml_value_reader *x); /* not the tree, which is the arena's */

#endif
