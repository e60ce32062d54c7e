/* SPDX-License-Identifier: MIT */
#ifndef PACKET_SAMPLES_H
#define PACKET_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire/header.h"

/* The CID size of the endpoint that receives the samples. */
enum { PACKET_SAMPLE_CID_SIZE = 4 };

/* At least one good packet of every type, as far as it can be read without a key. */
struct packet_sample {
    const char *name;
    const uint8_t *bytes;
    size_t size;
    struct sp_header want;
};

extern const struct packet_sample packet_samples[];
extern const size_t packet_sample_count;

#endif
