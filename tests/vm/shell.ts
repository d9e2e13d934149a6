/** `make vm-shell`: a person's shell in the guest, with the checkout, the cards and the cables that the tests have. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fetchKernel, isKernelName, KERNELS } from "./kernel.ts";
import { runGuest } from "./machine.ts";
import { findEmulator } from "./qemu.ts";

const name = process.argv[2] ?? "newest";
if (!isKernelName(name)) {
  console.error(`there is no kernel "${name}"; there are ${Object.keys(KERNELS).join(", ")}`);
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), "millrace-vm-"));
const { rows = 24, columns = 80 } = process.stdout;
const job = `
stty sane rows ${rows} cols ${columns}
export TERM='${process.env.TERM ?? "linux"}' PATH="$PATH:$PWD/node_modules/.bin" PS1='\\h:\\w# '
echo "Linux $(uname -r); cards $MILLRACE_CABLES; the host's files are under a layer of memory; exit ends the guest"
exec bash --norc -i
`;
try {
  const { trouble } = await runGuest({
    kernel: fetchKernel(name),
    emulator: findEmulator(),
    folder,
    job,
    interactive: true,
  });
  if (trouble !== undefined) console.error(trouble);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
