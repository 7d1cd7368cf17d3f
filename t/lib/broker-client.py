"""
A client of the memory broker, for t/memory-broker.t.

    broker-client.py SOCKET MESSAGE [OPTION...] [PATH...]

sends the message with descriptors of PATHs and prints the answer and the
number of descriptors that came with it.  A PATH is opened to be read, without
waiting; "w:PATH" waits, "rw:PATH" may write, too.

    --find TEXT   looks for it in the memory that the descriptors show: prints
                  how often it was found
    --flags       prints those of the descriptors
    --times N     N times, each on a connection of its own; the last answer
    --silent N    opens N connections first, which say nothing
    --hold S      stays S seconds with what it has opened
"""

import array
import fcntl
import os
import socket
import sys
import time

MODES = {"r": os.O_RDONLY | os.O_NONBLOCK, "w": os.O_RDONLY,
         "rw": os.O_RDWR | os.O_NONBLOCK}


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect(path)
    return s


def ask(path, message, fds):
    s = connect(path)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
    s.sendmsg([message], [rights] if fds else [])
    text, got, _, _ = socket.recv_fds(s, 4096, 16)
    s.close()
    return text.decode(), got


def opened(argument):
    mode, _, path = argument.rpartition(":")
    return os.open(path, MODES[mode or "r"])


def find(fds, text):
    """In all that maps say is there, by pread of mem."""
    maps, pagemap, mem = fds
    found = 0
    seen = b""

    while piece := os.read(maps, 65536):
        seen += piece

    for line in seen.decode().splitlines():
        span, rights = line.split()[:2]
        first, last = (int(x, 16) for x in span.split("-"))
        if "w" not in rights or not line.endswith(("[heap]", "0 ")):
            continue
        for at in range(first, last, 4096):
            entry = os.pread(pagemap, 8, at // 4096 * 8)
            if len(entry) == 8 and entry[7] & 0x80:
                found += os.pread(mem, 4096, at).count(text)

    return found


def main(path, message, *rest):
    options = {"--find": None, "--times": 1, "--silent": 0, "--hold": 0}
    flags = False
    paths = []
    rest = list(rest)

    while rest:
        word = rest.pop(0)
        if word == "--flags":
            flags = True
        elif word in options:
            options[word] = rest.pop(0)
        else:
            paths.append(word)

    silent = [connect(path) for _ in range(int(options["--silent"]))]
    fds = [opened(p) for p in paths]
    got = []

    for _ in range(int(options["--times"])):
        for fd in got:
            os.close(fd)
        text, got = ask(path, os.fsencode(message), fds)

    print(text, len(got), flush=True)

    if options["--find"]:
        print(find(got, options["--find"].encode()))
    if flags:
        print(*(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE for fd in got))

    time.sleep(float(options["--hold"]))
    del silent


main(*sys.argv[1:])
