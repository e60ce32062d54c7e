/* SPDX-License-Identifier: MIT */
#include "tools/spate/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <spate/config.h>
#include <spate/tls.h>

bool number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = {
        {"", 1},
        {"K", UINT64_C(1000)},
        {"M", UINT64_C(1000000)},
        {"G", UINT64_C(1000000000)},
        {"Ki", UINT64_C(1) << 10},
        {"Mi", UINT64_C(1) << 20},
        {"Gi", UINT64_C(1) << 30},
    };
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) != 0)
            continue;
        if (value > max / units[i].factor || value * units[i].factor < min)
            return false;
        *ret = value * units[i].factor;
        return true;
    }
    return false;
}

bool number_parse_ciphers(const char *text, uint32_t *ret)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } ciphers[] = {
        {"aes-128-gcm", SPATE_CIPHER_AES_128_GCM},
        {"aes-256-gcm", SPATE_CIPHER_AES_256_GCM},
        {"chacha20-poly1305", SPATE_CIPHER_CHACHA20_POLY1305},
    };
    uint32_t bits = 0;
    for (;;) {
        size_t size = strcspn(text, ",");
        uint32_t bit = 0;
        for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
            if (strlen(ciphers[i].name) == size && memcmp(text, ciphers[i].name, size) == 0)
                bit = ciphers[i].bit;
        }
        if (bit == 0)
            return false;
        bits |= bit;
        if (text[size] == 0)
            break;
        text += size + 1;
    }
    *ret = bits;
    return true;
}

bool number_parse_versions(const char *text, enum spate_versions *ret)
{
    static const struct {
        const char *name;
        enum spate_versions versions;
    } names[] = {
        {"both", SPATE_VERSIONS_BOTH},       {"prefer-2", SPATE_VERSIONS_PREFER_2},
        {"begin-2", SPATE_VERSIONS_BEGIN_2}, {"only-1", SPATE_VERSIONS_ONLY_1},
        {"only-2", SPATE_VERSIONS_ONLY_2},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *ret = names[i].versions;
            return true;
        }
    }
    return false;
}
