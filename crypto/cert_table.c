/* SPDX-License-Identifier: MIT */
#include "crypto/cert_table.h"

/* Certificates by name: a hash table with open addressing, at most half full.
 *
 * A name is looked up as it is, then with "*" in place of its first label; so a wildcard is an
 * entry like others.  What can be attacked: a peer chooses the names that are looked up, but not
 * those that are in the table, so it cannot make the table slow. */

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <openssl/crypto.h>

#include "proto/base/assert.h"

enum {
    NAME_SIZE_MAX = 253,  /* [RFC1035 3.1], without the dot at the end */
    PLACES_MAX = 1 << 21, /* a million names: far more than one process serves */
};

struct place {
    char *name; /* lower case; NULL: free */
    struct sc_cert *cert;
};

struct sc_cert_table {
    atomic_uint ref_count; /* the only field that changes */
    bool has_remote;
    struct sc_cert *others; /* for names that are not in the table; or NULL */
    size_t name_count;
    size_t place_count; /* a power of two */
    struct place *places;
};

/* Copies a name as it is looked up: lower case, without a dot at its end.  False if it is too
 * long. */
static bool normalize(const char *name, char ret[NAME_SIZE_MAX + 1])
{
    size_t size = strlen(name);
    if (size > 0 && name[size - 1] == '.')
        size--;
    if (size > NAME_SIZE_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        ret[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
    ret[size] = '\0';
    return true;
}

/* Whether it is a name, or a wildcard for one whole label before at least one other. */
static bool is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    size_t size = strlen(name);
    return size > 0 && strspn(name, allowed) == size && name[0] != '.' && name[size - 1] != '.' &&
           strstr(name, "..") == NULL;
}

static size_t hash_of(const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32);
}

/* The place of a name, or the free one where it belongs. */
static struct place *place_of(const struct sc_cert_table *table, const char *name)
{
    size_t at = hash_of(name) & (table->place_count - 1);
    while (table->places[at].name != NULL && strcmp(table->places[at].name, name) != 0)
        at = (at + 1) & (table->place_count - 1);
    return &table->places[at];
}

static int add(struct sc_cert_table *table, const struct sc_cert_entry *entry,
               struct sc_error *error)
{
    if (entry->cert == NULL)
        return sc_error_set(error, -EINVAL, "the certificate for %.64s is not given",
                            entry->name != NULL ? entry->name : "all other names");
    if (entry->name == NULL && table->others != NULL)
        return sc_error_set(error, -EINVAL, "two certificates are given for all other names");
    table->has_remote |= sc_cert_is_remote(entry->cert);
    if (entry->name == NULL) {
        table->others = sc_cert_ref(entry->cert);
        return 0;
    }
    char name[NAME_SIZE_MAX + 1];
    if (!normalize(entry->name, name) || !is_name(name))
        return sc_error_set(error, -EINVAL, "'%.64s' is not a server's name", entry->name);
    struct place *place = place_of(table, name);
    if (place->name != NULL)
        return sc_error_set(error, -EINVAL, "two certificates are given for %.64s", name);
    place->name = OPENSSL_strdup(name);
    if (place->name == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    place->cert = sc_cert_ref(entry->cert);
    table->name_count++;
    return 0;
}

int sc_cert_table_create(const struct sc_cert_entry *entries, size_t count,
                         struct sc_cert_table **ret, struct sc_error *error)
{
    struct sc_cert_table *table = OPENSSL_zalloc(sizeof(*table));
    if (table == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    atomic_init(&table->ref_count, 1);
    table->place_count = 2;
    while (table->place_count / 2 < count && table->place_count < PLACES_MAX)
        table->place_count *= 2;
    int code = 0;
    if (table->place_count / 2 >= count)
        table->places = OPENSSL_zalloc(table->place_count * sizeof(table->places[0]));
    if (table->places == NULL)
        code = sc_error_set(error, -ENOMEM, "no memory");
    for (size_t i = 0; i < count && code == 0; i++)
        code = add(table, &entries[i], error);
    if (code != 0) {
        sc_cert_table_unref(table);
        return code;
    }
    *ret = table;
    return 0;
}

struct sc_cert_table *sc_cert_table_ref(struct sc_cert_table *table)
{
    unsigned before = atomic_fetch_add_explicit(&table->ref_count, 1, memory_order_relaxed);
    SB_ASSERT(before > 0);
    return table;
}

void sc_cert_table_unref(struct sc_cert_table *table)
{
    if (table == NULL)
        return;
    /* Acquire and release: the last one sees all that the others did before theirs. */
    unsigned before = atomic_fetch_sub_explicit(&table->ref_count, 1, memory_order_acq_rel);
    SB_ASSERT(before > 0);
    if (before > 1)
        return;
    for (size_t i = 0; table->places != NULL && i < table->place_count; i++) {
        OPENSSL_free(table->places[i].name);
        sc_cert_unref(table->places[i].cert);
    }
    sc_cert_unref(table->others);
    OPENSSL_free(table->places);
    OPENSSL_free(table);
}

struct sc_cert *sc_cert_table_find(const struct sc_cert_table *table, const char *name)
{
    char normal[NAME_SIZE_MAX + 1];
    if (!normalize(name, normal) || normal[0] == '*' || normal[0] == '\0')
        return NULL;
    struct sc_cert *cert = place_of(table, normal)->cert;
    if (cert != NULL)
        return cert;
    char *dot = strchr(normal, '.');
    if (dot == NULL || dot == normal)
        return NULL;
    dot[-1] = '*'; /* the label before has at least one byte */
    return place_of(table, dot - 1)->cert;
}

struct sc_cert *sc_cert_table_default(const struct sc_cert_table *table)
{
    return table->others;
}

bool sc_cert_table_has_names(const struct sc_cert_table *table)
{
    return table->name_count > 0;
}

bool sc_cert_table_has_remote(const struct sc_cert_table *table)
{
    return table->has_remote;
}
