// SPDX-License-Identifier: Apache-2.0
#include "base/refs.h"

#include <stdio.h>
#include <stdlib.h>

void refs_fail(const char *where, unsigned n)
{
    fprintf(stderr, "sluice: %s: the object has ended already (reference count %u)\n", where, n);
    abort();
}
