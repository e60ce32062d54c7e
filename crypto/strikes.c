/* SPDX-License-Identifier: MIT */
#include "crypto/strikes.h"

/* ClientHellos that have been accepted with 0-RTT, against replays.  [RFC9001 9.2, RFC8446 8]
 *
 * A hash table of rows of 8.  A row takes what falls into it as long as one of its places is free
 * or has expired; otherwise the answer is "may be a replay", which costs the client a round trip
 * and nothing else.
 *
 * What can be attacked: a client chooses its random, and can fill a row.  The row is chosen by a
 * secret, so it can fill all or none. */

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "proto/base/bytes.h"

enum { ROW = 8 };

struct strike {
    uint64_t mark; /* 0: free */
    uint64_t until_s;
};

struct sc_strikes {
    CRYPTO_RWLOCK *lock; /* guards `table` */
    uint64_t begun_s;
    uint64_t secret[2];
    size_t row_count;
    struct strike table[];
};

struct sc_strikes *sc_strikes_create(size_t count_max, uint64_t now_s)
{
    size_t row_count = count_max / ROW + 1;
    size_t size = sizeof(struct sc_strikes) + row_count * ROW * sizeof(struct strike);
    struct sc_strikes *strikes = OPENSSL_zalloc(size);
    if (strikes == NULL)
        return NULL;
    strikes->lock = CRYPTO_THREAD_lock_new();
    strikes->begun_s = now_s;
    strikes->row_count = row_count;
    if (strikes->lock == NULL ||
        RAND_priv_bytes((uint8_t *)strikes->secret, sizeof(strikes->secret)) != 1) {
        sc_strikes_destroy(strikes);
        return NULL;
    }
    return strikes;
}

void sc_strikes_destroy(struct sc_strikes *strikes)
{
    if (strikes == NULL)
        return;
    CRYPTO_THREAD_lock_free(strikes->lock);
    OPENSSL_cleanse(strikes->secret, sizeof(strikes->secret));
    OPENSSL_free(strikes);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * (b | 1);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* A mark that no two ClientHellos share but by chance. */
static uint64_t mark_of(const struct sc_strikes *strikes, const uint8_t random[32])
{
    uint64_t mark = strikes->secret[0];
    for (size_t i = 0; i < 4; i++)
        mark = mix(mark ^ sb_load_u64(random + 8 * i), strikes->secret[1]);
    return mark != 0 ? mark : 1;
}

bool sc_strikes_add(struct sc_strikes *strikes, const uint8_t random[32], bool is_own,
                    uint64_t issued_s, uint64_t now_s)
{
    /* What came before the register began is not in it, perhaps in that same second. */
    if (!is_own && now_s < strikes->begun_s + SC_STRIKES_WINDOW_S && issued_s <= strikes->begun_s)
        return false;
    uint64_t mark = mark_of(strikes, random);
    struct strike *row = &strikes->table[ROW * (mark % strikes->row_count)];
    struct strike *free_place = NULL;
    bool is_known = false;
    (void)CRYPTO_THREAD_write_lock(strikes->lock);
    for (size_t i = 0; i < ROW; i++) {
        bool is_free = row[i].mark == 0 || row[i].until_s < now_s;
        is_known |= !is_free && row[i].mark == mark;
        if (is_free)
            free_place = &row[i];
    }
    if (!is_known && free_place != NULL)
        *free_place = (struct strike){.mark = mark, .until_s = now_s + SC_STRIKES_WINDOW_S};
    (void)CRYPTO_THREAD_unlock(strikes->lock);
    return !is_known && free_place != NULL;
}
