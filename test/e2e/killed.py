# SPDX-License-Identifier: MIT
"""A process for a `with`: at its end it is killed."""


class Killed:
    """What has `process`, with a pipe from its standard output, derives from this."""

    process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
