/* SPDX-License-Identifier: MIT */
#ifndef SE_PATH_H
#define SE_PATH_H

#include "proto/wire/types.h"
#include "uring/address.h"

/* Converts between socket addresses and those of proto/. */

void se_addr_from(const struct su_address *address, struct sp_addr *ret);

/* An unknown address becomes "none". */
void se_addr_to(const struct sp_addr *addr, struct su_address *ret);

/* For the application.  0, or -EINVAL if the address is unknown. */
SB_MUST_USE int se_address_to_user(const struct sp_addr *addr, struct sockaddr_storage *ret,
                                   socklen_t *ret_size);

#endif
