// SPDX-License-Identifier: Apache-2.0
/* The form of a destination's requests: remote write 1.0 or 2.0, snappy or zstd. What a receiver does not accept is given
 * up when it has accepted the same block in the other form, and tried again after an hour. On the lane. */
#ifndef WRITER_SEND_FORM_H
#define WRITER_SEND_FORM_H

#include "writer/send/destination_lane.h"

void form_settings_changed(struct destination_lane *dl, const struct dest_settings *next);
struct block_form form_of_requests(const struct destination_lane *dl);
void form_try_again(struct destination_lane *dl); /* before a request */
/* The form in which a block is sent again that was not accepted, and what that would prove. */
struct block_form form_fall_back(struct shard *s, const struct block *rejected);
void form_judge(struct shard *s); /* the head is delivered; its response is in s->response */

#endif
