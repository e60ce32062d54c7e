# SPDX-License-Identifier: MIT
"""The payload of pattern.h, written a second time, so that the peers are not their only judges."""

PERIOD = 65521
TABLE = bytes((31 * x) & 255 ^ (17 * (x >> 8)) & 255 for x in range(PERIOD))


def payload(is_download, stream_id, size):
    """The first `size` bytes of a direction of a stream."""
    start = (4099 * stream_id + (32749 if is_download else 0)) % PERIOD
    return (TABLE * ((start + size) // PERIOD + 1))[start:start + size]
