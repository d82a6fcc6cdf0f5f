// SPDX-License-Identifier: Apache-2.0
/* Reads what AWS writes: its files of profiles, and elements of its responses. Pure; any thread. */
#ifndef BASE_AWS_AWS_PROFILE_H
#define BASE_AWS_AWS_PROFILE_H

#include "base/arena.h"
#include "base/str.h"

/* The value of `key` in `[section]` of an INI file (~/.aws/config or ~/.aws/credentials); p is NULL if there is none.
 * Comments begin with # or ;. Nested keys, which are indented, are skipped. Points into `text`. */
struct str aws_profile_get(struct str text, const char *section, const char *key);
bool aws_profile_has(struct str text, const char *section);

/* The text of the first element <name> of an XML document that has no attributes and no elements within, with entities
 * replaced; in the arena; p is NULL if there is none. */
struct str aws_xml_text(struct arena *a, struct str xml, const char *name);

#endif
