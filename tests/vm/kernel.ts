/** Debian kernels for the guest: which ones there are, fetched and unpacked into the cache, never installed. */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { debianMirror, isNewer, output, Suite } from "./mirror.ts";

/** Ignored by git; everything in it can be fetched again. */
export const CACHE = join(dirname(dirname(import.meta.dir)), ".cache", "vm");

/** The kernels that millrace is held against. "newest" is the only one with zero-copy in virtio_net (6.11, 6.13). */
export const KERNELS = {
  "6.1": { suites: ["bookworm"], base: "bookworm", what: "Debian 12" },
  "6.12": { suites: ["bookworm-backports"], base: "bookworm", what: "Debian 12 backports" },
  // Unstable is usually ahead, but a backport can be: the higher version of the two is taken.
  newest: { suites: ["sid", "trixie-backports"], base: "sid", what: "Debian unstable or backports" },
} as const;

export type KernelName = keyof typeof KERNELS;

export const isKernelName = (name: string): name is KernelName => Object.hasOwn(KERNELS, name);

/** A kernel ready to boot. */
export interface GuestKernel {
  /** What `uname -r` says: 6.1.0-50-amd64. */
  readonly release: string;
  /** The compressed kernel. */
  readonly image: string;
  /** A folder that holds lib/modules/RELEASE, with depmod's indexes. */
  readonly root: string;
  /** A busybox that needs no library. */
  readonly busybox: string;
}

const META = "linux-image-amd64";
/** Installing it would take the place of another busybox that a machine may have. */
const BUSYBOX = "busybox-static";

/** The real packages behind a package that only depends: old kernels are one, new ones are split in image, binary and modules. */
const closure = (suite: Suite, name: string, found = new Set<string>()): Set<string> => {
  for (const each of suite.dependencies(name)) {
    if (!/^linux-(?:image|binary|modules|base)-\d/.test(each) || found.has(each)) continue;
    found.add(each);
    closure(suite, each, found);
  }
  return found;
};

/** The suite with the highest kernel; throws what went wrong where no suite can be had. */
const bestSuite = (name: KernelName): Suite => {
  const mirror = debianMirror();
  const troubles: string[] = [];
  let best: { suite: Suite; version: string } | undefined;
  for (const each of KERNELS[name].suites) {
    const suite = new Suite(mirror, each, join(CACHE, "apt"));
    const trouble = suite.update();
    if (trouble !== undefined) troubles.push(trouble);
    const version = suite.version(META);
    if (version !== undefined && (best === undefined || isNewer(version, best.version)))
      best = { suite, version };
  }
  if (best === undefined) throw new Error(`no ${META} of ${name} at ${mirror}: ${troubles.join("; ")}`);
  return best.suite;
};

/** Brings both layouts of Debian's packages, /boot, /bin and /lib or all below /usr, to one. */
const arrange = (unpacked: string, release: string): void => {
  const inUsr = join(unpacked, "usr", "bin", "busybox");
  renameSync(existsSync(inUsr) ? inUsr : join(unpacked, "bin", "busybox"), join(unpacked, "busybox"));
  const modules = join(unpacked, "lib", "modules");
  if (!existsSync(modules)) {
    mkdirSync(dirname(modules), { recursive: true });
    renameSync(join(unpacked, "usr", "lib", "modules"), modules);
  }
  const inModules = join(modules, release, "vmlinuz");
  renameSync(
    existsSync(inModules) ? inModules : join(unpacked, "boot", `vmlinuz-${release}`),
    join(unpacked, "vmlinuz"),
  );
  for (const rest of ["usr", "boot", "bin"]) rmSync(join(unpacked, rest), { recursive: true, force: true });
};

const kernelIn = (root: string, release: string): GuestKernel => ({
  release,
  image: join(root, "vmlinuz"),
  root,
  busybox: join(root, "busybox"),
});

/** Fetches a kernel, unless the cache has its version, and returns it; throws with the reason where it cannot be had. */
export const fetchKernel = (name: KernelName): GuestKernel => {
  const suite = bestSuite(name);
  const packages = [...closure(suite, META)];
  const image = packages.find((each) => each.startsWith("linux-image-"));
  if (image === undefined) throw new Error(`${META} of ${suite.name} depends on no kernel`);
  const release = image.slice("linux-image-".length);
  const folder = join(CACHE, "kernels");
  const root = join(folder, release);
  if (existsSync(root)) return kernelIn(root, release);
  // Backports hold only what they change.
  const base = new Suite(debianMirror(), KERNELS[name].base, join(CACHE, "apt"));
  base.update();
  // Another run may be at it as well: each unpacks for itself, and the first that is done wins.
  const unpacked = `${root}.${process.pid}`;
  mkdirSync(unpacked, { recursive: true });
  try {
    const files = [...suite.download(packages), ...base.download([BUSYBOX])];
    for (const file of files) output(["dpkg-deb", "-x", file, unpacked]);
    arrange(unpacked, release);
    output(["depmod", "-b", unpacked, release]);
    if (!existsSync(root)) renameSync(unpacked, root);
  } finally {
    rmSync(unpacked, { recursive: true, force: true });
  }
  return kernelIn(root, release);
};
