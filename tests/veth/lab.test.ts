/** The lab itself: what it makes is what `ip` shows, and nothing is left of it. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { runSnippet, startSnippet } from "../support/subprocess.ts";

interface IpLink {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly operstate: string;
  readonly num_rx_queues: number;
}

const links = (lab: Lab, side: "a" | "m" | "b"): IpLink[] =>
  (JSON.parse(lab.exec(side, ["ip", "-j", "-d", "link"]).stdout) as IpLink[]).filter(
    (link) => link.ifname !== "lo",
  );

const exists = (namespace: string): boolean => existsSync(`/run/netns/${namespace}`);

describe.skipIf(skipWithoutLab(Lab.unavailable()))("lab", () => {
  test("two ends that are up, with the shape asked for, and reach each other over IPv4 and IPv6", () => {
    using lab = Lab.create({ queues: { a: 2, b: 4 }, mtu: 9000 });
    const [link] = links(lab, "b");
    expect(link).toMatchObject({
      ifname: "vb",
      address: lab.b.mac,
      mtu: 9000,
      operstate: "UP",
      num_rx_queues: 4,
    });
    expect(links(lab, "a")[0]).toMatchObject({
      ifname: "va",
      address: lab.a.mac,
      operstate: "UP",
      num_rx_queues: 2,
    });
    expect(lab.exec("a", ["ping", "-c1", "-W2", lab.b.ipv4]).code).toBe(0);
    expect(lab.exec("a", ["ping", "-6", "-c1", "-W2", lab.b.ipv6]).code).toBe(0);
  });

  test("several pairs, each its own network", () => {
    using lab = Lab.create({ pairs: 2, neighbours: true });
    expect(lab.pairs.map((pair) => pair.b.name)).toEqual(["vb0", "vb1"]);
    for (const { a, b } of lab.pairs) {
      expect(lab.exec("a", ["ping", "-c1", "-W2", "-I", a.name, b.ipv4]).code).toBe(0);
      expect(lab.exec("a", ["ip", "neigh", "show", "dev", a.name]).stdout).toContain(
        `${b.ipv4} lladdr ${b.mac} PERMANENT`,
      );
    }
  });

  test("a middle that forwards nothing by itself", () => {
    using lab = Lab.create({ middle: true });
    expect(
      links(lab, "m")
        .map((link) => link.ifname)
        .sort(),
    ).toEqual(["ma", "mb"]);
    expect(lab.exec("a", ["ping", "-c1", "-W0.2", lab.b.ipv4], { check: false }).code).toBe(1);
  });

  test("a routed middle: two networks, each with a way to the other that waits for a router", () => {
    using lab = Lab.create({ middle: true, routed: true });
    expect([lab.a.ipv4, lab.b.ipv4, lab.b.ipv6]).toEqual(["10.77.0.1", "10.77.1.2", "fd77:0:0:1::2"]);
    const routes = (side: "a" | "b"): string =>
      lab.exec(side, ["ip", "route"]).stdout + lab.exec(side, ["ip", "-6", "route"]).stdout;
    for (const end of [lab.a, lab.b]) {
      expect(end.gateways).toHaveLength(2);
      for (const gateway of end.gateways)
        expect(routes(end.side as "a" | "b")).toContain(`default via ${gateway} dev ${end.name}`);
    }
    expect(() => Lab.create({ routed: true })).toThrow("a routed lab has a middle");
  });

  test("offloads off and IPv6 off where asked", () => {
    using lab = Lab.create({ offloads: false, quiet: true });
    const features = lab.exec("a", ["ethtool", "-k", "va"]).stdout;
    expect(features).toContain("tx-checksumming: off");
    expect(features).toContain("rx-checksumming: off");
    expect(lab.exec("b", ["ip", "-6", "addr"]).stdout).not.toContain("vb");
  });

  test("close kills what it spawned and removes the namespaces", async () => {
    const lab = Lab.create();
    const sleeper = lab.spawn("a", ["sleep", "1000"]);
    lab.close();
    lab.close();
    await sleeper.exited;
    expect(sleeper.signalCode).toBe("SIGKILL");
    expect(exists(lab.namespace("a"))).toBe(false);
    expect(exists(lab.namespace("b"))).toBe(false);
  });

  test("nothing is left of a lab that nobody closed: exit, exception, SIGINT, SIGTERM", async () => {
    const head = `import { Lab } from "../../examples/lab.ts"; const lab = Lab.create(); console.log(lab.a.namespace);`;
    for (const tail of ["process.exit(3)", "throw new Error('x')", ""]) {
      const child = await runSnippet(head + tail);
      expect(child.stdout.trim()).toMatch(/^mr-\d+-0-a$/);
      expect(exists(child.stdout.trim())).toBe(false);
    }
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      const child = startSnippet(head + "setInterval(() => {}, 1000);");
      const reader = child.stdout.getReader();
      const name = new TextDecoder().decode((await reader.read()).value).trim();
      expect(exists(name)).toBe(true);
      child.kill(signal);
      expect(await child.exited).toBe(code);
      expect(exists(name)).toBe(false);
    }
  });

  test("the signals of a terminal do not reach the janitor", async () => {
    const child = startSnippet(
      `import { Lab } from "../../examples/lab.ts";
       process.on("SIGINT", () => console.log("interrupted"));
       console.log(Lab.create().a.namespace);
       setInterval(() => {}, 1000);`,
      { prefix: ["setsid"] },
    );
    const reader = child.stdout.getReader();
    const line = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value).trim();
    const name = await line();
    process.kill(-child.pid, "SIGINT");
    expect(await line()).toBe("interrupted");
    expect(exists(name)).toBe(true);
    child.kill("SIGKILL");
    await child.exited;
    await until("the namespace to go", () => !exists(name));
  });

  test("a killed process leaves neither namespaces nor programs", async () => {
    const child = startSnippet(
      `import { Lab } from "../../examples/lab.ts";
       const lab = Lab.create();
       console.log(lab.a.namespace, lab.spawn("a", ["sleep", "1000"]).pid);
       setInterval(() => {}, 1000);`,
    );
    const line = new TextDecoder().decode((await child.stdout.getReader().read()).value);
    const [name = "", pid = ""] = line.trim().split(" ");
    expect(exists(name)).toBe(true);
    const commandLine = (): string =>
      existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "";
    await until("the program to be itself", () => commandLine().startsWith("sleep"));
    child.kill("SIGKILL");
    await child.exited;
    await until("the namespace to go", () => !exists(name));
    // What is dead may stand in the process table until someone collects it; it has no command line then.
    await until(
      "the program to go",
      () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/cmdline`).length === 0,
    );
  });

  test("the next lab reaps what a dead process left, and nothing else", () => {
    using _tools = Lab.create();
    const dead = Bun.spawnSync(["true"]).pid;
    const names = [`mr-${dead}-0-a`, `mr-${dead}-0-m`, `mr-${dead}-0-x`, `mr-${process.pid}-99999-a`];
    const ip = (...words: string[]) => Bun.spawnSync(["ip", "netns", ...words]);
    for (const name of names) ip("add", name);
    try {
      using _lab = Lab.create();
      expect(names.map(exists)).toEqual([false, false, true, true]);
    } finally {
      for (const name of names) if (exists(name)) ip("del", name);
    }
  });

  test("a lab with a name is found again and removed by another process", () => {
    const name = `mrnamed${process.pid}`;
    const lab = Lab.create({ name, keep: true });
    try {
      expect(lab.namespace("a")).toBe(`${name}-a`);
      expect(exists(`${name}-b`)).toBe(true);
    } finally {
      Lab.remove(name);
    }
    expect(exists(`${name}-a`)).toBe(false);
    Lab.remove(name);
  });

  test("options that make no sense are refused by name", () => {
    expect(() => Lab.create({ pairs: 0 })).toThrow("pairs is 1 to 8");
    expect(() => Lab.create({ mtu: 1 })).toThrow("mtu is 68 to 65535");
    expect(() => Lab.create({ queues: 0.5 })).toThrow("queues is 1 to 64");
    expect(() => Lab.create({ name: "a b" })).toThrow("not a lab name");
    expect(() => Lab.create({ keep: true })).toThrow("only a lab with a name");
  });
});
