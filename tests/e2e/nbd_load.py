# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that writes and reads at random, and knows what must be there afterwards."""
import random
import threading

import nbd

from support import BLOCK

MIB = 1 << 20
LOGICAL = 128 * MIB  # of the volume


class Load(threading.Thread):
    """Writes and reads at random by NBD; `answered` has what was answered, `unsure` what may be there
    as well: writes that were under way when the server went."""

    def __init__(self, front, seed):
        super().__init__()
        self.client, self.chosen = nbd.NBD(), random.Random(seed)
        self.client.connect_unix(str(front))
        self.answered, self.unsure, self.error, self.ended = {}, {}, None, threading.Event()
        self.turns = 0

    def run(self):
        try:
            while not self.ended.is_set():
                self.turn()
        except (nbd.Error, ValueError) as error:
            self.error = error

    def turn(self):
        self.unsure = {place: self.chosen.randbytes(BLOCK)
                       for place in self.chosen.sample(range(LOGICAL // BLOCK), 24)}
        under_way = {place: self.client.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), place * BLOCK)
                     for place, data in self.unsure.items()}
        for place, command in under_way.items():
            while not self.client.aio_command_completed(command):
                self.client.poll(1000)
        self.client.flush()
        self.answered.update(self.unsure)
        self.unsure = {}
        place = self.chosen.choice(list(self.answered))
        if self.client.pread(BLOCK, place * BLOCK) != self.answered[place]:
            raise ValueError(f"block {place} is not what was written")
        self.turns += 1

    def end(self):
        self.ended.set()
        self.join(60)

    def wrong(self, read):
        """Places whose flushed content is not there, by `read(place)`."""
        return [place for place, data in self.answered.items()
                if read(place) not in (data, self.unsure.get(place, data))]
