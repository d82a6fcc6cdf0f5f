// SPDX-License-Identifier: Apache-2.0
/* Files that a test writes for the code under test. A failure fails the test. */
#ifndef TESTS_UNIT_FILES_H
#define TESTS_UNIT_FILES_H

void write_file(const char *path, const char *text);   /* the file stays the same one */
void replace_file(const char *path, const char *text); /* a new file takes the old one's place, as kubelet and vault do */

#endif
