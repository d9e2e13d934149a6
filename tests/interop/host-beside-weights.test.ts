/** The weights of the kernel's multipath routes: what a host beside it spreads leaves in their shares, and follows their changes. */
import { describe, expect, test } from "bun:test";
import { type BesideBed, onBed } from "../support/beside-bed.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const TEST_MS = 60_000;
const LIMIT_MS = 20_000;
const families = [4, 6] as const;
const FLOWS = 1000;
const FIRST_PORT = 10_000;
/** Nobody has it: what is sent there ends at side a, where all of it can be seen. */
const BEHIND = { 4: { network: "10.9.0.0/16", to: "10.9.0.1" }, 6: { network: "fd09::/64", to: "fd09::1" } };

/** Says of each UDP packet that comes to side a for an address: the first byte of its payload, the interface, the port. */
const watcher = (to: string): string =>
  [
    "import ipaddress, socket, sys",
    `to = ipaddress.ip_address("${to}").packed`,
    "s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))",
    "s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE",
    "print('ready', flush=True)",
    "while True:",
    "  packet, (name, _, kind, *_) = s.recvfrom(2048)",
    "  four = packet[0] >> 4 == 4",
    "  udp = 20 if four else 40",
    "  if kind != 0 or packet[9 if four else 6] != 17 or packet[udp - len(to):udp] != to: continue",
    "  print(packet[udp + 8], name, int.from_bytes(packet[udp + 2:udp + 4], 'big'), flush=True)",
  ].join("\n");

/** What arrived: by round, the interface for each port. */
class Arrivals {
  readonly rounds = new Map<number, Map<number, string>>();
  doubles = 0;

  static async at(bed: BesideBed, to: string): Promise<Arrivals> {
    const arrivals = new Arrivals();
    const program = bed.lab.spawn("a", ["python3", "-u", "-c", watcher(to)]);
    let ready = false;
    void (async () => {
      let rest = "";
      for await (const part of program.stdout) {
        const lines = (rest + new TextDecoder().decode(part)).split("\n");
        rest = lines.pop()!;
        for (const line of lines) {
          if (line === "ready") ready = true;
          else arrivals.#note(line);
        }
      }
    })();
    await until("the watcher", () => ready, LIMIT_MS);
    return arrivals;
  }

  #note(line: string): void {
    const [round, name, port] = line.split(" ");
    const found = this.rounds.get(Number(round)) ?? new Map<number, string>();
    this.rounds.set(Number(round), found);
    if (found.has(Number(port))) this.doubles += 1;
    found.set(Number(port), name!);
  }
}

describe.skipIf(skipWithoutLab(Lab.unavailable()))("weights of the kernel's multipath routes", () => {
  test.each(families)(
    "IPv%d: a thousand flows leave by them, and a change of one moves flows to that side or from it alone",
    (family) =>
      onBed({ lab: { pairs: 2, neighbours: true } }, async (bed) => {
        const { network, to } = BEHIND[family];
        const hops = bed.lab.pairs.map(({ a, b }) => ({
          at: a.name,
          words: `nexthop via ${family === 4 ? a.ipv4 : a.ipv6} dev ${b.name} weight`,
        }));
        /** How many flows left by the first, where all have the same chance to: 6 standard deviations around its part. */
        const expectPart = (flows: ReadonlyMap<number, string>, part: number): void => {
          const first = [...flows.values()].filter((name) => name === hops[0]!.at).length;
          expect(Math.abs(first - FLOWS * part)).toBeLessThan(6 * Math.sqrt(FLOWS * part * (1 - part)));
        };
        const arrivals = await Arrivals.at(bed, to);
        const socket = bed.host.udp({ multipath: "spread" }, () => {});
        const remotes = Array.from({ length: FLOWS }, (_, i) => socket.to(to, FIRST_PORT + i));
        /** Gives the route these weights, and sends one datagram of each flow when the host knows. */
        const round = async (number: number, ...weights: readonly number[]): Promise<Map<number, string>> => {
          const all = hops.map(({ words }, i) => `${words} ${weights[i]}`).join(" ");
          bed.run("b", `ip -${family} route replace ${network} ${all}`);
          const known = (): string =>
            bed.host.routes
              .all()
              .filter(({ prefix }) => String(prefix) === network)
              .sort((one, other) => one.interface - other.interface)
              .map(({ weight }) => weight)
              .join();
          await until("the weights", () => known() === weights.join(), LIMIT_MS);
          for (const remote of remotes)
            await until("room", () => socket.send(remote, Uint8Array.of(number)), LIMIT_MS);
          await until("all flows", () => arrivals.rounds.get(number)?.size === FLOWS, LIMIT_MS);
          return arrivals.rounds.get(number)!;
        };
        const uneven = await round(1, 3, 1);
        expectPart(uneven, 3 / 4);
        const even = await round(2, 1, 1);
        expectPart(even, 1 / 2);
        // The first side has less now: nothing moved to it.
        for (const [port, name] of even) if (name === hops[0]!.at) expect(uneven.get(port)).toBe(name);
        expect(await round(3, 3, 1)).toEqual(uneven);
        // Its part of all is the same.
        expectPart(await round(4, 6, 2), 3 / 4);
        expect(arrivals.rounds.get(4)).toEqual(uneven);
        expect(arrivals.doubles).toBe(0);
      }),
    TEST_MS,
  );
});
