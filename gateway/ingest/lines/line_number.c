// SPDX-License-Identifier: Apache-2.0
#include "gateway/ingest/lines/line_number.h"

#include "base/text/num.h"

#include <math.h>

bool line_number(struct str s, double *v)
{
    if (s.n == 0)
        return false;
    if (num_scan(s.p, s.p + s.n, v) == s.p + s.n)
        return true;
    if (str_find(s, 'x') < s.n || str_find(s, 'X') < s.n || !num_parse(s, v))
        return false;
    if (isnan(*v))
        *v = normal_nan();
    return true;
}

bool line_time(const struct ingest *in, double t, int64_t unit, int64_t trim, int64_t *out, struct err *err)
{
    const double most = 9e15; /* ms; beyond it a double has no single milliseconds */
    if (t == 0) {
        *out = in->now - in->now % 1000;
    } else {
        t = trunc(t) * (double)unit;
        if (!(t > -most && t < most))
            return err_set(err, ERR_BAD_DATA, "the time is out of range");
        *out = (int64_t)t;
    }
    if (trim > 1)
        *out -= *out % trim;
    return true;
}
