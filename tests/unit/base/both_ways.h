// SPDX-License-Identifier: Apache-2.0
/* Runs a group of tests of the HTTP client over its own connections and, unless one failed, by libcurl. `by_libcurl`
 * is the variable that the tests pass to client_new. */
#ifndef TESTS_UNIT_BASE_BOTH_WAYS_H
#define TESTS_UNIT_BASE_BOTH_WAYS_H

#define RUN_BOTH_WAYS(by_libcurl, tests) \
    (cmocka_run_group_tests_name("plain", tests, NULL, NULL) \
         ? 1 : ((by_libcurl) = true, cmocka_run_group_tests_name("by libcurl", tests, NULL, NULL)))

#endif
