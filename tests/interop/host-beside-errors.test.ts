/** ICMP errors about what a host beside the kernel sends: the kernel hears them, and our sockets and paths are told. */
import { describe, expect, test } from "bun:test";
import type { SoftError } from "../../stack/transport/network.ts";
import { BesideBed, onBed } from "../support/beside-bed.ts";
import { behindRouter, NARROW_MTU, REFUSED, ROUTED } from "../support/beside-router.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const TEST_MS = 60_000;
const LIMIT_MS = 20_000;
/** Nobody has it over there. */
const CLOSED_PORT = 4;
/** The largest datagrams in one packet of 1500 bytes. */
const WHOLE = { 4: 1500 - 20 - 8, 6: 1500 - 40 - 8 } as const;
const families = [4, 6] as const;

/** The parts of an error that tests look at, with addresses as texts. */
const told = ({ kind, family, reporter, local, localPort, remote, remotePort, mtu }: SoftError) => ({
  kind,
  family,
  reporter: String(reporter),
  local: `${local} ${localPort}`,
  remote: `${remote} ${remotePort}`,
  mtu,
});

/** A socket on 9000 and the errors that it hears. */
const listening = (bed: BesideBed, options: { readonly address?: string; readonly ttl?: number } = {}) => {
  const errors: SoftError[] = [];
  const socket = bed.host.udp({ port: 9000, ...options, onError: (error) => errors.push(error) }, () => {});
  return { socket, errors };
};

describe.skipIf(skipWithoutLab(Lab.unavailable()))("ICMP errors beside the kernel", () => {
  test.each(families)(
    "IPv%d: a closed port of the peer's, for a socket of all addresses and for one of a single one",
    (family) =>
      onBed({}, async (bed) => {
        const [own, peer] =
          family === 4 ? [bed.lab.b.ipv4, bed.lab.a.ipv4] : [bed.lab.b.ipv6, bed.lab.a.ipv6];
        const events: SoftError[] = [];
        bed.host.on((event) => {
          if (event.kind === "soft-error") events.push(event.error);
        });
        for (const address of [undefined, own]) {
          const { socket, errors } = listening(bed, address === undefined ? {} : { address });
          socket.send({ address: peer, port: CLOSED_PORT }, new Uint8Array(10));
          await until("the error", () => errors.length > 0);
          const expected = {
            kind: "port-unreachable",
            family,
            reporter: peer,
            local: `${own} 9000`,
            remote: `${peer} ${CLOSED_PORT}`,
            mtu: 0,
          } as const;
          expect(errors.map(told)).toEqual([expected]);
          expect(events.map(told)).toEqual([expected]);
          expect(socket.statistics().softErrors).toBe(1);
          events.length = 0;
          socket.close();
        }
        const { icmp4, icmp6, udp } = bed.host.statistics();
        expect((family === 4 ? icmp4 : icmp6).errorsReceived).toBe(2);
        expect(udp.softErrors).toBe(2);
        // None of that was claimed.
        expect(bed.device.statistics().program.redirected).toBe(0);
      }),
    TEST_MS,
  );

  test("what a kernel's program hears is not ours to hear", () =>
    onBed({}, async (bed) => {
      const { errors } = listening(bed);
      const heard = await bed.python("b", [
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        `s.connect(("${bed.lab.a.ipv4}", ${CLOSED_PORT}))`,
        "s.settimeout(2)",
        "s.send(b'x')",
        "try: s.recv(1)",
        "except OSError as e: print(errno.errorcode[e.errno])",
      ]);
      expect(heard).toBe("ECONNREFUSED");
      expect(errors).toEqual([]);
      expect(bed.host.statistics().icmp4.errorsReceived).toBe(0);
    }));

  test.each(families)(
    "IPv%d: a router's unreachable, prohibited and time exceeded",
    (family) =>
      onBed(behindRouter, async (bed) => {
        const { own, peer, router } = ROUTED[family];
        const { unreachable, prohibited } = REFUSED[family];
        const { socket, errors } = listening(bed);
        // Again and again: the router says so to one and the same once a second at most (ip_error of net/ipv4/route.c).
        const hear = async (to: string): Promise<SoftError> => {
          errors.length = 0;
          const ticks = bed.loop.every(
            200,
            () => void socket.send({ address: to, port: 7 }, new Uint8Array(10)),
          );
          const error = await until(
            `the error about ${to}`,
            () => errors.find(({ remote }) => String(remote) === to),
            LIMIT_MS,
          );
          ticks.cancel();
          return error;
        };
        expect(told(await hear(unreachable))).toEqual({
          kind: family === 4 ? "host-unreachable" : "network-unreachable",
          family,
          reporter: router,
          local: `${own} 9000`,
          remote: `${unreachable} 7`,
          mtu: 0,
        });
        expect(told(await hear(prohibited))).toMatchObject({ kind: "prohibited", reporter: router });
        const short = listeningWithTtl(bed, 1);
        short.socket.send({ address: peer, port: 7 }, new Uint8Array(10));
        const exceeded = await until("time exceeded", () => short.errors[0]);
        expect(told(exceeded)).toMatchObject({
          kind: "time-exceeded",
          reporter: router,
          local: `${own} 9001`,
          remote: `${peer} 7`,
        });
      }),
    TEST_MS,
  );

  test.each(families)(
    "IPv%d: too big for the router's next link: the path's size is learnt, and the next datagram arrives in pieces",
    (family) =>
      onBed(behindRouter, async (bed) => {
        const { own, peer, router } = ROUTED[family];
        const { socket, errors } = listening(bed);
        const receiver = bed.python("a", [
          `s = socket.socket(socket.AF_INET${family === 6 ? "6" : ""}, socket.SOCK_DGRAM)`,
          `s.bind(("${peer}", 7000))`,
          "s.settimeout(10)",
          "print('ready', flush=True)",
          "data, who = s.recvfrom(65536)",
          "assert data == bytes(i & 255 for i in range(len(data)))",
          "print(len(data), who[0], who[1])",
        ]);
        const bound = (): boolean => bed.run("a", "ss -Hnlu").includes(":7000 ");
        await until("the receiver", bound);
        const payload = Uint8Array.from({ length: WHOLE[family] }, (_, i) => i);
        const to = socket.to(peer, 7000);
        expect(to.destination.mtu === 0 || to.destination.mtu === 1500).toBe(true);
        socket.send(to, payload);
        const error = await until("too big", () => errors[0]);
        expect(told(error)).toEqual({
          kind: "too-big",
          family,
          reporter: router,
          local: `${own} 9000`,
          remote: `${peer} 7000`,
          mtu: NARROW_MTU,
        });
        const { w0, w1, w2, w3 } = to.destination.address;
        expect(bed.host.pathMtu.of(w0, w1, w2, w3)).toBe(NARROW_MTU);
        expect(socket.send(to, payload)).toBe(true);
        expect(await receiver).toBe(`ready\n${payload.length} ${own} 9000`);
        expect(to.destination.mtu).toBe(NARROW_MTU);
        expect(errors).toHaveLength(1);
      }),
    TEST_MS,
  );

  test(
    "a flood of errors is heard in part, hurts nobody, and ends",
    () =>
      onBed({}, async (bed) => {
        bed.run("a", "sysctl -qw net.ipv4.icmp_ratelimit=0");
        const { socket, errors } = listening(bed);
        bed.host.udp(9001, (datagram) => void datagram.reply());
        const to = socket.to(bed.lab.a.ipv4, CLOSED_PORT);
        for (let i = 0; i < 1000; i++) {
          socket.send(to, new Uint8Array(10));
          if (i % 50 === 0) await Bun.sleep(0);
        }
        expect(await bed.ask(bed.lab.b.ipv4, 9001)).toBe(`${bed.lab.b.ipv4} 9001 8`);
        const heard = errors.length;
        expect(heard).toBeGreaterThan(0);
        expect(heard).toBeLessThanOrEqual(1000);
        expect(await bed.ask(bed.lab.b.ipv4, 9001)).toBe(`${bed.lab.b.ipv4} 9001 8`);
        expect(errors.length).toBe(heard);
      }),
    TEST_MS,
  );
});

/** Another socket, whose packets go so far. */
const listeningWithTtl = (bed: BesideBed, ttl: number) => {
  const errors: SoftError[] = [];
  const socket = bed.host.udp({ port: 9001, ttl, onError: (error) => errors.push(error) }, () => {});
  return { socket, errors };
};
