/** The guest's first file system: busybox, the modules that reach the host's files and the cards, and init. */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { GuestKernel } from "./kernel.ts";
import { output } from "./mirror.ts";

/** What has to be there before the host's files are; everything else is loaded from them. */
const MODULES = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"];

/** Paths of a module and of what it needs, in the order of loading; nothing for what is built into the kernel. */
const loadOrder = (kernel: GuestKernel, module: string): string[] =>
  output(["modprobe", "-d", kernel.root, "-S", kernel.release, "--show-depends", module])
    .split("\n")
    .flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []);

/** Writes the compressed archive into `folder` and returns its path. */
export const buildInitramfs = (kernel: GuestKernel, folder: string): string => {
  const tree = join(folder, "initramfs");
  for (const each of ["bin", "modules", "proc", "sys", "dev", "host", "rw", "root", "out"])
    mkdirSync(join(tree, each), { recursive: true });
  copyFileSync(kernel.busybox, join(tree, "bin", "busybox"));
  copyFileSync(join(import.meta.dir, "init.sh"), join(tree, "init"));
  output(["chmod", "+x", join(tree, "init")]);
  const names: string[] = [];
  for (const path of new Set(MODULES.flatMap((module) => loadOrder(kernel, module)))) {
    const name = basename(path, ".xz");
    names.push(name);
    if (path.endsWith(".xz"))
      output(["sh", "-c", 'xz -dc "$1" > "$2"', "sh", path, join(tree, "modules", name)]);
    else copyFileSync(path, join(tree, "modules", name));
  }
  writeFileSync(join(tree, "modules", "order"), names.map((name) => `${name}\n`).join(""));
  const archive = join(folder, "initramfs.gz");
  const pack = 'cd "$1" && find . | "$3" cpio -o -H newc 2>/dev/null | gzip -1 > "$2"';
  output(["sh", "-ec", pack, "sh", tree, archive, kernel.busybox]);
  rmSync(tree, { recursive: true });
  return archive;
};
