// SPDX-License-Identifier: Apache-2.0
/* Code that must end the process: it runs in a child, whose stderr must then contain a text. */
#ifndef TESTS_UNIT_DIES_H
#define TESTS_UNIT_DIES_H

/* Before the test has started threads, which a child would not have. */
void assert_dies(void (*run)(void), const char *text);

#endif
