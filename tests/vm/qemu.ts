/** The emulator: the machine's own if it is new enough, else a newer one from backports, unpacked into the cache. */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CACHE } from "./kernel.ts";
import { debianMirror, output, Suite } from "./mirror.ts";

export interface Emulator {
  /** Words that start it: the program, and where its firmware lies. */
  readonly command: readonly string[];
  readonly version: string;
  /** QEMU emulates igb from 8.0 on. */
  readonly igb: boolean;
}

const PROGRAM = "qemu-system-x86_64";
const PACKAGES = ["qemu-system-x86", "qemu-system-common", "qemu-system-data"];
/** Where Debian keeps the BIOS, which is a package of its own. */
const FIRMWARE = "/usr/share/seabios";

const describeEmulator = (command: readonly string[]): Emulator => {
  const version = /version (\S+)/.exec(output([...command, "--version"]))?.[1] ?? "unknown";
  // `-device igb,help` would do, but loads display modules that fit only the packaged build.
  const major = Number(version.split(".")[0]);
  return { command, version, igb: major >= 8 };
};

const codename = (): string => {
  const name = /^VERSION_CODENAME=(\w+)/m.exec(output(["cat", "/etc/os-release"]))?.[1];
  if (name === undefined) throw new Error("/etc/os-release has no VERSION_CODENAME");
  return name;
};

/** The newer emulator of this release's backports; its libraries are those of the one that is installed. */
const backport = (): Emulator => {
  const suite = new Suite(debianMirror(), `${codename()}-backports`, join(CACHE, "apt"));
  const trouble = suite.update();
  const version = suite.version(PACKAGES[0]!);
  if (version === undefined) throw new Error(`${suite.name} has no ${PACKAGES[0]}: ${trouble ?? ""}`);
  const root = join(CACHE, "qemu", version.replaceAll(/[^\w.+~-]/g, "_"));
  if (!existsSync(root)) {
    const unpacked = `${root}.${process.pid}`;
    mkdirSync(unpacked, { recursive: true });
    try {
      for (const file of suite.download(PACKAGES)) output(["dpkg-deb", "-x", file, unpacked]);
      if (!existsSync(root)) renameSync(unpacked, root);
    } finally {
      rmSync(unpacked, { recursive: true, force: true });
    }
  }
  return describeEmulator([
    join(root, "usr", "bin", PROGRAM),
    "-L",
    join(root, "usr", "share", "qemu"),
    "-L",
    FIRMWARE,
  ]);
};

/** Throws where there is no emulator at all; one without igb is better than none. */
export const findEmulator = (): Emulator => {
  const installed = Bun.which(PROGRAM);
  if (installed === null) throw new Error(`${PROGRAM} is not installed (make deps-vm)`);
  const own = describeEmulator([installed]);
  if (own.igb) return own;
  try {
    return backport();
  } catch (error) {
    console.warn(
      `millrace: QEMU ${own.version} without igb: ${error instanceof Error ? error.message : error}`,
    );
    return own;
  }
};
