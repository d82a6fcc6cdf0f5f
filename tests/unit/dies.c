// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/dies.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_to_death(void (*run)(void), int fds[2])
{
    struct rlimit no_core = {0};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL); /* cmocka catches it */
    close(fds[0]);
    dup2(fds[1], STDERR_FILENO);
    run();
    _exit(0);
}

void assert_dies(void (*run)(void), const char *text)
{
    struct buf out = {0};
    char bytes[4096];
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0)
        run_to_death(run, fds);
    close(fds[1]);
    for (ssize_t n; (n = read(fds[0], bytes, sizeof bytes)) > 0;)
        buf_add(&out, bytes, (size_t)n);
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status == 0 || str_find_str(buf_str(&out), str_of(text)) == out.n)
        fail_msg("status %d, and its stderr lacks \"%s\": %s", status, text, buf_z(&out));
    buf_free(&out);
}
