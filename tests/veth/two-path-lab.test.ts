/** The lab of two paths: what it joins, what each of its cuts stops and nothing besides, and that it heals and goes. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { type PathSide, TwoPathLab, type TwoPathOptions } from "../../examples/two-path-lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const SIDES = { client: "a", host: "b" } as const;
const KERNELS: TwoPathOptions = { client: "kernel", host: "kernel" };

/** How many of `count` echoes are answered, in order to see what is cut. */
const echoes = (
  lab: TwoPathLab,
  from: PathSide,
  to: string,
  more: readonly string[] = [],
  count = 1,
): number => {
  const words = ["ping", "-n", "-q", "-c", String(count), "-i", "0.002", "-W", "0.2", ...more, to];
  const { stdout } = lab.lab.exec(SIDES[from], words, { check: false });
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
};

const reaches = (lab: TwoPathLab, from: PathSide, to: string, ...more: string[]): boolean => {
  // The first may wait for a neighbour's address longer than it waits for its answer.
  for (let tries = 0; tries < 5; tries++) if (echoes(lab, from, to, more) === 1) return true;
  return false;
};

/** Whether an end reaches the other over each of its paths, in both families. */
const overEach = (lab: TwoPathLab, from: PathSide): boolean[] =>
  lab.paths.map((path) => {
    const far = path[from === "client" ? "host" : "client"];
    return [far.ipv4, far.ipv6].every((address) => {
      if (lab.shape !== "routed") return reaches(lab, from, address);
      return Object.values(path[from].gateways).every((gateway: string) => reaches(lab, from, gateway));
    });
  });

const carrier = (lab: TwoPathLab, end: PathSide, path: number): boolean => {
  const { name } = lab.paths[path]![end];
  return lab.lab.exec(SIDES[end], ["ip", "-br", "link", "show", name]).stdout.includes("LOWER_UP");
};

describe.skipIf(skipWithoutLab(TwoPathLab.unavailable()))("lab of two paths", () => {
  for (const shape of ["switched", "routed"] as const) {
    test(
      `${shape}: both ends reach each other's address over the first path, and over the second without it`,
      async () => {
        using lab = TwoPathLab.create({ ...KERNELS, shape });
        expect(overEach(lab, "client")).toEqual([true, true]);
        for (const family of [4, 6] as const) {
          const from = ["-I", lab.caller[family]];
          expect(reaches(lab, "client", lab.service[family], ...from)).toBe(true);
          await lab.carrier(0, "both", false);
          expect(reaches(lab, "client", lab.service[family], ...from)).toBe(true);
          await lab.carrier(1, "both", false);
          expect(reaches(lab, "client", lab.service[family], ...from)).toBe(false);
          await lab.heal();
          expect(overEach(lab, "client")).toEqual([true, true]);
          expect(reaches(lab, "client", lab.service[family], ...from)).toBe(true);
        }
      },
      LIMIT_MS,
    );
  }

  test(
    "a segment: the client's one interface reaches both of the host's, which are in one network",
    async () => {
      using lab = TwoPathLab.create({ ...KERNELS, host: "kernel", shape: "segment" });
      const [first, second] = lab.paths;
      expect(reaches(lab, "client", first.host.ipv4)).toBe(true);
      // The host's second interface belongs to a program in a segment; what carries frames there is seen by its neighbour's ARP.
      lab.lab.exec("b", ["ip", "addr", "add", `${second.host.ipv4}/32`, "dev", second.host.name]);
      lab.lab.exec("b", ["sh", "-c", `echo 1 > /proc/sys/net/ipv4/conf/${second.host.name}/arp_ignore`]);
      const asked = lab.lab.exec(
        "a",
        ["arping", "-c", "3", "-w", "3", "-I", first.client.name, second.host.ipv4],
        {
          check: false,
        },
      );
      expect(asked.stdout).toContain(second.host.mac);
    },
    LIMIT_MS,
  );

  for (const end of ["client", "host"] as const) {
    test(
      `a carrier that is gone at the ${end} is there at the other end`,
      async () => {
        using lab = TwoPathLab.create(KERNELS);
        await lab.carrier(0, end, false);
        const other = end === "client" ? "host" : "client";
        expect([carrier(lab, end, 0), carrier(lab, other, 0)]).toEqual([false, true]);
        expect(carrier(lab, end, 1)).toBe(true);
        await lab.carrier(0, end, true);
        expect(carrier(lab, end, 0)).toBe(true);
      },
      LIMIT_MS,
    );
  }

  for (const shape of ["switched", "routed"] as const) {
    for (const at of ["client", "host"] as const) {
      for (const direction of ["to-host", "to-client"] as const) {
        test(
          `${shape}: what goes ${direction} on the ${at}'s cable is lost silently, and counted, and nothing else`,
          async () => {
            using lab = TwoPathLab.create({ ...KERNELS, shape });
            const { client, host } = lab.paths[0];
            expect(reaches(lab, "client", host.ipv4, "-I", client.name)).toBe(shape === "switched");
            expect(reaches(lab, "client", lab.service[4])).toBe(true);
            await lab.drop(0, direction, { at });
            expect(echoes(lab, "client", lab.service[4], [], 10)).toBe(0);
            const lost = lab.dropped(0);
            const other = direction === "to-host" ? "to-client" : "to-host";
            expect(lost[direction]).toBeGreaterThanOrEqual(10);
            expect(lost[other]).toBe(0);
            expect([carrier(lab, "client", 0), carrier(lab, "host", 0)]).toEqual([true, true]);
            expect(overEach(lab, "client")[1]).toBe(true);
            await lab.drop(0, direction, { at, share: 0 });
            expect(reaches(lab, "client", lab.service[4])).toBe(true);
            expect(lab.dropped(0)[direction]).toBeGreaterThanOrEqual(lost[direction]);
          },
          LIMIT_MS,
        );
      }
    }
  }

  test(
    "a share is lost at random, here and there",
    async () => {
      using lab = TwoPathLab.create(KERNELS);
      expect(reaches(lab, "client", lab.service[4])).toBe(true);
      await lab.drop(0, "to-host", { share: 0.3 });
      const answered = echoes(lab, "client", lab.service[4], [], 1000);
      // A binomial of 1000 with 0.7 is within 600 to 800 but for one run in 10^11.
      expect(answered).toBeGreaterThan(600);
      expect(answered).toBeLessThan(800);
      await expect(lab.drop(0, "to-host", { share: 2 })).rejects.toThrow("share is 0 to 1, not 2");
    },
    LIMIT_MS,
  );

  test(
    "a route withdrawn at an end or at the router, and restored",
    async () => {
      using lab = TwoPathLab.create({ ...KERNELS, shape: "routed" });
      const route = (): string => lab.lab.exec("a", ["ip", "route", "get", lab.service[4]]).stdout;
      const [first, second] = lab.paths;
      expect(route()).toContain(`dev ${first.client.name}`);
      await lab.withdraw(0, "client");
      expect(route()).toContain(`dev ${second.client.name}`);
      await lab.restore(0, "client");
      expect(route()).toContain(`dev ${first.client.name}`);
      await lab.withdraw(0, "router");
      const ping = lab.lab.exec("a", ["ping", "-c1", "-W1", lab.service[4]], { check: false });
      expect(ping.stdout).toContain("Destination Net Unreachable");
      await lab.heal();
      expect(reaches(lab, "client", lab.service[4])).toBe(true);
      using plain = TwoPathLab.create(KERNELS);
      await expect(plain.withdraw(0, "router")).rejects.toThrow("have no router");
      using ours = TwoPathLab.create();
      await expect(ours.withdraw(0, "host")).rejects.toThrow("no routes at the host");
    },
    LIMIT_MS,
  );

  test("the kernel is silent where a program has the end", () => {
    using lab = TwoPathLab.create({ client: "program", host: "program" });
    for (const side of ["a", "b"] as const) {
      const shown = lab.lab.exec(side, ["ip", "-br", "addr"]).stdout;
      expect(shown.split("\n").filter((line) => / (10\.|fd|fe80)/.test(line))).toEqual([]);
    }
  });

  test("nothing of it is left", () => {
    const lab = TwoPathLab.create();
    const names = (["a", "m", "n", "b"] as const).map((side) => lab.lab.namespace(side));
    expect(names.map((name) => existsSync(`/run/netns/${name}`))).toEqual([true, true, true, true]);
    lab.close();
    expect(names.map((name) => existsSync(`/run/netns/${name}`))).toEqual([false, false, false, false]);
  });
});
