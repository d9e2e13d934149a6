/**
 * Beside the programs of xdp-tools and iproute2 on one interface: they see us, we leave theirs alone, and say what is in
 * the way.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { attach } from "../../index.ts";
import { compilePass, hasBpfCompiler } from "../support/bpf-object.ts";
import { failure } from "../support/failure.ts";
import { leftBehind, strayObjects } from "../support/kernel-objects.ts";
import { Lab } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";
import { settleAccounts, stream } from "../support/stream.ts";

const SMALL = 60;
const BPFFS = "/sys/fs/bpf";
/** Before it gives up, an attach waits a second for a program that may be about to go. */
const LIMIT_MS = 20_000;

const runs =
  !skipWithoutLab(Lab.unavailable()) &&
  !skipUnless(
    ["xdp-loader", "xdp-filter", "bpftool"].every((tool) => Bun.which(tool) !== null) && hasBpfCompiler(),
    "xdp-tools, bpftool or clang is not installed",
    { couldRun: true },
  );

const pinned = (): string[] =>
  existsSync(BPFFS) ? readdirSync(BPFFS, { recursive: true, encoding: "utf8" }).sort() : [];

describe.skipIf(!runs)("beside other XDP programs", () => {
  let lab: Lab;
  beforeEach(() => {
    lab = Lab.create({ quiet: true });
  });
  afterEach(() => lab.close());

  const open = (options: Parameters<typeof attach>[1] = {}, side: "a" | "b" = "b") =>
    attach(lab[side].name, { namespace: lab.namespace(side), ...options });
  /** What xdp-loader prints of our interface, column by column. */
  const status = (): string[] => {
    const { stdout } = lab.exec("b", ["xdp-loader", "status"]);
    const line = stdout.split("\n").find((each) => each.startsWith(`${lab.b.name} `)) ?? "";
    return line.trim().split(/\s{2,}|\s(?=\d)/);
  };
  const onInterface = (): unknown =>
    (
      JSON.parse(lab.exec("b", ["ip", "-j", "-d", "link", "show", lab.b.name]).stdout) as [
        { readonly xdp?: unknown },
      ]
    )[0].xdp;

  test.each(["generic", "native"] as const)(
    "xdp-loader status lists a %s device; its unload cannot take it off",
    (xdp) => {
      using device = open({ xdp });
      expect(status().slice(1, 3)).toEqual(["steer", xdp === "native" ? "native" : "skb"]);
      const before = onInterface();
      const unload = lab.exec("b", ["xdp-loader", "unload", lab.b.name, "--all"], { check: false });
      expect(unload.code).not.toBe(0);
      const load = lab.exec("b", ["xdp-filter", "load", lab.b.name], { check: false });
      expect(load.code).not.toBe(0);
      expect(onInterface()).toEqual(before);
      using peer = open({ xdp }, "a");
      stream(peer, device, { count: 100, length: () => SMALL });
      settleAccounts(peer, device);
    },
  );

  test(
    "shared: true where the kernel has no dispatcher: a clear error, and nothing is left of the attempt",
    async () => {
      const strays = strayObjects();
      const files = pinned();
      // Whether this kernel can is the kernel's to say: xdp-loader's own attempt shows it.
      using pass = compilePass();
      lab.exec("b", ["xdp-loader", "load", lab.b.name, pass.file]);
      const dispatched = lab.exec("b", ["xdp-loader", "status"]).stdout.includes("xdp_dispatcher");
      lab.exec("b", ["xdp-loader", "unload", lab.b.name, "--all"]);
      if (skipUnless(!dispatched, "this kernel has the dispatcher", { couldRun: false })) return;
      const error = failure(() => open({ shared: true }));
      expect(error.code).toBe("EOPNOTSUPP");
      expect(error.message).toContain(`cannot attach shared program to "${lab.b.name}": EOPNOTSUPP: `);
      expect(error.remedy).toContain("dispatcher");
      expect(error.remedy).toContain("attach without shared: true");
      expect(status()).toEqual([lab.b.name, "<No XDP program loaded!>"]);
      expect(onInterface()).toBeUndefined();
      expect(pinned()).toEqual(files);
      expect(await leftBehind(strays)).toEqual([]);
      using device = open();
      using peer = open({}, "a");
      stream(peer, device, { count: 100, length: () => SMALL });
      settleAccounts(peer, device);
    },
    LIMIT_MS,
  );

  const others: Record<string, (file: string) => void> = {
    "ip link set xdp": (file) =>
      void lab.exec("b", ["ip", "link", "set", "dev", lab.b.name, "xdpdrv", "obj", file, "sec", "xdp"]),
    "ip link set xdpgeneric": (file) =>
      void lab.exec("b", ["ip", "link", "set", "dev", lab.b.name, "xdpgeneric", "obj", file, "sec", "xdp"]),
    "xdp-loader load": (file) => void lab.exec("b", ["xdp-loader", "load", "-m", "native", lab.b.name, file]),
    "xdp-filter load": () => void lab.exec("b", ["xdp-filter", "load", "-m", "native", lab.b.name]),
  };
  test.each(Object.keys(others))(
    "a program attached by %s is in the way: an error with the remedy, and it stays as it was",
    (how) => {
      using pass = compilePass();
      others[how]!(pass.file);
      const before = onInterface();
      expect(before).toBeDefined();
      for (const options of [{ xdp: "native" }, { xdp: "generic" }, {}, { shared: true }] as const) {
        const error = failure(() => open(options));
        // EEXIST: the two modes cannot be active at once (net/core/dev.c, dev_xdp_attach).
        expect(["EBUSY", "EEXIST"]).toContain(error.code);
        expect(error.remedy).toContain(`another program is attached to "${lab.b.name}"`);
        expect(error.remedy).toContain(`ip link set dev ${lab.b.name} xdp off`);
        expect(onInterface()).toEqual(before);
      }
      expect(lab.exec("a", ["ping", "-c1", "-W1", lab.b.ipv4], { check: false }).code).toBe(0);
      if (how.startsWith("xdp-filter")) lab.exec("b", ["xdp-filter", "unload", lab.b.name]);
      else {
        const mode = how.endsWith("generic") ? "xdpgeneric" : "xdpdrv";
        lab.exec("b", ["ip", "link", "set", "dev", lab.b.name, mode, "off"]);
      }
      using device = open();
      settleAccounts(device);
    },
    LIMIT_MS,
  );
});
