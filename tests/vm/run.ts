/**
 * `make test-vm`: boots each kernel in a virtual machine and runs the project's own tests inside, as root.
 *
 * `bun run tests/vm/run.ts [--kernel NAME]... [TIER...]`, where a tier is a folder or a file of tests/. What a machine
 * cannot have (no emulator, no packages) is a counted skip with its reason. The last line is `N passed, N failed, N skipped`.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { formatTally, NO_TALLY, plus, readTally, type Tally } from "../support/tally.ts";
import { CACHE, fetchKernel, type GuestKernel, isKernelName, type KernelName, KERNELS } from "./kernel.ts";
import { type GuestResult, runGuest } from "./machine.ts";
import { type Emulator, findEmulator } from "./qemu.ts";

/** The driver's own suites, on the guest's veth pairs. */
const ON_VETH = [
  "oracle",
  ...["xsk", "descriptors", "contract", "link", "namespace"].map((name) => `veth/${name}.test.ts`),
];
/** The kernel as a peer in what the machine's own may not have: VLAN, tunnel and bonding devices, and bad networks (netem). */
const WITH_MODULES = ["kernel", "balancer-tunnels", "bonding", "netem"].map(
  (name) => `interop/${name}.test.ts`,
);
/** What runs on which kernel. The newest has the cards in zero-copy; the others are what a user may have. */
const PLAN: Readonly<Record<KernelName, readonly string[]>> = {
  newest: ["vm/guest", ...ON_VETH, ...WITH_MODULES],
  "6.12": ON_VETH,
  "6.1": ON_VETH,
};
/** What tests the virtual machine itself, from outside, and the kernel that it boots. */
const RUNNER = "vm/runner.test.ts";
const RUNNER_KERNEL: KernelName = "newest";
/** An emulated processor is ten times slower; the longest plan takes half of this, with another guest beside it. */
const TIME_LIMIT_MS = 60 * 60_000;

const TESTS = dirname(import.meta.dir);

/** Why no guest can run here at all; undefined where one can. */
const unavailable = (): string | undefined => {
  if (process.arch !== "x64") return `the guest's kernels are for x86-64, this machine is ${process.arch}`;
  if (process.getuid?.() !== 0) return "the guest's cables need root";
  if (!existsSync("/dev/net/tun")) return "there is no /dev/net/tun for the guest's cables";
  const missing = ["qemu-system-x86_64", "modprobe", "depmod", "xz", "unshare", "setpriv"].filter(
    (tool) => Bun.which(tool) === null,
  );
  return missing.length === 0 ? undefined : `${missing.join(", ")} not installed (make deps-vm)`;
};

/** Runs the tests of the virtual machine itself, here. */
const runRunner = async (): Promise<Tally> => {
  const child = Bun.spawn([process.execPath, "run", join(TESTS, "run.ts"), RUNNER], {
    stdout: "pipe",
    stderr: "inherit",
  });
  let total: Tally = { passed: 0, failed: 1, skipped: 0 };
  for (const line of (await child.stdout.text()).trimEnd().split("\n")) {
    console.log(`  ${line}`);
    total = readTally(line) ?? total;
  }
  return total;
};

/** Runs tiers on a kernel. A guest that ends before its job is one failure beside what its files said until then. */
const runTiers = async (
  name: KernelName,
  kernel: GuestKernel,
  emulator: Emulator,
  tiers: readonly string[],
): Promise<Tally> => {
  const folder = join(CACHE, "runs", `${name}-${process.pid}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  console.log(`Linux ${kernel.release} in QEMU ${emulator.version}: ${tiers.join(", ")}`);
  let files = NO_TALLY;
  let total: Tally | undefined;
  const boot = (): Promise<GuestResult> =>
    runGuest({
      kernel,
      emulator,
      folder,
      job: `export PATH="$PATH:$PWD/node_modules/.bin"\nexec bun run tests/run.ts ${tiers.join(" ")}`,
      environment: { CI: process.env.CI ?? "", NO_COLOR: "1" },
      timeLimitMs: TIME_LIMIT_MS,
      onLine: (line) => {
        console.log(`  ${line}`);
        const tally = readTally(line);
        // The line that stands alone is the sum of those that name a file.
        if (tally !== undefined && line === formatTally(tally)) total = tally;
        else if (tally !== undefined) files = plus(files, tally);
      },
    });
  let guest = await boot();
  if (!guest.booted) {
    console.log(`the guest did not boot; once more: ${guest.trouble}`);
    guest = await boot();
  }
  console.log(
    `Linux ${kernel.release}: ${guest.seconds.toFixed(0)} s, console in ${join(folder, "console.log")}`,
  );
  if (total !== undefined && guest.status !== undefined) return total;
  console.log(`FAIL the guest: ${guest.trouble ?? `status ${guest.status} without a sum`}`);
  return plus(files, { passed: 0, failed: 1, skipped: 0 });
};

const skip = (reason: string): Tally => {
  console.log(`skipped: ${reason}`);
  return { passed: 0, failed: 0, skipped: 1 };
};

const { values, positionals } = parseArgs({
  options: { kernel: { type: "string", multiple: true } },
  allowPositionals: true,
  strict: true,
});
const asked = values.kernel ?? Object.keys(PLAN);
const names = asked.filter(isKernelName);
if (names.length < asked.length) {
  console.error(`the kernels are ${Object.keys(KERNELS).join(", ")}, not ${asked.join(", ")}`);
  process.exit(2);
}
let total = NO_TALLY;
const reason = unavailable();
if (reason !== undefined) total = skip(`no virtual machine: ${reason}`);
else {
  const emulator = findEmulator();
  for (const name of names) {
    let kernel: GuestKernel;
    try {
      kernel = fetchKernel(name);
    } catch (error) {
      total = plus(total, skip(`no kernel ${name}: ${error instanceof Error ? error.message : error}`));
      continue;
    }
    total = plus(
      total,
      await runTiers(name, kernel, emulator, positionals.length > 0 ? positionals : PLAN[name]),
    );
  }
}
console.log(formatTally(total));
process.exit(total.failed > 0 ? 1 : 0);
