// SPDX-License-Identifier: Apache-2.0
/* Falling back needs a proof, since a rejection may have another reason: the block is sent once more in the other form,
 * and that is accepted. A 415, a 400 that names the encoding or the message, and a success that leaves out the headers of
 * 2.0 prove it at once, another 400 to zstd from the third block in a row on.
 *
 * A receiver that does not look at the Content-Type reads an empty request of 1.0 from a body of 2.0, whose fields have
 * other numbers, and responds with success: so a success without any X-Prometheus-Remote-Write-*-Written is none. */
#include "writer/send/form.h"

#include "base/telemetry/log.h"

enum { AGAIN_MS = 3600000, UNPROVED_BLOCKS = 3 };

/* With 2.0, snappy is the one codec that receivers must know, and zstd is used on request only. */
void form_settings_changed(struct destination_lane *dl, const struct dest_settings *next)
{
    bool snappy = next->protocol == PROTOCOL_SNAPPY ||
                  (next->protocol == PROTOCOL_AUTO && next->message == MESSAGE_WRITE_2);
    dl->codec = snappy ? CODEC_SNAPPY : CODEC_ZSTD;
    dl->message = next->message;
    dl->zstd_again_at = dl->write_2_again_at = 0;
    atomic_store(&dl->dest->zstd, !snappy);
    atomic_store(&dl->dest->write_2, dl->message == MESSAGE_WRITE_2);
}

struct block_form form_of_requests(const struct destination_lane *dl)
{
    return (struct block_form){dl->message, dl->codec};
}

void form_try_again(struct destination_lane *dl)
{
    const struct dest_settings *set = dl->settings;
    int64_t now = loop_mono(dl->loop);
    if (dl->codec == CODEC_SNAPPY && set->protocol == PROTOCOL_AUTO && set->message == MESSAGE_WRITE_1 &&
        now >= dl->zstd_again_at) {
        dl->codec = CODEC_ZSTD;
        atomic_store(&dl->dest->zstd, true);
    }
    if (dl->message != set->message && now >= dl->write_2_again_at) {
        dl->message = set->message;
        atomic_store(&dl->dest->write_2, true);
    }
}

struct block_form form_fall_back(struct shard *s, const struct block *rejected)
{
    bool message = rejected->message == MESSAGE_WRITE_2;
    s->resent = message ? RESENT_AS_WRITE_1 : RESENT_AS_SNAPPY;
    return message ? (struct block_form){MESSAGE_WRITE_1, s->lane->codec} : block_form_1(CODEC_SNAPPY);
}

static void form_give_up_zstd(struct shard *s)
{
    struct destination_lane *dl = s->lane;
    if (!s->blamed_encoding && ++dl->unproved < UNPROVED_BLOCKS)
        return;
    bool first = dl->zstd_again_at == 0;
    dl->codec = CODEC_SNAPPY;
    dl->unproved = 0;
    dl->zstd_again_at = loop_mono(dl->loop) + AGAIN_MS;
    atomic_store(&s->dest->zstd, false);
    if (first)
        log_info("remote_write", "destination does not accept zstd; sending snappy, and trying zstd again every hour",
                 "name", s->dest->name);
}

static void form_give_up_write_2(struct shard *s)
{
    struct destination_lane *dl = s->lane;
    if (dl->message != MESSAGE_WRITE_2)
        return;
    bool first = dl->write_2_again_at == 0;
    dl->message = MESSAGE_WRITE_1;
    dl->write_2_again_at = loop_mono(dl->loop) + AGAIN_MS;
    atomic_store(&s->dest->write_2, false);
    if (first)
        log_warn("remote_write", "destination does not accept remote write 2.0; sending 1.0, and trying 2.0 again every hour",
                 "name", s->dest->name);
}

void form_judge(struct shard *s)
{
    struct destination_lane *dl = s->lane;
    if (s->resent == RESENT_AS_WRITE_1)
        form_give_up_write_2(s);
    else if (dl->settings->protocol != PROTOCOL_AUTO || dl->codec != CODEC_ZSTD)
        return;
    else if (s->resent == RESENT_AS_SNAPPY)
        form_give_up_zstd(s);
    else
        dl->unproved = 0;
}
