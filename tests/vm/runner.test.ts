/** The virtual machine itself: what comes back from it, what ends it, and that nothing of it stays. Runs on the host. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/lab.ts";
import { startSnippet } from "../support/subprocess.ts";
import { fetchKernel } from "./kernel.ts";
import { type GuestOptions, type GuestResult, runGuest } from "./machine.ts";
import { findEmulator } from "./qemu.ts";

/** A guest boots in 5 s on a quiet machine. */
const BOOT_LIMIT_MS = 120_000;
const TEST_LIMIT_MS = 2 * BOOT_LIMIT_MS;
const folders: string[] = [];
const checkout = join(import.meta.dir, "..", "..");

const freshFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), `millrace-vm-${process.pid}-`));
  folders.push(folder);
  return folder;
};

const run = (job: string, options: Partial<GuestOptions> = {}): Promise<GuestResult> =>
  runGuest({
    kernel: fetchKernel("newest"),
    emulator: findEmulator(),
    folder: freshFolder(),
    job,
    timeLimitMs: BOOT_LIMIT_MS,
    ...options,
  });

/** Processes whose command line names the folder: the guest's emulator, and what started it. */
const processesOf = (folder: string): string[] =>
  readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(folder);
    } catch {
      return false;
    }
  });

describe("a guest", () => {
  afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

  test(
    "returns what its job printed and how it ended, and leaves the host's files alone",
    async () => {
      const lines: string[] = [];
      const folder = freshFolder();
      const job = `echo "user $(id -u) of $(hostname) in $PWD"; echo seen > planted; cat planted; exit 7`;
      const guest = await run(job, { folder, onLine: (line) => void lines.push(line) });
      expect(guest).toMatchObject({ status: 7, trouble: undefined });
      expect(lines).toEqual([`user 0 of millrace-vm in ${checkout}`, "seen"]);
      expect(guest.output).toBe(`${lines.join("\n")}\n`);
      expect(existsSync(join(checkout, "planted"))).toBe(false);
      expect(processesOf(folder)).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  test(
    "is ended by its limit, with its console kept",
    async () => {
      const folder = freshFolder();
      const limit = 20_000;
      const job = "echo 'this is the console' > /dev/ttyS0; sleep 1000";
      const guest = await run(job, { folder, timeLimitMs: limit });
      expect(guest.status).toBeUndefined();
      expect(guest.trouble).toContain(`its limit of ${limit} ms`);
      expect(readFileSync(join(folder, "console.log"), "utf8")).not.toBe("");
      expect(processesOf(folder)).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  test(
    "whose kernel panics says so",
    async () => {
      const guest = await run("echo before; echo c > /proc/sysrq-trigger; sleep 1000");
      expect(guest.status).toBeUndefined();
      expect(guest.output).toBe("before\n");
      expect(guest.trouble).toContain("Kernel panic");
    },
    TEST_LIMIT_MS,
  );

  test(
    "dies with the process that started it, also by SIGKILL",
    async () => {
      const folder = freshFolder();
      const child = startSnippet(`
        import { fetchKernel } from "../vm/kernel.ts";
        import { runGuest } from "../vm/machine.ts";
        import { findEmulator } from "../vm/qemu.ts";
        await runGuest({
          kernel: fetchKernel("newest"),
          emulator: findEmulator(),
          folder: ${JSON.stringify(folder)},
          job: "sleep 1000",
        });
      `);
      await until("the guest to run", () => existsSync(join(folder, "console.log")), BOOT_LIMIT_MS);
      expect(processesOf(folder).length).toBeGreaterThan(0);
      child.kill("SIGKILL");
      await child.exited;
      await until("the emulator to end", () => processesOf(folder).length === 0);
    },
    TEST_LIMIT_MS,
  );
});
