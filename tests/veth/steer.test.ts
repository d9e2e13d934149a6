/** The steering program on a veth pair: attached, refused, replaced, killed; and frames handed back to the kernel. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { inNamespace } from "../../ffi/net/namespace.ts";
import { getLink, type Link } from "../../ffi/net/link.ts";
import { SystemError } from "../../ffi/sys/errno.ts";
import { Injector } from "../../ffi/xdp/inject.ts";
import { SteerProgram } from "../../ffi/xdp/program.ts";
import { addressOf } from "../../ffi/sys/memory.ts";
import { Lab, openFds, until } from "../support/lab.ts";
import { failure } from "../support/failure.ts";
import { bytes, ethernet, ETHERTYPE, icmpEcho, ipv4, PROTOCOL } from "../support/packets.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { openXskSlot } from "../support/xsk-slot.ts";

const ROUNDS = 50;
const TEST_MS = 30_000;

let lab: Lab;
let link: Link;

const here = <T>(work: () => T): T => inNamespace(lab.namespace("b"), work);
const target = (mode: "auto" | "native" | "generic", shared = false) => ({
  ifindex: link.index,
  interface: lab.b.name,
  mode,
  shared,
});

const attachedIds = (): number[] => {
  const shown = lab.exec("b", ["ip", "-j", "link", "show", "dev", lab.b.name]).stdout;
  const [{ xdp }] = JSON.parse(shown) as [{ xdp?: { prog: { id: number } } }];
  return xdp === undefined ? [] : [xdp.prog.id];
};

/** Ids of programs, maps and links that the kernel has under our names. */
const kernelObjects = (): string[] => {
  const list = (what: string): string[] => {
    const { stdout } = Bun.spawnSync(["bpftool", "-j", what, "show"], { stdin: "ignore" });
    const found = JSON.parse(stdout.toString() || "[]") as {
      id: number;
      name?: string;
      type?: string;
      pids?: { pid: number }[];
    }[];
    return found
      .filter((object) => object.pids?.some(({ pid }) => pid === process.pid))
      .map((object) => `${what} ${object.id} ${object.name ?? object.type}`);
  };
  return [...list("prog"), ...list("map"), ...list("link")].sort();
};

describe.skipIf(skipWithoutLab(Lab.unavailable()))("the program on an interface", () => {
  beforeAll(() => {
    lab = Lab.create();
    link = here(() => getLink(lab.b.name));
  });

  afterAll(() => lab?.close());

  test.each(["native", "generic"] as const)(
    "%s: frames are counted, and pass without a claim",
    async (mode) => {
      using program = SteerProgram.load({ queues: 1 });
      const result = here(() => program.attach(target(mode)));
      expect(result).toEqual({ mode, refused: [] });
      expect(attachedIds()).toHaveLength(1);
      program.setClaims({ udp: 9000 });
      lab.exec("a", ["ping", "-c", "3", "-i", "0.02", "-W", "2", lab.b.ipv4]);
      expect(program.statistics().passed).toBeGreaterThanOrEqual(3);
      expect(program.statistics().redirected).toBe(0);
      // Claimed, but nobody is there to take it: the kernel answers still.
      program.setClaims("everything");
      lab.exec("a", ["ping", "-c", "3", "-i", "0.02", "-W", "2", lab.b.ipv4]);
      expect(program.statistics().noSocket).toBeGreaterThanOrEqual(3);
      program.detach();
      program.detach();
      await until("the program to go", () => attachedIds().length === 0);
    },
  );

  test("auto falls back to generic where the driver refuses, and says why", async () => {
    lab.exec("a", ["ip", "link", "set", lab.a.name, "up"]);
    using program = SteerProgram.load({ queues: 1 });
    // Loopback has no native XDP.
    const result = here(() => program.attach({ ifindex: 1, interface: "lo", mode: "auto" }));
    expect(result.mode).toBe("generic");
    expect(result.refused.map(({ tried, error }) => [tried, error.code])).toEqual([
      ["native program", "EOPNOTSUPP"],
    ]);
    program.detach();
    const error = failure(() => here(() => program.attach({ ifindex: 1, interface: "lo", mode: "native" })));
    expect(error.message).toMatch(
      /cannot attach native program to "lo": EOPNOTSUPP: the driver of "lo" has no native XDP/,
    );
  });

  test("a second program is refused with EBUSY, a missing interface with ENODEV", () => {
    using first = SteerProgram.load({ queues: 1 });
    using second = SteerProgram.load({ queues: 1 });
    here(() => first.attach(target("auto")));
    expect(() => here(() => first.attach(target("auto")))).toThrow(/is attached; detach it first/);
    const busy = failure(() => here(() => second.attach(target("auto"))));
    expect(busy.code).toBe("EBUSY");
    expect(busy.remedy).toContain("another program is attached");
    expect(failure(() => here(() => second.attach(target("generic")))).remedy).toContain(
      "another program is attached",
    );
    const missing = failure(() => here(() => second.attach({ ...target("auto"), ifindex: 9999 })));
    expect(missing.code).toBe("ENODEV");
  });

  test("replace swaps programs without a gap, and the newcomer owns the attachment", () => {
    using first = SteerProgram.load({ queues: 1 });
    using second = SteerProgram.load({ queues: 1 });
    here(() => first.attach(target("native")));
    const [before] = attachedIds();
    first.replace(second);
    const [after] = attachedIds();
    expect(after).toBeNumber();
    expect(after).not.toBe(before);
    first.close();
    expect(attachedIds()).toEqual([after!]);
    expect(second.attached).toBe(true);
    expect(() => first.replace(second)).toThrow(/closed/);
    second.close();
    expect(attachedIds()).toEqual([]);
  });

  test("shared is a dispatcher or a clear refusal that leaves nothing behind", () => {
    using program = SteerProgram.load({ queues: 1 });
    let refused: SystemError | undefined;
    try {
      here(() => program.attach(target("native", true)));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      refused = error;
    }
    if (refused === undefined) {
      const shown = Bun.spawnSync([...lab.enter("b"), "xdp-loader", "status", lab.b.name]);
      expect(shown.stdout.toString()).toContain("steer");
      here(() => program.detach());
    } else {
      expect(refused.code).toBe("EOPNOTSUPP");
      expect(refused.message).toMatch(/dispatcher/);
      expect(refused.log).not.toBe("");
    }
    expect(attachedIds()).toEqual([]);
    expect(program.attached).toBe(false);
    // The same program can still be attached alone.
    here(() => program.attach(target("native")));
    expect(attachedIds()).toHaveLength(1);
  });

  test("kill -9 takes the program off", async () => {
    const child = Bun.spawn(
      [
        ...lab.enter("b"),
        process.execPath,
        "-e",
        `
        import { SteerProgram } from "./ffi/xdp/program.ts";
        const program = SteerProgram.load({ queues: 1 });
        program.setClaims("everything");
        program.attach({ ifindex: ${link.index}, interface: "x", mode: "native" });
        console.log("attached");
        setInterval(() => {}, 1000);
      `,
      ],
      {
        cwd: fileURLToPath(new URL("../..", import.meta.url)),
        stdout: "pipe",
        stdin: "ignore",
        stderr: "inherit",
      },
    );
    try {
      const { value } = await child.stdout.getReader().read();
      expect(new TextDecoder().decode(value)).toContain("attached");
      expect(attachedIds()).toHaveLength(1);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
    await until("the program to go", () => attachedIds().length === 0);
    lab.exec("a", ["ping", "-c", "1", "-W", "2", lab.b.ipv4]);
  });

  test(
    `${ROUNDS} rounds of load, claim, attach and close leave nothing`,
    () => {
      const slot = openXskSlot();
      const round = (i: number): void => {
        const program = SteerProgram.load({ queues: 4 });
        program.setClaims([{ udp: i + 1 }, { destination: "10.0.0.0/8", source: "10.0.0.1" }]);
        here(() => program.attach(target(i % 2 === 0 ? "native" : "generic")));
        program.setSocket(i % 4, slot.fd);
        program.close();
        program.close();
      };
      round(0);
      const fds = openFds();
      const objects = kernelObjects();
      for (let i = 0; i < ROUNDS; i++) round(i);
      slot.close();
      expect(openFds()).toBeLessThanOrEqual(fds);
      expect(kernelObjects()).toEqual(objects);
      expect(attachedIds()).toEqual([]);
    },
    TEST_MS,
  );

  test("a failed load or attach leaves no descriptor", () => {
    const attempt = (): void => {
      expect(
        failure(() => SteerProgram.load({ queues: 1, objectPath: "/nowhere/steer.bpf.o" })).remedy,
      ).toContain("make bpf");
      const other = fileURLToPath(new URL("../../bpf/pass.bpf.o", import.meta.url));
      const mismatch = failure(() => SteerProgram.load({ queues: 1, objectPath: other }));
      expect([mismatch.code, mismatch.remedy]).toEqual([
        "EPROTO",
        expect.stringContaining("no struct address"),
      ]);
      const text = fileURLToPath(new URL("../../package.json", import.meta.url));
      expect(failure(() => SteerProgram.load({ queues: 1, objectPath: text })).remedy).toContain(
        "no BPF object",
      );
      using program = SteerProgram.load({ queues: 1 });
      expect(failure(() => here(() => program.attach({ ...target("auto"), ifindex: 9999 }))).code).toBe(
        "ENODEV",
      );
      expect(failure(() => program.setSocket(0, 0)).remedy).toContain("AF_XDP");
      expect(() => program.setSocket(1, 0)).toThrow(RangeError);
      expect(() => SteerProgram.load({ queues: 0 })).toThrow(RangeError);
    };
    attempt();
    const fds = openFds();
    for (let i = 0; i < 10; i++) attempt();
    expect(openFds()).toBeLessThanOrEqual(fds);
  });

  test("an injected echo request is answered by the kernel, as if it had come in", async () => {
    using injector = Injector.open();
    using program = SteerProgram.load({ queues: 1 });
    program.setClaims("everything");
    const slot = openXskSlot();
    // Whatever arrives is claimed: only what is injected can reach the kernel.
    program.setSocket(0, slot.fd);
    try {
      // The answer needs the peer's hardware address, and asking for it would be claimed.
      const peer = inNamespace(lab.namespace("a"), () => getLink(lab.a.name));
      const macText = [...peer.mac].map((octet) => octet.toString(16).padStart(2, "0")).join(":");
      lab.exec("b", [
        "ip",
        "neigh",
        "replace",
        lab.a.ipv4,
        "lladdr",
        macText,
        "dev",
        lab.b.name,
        "nud",
        "permanent",
      ]);
      here(() => program.attach(target("native")));
      const echo = (): number => {
        const text = lab.exec("b", ["cat", "/proc/net/snmp"]).stdout;
        const rows = text.split("\n").filter((line) => line.startsWith("Icmp:"));
        const column = rows[0]!.split(" ").indexOf("OutEchoReps");
        return Number(rows[1]!.split(" ")[column]);
      };
      const packet = bytes(
        ethernet(
          ETHERTYPE.ipv4,
          ipv4({ protocol: PROTOCOL.icmp, from: lab.a.ipv4, to: lab.b.ipv4 }, icmpEcho(77, 1)),
          { to: link.mac, from: peer.mac },
        ),
      );
      const memory = new Uint8Array(new ArrayBuffer(packet.length));
      memory.set(packet);
      const answered = echo();
      const count = 5;
      for (let i = 0; i < count; i++) {
        expect(here(() => injector.inject(link.index, 0, addressOf(memory), memory.length))).toBe(true);
      }
      await until("the kernel to answer", () => echo() === answered + count);
      expect(here(() => injector.inject(9999, 0, addressOf(memory), memory.length))).toBe(false);
      expect(injector.lastErrno).toBeGreaterThan(0);
      expect(injector.inject(link.index, 0, addressOf(memory), 13)).toBe(false);
      expect(injector.inject(link.index, 0, addressOf(memory), 4096)).toBe(false);
    } finally {
      slot.close();
    }
  });
});
