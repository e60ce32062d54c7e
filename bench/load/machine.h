/* SPDX-License-Identifier: MIT */
#ifndef LOAD_MACHINE_H
#define LOAD_MACHINE_H

struct json;

/* Writes the member "machine": what the machine is that a result is of.  What the system does not
 * tell is "" or 0. */
void machine_write(struct json *j);

#endif
