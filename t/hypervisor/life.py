# What lives in a guest of t/checkpoint-unique.t: a process for each role, which
# writes what it sees to /run/NAME, and /run/NAME.up once it is at work.
#
#     python3 life.py ROLE:NAME[:ARG...]...

import ctypes, fcntl, hashlib, os, socket, sys, time


def say(name, text):
    with open('/run/%s.new' % name, 'w') as f:
        f.write(text + '\n')
    os.rename('/run/%s.new' % name, '/run/' + name)


# What it sees first as another machine: its clocks have parted by then.
def first(name, pause):
    urandom = open('/dev/urandom', 'rb', buffering=0)
    uuid = open('/proc/sys/kernel/random/uuid')
    apart = time.time() - time.monotonic()
    say(name + '.up', '')
    while True:
        now = time.time()
        if abs(now - time.monotonic() - apart) > 1:
            break
        os.getrandom(16)
        time.sleep(float(pause))
    say(name, '%s %s %s %.3f' % (os.getrandom(16).hex(), urandom.read(16).hex(),
                                 uuid.read().strip(), now))


# For how long it has stood still at most, in a control group of its own.
def still(name):
    os.mkdir('/sys/fs/cgroup/' + name)
    with open('/sys/fs/cgroup/%s/cgroup.procs' % name, 'w') as f:
        f.write('0')
    longest, last = 0, time.monotonic()
    say(name + '.up', '')
    while True:
        time.sleep(0.05)
        now = time.monotonic()
        if now - last > longest:
            longest = now - last
            say(name, '%.2f' % longest)
        last = now


# Keeps the disk from whoever writes, for so many seconds.
def disk(name, seconds):
    root = os.open('/', os.O_RDONLY)
    fcntl.ioctl(root, 0xC0045877, 0)  # FIFREEZE
    say(name + '.up', '')
    time.sleep(float(seconds))
    fcntl.ioctl(root, 0xC0045878, 0)  # FITHAW


# How a connection of it ends: of a peer's with it, or of it with a peer.
def tcp(name, port):
    l = socket.create_server(('', int(port)))
    say(name + '.up', '')
    ends(name, l.accept()[0])


def udp(name, host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((host, int(port)))
    say(name + '.up', '')
    ends(name, s)


def ends(name, s):
    say(name + '.at', '')
    try:
        while s.recv(1):
            pass
        say(name, 'closed %.3f' % time.time())
    except OSError as e:
        say(name, '%s %.3f' % (e.strerror, time.time()))


# Greets whoever connects.
def server(name, port):
    l = socket.create_server(('', int(port)))
    held = []
    say(name + '.up', '')
    while True:
        c, _ = l.accept()
        held.append(c)
        c.sendall(b'hello\n')


# Goes on with a connection and with memory of its own.
def pair(name):
    l = socket.create_server(('127.0.0.1', 0))
    a = socket.create_connection(l.getsockname())
    b, _ = l.accept()
    block = bytearray(os.urandom(1 << 18))
    said = hashlib.sha256(block).hexdigest()
    n = 0
    while True:
        a.sendall(b'x')
        n += len(b.recv(1))
        ok = hashlib.sha256(block).hexdigest() == said
        say(name, '%s %d' % ('whole' if ok else 'TORN', n))
        if n == 1:
            say(name + '.up', '')
        time.sleep(0.1)


# A moment of the wall clock, so many seconds after somebody has said when.
def timer(name, seconds):
    libc = ctypes.CDLL(None)
    while not os.path.exists('/run/%s.when' % name):
        time.sleep(0.1)
    at = (ctypes.c_long * 2)(int(time.time() + float(seconds)), 0)
    say(name + '.up', '')
    libc.clock_nanosleep(0, 1, at, None)
    say(name, '%d %.3f' % (at[0], time.time()))


for words in sys.argv[1:]:
    if os.fork() == 0:
        role, name, *rest = words.split(':')
        if name != 'plain':
            os.setsid()
        globals()[role](name, *rest)
        os._exit(0)
