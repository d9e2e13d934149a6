/** The kernel's neighbours are those of a host beside it, which has the kernel ask for them and keep them. */
import { describe, expect, test } from "bun:test";
import type { HostEvent } from "../../index.ts";
import { type BesideBed, onBed } from "../support/beside-bed.ts";
import { counter, neighbourAtB, sender } from "../support/beside-stream.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const TEST_MS = 60_000;
const LIMIT_MS = 30_000;
const OURS = 9000;
const families = [4, 6] as const;

const peerOf = (bed: BesideBed, family: 4 | 6): string => (family === 4 ? bed.lab.a.ipv4 : bed.lab.a.ipv6);

/** The neighbour states that the host told of an address. */
const statesOf = (bed: BesideBed, address: string): string[] => {
  const states: string[] = [];
  bed.host.on((event: HostEvent) => {
    if (event.kind === "neighbour" && String(event.address) === address) states.push(event.state);
  });
  return states;
};

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a host follows the kernel beside it: neighbours", () => {
  test.each(families)(
    "IPv%d: an unknown one is asked for by the kernel, which then knows it too",
    (family) =>
      onBed({}, async (bed) => {
        const peer = peerOf(bed, family);
        const received = await counter(bed);
        bed.run("b", "ip neigh flush dev vb");
        expect(neighbourAtB(bed, peer)).toBe("");
        const socket = bed.host.udp(OURS, () => {});
        expect(socket.send({ address: peer, port: 7000 }, new Uint8Array(10))).toBe(true);
        await until("the datagram", () => received.count() === 1);
        expect(neighbourAtB(bed, peer)).toContain(`lladdr ${bed.lab.a.mac}`);
        // Nobody: the kernel gives up after three requests, and what waited is dropped.
        const nobody = family === 4 ? "10.77.0.77" : "fd77::77";
        expect(socket.send({ address: nobody, port: 7000 }, new Uint8Array(10))).toBe(true);
        await until("the search to end", () => socket.statistics().expired === 1, LIMIT_MS);
        expect(neighbourAtB(bed, nobody)).toMatch(/FAILED|INCOMPLETE|^$/);
      }),
    TEST_MS,
  );

  test.each(families)(
    "IPv%d: a stale one is kept alive while we send, and only then",
    (family) =>
      onBed(
        {
          prepare: (lab) => {
            // "Reachable" for one to three seconds instead of half a minute. The delay must be shorter than any of that, or the
            // kernel takes its own probe for use (neigh_periodic_work in net/core/neighbour.c) and goes on by itself.
            for (const each of ["ipv4", "ipv6"]) {
              const folder = `net.${each}.neigh.vb`;
              lab.exec("b", [
                "sysctl",
                "-qw",
                `${folder}.base_reachable_time_ms=2100`,
                `${folder}.delay_first_probe_time=1`,
              ]);
            }
          },
        },
        async (bed) => {
          const peer = peerOf(bed, family);
          const received = await counter(bed);
          const states = statesOf(bed, peer);
          const { stop } = sender(bed, peer);
          const revivals = (): number =>
            states.filter((state, i) => state === "reachable" && states.slice(0, i).includes("stale")).length;
          await until("twice stale and reachable again", () => revivals() >= 2, LIMIT_MS);
          const before = received.count();
          await until("more datagrams", () => received.count() > before + 20, LIMIT_MS);
          expect(states).not.toContain("failed");
          stop();
          await until("it to be stale for good", () => neighbourAtB(bed, peer).endsWith("STALE"), LIMIT_MS);
        },
      ),
    TEST_MS,
  );

  test.each(families)(
    "IPv%d: the peer has another Ethernet address from now on",
    (family) =>
      onBed({}, async (bed) => {
        const peer = peerOf(bed, family);
        const received = await counter(bed);
        const { stop } = sender(bed, peer);
        await until("datagrams", () => received.count() > 10, LIMIT_MS);
        const mac = "02:00:00:00:77:77";
        bed.run("a", ["ip", "link", "set", "dev", "va", "address", mac]);
        // The peer asks who we are, and the kernel learns who asked.
        bed.run("a", "ip neigh flush dev va");
        await until(
          "the kernel to know",
          async () => {
            await bed.python("a", [
              `s = socket.socket(socket.AF_INET${family === 6 ? "6" : ""}, socket.SOCK_DGRAM)`,
              `s.sendto(b'x', ("${family === 4 ? bed.lab.b.ipv4 : bed.lab.b.ipv6}", 9))`,
            ]);
            return neighbourAtB(bed, peer).includes(mac);
          },
          LIMIT_MS,
        );
        const before = received.count();
        await until("datagrams at the new address", () => received.count() > before + 20, LIMIT_MS);
        stop();
        const { neighbours4, neighbours6 } = bed.eth;
        const known = [...(family === 4 ? neighbours4 : neighbours6).values()].find(
          ({ address }) => String(address) === peer,
        );
        expect(String(known?.mac)).toBe(mac);
      }),
    TEST_MS,
  );

  test(
    "one that is entered for good is used as it is, and one that is removed is asked for anew",
    () =>
      onBed({}, async (bed) => {
        const received = await counter(bed);
        bed.run("b", `ip neigh replace 10.77.0.1 lladdr 02:00:00:00:66:66 dev vb nud permanent`);
        const { socket, stop } = sender(bed, bed.lab.a.ipv4);
        await until("frames", () => socket.statistics().sent > 5);
        expect(received.count()).toBe(0);
        bed.run("b", "ip neigh del 10.77.0.1 dev vb");
        await until("datagrams", () => received.count() > 5, LIMIT_MS);
        stop();
      }),
    TEST_MS,
  );
});
