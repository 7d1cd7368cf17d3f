# Writes memory and disk as fast as it can, in a guest, and finds out when one
# of them is not what it was: a page of another instant, a block of another.
#
# Usage: load.py MB; /dev/shm/load has the passes over memory, the blocks
# written and what was found to be wrong, once a pass.

import os
import sys
import threading

MB = int(sys.argv[1])
PIECE = 1 << 20
BLOCK = 1 << 18
BLOCKS = 32

bad = []
blocks = 0


def memory():
    filling = [bytes([i + 1]) * PIECE for i in range(8)]
    heap = bytearray(MB * PIECE)
    n = 0

    # in place: a copy would have the guest write twice as much as was asked
    for at in range(0, len(heap), PIECE):
        heap[at:at + PIECE] = filling[0]

    while True:
        old, new = filling[n % 8], filling[(n + 1) % 8]
        for at in range(0, len(heap), PIECE):
            if heap[at:at + PIECE] != old:
                bad.append('memory %d at %d' % (n, at))
            heap[at:at + PIECE] = new
        n += 1
        with open('/dev/shm/load.new', 'w') as f:
            f.write('%d %d %d %s\n' % (n, blocks, len(bad), bad[:3]))
        os.rename('/dev/shm/load.new', '/dev/shm/load')


def disk():
    global blocks
    fd = os.open('/root/load', os.O_RDWR | os.O_CREAT)
    written = [0] * BLOCKS
    os.write(fd, bytes([1]) * (BLOCK * BLOCKS))
    n = 0

    while True:
        k = n % BLOCKS
        os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if os.pread(fd, BLOCK, k * BLOCK) != bytes([written[k] % 200 + 1]) * BLOCK:
            bad.append('disk %d' % n)
        for k in range(k, k + 4):
            written[k] += 1
            os.pwrite(fd, bytes([written[k] % 200 + 1]) * BLOCK, k * BLOCK)
        n += 4
        blocks += 4


threading.Thread(target=disk, daemon=True).start()
memory()
