/**
 * A host under floods: neighbours that don't exist, fragments without the rest, echoes, closed ports, queries. Memory and
 * the time for a packet stay within bounds, and whoever asked before the flood is answered during and after it.
 */
import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import { createLink, Host, type Interface, Loop, seededRandom } from "../../stack/index.ts";
import { FLOODS, type Flood, frameFile, sender, type Victim } from "../support/floods.ts";
import { end } from "../support/daemon.ts";
import { Lab, until } from "../support/lab.ts";
import { ETHERTYPE, ethernet, ipv4, PROTOCOL, udp } from "../support/packets.ts";
import * as tools from "../support/peer-tools.ts";
import { PATIENCE_MS, ServedBed } from "../support/served-bed.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

const LIMIT_MS = 120_000;
const COUNT = 100_000;
const BURST = 64;
/** The pace of the flood in virtual time: 640 000 packets a second. */
const BURST_MS = 0.1;
const WARM_UP = 20_000;
const ROUNDS = 10;
const ECHO_PORT = 9000;
const ADDRESSES = { addresses: ["10.77.0.2/16", "fd77::2/64"], dad: false } as const;

/**
 * What a packet of a flood may cost, in good packets (a datagram of 64 bytes that is answered in place, some 200 ns): none
 * makes the host stand still that lives with as many good ones.
 */
const WORST_FACTOR = 8;
/** What a flood may leave on the heap: tables at their limits, and what the runtime keeps of its own. */
const HEAP_BYTES = 4 << 20;

/** A host on a link made of memory, whose turns the test takes. */
const memoryBed = () => {
  const clock = new VirtualClock();
  const errors: unknown[] = [];
  const loop = new Loop({
    clock,
    waiter: new ManualWaiter(clock),
    onError: (error) => void errors.push(error),
  });
  const [near, far] = createLink({ chunkCount: 8192 });
  const host = new Host({ loop, random: seededRandom(1) });
  const eth = host.join(far, ADDRESSES);
  host.udp(ECHO_PORT, (datagram) => void datagram.reply());
  let answers = 0;
  loop.receive(near, () => void (answers += 1));
  const turn = (): void => {
    clock.advance(BURST_MS);
    while (loop.turn(clock.nowMs()));
  };
  for (let i = 0; i < 1000; i++) turn();
  /** Sends `count` frames in bursts, and returns the nanoseconds of the host's (and the link's) work for each. */
  const cost = (flood: Flood, count: number): number => {
    const [queue] = near.queues;
    const { umem } = queue!;
    let ms = 0;
    for (let n = 0; n < count; n += BURST) {
      for (let i = 0; i < BURST; i++) {
        const frame = flood(n + i);
        queue!.reserve(1);
        const at = umem.take();
        umem.bytes.set(frame, at);
        queue!.send(at, frame.length, false);
      }
      queue!.flush();
      const begin = performance.now();
      turn();
      ms += performance.now() - begin;
    }
    return (ms * 1e6) / count;
  };
  const victim: Victim = { mac: [...far.mac], ipv4: "10.77.0.2", ipv6: "fd77::2" };
  const close = (): void => {
    host.close();
    for (const device of [near, far]) device.close();
  };
  return { clock, loop, host, eth, near, far, victim, turn, cost, errors, answered: () => answers, close };
};

/** A datagram of the kind that the host is there for. */
const goodDatagram = ({ mac, ipv4: to }: Victim): Flood => {
  const payload = Array.from({ length: 64 }, (_, i) => i);
  const packet = ipv4({ from: "10.77.0.1", to, protocol: PROTOCOL.udp }, udp(ECHO_PORT, payload));
  const frame = ethernet(ETHERTYPE.ipv4, packet, { to: mac });
  return () => frame;
};

const settledHeap = (): number => {
  Bun.gc(true);
  return heapStats().heapSize;
};

/** The limits of a neighbour cache: neighbours that answered, neighbours asked for, and packets that wait for these. */
const MOST_NEIGHBOURS = 1024;
const MOST_UNRESOLVED = 256;
const MOST_PARKED = 256;

/** What a host holds that others can make it hold, against its limits. */
const expectBounded = (host: Host, eth: Interface): void => {
  const { reassembly } = host.statistics();
  expect(reassembly.pending).toBeLessThanOrEqual(reassembly.slots);
  expect(reassembly.handedOut).toBe(0);
  for (const neighbours of [eth.neighbours4, eth.neighbours6]) {
    const states = [...neighbours.values()].map(({ state }) => state);
    const unresolved = states.filter((state) => state === "incomplete" || state === "failed").length;
    expect(unresolved).toBeLessThanOrEqual(MOST_UNRESOLVED);
    expect(states.length - unresolved).toBeLessThanOrEqual(MOST_NEIGHBOURS);
  }
  expect(host.routes.all().length).toBeLessThan(10);
  expect([...eth.addresses.values()].length).toBe(3);
};

/** That a flood met what it was made for, and was not thrown away as malformed long before. */
const expectMet = (name: keyof typeof FLOODS, host: Host, eth: Interface): void => {
  const { ip, icmp4, reassembly } = host.statistics();
  const { igmp, mld } = eth.groups.statistics();
  const met = {
    "ARP requests": [...eth.neighbours4.values()].length,
    "neighbour solicitations": [...eth.neighbours6.values()].length,
    "fragments without the rest": reassembly.started,
    "overlapping fragments": reassembly.overlapping,
    "echo requests": icmp4.echoRequests,
    "datagrams to closed ports": icmp4.errorsLimited,
    "IGMP queries": igmp.queries,
    "MLD queries": mld.queries,
  } as const;
  expect(met[name]).toBeGreaterThan(500);
  // Less than half a second has passed, and a second has room for a thousand errors.
  expect(icmp4.errorsSent).toBeLessThan(600);
  expect(ip).toMatchObject({ malformed: 0, martian: 0, notOurs: 0, otherHost: 0, full: 0 });
};

describe("a host on a link of memory", () => {
  for (const [name, make] of Object.entries(FLOODS)) {
    test(
      `pays little for ${name}, and keeps little of them`,
      () => {
        const bed = memoryBed();
        const good = goodDatagram(bed.victim);
        const flood = make(bed.victim);
        // Compiled first, then measured in turns: the best of each is what the work costs.
        for (const one of [good, flood]) bed.cost(one, WARM_UP);
        const heap = settledHeap();
        let [goodNs, floodNs] = [Infinity, Infinity];
        for (let round = 0; round < ROUNDS; round++) {
          goodNs = Math.min(goodNs, bed.cost(good, COUNT / ROUNDS));
          floodNs = Math.min(floodNs, bed.cost(flood, COUNT / ROUNDS));
        }
        const grown = settledHeap() - heap;
        expect(floodNs / goodNs).toBeLessThan(WORST_FACTOR);
        expect(grown).toBeLessThan(HEAP_BYTES);
        expectBounded(bed.host, bed.eth);
        expectMet(name as keyof typeof FLOODS, bed.host, bed.eth);
        // Nothing of it is in the way of the next good packet.
        const before = bed.answered();
        bed.cost(good, BURST);
        expect(bed.answered()).toBeGreaterThanOrEqual(before + BURST);
        bed.host.close();
        bed.turn();
        expect(bed.far.umem.accounts()).toMatchObject({ lent: 0, kept: 0, tx: 0 });
        expect(bed.errors).toEqual([]);
        bed.close();
      },
      LIMIT_MS,
    );
  }

  test(
    "asks for ten thousand neighbours that are not there, and still knows the one that is",
    () => {
      const bed = memoryBed();
      bed.cost(goodDatagram(bed.victim), BURST);
      const socket = bed.host.udp({}, () => {});
      const payload = new Uint8Array(64);
      const heap = settledHeap();
      for (let n = 0; n < 10_000; n++) {
        const [high, low] = [1 + (n >> 8), n & 0xff];
        // Several each: what waits for all together is limited as well.
        for (let i = 0; i < 3; i++) {
          socket.send({ address: `10.77.${high}.${low}`, port: 9 }, payload);
          socket.send({ address: `fd77::${(n + 0x100).toString(16)}`, port: 9 }, payload);
        }
        if (n % BURST === 0) bed.turn();
      }
      expectBounded(bed.host, bed.eth);
      // What waits for neighbours leaves chunks for the rest.
      const { kept, total } = bed.far.umem.accounts();
      expect(kept).toBeLessThanOrEqual(2 * MOST_PARKED);
      expect(kept).toBeLessThan(total / 2);
      expect(settledHeap() - heap).toBeLessThan(HEAP_BYTES);
      const before = bed.answered();
      bed.cost(goodDatagram(bed.victim), BURST);
      expect(bed.answered()).toBeGreaterThanOrEqual(before + BURST);
      // Given up in the end, each of them.
      for (let i = 0; i < 100_000; i++) bed.turn();
      expect(bed.far.umem.accounts()).toMatchObject({ lent: 0, kept: 0, tx: 0 });
      expect(bed.errors).toEqual([]);
      bed.close();
    },
    LIMIT_MS,
  );
});

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need(...names);

/** Of the echo requests and datagrams of a kernel's flow, so many are answered while the flood lasts. After it, all. */
const LEAST_ANSWERED = 0.7;

/** Frames that have come when the flow begins. */
const LEAST_FLOOD = 1000;

/** Runs the program of a flood until the kernel's flows are over, and judges these. */
const underFlood = async (
  bed: ServedBed,
  words: readonly string[],
): Promise<{ readonly packets: number }> => {
  const before = bed.device.statistics().program.redirected;
  const program = bed.lab.spawn("a", words, { stdout: "ignore", stderr: "ignore" });
  try {
    const least = before + LEAST_FLOOD;
    await until("the flood", () => bed.device.statistics().program.redirected > least, PATIENCE_MS);
    const flows = await Promise.all([
      tools.ping(bed.here, "10.77.0.2", { count: 200, interval: 0.005 }),
      tools.ping(bed.here, "fd77::2", { count: 200, interval: 0.005 }),
      tools.nping(bed.here, "10.77.0.2", ["--udp", "-p", String(ECHO_PORT), "-c", "50", "--delay", "20ms"]),
    ]);
    for (const { sent, received } of flows) expect(received / sent).toBeGreaterThan(LEAST_ANSWERED);
  } finally {
    await end({ process: program }, "SIGKILL");
  }
  return { packets: bed.device.statistics().program.redirected - before };
};

describe.skipIf(without("python3", "hping3", "nping", "ping"))("a host on a veth", () => {
  test(
    "answers a kernel during floods and after them",
    async () => {
      await using bed = await ServedBed.start({ capture: false });
      bed.sh("a", [
        "ip addr flush dev va scope global",
        "ip addr add 10.77.0.1/16 dev va",
        "ip addr add fd77::1/64 dev va nodad",
      ]);
      const eth = bed.join({ ...ADDRESSES, gateway: "10.77.0.1" });
      bed.host.udp(ECHO_PORT, (datagram) => void datagram.reply());
      expect(await bed.answers("10.77.0.2")).toBe(true);
      expect(await bed.answers("fd77::2")).toBe(true);
      const victim: Victim = {
        mac: bed.lab.b.mac.split(":").map((octet) => Number.parseInt(octet, 16)),
        ipv4: "10.77.0.2",
        ipv6: "fd77::2",
      };
      for (const [name, make] of Object.entries(FLOODS)) {
        const file = bed.file("flood.frames");
        await Bun.write(file, frameFile(make(victim), COUNT));
        const { packets } = await underFlood(bed, sender(file, "va"));
        expect(packets).toBeGreaterThan(COUNT);
        expectBounded(bed.host, eth);
      }
      const hping = ["hping3", "-q", "--flood", "--rand-source"];
      for (const kind of [["--icmp"], ["--udp", "-p", "++1"], ["--udp", "-x", "-g", "8", "-d", "64"]]) {
        const { packets } = await underFlood(bed, [...hping, ...kind, "10.77.0.2"]);
        expect(packets).toBeGreaterThan(COUNT / 10);
        expectBounded(bed.host, eth);
      }
      for (const address of ["10.77.0.2", "fd77::2"]) expect(await bed.answers(address)).toBe(true);
      const { sent, received } = await tools.nping(bed.here, "10.77.0.2", [
        "--udp",
        "-p",
        String(ECHO_PORT),
        "-c",
        "20",
      ]);
      expect(received).toBe(sent);
      await bed.finish();
    },
    LIMIT_MS,
  );
});
