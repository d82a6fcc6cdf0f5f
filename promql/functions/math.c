// SPDX-License-Identifier: Apache-2.0
/* Functions of one number: each value of a row is replaced in place; histograms are dropped. */
#include "promql/functions/functions_internal.h"

typedef double math_fn(double v);

/* Takes over the rows of the first argument without their histograms and names. */
static void math_reuse_floats(struct eval *ev, const struct call *c, struct value *out)
{
    fn_reuse_rows(out, &c->args[0]);
    for (size_t r = 0; r < out->n; r++) {
        struct row *row = &out->rows[r];
        for (uint32_t i = 0; row->h && i < ev->grid.n; i++)
            if (row->h[i])
                row->v[i] = absent_value();
        row->h = NULL;
        row_drop_name(ev, row);
    }
}

static void map(struct eval *ev, const struct call *c, struct value *out, math_fn *fn)
{
    math_reuse_floats(ev, c, out);
    for (size_t r = 0; r < out->n; r++) {
        double *v = out->rows[r].v;
        for (uint32_t i = 0; i < ev->grid.n; i++) {
            eval_charge(ev, 4);
            if (!is_absent(v[i]))
                v[i] = fn(v[i]);
        }
    }
}

static const double pi = 3.14159265358979323846;

static double to_degrees(double v) { return v * 180 / pi; }
static double to_radians(double v) { return v * pi / 180; }
/* Beyond it Go computes both as half an exponential, which overflows slightly earlier than sinh and cosh. */
static const double far_out = 21;
static double go_sinh(double v) { return fabs(v) > far_out ? copysign(exp(fabs(v)) * 0.5, v) : sinh(v); }
static double go_cosh(double v) { return fabs(v) > far_out ? exp(fabs(v)) * 0.5 : cosh(v); }
static double sign(double v) { return v < 0 ? -1 : v > 0 ? 1 : v; }

#define MATH(name, function) \
    static void map_##name(struct eval *ev, const struct call *c, struct value *out) { map(ev, c, out, function); } \
    const struct function_impl fn_##name = {.rows = map_##name}
MATH(abs, fabs);
MATH(ceil, ceil);
MATH(floor, floor);
MATH(exp, exp);
MATH(sqrt, sqrt);
MATH(ln, log);
MATH(log2, log2);
MATH(log10, log10);
MATH(sin, sin);
MATH(cos, cos);
MATH(tan, tan);
MATH(asin, asin);
MATH(acos, acos);
MATH(atan, atan);
MATH(sinh, go_sinh);
MATH(cosh, go_cosh);
MATH(tanh, tanh);
MATH(asinh, asinh);
MATH(acosh, acosh);
MATH(atanh, atanh);
MATH(deg, to_degrees);
MATH(rad, to_radians);
MATH(sgn, sign);

static void round_rows(struct eval *ev, const struct call *c, struct value *out)
{
    math_reuse_floats(ev, c, out);
    for (size_t r = 0; r < out->n; r++) {
        double *v = out->rows[r].v;
        for (uint32_t i = 0; i < ev->grid.n; i++) {
            eval_charge(ev, 2);
            /* multiplying is more precise than dividing */
            double per_one = 1 / (c->n_args > 1 ? c->args[1].scalar[i] : 1);
            if (!is_absent(v[i]))
                v[i] = floor(v[i] * per_one + 0.5) / per_one;
        }
    }
}

/* NULL: no limit. No value where min exceeds max. */
static void clamp(struct eval *ev, const struct call *c, struct value *out, const double *min, const double *max)
{
    math_reuse_floats(ev, c, out);
    for (size_t r = 0; r < out->n; r++) {
        double *v = out->rows[r].v;
        for (uint32_t i = 0; i < ev->grid.n; i++) {
            eval_charge(ev, 2);
            double low = min ? min[i] : -INFINITY, high = max ? max[i] : INFINITY;
            if (!is_absent(v[i]))
                v[i] = high < low ? absent_value() : go_max(low, go_min(high, v[i]));
        }
    }
}

static void clamp_rows(struct eval *ev, const struct call *c, struct value *out)
{
    clamp(ev, c, out, c->args[1].scalar, c->args[2].scalar);
}

static void clamp_min_rows(struct eval *ev, const struct call *c, struct value *out)
{
    clamp(ev, c, out, c->args[1].scalar, NULL);
}

static void clamp_max_rows(struct eval *ev, const struct call *c, struct value *out)
{
    clamp(ev, c, out, NULL, c->args[1].scalar);
}

const struct function_impl fn_round = {.rows = round_rows};
const struct function_impl fn_clamp = {.rows = clamp_rows};
const struct function_impl fn_clamp_min = {.rows = clamp_min_rows};
const struct function_impl fn_clamp_max = {.rows = clamp_max_rows};
