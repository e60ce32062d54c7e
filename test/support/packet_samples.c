/* SPDX-License-Identifier: MIT */
#include "test/support/packet_samples.h"

#define BYTES(text) .bytes = (const uint8_t *)(text), .size = sizeof(text) - 1
#define DATA(text)  {.data = (const uint8_t *)(text), .size = sizeof(text) - 1}
#define V1          "\0\0\0\1"
#define DCID \
    "\x04" \
    "dcid"
#define SCID \
    "\x05" \
    "scid5"
#define TEN           "0123456789"
#define PN_AND_SAMPLE TEN TEN /* 20 bytes, the least that is accepted */
#define CID_20        TEN TEN
#define CID_21        TEN TEN "x"
#define BOTH_CIDS \
    .dcid = {.size = 4, .bytes = {'d', 'c', 'i', 'd'}}, \
    .scid = {.size = 5, .bytes = {'s', 'c', 'i', 'd', '5'}}, .raw_dcid = DATA("dcid"), \
    .raw_scid = DATA("scid5")

const struct packet_sample packet_samples[] = {
    {"initial",
     BYTES("\xc1" V1 DCID SCID "\0\x14" PN_AND_SAMPLE),
     {.type = SP_PACKET_INITIAL,
      .first = 0xc1,
      .version = SP_VERSION_1,
      BOTH_CIDS,
      .pn_offset = 18,
      .size = 38}},
    {"initial with a token",
     BYTES("\xcf" V1 DCID SCID "\x03tok\x40\x15" PN_AND_SAMPLE "!"),
     {.type = SP_PACKET_INITIAL,
      .first = 0xcf,
      .version = SP_VERSION_1,
      BOTH_CIDS,
      .token = DATA("tok"),
      .pn_offset = 22,
      .size = 43}},
    {"initial, and more behind it",
     BYTES("\xc0" V1 DCID SCID "\0\x14" PN_AND_SAMPLE "more"),
     {.type = SP_PACKET_INITIAL,
      .first = 0xc0,
      .version = SP_VERSION_1,
      BOTH_CIDS,
      .pn_offset = 18,
      .size = 38}},
    {"initial without CIDs",
     BYTES("\xc0" V1 "\0\0\0\x14" PN_AND_SAMPLE),
     {.type = SP_PACKET_INITIAL,
      .first = 0xc0,
      .version = SP_VERSION_1,
      .pn_offset = 9,
      .size = 29}},
    {"0-rtt",
     BYTES("\xd0" V1 DCID SCID "\x14" PN_AND_SAMPLE),
     {.type = SP_PACKET_ZERO_RTT,
      .first = 0xd0,
      .version = SP_VERSION_1,
      BOTH_CIDS,
      .pn_offset = 17,
      .size = 37}},
    {"handshake",
     BYTES("\xe3" V1 DCID SCID "\x80\0\0\x14" PN_AND_SAMPLE),
     {.type = SP_PACKET_HANDSHAKE,
      .first = 0xe3,
      .version = SP_VERSION_1,
      BOTH_CIDS,
      .pn_offset = 20,
      .size = 40}},
    {"handshake with CIDs of 20",
     BYTES("\xe0" V1 "\x14" CID_20 "\x14" CID_20 "\x14" PN_AND_SAMPLE),
     {.type = SP_PACKET_HANDSHAKE,
      .first = 0xe0,
      .version = SP_VERSION_1,
      .dcid = {.size = 20, .bytes = CID_20},
      .scid = {.size = 20, .bytes = CID_20},
      .raw_dcid = DATA(CID_20),
      .raw_scid = DATA(CID_20),
      .pn_offset = 48,
      .size = 68}},
    {"retry",
     BYTES("\xff" V1 DCID SCID "token"
           "0123456789abcdef"),
     {.type = SP_PACKET_RETRY,
      .first = 0xff,
      .version = SP_VERSION_1,
      BOTH_CIDS,
      .token = DATA("token"),
      .size = 37}},
    {"version negotiation",
     BYTES("\x80\0\0\0\0" DCID SCID "\0\0\0\1\x1a\x2a\x3a\x4a"),
     {.type = SP_PACKET_VERSION_NEGOTIATION,
      .first = 0x80,
      BOTH_CIDS,
      .version = 0,
      .versions = DATA("\0\0\0\1\x1a\x2a\x3a\x4a"),
      .size = 24}},
    {"version negotiation with a long CID",
     BYTES("\xff\0\0\0\0"
           "\x15" CID_21 "\0"
           "\x6b\x33\x43\xcf"),
     {.type = SP_PACKET_VERSION_NEGOTIATION,
      .first = 0xff,
      .raw_dcid = DATA(CID_21),
      .versions = DATA("\x6b\x33\x43\xcf"),
      .size = 32}},
    {"unknown version",
     BYTES("\xc0\x1a\x2a\x3a\x4a" DCID SCID "anything"),
     {.type = SP_PACKET_UNKNOWN_VERSION,
      .first = 0xc0,
      BOTH_CIDS,
      .version = 0x1a2a3a4a,
      .size = 24}},
    {"unknown version without the fixed bit",
     BYTES("\x80\0\0\0\2" DCID SCID),
     {.type = SP_PACKET_UNKNOWN_VERSION, .first = 0x80, BOTH_CIDS, .version = 2, .size = 16}},
    {"unknown version with long CIDs",
     BYTES("\x80\0\0\0\2\0\x15" CID_21),
     {.type = SP_PACKET_UNKNOWN_VERSION,
      .first = 0x80,
      .version = 2,
      .raw_scid = DATA(CID_21),
      .size = 28}},
    {"1-rtt",
     BYTES("\x40"
           "dcid" PN_AND_SAMPLE),
     {.type = SP_PACKET_ONE_RTT,
      .first = 0x40,
      .dcid = {.size = 4, .bytes = "dcid"},
      .pn_offset = 5,
      .size = 25}},
    {"1-rtt with all other bits",
     BYTES("\x7f"
           "dcid" PN_AND_SAMPLE "payload"),
     {.type = SP_PACKET_ONE_RTT,
      .first = 0x7f,
      .dcid = {.size = 4, .bytes = "dcid"},
      .pn_offset = 5,
      .size = 32}},
};
const size_t packet_sample_count = sizeof(packet_samples) / sizeof(packet_samples[0]);
