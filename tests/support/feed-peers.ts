/**
 * Programs on kernel sockets, in Python, that know no more of feeds and of redundant sending than what is written down: a
 * publisher to two groups, and an end that sends and hears numbered copies.
 */

/**
 * `publisher COUNT PPS SESSION GROUP PORT INTERFACE [GROUP PORT INTERFACE ...]`: the same numbered datagrams to each group. The
 * first two words of each, in network order, are the session and the number, from 0 on.
 */
const PUBLISHER = `
import socket, struct, sys, time
count, pps, session = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sides = []
for at in range(4, len(sys.argv), 3):
    group, port, name = sys.argv[at], int(sys.argv[at + 1]), sys.argv[at + 2]
    index = socket.if_nametoindex(name)
    if ":" in group:
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index))
    sides.append((s, (group, port)))
start = time.monotonic()
for number in range(count):
    while number > (time.monotonic() - start) * pps:
        time.sleep(0.0005)
    for s, to in sides:
        s.sendto(struct.pack("!II", session, number) + b"x" * 24, to)
print("published", count, flush=True)
`;

/**
 * `copies COUNT PPS PORT ADDRESS LOCAL ADDRESS LOCAL ...`: sends COUNT numbered copies from each LOCAL address to its ADDRESS, and
 * hears on PORT. Both have 16 bytes in front: "MR", version 1, 0, stream of 64 bits, sequence of 32; the payload is a number. It
 * prints "sent" then, and at a line on its input sends the last number, LAST, once. When it has heard that over every way it
 * prints how many copies it heard, how many different ones, and the numbers of these.
 */
const COPIES = `
import random, select, socket, struct, sys, time
last = 0xffffffff
count, pps, port = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
ways = []
for at in range(4, len(sys.argv), 2):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[at + 1], port))
    # SO_RCVBUFFORCE: what comes while this program is held up waits.
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)
    ways.append((s, (sys.argv[at], port)))
stream = random.getrandbits(64)
sequence = 0xfffffff0
seen, heard, numbers, sent, lasts = set(), 0, [], 0, 0
def send(number):
    global sequence
    for s, to in ways:
        s.sendto(struct.pack("!2sBBQII", b"MR", 1, 0, stream, sequence, number), to)
    sequence = (sequence + 1) & 0xffffffff
start = time.monotonic()
inputs = [s for s, _ in ways] + [sys.stdin]
while lasts < len(ways):
    ready, _, _ = select.select(inputs, [], [], 0.0005)
    for s in ready:
        if s is sys.stdin:
            sys.stdin.readline()
            inputs.remove(s)
            send(last)
            continue
        data = s.recv(2048)
        magic, version, _, of, n = struct.unpack("!2sBBQI", data[:16])
        number, = struct.unpack("!I", data[16:20])
        assert (magic, version) == (b"MR", 1)
        heard += 1
        lasts += number == last
        if (of, n) not in seen:
            seen.add((of, n))
            numbers.append(number)
    while sent < count and sent <= (time.monotonic() - start) * pps:
        send(sent)
        sent += 1
        if sent == count:
            print("sent", flush=True)
print(heard, len(seen), *sorted(numbers), flush=True)
`;

/** The number of the last copy. */
export const LAST = 0xffff_ffff;

export const publisher = (...words: readonly (string | number)[]): string[] => [
  "python3",
  "-c",
  PUBLISHER,
  ...words.map(String),
];

export const copies = (...words: readonly (string | number)[]): string[] => [
  "python3",
  "-c",
  COPIES,
  ...words.map(String),
];
