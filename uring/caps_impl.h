/* SPDX-License-Identifier: MIT */
#ifndef SU_CAPS_IMPL_H
#define SU_CAPS_IMPL_H

/* Probes of caps.c that are in files of their own.  Each returns 0, or a negative errno. */

struct probe;

/* caps_socket.c: a program that chooses the socket of a shared port; time stamps of datagrams. */
int su_caps_try_steering(struct probe *probe);
int su_caps_try_receive_stamps(struct probe *probe);
int su_caps_try_send_stamps(struct probe *probe);

#endif
