/** Ports kept from the kernel's programs: nobody gets them, nothing is read from them but what ICMP says, nothing is left. */
import { describe, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { KernelPorts } from "../../ffi/net/kernel-ports.ts";
import { inNamespace } from "../../ffi/net/namespace.ts";
import { SystemError } from "../../ffi/sys/errno.ts";
import type { PortKeeper } from "../../stack/device/routesource.ts";
import { addressOfText, addressText } from "../support/kernel-state.ts";
import { Lab, type LabOptions, openFds, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const here = (): string => readlinkSync("/proc/thread-self/ns/net");

/** Runs Python in a side of a lab; what it printed. */
const python = (lab: Lab, side: "a" | "b", lines: readonly string[]): string =>
  lab.exec(side, ["python3", "-c", ["import errno, os, socket", ...lines].join("\n")]).stdout.trim();

/** True where a program can bind the port in the lab. */
const free = (lab: Lab, family: "AF_INET" | "AF_INET6", address: string, port: number): boolean =>
  python(lab, "b", [
    `s = socket.socket(socket.${family}, socket.SOCK_DGRAM)`,
    `where = socket.getaddrinfo("${address}", ${port}, s.family, s.type)[0][4]`,
    "try: s.bind(where); print('free')",
    "except OSError as e: print(errno.errorcode[e.errno])",
  ]) === "free";

interface Bed extends Disposable {
  readonly lab: Lab;
  readonly ports: KernelPorts;
}

const bed = (options: LabOptions = {}): Bed => {
  const lab = Lab.create(options);
  const ports = new KernelPorts({ namespace: lab.namespace("b") });
  return {
    lab,
    ports,
    [Symbol.dispose]: () => {
      ports.close();
      lab.close();
    },
  };
};

const linkLocal = (lab: Lab): string =>
  /fe80:[0-9a-f:]+/.exec(lab.exec("b", ["ip", "-6", "-br", "address", "show", "dev", "vb"]).stdout)![0];

describe.skipIf(skipWithoutLab(Lab.unavailable()))("ports kept from the kernel's programs", () => {
  test("of all interfaces: nobody else's in either family until it is released", () => {
    using made = bed();
    const { lab, ports } = made;
    const source: PortKeeper = ports;
    expect(source.errorFds).toHaveLength(1);
    const kept = ports.reserve(undefined, 0)!;
    expect(kept.port).toBeGreaterThan(1023);
    expect(free(lab, "AF_INET", "0.0.0.0", kept.port)).toBe(false);
    expect(free(lab, "AF_INET", lab.b.ipv4, kept.port)).toBe(false);
    expect(free(lab, "AF_INET6", "::1", kept.port)).toBe(false);
    expect(ports.reserve(addressOfText("127.0.0.1"), kept.port)).toBeUndefined();
    kept.release();
    expect(free(lab, "AF_INET6", "::", kept.port)).toBe(true);
    const one = ports.reserve(addressOfText(lab.b.ipv4), 53)!;
    expect(free(lab, "AF_INET", lab.b.ipv4, one.port)).toBe(false);
    expect(free(lab, "AF_INET", "127.0.0.1", one.port)).toBe(true);
  });

  test("of one interface: programs that name no interface don't get it either", async () => {
    using made = bed();
    const { lab, ports } = made;
    const kept = ports.reserve(undefined, 9000, lab.b.index)!;
    expect(free(lab, "AF_INET", "0.0.0.0", 9000)).toBe(false);
    expect(free(lab, "AF_INET", lab.b.ipv4, 9000)).toBe(false);
    expect(free(lab, "AF_INET6", "::", 9000)).toBe(false);
    expect(ports.reserve(undefined, 9000, lab.b.index)).toBeUndefined();
    kept.release();
    expect(free(lab, "AF_INET6", "::", 9000)).toBe(true);
    const program = lab.spawn("b", ["socat", "-u", "UDP4-RECV:9002", "STDOUT"]);
    await until("a program to have the port", () => !free(lab, "AF_INET", "0.0.0.0", 9002));
    expect(ports.reserve(undefined, 9002, lab.b.index)).toBeUndefined();
    program.kill();
    await until("the port to be free", () => ports.reserve(undefined, 9002, lab.b.index) !== undefined);
  });

  test("a second release is nothing, also where the descriptor is another's by then", () => {
    using made = bed();
    const { lab, ports } = made;
    const first = ports.reserve(undefined, 9000)!;
    first.release();
    const second = ports.reserve(undefined, 9001)!;
    first.release();
    expect(free(lab, "AF_INET", "0.0.0.0", second.port)).toBe(false);
  });

  test("a link-local address is kept on its interface", () => {
    using made = bed();
    const { lab, ports } = made;
    const address = linkLocal(lab);
    const kept = ports.reserve(addressOfText(address), 546, lab.b.index)!;
    expect(free(lab, "AF_INET6", `${address}%vb`, kept.port)).toBe(false);
    expect(() => ports.reserve(addressOfText(address), 547)).toThrow(/reserve UDP port 547.*EINVAL/);
    expect(() => ports.reserve(addressOfText("fe80::77"), 546, lab.b.index)).toThrow(/EADDRNOTAVAIL/);
  });

  test("what stands in the way is told", () => {
    using made = bed();
    const { lab, ports } = made;
    expect(() => ports.reserve(addressOfText("192.0.2.1"), 53)).toThrow(SystemError);
    expect(() => ports.reserve(addressOfText("192.0.2.1"), 53)).toThrow(/EADDRNOTAVAIL.*ip address/);
    expect(() => ports.reserve(undefined, 65_536)).toThrow(RangeError);
    expect(() => ports.reserve(undefined, 53, -1)).toThrow(RangeError);
    expect(() => ports.reserve(new Uint8Array(3), 1)).toThrow(TypeError);
    ports.close();
    expect(ports.errorFds).toEqual([]);
    expect(ports.nextError()).toBeUndefined();
    expect(() => ports.reserve(undefined, 53)).toThrow(/closed/);
    expect(free(lab, "AF_INET", "0.0.0.0", 53)).toBe(true);
  });

  test("what arrives at a kept port is dropped before it takes memory", () => {
    using made = bed();
    const { lab, ports } = made;
    const kept = ports.reserve(undefined, 9000, lab.b.index)!;
    const send = `s.sendto(b"x" * 1000, ("${lab.b.ipv4}", ${kept.port}))`;
    python(lab, "a", [
      "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
      `for i in range(200): ${send}`,
    ]);
    const line = lab
      .exec("b", ["cat", "/proc/net/udp"])
      .stdout.split("\n")
      .find((each) => each.includes(":2328 "))!;
    const [, , , , queues, , , , , , , , drops] = line.trim().split(/\s+/);
    expect(queues).toBe("00000000:00000000");
    expect(Number(drops)).toBe(200);
  });

  test("what a program of this machine hears that sends to a port kept on its own interface", () => {
    using made = bed();
    const { lab, ports } = made;
    const ask = (family: "AF_INET" | "AF_INET6", address: string): string =>
      python(lab, "b", [
        `s = socket.socket(socket.${family}, socket.SOCK_DGRAM)`,
        "s.settimeout(0.3)",
        `s.connect(("${address}", 9000))`,
        "s.send(b'hello')",
        "try: s.recv(1)",
        "except OSError as e: print(errno.errorcode.get(e.errno, 'silence'))",
      ]);
    ports.reserve(undefined, 9000, lab.b.index);
    expect(ask("AF_INET", lab.b.ipv4)).toBe("silence");
    expect(ask("AF_INET6", lab.b.ipv6)).toBe("silence");
    expect(ask("AF_INET", "127.0.0.1")).toBe("ECONNREFUSED");
    expect(ask("AF_INET6", "::1")).toBe("ECONNREFUSED");
  });

  /** An ICMP error from side a about a datagram that nobody sent: the peer's answer to what an AF_XDP socket would send. */
  const provoke = (lab: Lab, family: "AF_INET" | "AF_INET6", port: number, count = 1): void => {
    const [own, peer] = family === "AF_INET" ? [lab.b.ipv4, lab.a.ipv4] : [lab.b.ipv6, lab.a.ipv6];
    // A raw socket sends what the port's own does not: UDP from `port` to a port that is closed over there.
    python(lab, "b", [
      `s = socket.socket(socket.${family}, socket.SOCK_RAW, socket.IPPROTO_UDP)`,
      `s.bind(("${own}", 0))`,
      ...(family === "AF_INET6" ? ["s.setsockopt(socket.IPPROTO_IPV6, 7, 6)"] : []),
      "import struct",
      `for i in range(${count}): s.sendto(struct.pack("!HHHH", ${port}, 7000 + i, 12, 0) + b"abcd", ("${peer}", 0))`,
    ]);
  };

  test.each(["AF_INET", "AF_INET6"] as const)(
    "%s: errors about packets of others from the port are heard",
    async (family) => {
      // Error limits of the peer: ten in a burst would otherwise be the most.
      using made = bed();
      const { lab, ports } = made;
      const [own, peer] = family === "AF_INET" ? [lab.b.ipv4, lab.a.ipv4] : [lab.b.ipv6, lab.a.ipv6];
      ports.reserve(undefined, 9000, lab.b.index);
      ports.reserve(undefined, 9001, lab.b.index);
      expect(ports.nextError()).toBeUndefined();
      provoke(lab, family, 9000);
      const error = await until("the error", () => ports.nextError());
      expect({ ...error, reporter: addressText(error.reporter!) }).toEqual({
        type: family === "AF_INET" ? 3 : 1,
        code: family === "AF_INET" ? 3 : 4,
        mtu: 0,
        reporter: peer,
        local: addressOfText(own),
        localPort: 9000,
        remote: addressOfText(peer),
        remotePort: 7000,
      });
      expect(ports.nextError()).toBeUndefined();
    },
  );

  test("more errors than there is room for: the rest is lost, and the set falls silent once it is empty", async () => {
    using made = bed();
    const { lab, ports } = made;
    for (const path of ["net.ipv4.icmp_ratelimit", "net.ipv4.icmp_msgs_per_sec", "net.ipv4.icmp_msgs_burst"])
      lab.exec("a", ["sysctl", "-qw", `${path}=${path.endsWith("ratelimit") ? 0 : 100_000}`], {
        check: false,
      });
    ports.reserve(undefined, 9000, lab.b.index);
    provoke(lab, "AF_INET", 9000, 500);
    const first = await until("an error", () => ports.nextError());
    expect(first.remotePort).toBe(7000);
    let count = 1;
    while (ports.nextError() !== undefined) count += 1;
    expect(count).toBeGreaterThan(1);
    expect(count).toBeLessThan(500);
    provoke(lab, "AF_INET", 9000);
    expect((await until("another", () => ports.nextError())).remotePort).toBe(7000);
  });

  test("in a namespace by name, while the process is in another, which it does not leave", () => {
    using made = bed();
    const { lab, ports } = made;
    const before = here();
    const kept = ports.reserve(addressOfText(lab.b.ipv4), 5353)!;
    expect(here()).toBe(before);
    expect(kept.port).toBe(5353);
    using inside = inNamespace(lab.namespace("b"), () => new KernelPorts());
    expect(inside.reserve(addressOfText(lab.b.ipv4), 5353)).toBeUndefined();
    expect(() => new KernelPorts({ namespace: "mr-no-such" })).toThrow(/namespace "mr-no-such": ENOENT/);
  });

  test("no descriptors are left after 500 openings, with ports kept", () => {
    using lab = Lab.create();
    const namespace = lab.namespace("b");
    new KernelPorts({ namespace }).close();
    const before = openFds();
    for (let i = 0; i < 500; i++) {
      const one = new KernelPorts({ namespace });
      const kept = one.reserve(undefined, 0, i % 2 === 0 ? lab.b.index : 0)!;
      if (i % 3 === 0) kept.release();
      one.close();
      one.close();
      kept.release();
    }
    expect(openFds()).toBeLessThanOrEqual(before);
  }, 30_000);
});
