/* SPDX-License-Identifier: MIT */
#include "engine/config/sized.h"

/* Structs that grow without breaking old programs.
 *
 * The rule is that of copy_struct_from_user() of the Linux kernel.  A program older than the
 * library gives a smaller struct: the missing fields keep their defaults.  A newer program gives a
 * larger one: it is accepted if all fields that the library does not know are zero.  Zero means
 * "as before" for every field that is ever added.  A program that sets an unknown field gets an
 * error. */

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "engine/config/config.h"
#include "proto/base/assert.h"

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

int se_sized_take(const struct se_sized *shape, const void *given, void *own,
                  struct spate_error *error)
{
    SB_ASSERT(shape->size_first <= shape->size);
    SB_ASSERT(shape->size <= SE_SIZED_MAX);
    if (given == NULL) {
        se_error_set(error, "the %s is NULL", shape->name);
        return -EINVAL;
    }
    size_t size;
    memcpy(&size, given, sizeof(size));
    if (size < shape->size_first || size > SE_SIZED_MAX) {
        se_error_set(error, "%s.size is %zu: call %s_init() first", shape->name, size, shape->name);
        return -EINVAL;
    }
    if (size > shape->size && !is_zero((const uint8_t *)given + shape->size, size - shape->size)) {
        se_error_set(error,
                     "%s has a field set that this library (%s) does not know: the program was "
                     "built for a newer one",
                     shape->name, spate_version());
        return -E2BIG;
    }
    memcpy(own, given, SB_MIN(size, shape->size));
    memcpy(own, &shape->size, sizeof(shape->size));
    return 0;
}

void se_sized_give(const void *own, size_t own_size, void *ret, size_t ret_size)
{
    size_t known = SB_MIN(own_size, ret_size);
    memcpy(ret, own, known);
    memset((uint8_t *)ret + known, 0, ret_size - known);
}
