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

/** Compiles a program that passes everything. Throws with the compiler's words. */
export const compilePass = (section: "xdp" | "xdp.frags" = "xdp"): PassObject => {
  const folder = mkdtempSync(join(tmpdir(), "mr-pass-"));
  const file = join(folder, "pass.o");
  const source = `__attribute__((section("${section}"))) int pass(void *context) { return ${XDP_PASS}; }\n`;
  const made = Bun.spawnSync(["clang", "-O2", "-target", "bpf", "-c", "-x", "c", "-", "-o", file], {
    stdin: new TextEncoder().encode(source),
  });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  if (made.exitCode !== 0) {
    remove();
    throw new Error(`clang: ${made.stderr.toString()}`);
  }
  return { file, [Symbol.dispose]: remove };
};
