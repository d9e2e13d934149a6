/**
 * A lab of existing interfaces: they get its shape, work, and come back as they were, whoever ends the lab. A veth pair that
 * the test makes in its own namespace stands for two cards and a cable.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { RETURN_FOLDER } from "../../examples/lab-devices.ts";
import { type Cable, Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { runSnippet, startSnippet } from "../support/subprocess.ts";

/** Letters that no interface's name has here, and this process: IFNAMSIZ leaves room for both. */
const PREFIX = `mx${process.pid}`;
const CABLES: readonly Cable[] = [
  { a: `${PREFIX}a`, b: `${PREFIX}b` },
  { a: `${PREFIX}c`, b: `${PREFIX}d` },
];
const NAMES = CABLES.flatMap((cable) => [cable.a, cable.b]);
const MOST_QUEUES = 4;
const QUEUES = 3;
const MTU = 1400;

const sh = (...command: string[]): string => {
  const done = Bun.spawnSync(command);
  if (done.exitCode !== 0) throw new Error(`${command.join(" ")}: ${done.stderr.toString()}`);
  return done.stdout.toString();
};

interface Shown {
  readonly ifindex: number;
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
}

const here = (name: string): boolean => Bun.spawnSync(["ip", "link", "show", "dev", name]).exitCode === 0;

/** Everything about the devices in this namespace that a lab changes. */
const look = (): readonly object[] =>
  NAMES.map((name) => {
    const [link] = JSON.parse(sh("ip", "-j", "link", "show", "dev", name)) as [Shown];
    return {
      name,
      index: link.ifindex,
      mac: link.address,
      mtu: link.mtu,
      up: link.flags.includes("UP"),
      channels: sh("ethtool", "-l", name),
      checksums: sh("ethtool", "-k", name)
        .split("\n")
        .filter((line) => /^[rt]x-checksumming/.test(line)),
    };
  });

const setting = (lab: Lab, side: "a" | "b", name: string, family: string, key: string): string =>
  lab.exec(side, ["cat", `/proc/sys/net/${family}/conf/${name}/${key}`]).stdout.trim();

const records = (): string[] => (existsSync(RETURN_FOLDER) ? readdirSync(RETURN_FOLDER) : []);

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a lab of devices", () => {
  let before: readonly object[];
  beforeEach(() => {
    for (const { a, b } of CABLES) {
      const half = ["numtxqueues", `${MOST_QUEUES}`, "numrxqueues", `${MOST_QUEUES}`];
      sh(
        "ip",
        "link",
        "add",
        a,
        "mtu",
        `${MTU}`,
        ...half,
        "type",
        "veth",
        "peer",
        b,
        "mtu",
        `${MTU}`,
        ...half,
      );
      for (const name of [a, b]) sh("ethtool", "-L", name, "rx", `${QUEUES}`, "tx", `${QUEUES}`);
    }
    before = look();
  });
  afterEach(() => {
    for (const { a } of CABLES) Bun.spawnSync(["ip", "link", "del", a]);
    // Where a test failed a half may be lost in a namespace; its peer goes with it.
    for (const { b } of CABLES) if (here(b)) sh("ip", "link", "del", b);
  });

  test("two devices in the shape asked for, which reach each other, and come back as they were", () => {
    const lab = Lab.create({ devices: CABLES, queues: { a: 2, b: 1 }, mtu: 1500, offloads: false });
    try {
      expect(lab.pairs.length).toBe(1);
      expect([lab.a.name, lab.b.name]).toEqual([CABLES[0]!.a, CABLES[0]!.b]);
      expect(here(lab.a.name)).toBe(false);
      for (const [side, queues] of [
        ["a", 2],
        ["b", 1],
      ] as const) {
        const end = lab[side];
        const [link] = JSON.parse(lab.exec(side, ["ip", "-j", "link", "show", "dev", end.name]).stdout) as [
          Shown,
        ];
        expect(link).toMatchObject({ address: end.mac, mtu: 1500, ifindex: end.index });
        const [, current] = lab.exec(side, ["ethtool", "-l", end.name]).stdout.split("Current");
        expect(current).toMatch(new RegExp(`RX:\\s+${queues}\nTX:\\s+${queues}\n`));
        const features = lab.exec(side, ["ethtool", "-k", end.name]).stdout;
        expect(features).toContain("tx-checksumming: off");
        expect(features).toContain("rx-checksumming: off");
      }
      expect(lab.exec("a", ["ping", "-c1", "-W2", lab.b.ipv4]).code).toBe(0);
      expect(lab.exec("a", ["ping", "-6", "-c1", "-W2", lab.b.ipv6]).code).toBe(0);
    } finally {
      lab.close();
    }
    expect(look()).toEqual(before);
    expect(records()).not.toContain(lab.namespace("a").slice(0, -2));
  });

  test("a device that is moved inherits the settings of its new namespace, as one that is made there does", () => {
    using lab = Lab.create({ devices: CABLES, quiet: true, neighbours: true });
    for (const side of ["a", "b"] as const) {
      const { name } = lab[side];
      for (const key of ["accept_dad", "dad_transmits", "router_solicitations", "accept_ra", "autoconf"])
        expect([key, setting(lab, side, name, "ipv6", key)]).toEqual([key, "0"]);
      expect(setting(lab, side, name, "ipv6", "disable_ipv6")).toBe("1");
      expect(lab.exec(side, ["ip", "-6", "addr", "show", "dev", name]).stdout).toBe("");
    }
    expect(lab.exec("a", ["ip", "neigh", "show", "dev", lab.a.name]).stdout).toContain(
      `${lab.b.ipv4} lladdr ${lab.b.mac} PERMANENT`,
    );
    expect(lab.exec("a", ["ping", "-c1", "-W2", lab.b.ipv4]).code).toBe(0);
  });

  test("settings that had been made on the device do not come along", () => {
    sh("sh", "-c", `echo 0 > /proc/sys/net/ipv6/conf/${CABLES[0]!.a}/disable_ipv6`);
    sh("ip", "link", "set", CABLES[0]!.a, "up");
    using lab = Lab.create({ devices: CABLES, quiet: true });
    expect(setting(lab, "a", lab.a.name, "ipv6", "disable_ipv6")).toBe("1");
  });

  test("two pairs, and a middle of two", () => {
    {
      using lab = Lab.create({ devices: CABLES, pairs: 2 });
      expect(lab.pairs.flatMap((pair) => [pair.a.name, pair.b.name])).toEqual(NAMES);
      expect(new Set(lab.pairs.flatMap((pair) => [pair.a.index, pair.b.index])).size).toBe(4);
      for (const { a, b } of lab.pairs)
        expect(lab.exec("a", ["ping", "-c1", "-W2", "-I", a.name, b.ipv4]).code).toBe(0);
    }
    expect(look()).toEqual(before);
    {
      using lab = Lab.create({ devices: CABLES, middle: true, queues: { a: 1, b: 2 } });
      expect([lab.a.name, lab.middle!.a.name, lab.middle!.b.name, lab.b.name]).toEqual(NAMES);
      const inner = lab.exec("m", ["ip", "-j", "link"]).stdout;
      for (const end of [lab.middle!.a, lab.middle!.b]) expect(inner).toContain(`"${end.name}"`);
      const [, facing] = lab.exec("m", ["ethtool", "-l", lab.middle!.b.name]).stdout.split("Current");
      expect(facing).toMatch(/RX:\s+2\n/);
      expect(lab.exec("a", ["ping", "-c1", "-W0.2", lab.b.ipv4], { check: false }).code).toBe(1);
    }
    expect(look()).toEqual(before);
  });

  test("thirty labs of the same devices, one after the other", () => {
    const rounds = 30;
    for (let i = 0; i < rounds; i++)
      Lab.create({ devices: CABLES, quiet: true, queues: 1 + (i % 3) }).close();
    expect(look()).toEqual(before);
  }, 60_000);

  test("what makes no sense is refused by name, and nothing is moved", () => {
    expect(() => Lab.create({ devices: [] })).toThrow("devices: 1 pairs are needed, there are 0");
    expect(() => Lab.create({ devices: CABLES, pairs: 3 })).toThrow("3 pairs are needed, there are 2");
    expect(() => Lab.create({ devices: CABLES.slice(1), middle: true })).toThrow(
      "2 pairs are needed, there are 1",
    );
    expect(() => Lab.create({ devices: [{ a: NAMES[0]!, b: NAMES[0]! }] })).toThrow("named twice");
    expect(() => Lab.create({ devices: [{ a: "a b", b: "c" }] })).toThrow("not the name of an interface");
    expect(() => Lab.create({ devices: CABLES, queues: MOST_QUEUES + 1 })).toThrow(
      `queues: ${NAMES[0]} has ${MOST_QUEUES} at most, not ${MOST_QUEUES + 1}`,
    );
    expect(look()).toEqual(before);
  });

  test("a lab that cannot be finished gives back what it took", () => {
    // A bridge cannot change its namespace, which shows when the device before it has moved already.
    const bridge = `${PREFIX}e`;
    sh("ip", "link", "add", bridge, "type", "bridge");
    try {
      const devices = [{ a: NAMES[0]!, b: bridge }];
      expect(() => Lab.create({ devices, mtu: 1500, queues: 1 })).toThrow("cannot make lab");
    } finally {
      sh("ip", "link", "del", bridge);
    }
    expect(look()).toEqual(before);
    expect(records().filter((name) => name.startsWith(`mr-${process.pid}-`))).toEqual([]);
  });

  const child = (tail: string): string =>
    `import { Lab } from "../../examples/lab.ts";
     const lab = Lab.create({ devices: ${JSON.stringify(CABLES)}, queues: 1, mtu: 1500, offloads: false });
     console.log(lab.namespace("a"));
     ${tail}`;

  test("a process that ends without closing gives them back", async () => {
    for (const tail of ["process.exit(3)", "throw new Error('x')", ""]) {
      const ended = await runSnippet(child(tail));
      expect(ended.stdout.trim()).toMatch(/^mr-\d+-0-a$/);
      expect(look()).toEqual(before);
    }
  });

  test("of a killed process the janitor gives them back, as they were", async () => {
    const killed = startSnippet(child("setInterval(() => {}, 1000);"));
    const reader = killed.stdout.getReader();
    const namespace = new TextDecoder().decode((await reader.read()).value).trim();
    expect(here(NAMES[0]!)).toBe(false);
    killed.kill("SIGKILL");
    await killed.exited;
    await until("the namespace to go", () => !existsSync(`/run/netns/${namespace}`));
    expect(look()).toEqual(before);
    expect(records()).not.toContain(namespace.slice(0, -2));
  });

  test("the next lab of the same devices waits until a killed process has let go of them", async () => {
    const killed = startSnippet(child("setInterval(() => {}, 1000);"));
    const reader = killed.stdout.getReader();
    await reader.read();
    killed.kill("SIGKILL");
    await killed.exited;
    {
      using lab = Lab.create({ devices: CABLES });
      expect(lab.exec("a", ["ping", "-c1", "-W2", lab.b.ipv4]).code).toBe(0);
    }
    expect(look()).toEqual(before);
  });

  test("a lab with a name is removed by another process, and the devices come back", () => {
    const name = `mrdev${process.pid}`;
    Lab.create({ name, keep: true, devices: CABLES, queues: 1 });
    try {
      expect(here(NAMES[0]!)).toBe(false);
    } finally {
      Lab.remove(name);
    }
    expect(look()).toEqual(before);
    expect(records()).not.toContain(name);
  });
});
