/** The smallest BPF program, compiled on the spot: for what other programs on an interface look like to us. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** enum xdp_action. */
const XDP_PASS = 2;

/** An object file with one program, `pass`, in section "xdp" (or "xdp.frags"), and its folder's end. */
export interface PassObject {
  readonly file: string;
  [Symbol.dispose](): void;
}

export const hasBpfCompiler = (): boolean => Bun.which("clang") !== null;

/** Compiles a program that passes everything, with the BTF that a dispatcher needs. Throws with the compiler's words. */
export const compilePass = (section: "xdp" | "xdp.frags" = "xdp"): PassObject => {
  const folder = mkdtempSync(join(tmpdir(), "mr-pass-"));
  const file = join(folder, "pass.o");
  // A dispatcher takes a function of `struct xdp_md *` only; the kernel compares the name (kernel/bpf/btf.c).
  const context = "struct xdp_md { unsigned data; };";
  const source = `${context} __attribute__((section("${section}"))) int pass(struct xdp_md *context) { return ${XDP_PASS}; }\n`;
  const made = Bun.spawnSync(["clang", "-O2", "-g", "-target", "bpf", "-c", "-x", "c", "-", "-o", file], {
    stdin: new TextEncoder().encode(source),
  });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  if (made.exitCode !== 0) {
    remove();
    throw new Error(`clang: ${made.stderr.toString()}`);
  }
  return { file, [Symbol.dispose]: remove };
};
