// SPDX-License-Identifier: Apache-2.0
/* Rounding of values in decimal, bit for bit as VictoriaMetrics does. Pure; any thread. */
#ifndef BASE_TEXT_DECIMAL_H
#define BASE_TEXT_DECIMAL_H

/* Leaves so many significant figures; fewer than 1 or more than 17: v itself. */
double decimal_round_figures(double v, int figures);
/* Leaves so many digits behind the decimal point, before it if negative; from 100 or to -100: v itself. */
double decimal_round_digits(double v, int digits);

#endif
