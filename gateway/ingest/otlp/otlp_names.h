// SPDX-License-Identifier: Apache-2.0
/* Names of metrics and labels by the rules for Prometheus that OpenTelemetry's specification has: characters that Prometheus'
 * names did not have become underscores, and the unit and `total` are appended. */
#ifndef GATEWAY_INGEST_OTLP_OTLP_NAMES_H
#define GATEWAY_INGEST_OTLP_OTLP_NAMES_H

#include "base/arena.h"
#include "base/buf.h"
#include "model/metadata.h"

enum otlp_name_kind { OTLP_NAME_OTHER, OTLP_NAME_GAUGE, OTLP_NAME_COUNTER };
/* As vmagent names them with -opentelemetry.usePrometheusNaming. */
void otlp_name_vmagent(struct buf *out, struct str name, struct str unit, enum otlp_name_kind kind);
/* As Prometheus names them: UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes, and
 * NoUTF8EscapingWithSuffixes. */
void otlp_name_prometheus(struct buf *out, struct str name, struct str unit, enum otlp_name_kind kind);
void otlp_name_escaped(struct buf *out, struct str name);
void otlp_name_utf8(struct buf *out, struct str name, struct str unit, enum otlp_name_kind kind);
/* A label: key_ before a digit and, with `underscore`, key before a single underscore. In the arena, or `name` itself. */
struct str otlp_label_name(struct arena *a, struct str name, bool underscore);

#endif
