/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_SIGNALS_H
#define EXAMPLES_SIGNALS_H

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

/* For loops that wait for everything in one place. */

/* Returns a descriptor that is readable after a signal: SIGINT, SIGTERM, or `another` unless that
 * is 0.  They do nothing else any more, so call it before threads are started.  -1: errno says why
 * not, and the signals end the process as before. */
static inline int signals_open(int another)
{
    sigset_t signals;
    if (sigemptyset(&signals) != 0 || sigaddset(&signals, SIGINT) != 0 ||
        sigaddset(&signals, SIGTERM) != 0 || (another != 0 && sigaddset(&signals, another) != 0) ||
        sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return -1;
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    int error = errno;
    if (fd < 0)
        (void)sigprocmask(SIG_UNBLOCK, &signals, NULL);
    errno = error;
    return fd;
}

/* Lets SIGINT and SIGTERM end the process again, at once. */
static inline void signals_end_process(void)
{
    sigset_t ends;
    if (sigemptyset(&ends) == 0 && sigaddset(&ends, SIGINT) == 0 && sigaddset(&ends, SIGTERM) == 0)
        (void)sigprocmask(SIG_UNBLOCK, &ends, NULL);
}

#endif
