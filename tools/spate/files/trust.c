/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/trust.h"

#include <string.h>

#include "tools/spate/files/known.h"
#include "tools/spate/message.h"

bool trust_check(const struct trust *trust, const char *fingerprint)
{
    const char *command = trust->command;
    const char *server = trust->server;
    enum known known = KNOWN_NEW;
    int e = trust->is_strict ? known_look(trust->known, server, fingerprint, &known)
                             : known_check(trust->known, server, fingerprint, &known);
    if (e != 0) {
        message(command, "%s: %s", trust->known, strerror(-e));
        return false;
    }
    if (known == KNOWN_OTHER)
        message(command,
                "%s has changed its fingerprint to %s: it is another server, or somebody is "
                "between; %s has the old one",
                server, fingerprint, trust->known);
    else if (known == KNOWN_NEW && trust->is_strict)
        message(command, "%s is not known; its fingerprint is %s", server, fingerprint);
    else if (known == KNOWN_NEW)
        message(command, "%s is new; its fingerprint %s is kept in %s", server, fingerprint,
                trust->known);
    return known == KNOWN_SAME || (known == KNOWN_NEW && !trust->is_strict);
}
