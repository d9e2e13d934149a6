/** Fragmented datagrams to a claimed port, from a kernel's socket: all of it comes to us, and nothing of anybody else's. */
import { describe, expect, test } from "bun:test";
import { type BesideBed, onBed } from "../support/beside-bed.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const TEST_MS = 120_000;
const OURS = 9000;
const THEIRS = 9001;
const SIZES = [1473, 5000, 20_000, 65_507] as const;
const LARGEST_IPV6 = 65_527;

/** A program of the kernel's that answers at THEIRS, in both families. */
const kernelsEcho = async (bed: BesideBed): Promise<void> => {
  bed.lab.spawn("b", ["socat", "-b", "70000", `UDP6-RECVFROM:${THEIRS},fork`, "PIPE"]);
  await until("the kernel's program", () => bed.run("b", "ss -Hnlu").includes(`:${THEIRS} `));
};

const ourEcho = (bed: BesideBed): void => {
  bed.host.udp(OURS, (datagram) => void datagram.reply());
};

/**
 * Sends the fragments of one UDP datagram to b, in the order named, by a raw socket; returns how many bytes came back to its
 * port within `waitS`, 0 for none.
 */
const sendInOrder = (bed: BesideBed, port: number, order: readonly number[], waitS = 5): Promise<string> =>
  bed.python("a", [
    `own, peer = "${bed.lab.a.ipv4}", "${bed.lab.b.ipv4}"`,
    "listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "listener.bind((own, 0))",
    `listener.settimeout(${waitS})`,
    "size, piece = 4000, 1480",
    `udp = struct.pack('!HHHH', listener.getsockname()[1], ${port}, size + 8, 0) + bytes(size)`,
    "raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)",
    "pieces = []",
    "for at in range(0, len(udp), piece):",
    "  more = 0x2000 if at + piece < len(udp) else 0",
    "  part = udp[at:at + piece]",
    "  head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(part), 4711, more | at // 8, 64, 17, 0,",
    "    socket.inet_aton(own), socket.inet_aton(peer))",
    "  pieces.append(head + part)",
    `for i in [${order.join(", ")}]: raw.sendto(pieces[i], (peer, 0))`,
    "try: print(len(listener.recv(70000)))",
    "except OSError: print(0)",
  ]);

describe.skipIf(skipWithoutLab(Lab.unavailable()))("fragments beside the kernel", () => {
  test.each([true, false])(
    "with offloads %p: datagrams of every size come back, ours from us, the kernel's from the kernel",
    (offloads) =>
      onBed({ lab: { offloads } }, async (bed) => {
        ourEcho(bed);
        await kernelsEcho(bed);
        const { ipv4, ipv6 } = bed.lab.b;
        const places = [
          [ipv4, ipv4],
          [ipv6, ipv6],
          [`${bed.linkLocal()}%${bed.lab.a.name}`, bed.linkLocal()],
        ] as const;
        for (const [address, answerer] of places) {
          for (const bytes of SIZES)
            expect(await bed.ask(address, OURS, bytes)).toBe(`${answerer} ${OURS} ${bytes}`);
        }
        expect(await bed.ask(ipv6, OURS, LARGEST_IPV6)).toBe(`${ipv6} ${OURS} ${LARGEST_IPV6}`);
        const { redirected } = bed.device.statistics().program;
        for (const address of [ipv4, ipv6]) {
          const answer = await bed.ask(address, THEIRS, 5000);
          expect(answer).toBe(`${address} ${THEIRS} 5000`);
        }
        const { program } = bed.device.statistics();
        expect(program.redirected).toBe(redirected);
        expect(program.earlyFragments).toBe(0);
        expect(bed.host.statistics().udp.received).toBe(places.length * SIZES.length + 1);
      }),
    TEST_MS,
  );

  test(
    "a device that takes packets of one chunk only sends and receives fragments too, also to a neighbour yet unknown",
    () =>
      onBed({ attach: { multiBuffer: false } }, async (bed) => {
        expect(bed.device.mode.multiBuffer).toBe(false);
        ourEcho(bed);
        for (const address of [bed.lab.b.ipv4, bed.lab.b.ipv6]) {
          expect(await bed.ask(address, OURS, 5000)).toBe(`${address} ${OURS} 5000`);
        }
        bed.run("b", "ip neigh flush dev vb");
        await until("the host to hear of it", () => [...bed.eth.neighbours4.values()].length === 0);
        const socket = bed.host.udp(THEIRS, () => {});
        socket.send({ address: bed.lab.a.ipv4, port: 7 }, new Uint8Array(5000));
        await until("the fragments to leave", () => bed.run("b", "ip neigh show").includes(bed.lab.a.ipv4));
        expect(await bed.ask(bed.lab.b.ipv4, OURS, 5000)).toBe(`${bed.lab.b.ipv4} ${OURS} 5000`);
        expect(socket.statistics()).toMatchObject({ sent: 1, expired: 0 });
      }),
    TEST_MS,
  );

  test(
    "both at once, a hundred times: nobody's datagrams go astray",
    () =>
      onBed({}, async (bed) => {
        ourEcho(bed);
        await kernelsEcho(bed);
        const many = (port: number): Promise<string> =>
          bed.python("a", [
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "s.settimeout(5)",
            "came = 0",
            "for i in range(100):",
            "  data = os.urandom(3000 + 50 * i)",
            `  s.sendto(data, ("${bed.lab.b.ipv4}", ${port}))`,
            "  came += s.recv(70000) == data",
            "print(came)",
          ]);
        expect(await Promise.all([many(OURS), many(THEIRS)])).toEqual(["100", "100"]);
        expect(bed.device.statistics().program.earlyFragments).toBe(0);
      }),
    TEST_MS,
  );

  test(
    "fragments that overtake their first one are the kernel's, and counted",
    () =>
      onBed({}, async (bed) => {
        ourEcho(bed);
        await kernelsEcho(bed);
        expect(await sendInOrder(bed, OURS, [0, 1, 2])).toBe("4000");
        expect(await sendInOrder(bed, OURS, [0, 2, 1])).toBe("4000");
        // A first one that came before speaks for those that come now: the same identification, a moment later.
        expect(await sendInOrder(bed, OURS, [2, 1, 0])).toBe("4000");
        expect(bed.device.statistics().program.earlyFragments).toBe(0);
        expect(await sendInOrder(bed, THEIRS, [0, 1, 2])).toBe("4000");
        expect(bed.host.statistics().udp.received).toBe(3);
      }),
    TEST_MS,
  );

  test(
    "the first fragment that comes last: its datagram is lost, and no other",
    () =>
      onBed({}, async (bed) => {
        ourEcho(bed);
        expect(await sendInOrder(bed, OURS, [2, 1, 0], 0.5)).toBe("0");
        const { program } = bed.device.statistics();
        expect(program.earlyFragments).toBe(2);
        expect(await bed.ask(bed.lab.b.ipv4, OURS, 5000)).toBe(`${bed.lab.b.ipv4} ${OURS} 5000`);
      }),
    TEST_MS,
  );

  test(
    "several queues: the socket of the queue that a fragment comes on gets it",
    () =>
      onBed({ lab: { queues: 2 } }, async (bed) => {
        ourEcho(bed);
        for (let i = 0; i < 8; i++)
          expect(await bed.ask(bed.lab.b.ipv4, OURS, 5000 + i)).toBe(`${bed.lab.b.ipv4} ${OURS} ${5000 + i}`);
      }),
    TEST_MS,
  );
});
